import { createWorld } from '../../src/sim/index.ts'
import type { Quirk, Subject, Truth } from '../../src/conformance/index.ts'
import connector from './index.ts'
import { type AcmeChatSimulator, openedAt, type Quirks, startAcmeChatSimulator } from './simulator.ts'

const DAY_MS = 86_400_000
const WINDOW = { fromMs: Date.parse('2026-11-02T00:00:00Z'), untilMs: Date.parse('2026-11-02T06:00:00Z') }

const QUIRKS: Readonly<Record<Quirk, Partial<Quirks>>> = {
  late: { lateMs: 40 * 60_000 },
  changing: {},
  tied: { tiedMs: 3_600_000 },
  edges_inclusive: { edges: 'inclusive', tiedMs: 600_000 },
  edges_exclusive: { edges: 'exclusive', tiedMs: 600_000 },
  grows: { shifts: 'grows' },
  shrinks: { shifts: 'shrinks' },
  ignores_token: { ignoresAfter: true },
  clock_ahead: { skewMs: 120_000 },
  clock_behind: { skewMs: -120_000 },
  quota: { requestsPerSecond: 10 },
}

/** What `colloquy conformance acme-chat` checks: the connector, its simulator with the quirks of a vendor, and what the topics must hold. */
export const subject: Subject = {
  connector,
  start: async ({ quirk, now }) => {
    const world = createWorld({ seed: 5, sessions: 30, ...WINDOW })
    const quirks = { requestsPerSecond: 0, ...(quirk && QUIRKS[quirk]) }
    const vendor = await startAcmeChatSimulator({ world, now, quirks, ...(quirk === 'quota' && { arrivalClock: now }) })
    return {
      config: { ...vendor.config, 'page.size': 5 },
      window: WINDOW,
      nowMs: WINDOW.untilMs + 3 * DAY_MS,
      truth: nowMs => truthOf(vendor, nowMs),
      refusedForQuota: () => vendor.refused(),
      stop: () => vendor.stop(),
    }
  },
}

/** What the topics must hold, from the world and not from the vendor's answers. */
function truthOf({ world, quirks, config }: AcmeChatSimulator, nowMs: number): Truth {
  const all = [...world.at(nowMs).between(-Infinity, Infinity)].map(each => ({
    each,
    key: `acme-chat:${config['account']}:${each.id}`,
  }))
  return {
    sessions: all.map(({ each, key }) => ({
      session_key: key,
      bot_id: each.bot.id,
      started_at: openedAt(each, quirks),
      ended_at: each.closedAtMs,
      channel: each.channel,
      language: each.language,
      transferred_at: each.events.find(({ kind }) => kind === 'transferred')?.atMs ?? null,
      total_messages: each.messages.length,
    })),
    messages: all.flatMap(({ each, key }) =>
      each.messages.map(({ id, atMs, sender, text }) => ({
        message_key: `${key}/${id}`,
        session_key: key,
        sent_at: atMs,
        sender: sender === 'user' ? 'USER' : sender === 'agent' ? 'AGENT' : 'BOT',
        text,
      })),
    ),
    events: all.flatMap(({ each, key }) =>
      each.events
        .filter(({ kind }) => kind === 'transferred')
        .slice(0, 1)
        .map(({ atMs }) => ({ session_key: key, type: 'agent_transferred', occurred_at: atMs })),
    ),
  }
}
