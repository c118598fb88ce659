/** Chatlayer's simulator for the conformance suite: small pages, events in no order, lone events, drafts; and each quirk by a quirk. */
import connector from '../../../connectors/chatlayer/index.ts'
import { type ChatlayerOptions, type Quirks, startChatlayerSimulator } from '../../../connectors/chatlayer/simulator.ts'
import { type BotSpec, createWorld } from '../../../src/sim/index.ts'
import type { Quirk, Subject } from '../../../src/conformance/index.ts'
import { truthOf } from '../truth/chatlayer.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const WINDOW = { fromMs: Date.parse('2026-11-09T06:00:00Z'), untilMs: Date.parse('2026-11-10T00:00:00Z') }
const SESSIONS = 24

const BOTS: readonly BotSpec[] = [
  {
    id: 'm98j39nl',
    title: 'Payments',
    weight: 2,
    languages: [{ code: 'en', weight: 1 }],
    channels: [
      { name: 'whatsapp', weight: 2 },
      { name: 'web', weight: 1 },
    ],
    topics: [
      { id: 'payments', name: 'payments' },
      { id: 'cards', name: 'cards' },
    ],
    queues: ['back office'],
  },
  {
    id: 'p/q 1',
    title: 'A bot whose id must be encoded in paths',
    weight: 1,
    languages: [{ code: 'de', weight: 1 }],
    channels: [{ name: 'messenger', weight: 1 }],
    topics: [{ id: 'hours', name: 'opening hours' }],
    queues: ['front desk'],
  },
]

const QUIRKS: Readonly<Record<Quirk, Partial<Quirks>>> = {
  late: { lateShare: 0.3, lateMs: 5 * HOUR },
  changing: { correctedAfterMs: 6 * HOUR },
  tied: { timestampStepMs: 30 * MINUTE },
  edges_inclusive: { windowEdges: 'closed' },
  edges_exclusive: { windowEdges: 'open' },
  grows: { listing: 'grows' },
  shrinks: { listing: 'shrinks' },
  ignores_token: { ignoresToken: true },
  clock_ahead: { clockOffsetMs: 2 * MINUTE },
  clock_behind: { clockOffsetMs: -2 * MINUTE },
  // None is documented: what the connector's manifest assumes.
  quota: { requestsPerSecond: 10 },
}

export const subject: Subject = {
  waivers: [
    {
      check: 'prompt: what is said',
      reason: 'flow transitions cost a request a conversation, and come every 15 minutes once it has rested',
      until: '2027-05-31',
    },
  ],
  connector,

  /**
   * Eighteen hours, to midnight: no day that statistics are made of ends after it. No conversation begins in its last hours, so that all are over.
   * Where nothing happens the vendor shows no buckets: they would go on for as long as time does, and be read at times that only the suite knows.
   */
  async start({ quirk, now }) {
    const world = createWorld({
      seed: 17,
      sessions: SESSIONS,
      fromMs: WINDOW.fromMs,
      untilMs: WINDOW.untilMs - 6 * HOUR,
      bots: BOTS,
      incidents: [],
    })
    const options: ChatlayerOptions = {
      world,
      now,
      arrivalClock: now,
      draftEvery: 5,
      pageSize: quirk === 'tied' ? 3 : 20,
      quirks: {
        eventOrder: 'shuffled',
        lastToken: 'empty',
        emptyPages: true,
        loneShare: 0.05,
        emptyBuckets: 'left out',
        depth: 'text',
        firstStep: 'absent',
        ...(quirk === null ? {} : QUIRKS[quirk]),
      },
    }
    const simulator = await startChatlayerSimulator(options)
    const versions = ['LIVE', 'DRAFT'] as const
    return {
      // Longer than the stream's own, so that all of the window is looked at again.
      config: { ...simulator.config, 'bot.version': versions.join(','), 'lookback.ms': 36 * HOUR },
      window: WINDOW,
      // The flow of a conversation is a part of its row, in both streams that ask for it.
      partsAt: /\/flow/,
      truth: atMs => truthOf(simulator, atMs, { fromMs: WINDOW.fromMs, versions }),
      refusedForQuota: () => simulator.refusedForQuota(),
      stop: () => simulator.stop(),
    }
  },
}
