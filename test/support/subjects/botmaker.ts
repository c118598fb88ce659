/** Botmaker by its v2 API, over six hours of a small world. */
import botmaker from '../../../connectors/botmaker/index.ts'
import { type BotmakerSimulator, type Quirks, startBotmakerSimulator } from '../../../connectors/botmaker/simulator.ts'
import { createWorld } from '../../../src/sim/index.ts'
import type { Quirk, Start, Subject } from '../../../src/conformance/index.ts'
import { truthOf } from '../truth/botmaker.ts'

const MINUTE_MS = 60_000
const WINDOW = { fromMs: Date.parse('2026-11-02T08:00:00Z'), untilMs: Date.parse('2026-11-02T14:00:00Z') }
/** By when every session is over, and older than the lookback. */
const OVER_MS = WINDOW.untilMs + 2 * 86_400_000 + 10 * MINUTE_MS

const QUIRKS: Readonly<Record<Quirk, Partial<Quirks>>> = {
  late: { lateMs: 40 * MINUTE_MS },
  changing: {},
  tied: { tiedMs: 120 * MINUTE_MS },
  edges_inclusive: { windowEdges: 'closed' },
  edges_exclusive: { windowEdges: 'open' },
  grows: { shifts: 'grows' },
  shrinks: { shifts: 'shrinks' },
  ignores_token: { ignoresToken: true },
  clock_ahead: {},
  clock_behind: {},
  quota: { requestsPerSecond: 1 },
}

/** What the vendor is met with beside any quirk. */
const USUAL: Partial<Quirks> = { requestsPerSecond: 0, duplicateAcrossPages: true, eventOrder: 'shuffled', nulBytes: true }

export function startBotmaker({ quirk, now }: Start): Promise<BotmakerSimulator> {
  const skewMs = quirk === 'clock_ahead' ? 2 * MINUTE_MS : quirk === 'clock_behind' ? -2 * MINUTE_MS : 0
  return startBotmakerSimulator({
    world: createWorld({ seed: 7, sessions: 40, ...WINDOW }),
    now: () => now() + skewMs,
    arrivalClock: now,
    pageSize: 6,
    exportPageSize: 9,
    quirks: { ...USUAL, ...(quirk && QUIRKS[quirk]) },
  })
}

export const subject: Subject = {
  connector: botmaker,
  async start(how) {
    const simulator = await startBotmaker(how)
    return {
      config: simulator.config,
      window: WINDOW,
      nowMs: OVER_MS,
      truth: nowMs => truthOf(simulator, nowMs),
      refusedForQuota: () => simulator.refused(),
      stop: () => simulator.stop(),
    }
  },
}

/** The same world by the older export. */
export const subjectV1: Subject = {
  connector: botmaker,
  waivers: [
    {
      check: 'prompt: what is said',
      reason: 'the vendor gives the export out once a day',
      until: '2027-05-31',
    },
  ],
  async start(how) {
    const simulator = await startBotmaker(how)
    return {
      config: simulator.configV1,
      window: WINDOW,
      nowMs: OVER_MS,
      truth: nowMs => truthOf(simulator, nowMs, 'v1'),
      // The export has no documented limit of its own: what went beyond the one of the account.
      refusedForQuota: () => Math.max(0, simulator.stats().maxPerSecond - 1),
      stop: () => simulator.stop(),
    }
  },
}
