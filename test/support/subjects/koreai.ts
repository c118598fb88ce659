/** Kore.ai for the conformance suite: two bots with both streams, pages so small that there are many edges between them. */
import koreai from '../../../connectors/koreai/index.ts'
import { type KoreaiSimulator, PLAIN, type Quirks, startKoreaiSimulator } from '../../../connectors/koreai/simulator.ts'
import { createWorld } from '../../../src/sim/index.ts'
import type { Quirk, Subject } from '../../../src/conformance/index.ts'
import { type TruthOptions, truthOf } from '../truth/koreai.ts'

const HOUR = 3_600_000
const WINDOW = { fromMs: Date.parse('2026-11-08T00:00:00Z'), untilMs: Date.parse('2026-11-10T00:00:00Z') }

/** Not all that there are: each is a listing of its own in every window. */
const LISTS = ['successintent', 'failtask'] as const

const QUIRKS: Readonly<Record<Quirk, Partial<Quirks>>> = {
  late: { lateMs: 6 * HOUR },
  changing: {},
  tied: { startStepMs: 12 * HOUR },
  edges_inclusive: { edges: 'closed' },
  edges_exclusive: { edges: 'open' },
  grows: { between: 'grows' },
  shrinks: { between: 'shrinks' },
  ignores_token: { ignoresSkip: true },
  clock_ahead: { clockAheadMs: 120_000 },
  clock_behind: { clockAheadMs: -120_000 },
  quota: { perMinute: PLAIN.perMinute, perHour: PLAIN.perHour },
}

export const subject: Subject = subjectOf(
  ({ config }) => ({ ...config, streams: 'sessions,analytics', 'analytics.types': LISTS.join(','), 'messages.page.size': 30 }),
  { analytics: LISTS },
)

/** With the contact center, which tells queue, agent and time of a hand-over. */
export const subjectContactCenter: Subject = {
  ...subjectOf(({ configContactCenter }) => configContactCenter, { contactCenter: true }),
  streams: ['contact-center'],
}

function subjectOf(
  configOf: (simulator: KoreaiSimulator) => Readonly<Record<string, unknown>>,
  reads: Pick<TruthOptions, 'analytics' | 'contactCenter'>,
): Subject {
  return {
    connector: koreai,
    async start(how) {
      const now = () => how.now()
      const world = createWorld({ seed: 7, sessions: 28, ...WINDOW })
      const simulator = await startKoreaiSimulator({
        world,
        now,
        arrivalClock: now,
        bots: ['orders', 'support'],
        messagesPageSize: 30,
        quirks: { perMinute: 0, perHour: 0, ...(how.quirk === null ? {} : QUIRKS[how.quirk]) },
      })
      return {
        config: { ...configOf(simulator), 'page.size': 6 },
        window: WINDOW,
        // By then the last conversation has been silent for so long that its session is closed.
        nowMs: WINDOW.untilMs + 24 * HOUR,
        truth: nowMs => truthOf(simulator, nowMs, reads),
        refusedForQuota: () => simulator.refusedForQuota(),
        stop: () => simulator.stop(),
      }
    },
  }
}
