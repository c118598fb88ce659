import syntphony from '../../../connectors/syntphony/index.ts'
import { type Quirks, startSyntphonySimulator } from '../../../connectors/syntphony/simulator.ts'
import { BOTS, createWorld } from '../../../src/sim/index.ts'
import type { Quirk, Subject } from '../../../src/conformance/index.ts'
import { truthOf } from '../truth/syntphony.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** Not midnight, where the vendor's days begin: the window begins there, and its last day is not over. */
const NOW = Date.parse('2026-11-20T21:50:00Z')
/** Midnight is one of its multiples. */
const STEP_MS = 6 * HOUR

/** What of the vendor each quirk is. */
const QUIRKS: Readonly<Record<Quirk, Partial<Quirks>>> = {
  late: { lateMs: 20 * MINUTE },
  changing: {},
  // More of a bot's rows than fit a page begin on one day.
  tied: { startStepMs: 24 * HOUR },
  edges_inclusive: { timePart: 'literal', startStepMs: STEP_MS },
  edges_exclusive: { timePart: 'literal', startStepMs: STEP_MS, edges: 'exclusive' },
  grows: { betweenPages: 'row_shows' },
  shrinks: { betweenPages: 'row_misses' },
  ignores_token: { ignorePage: true },
  clock_ahead: { clockAheadMs: 2 * MINUTE },
  clock_behind: { clockAheadMs: -2 * MINUTE },
  quota: { parallel: 4, answerMs: 2 },
}

export const subject: Subject = {
  connector: syntphony,
  async start({ quirk, ...how }) {
    const now = () => how.now()
    // Conversations go on for hours and may be spoken in again a day later; `changing` looks at them while they do.
    const untilMs = NOW - (quirk === 'changing' ? 5 * MINUTE : 12 * HOUR)
    const window = { fromMs: Math.floor((untilMs - 30 * HOUR) / STEP_MS) * STEP_MS, untilMs }
    const world = createWorld({ seed: 56, sessions: 24, bots: BOTS.slice(0, 2), ...window })
    const simulator = await startSyntphonySimulator({
      world,
      now,
      pageSize: 4,
      quirks: { expiresInS: 3600, ...(quirk !== null && QUIRKS[quirk]) },
    })
    return {
      config: simulator.config,
      window,
      nowMs: NOW,
      truth: atMs => truthOf(simulator, atMs),
      refusedForQuota: () => simulator.refused(),
      stop: () => simulator.stop(),
    }
  },
}
