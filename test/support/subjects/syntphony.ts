import syntphony from '../../../connectors/syntphony/index.ts'
import { type Quirks, startSyntphonySimulator } from '../../../connectors/syntphony/simulator.ts'
import { createWorld } from '../../../src/sim/index.ts'
import type { Habit, Subject } from '../../../src/source/conformance.ts'
import { truthOf } from '../truth/syntphony.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** What of the vendor each habit is; edges_exclusive is waived below. */
const QUIRKS: Readonly<Record<Habit, Partial<Quirks>>> = {
  late: { lateMs: 20 * MINUTE },
  changing: {},
  tied: { startStepMs: 6 * HOUR },
  edges_inclusive: { timePart: 'literal' },
  edges_exclusive: {},
  grows: { betweenPages: 'row_shows' },
  shrinks: { betweenPages: 'row_misses' },
  ignores_token: { ignorePage: true },
  clock_ahead: { clockAheadMs: 2 * MINUTE },
  clock_behind: { clockAheadMs: -2 * MINUTE },
  quota: { parallel: 4, answerMs: 2 },
}

export const subject: Subject = {
  connector: syntphony,
  waivers: [
    {
      check: 'edges_exclusive',
      reason: 'the vendor documents both ends of a range as inclusive, and whole days are asked for',
      until: '2027-11-01',
    },
  ],
  async start({ habit, now }) {
    const nowMs = now()
    // Conversations go on for hours and may be spoken in again a day later; `changing` looks at them while they do.
    const untilMs = nowMs - (habit === 'changing' ? 5 * MINUTE : 12 * HOUR)
    const window = { fromMs: untilMs - 30 * HOUR, untilMs }
    const world = createWorld({ seed: 23, sessions: 40, ...window })
    const simulator = await startSyntphonySimulator({
      world,
      now,
      pageSize: 4,
      quirks: { expiresInS: 3600, ...(habit !== null && QUIRKS[habit]) },
    })
    return {
      config: simulator.config,
      window,
      nowMs,
      truth: atMs => truthOf(simulator, atMs),
      refusedForQuota: () => simulator.refused(),
      stop: () => simulator.stop(),
    }
  },
}
