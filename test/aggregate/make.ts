/** Sessions, messages and events from a seed, with the traps that counting has: null dimensions, missing ends, every containment and sender. */
import type { Channel, Containment, Event, Message, Sender, Session } from '../../src/records.ts'
import { CONTAINMENTS, SENDERS } from '../../src/records.ts'

export interface Random {
  /** Whole number in [0, below). */
  int(below: number): number
  pick<T>(of: readonly T[]): T
  chance(p: number): boolean
  shuffle<T>(list: T[]): T[]
}

/** mulberry32 */
export function random(seed: number): Random {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const int = (below: number) => Math.floor(next() * below)
  return {
    int,
    pick: of => of[int(of.length)] as (typeof of)[number],
    chance: p => next() < p,
    shuffle(list) {
      for (let i = list.length - 1; i > 0; i--) {
        const j = int(i + 1)
        ;[list[i], list[j]] = [list[j] as (typeof list)[number], list[i] as (typeof list)[number]]
      }
      return list
    },
  }
}

const CHANNELS: (Channel | null)[] = ['web', 'whatsapp', 'other']
const LANGUAGES = ['en', 'es', null]

const who = (r: Random) => {
  const bot_id = `bot-${r.int(5)}`
  return { vendor: 'v', account: 'a', bot_id, connector: 'c', channel: r.pick(CHANNELS), language: r.pick(LANGUAGES) }
}

/** A session of which the vendor tells nothing beyond what is counted. */
export const NOTHING_TOLD = {
  channel_raw: null,
  languages: [],
  user_id: null,
  channel_user_id: null,
  queue: null,
  agent_id: null,
  agent_name: null,
  user_messages: null,
  bot_messages: null,
  agent_messages: null,
  total_messages: null,
  tasks: null,
  satisfaction: null,
  outcome: null,
  starting_cause: null,
  topics: [],
  tags: [],
  variables: {},
  link: null,
  attributes: {},
} satisfies Partial<Session>

/** One revision of the session `s<number>`. Revisions share nothing but the bot: every one may move the session to other minutes and series. */
export function makeSession(r: Random, id: string, revision: number, fromMs: number, spanMs: number): Session {
  const started_at = fromMs + r.int(spanMs)
  const ended_at = r.chance(0.6) ? started_at + r.int(600_000) : null
  const of = who(r)
  // All revisions of a session keep its bot, as the contract has it.
  const bot_id = `bot-${Number(id.slice(1)) % 5}`
  return {
    ...NOTHING_TOLD,
    ...of,
    bot_id,
    channel: of.channel ?? 'other',
    session_key: `v:a:${id}`,
    session_id: id,
    revision,
    observed_at: started_at + 1000,
    started_at,
    ended_at,
    ended_at_estimated: false,
    status: ended_at === null ? 'OPEN' : 'CLOSED',
    containment: r.pick<Containment>(CONTAINMENTS),
    interactive: null,
    transferred_at: r.chance(0.3) ? started_at + r.int(300_000) : null,
    user_id: r.chance(0.2) ? null : `user-${r.int(8)}`,
    is_test: r.pick([null, false, false, true]),
  }
}

export function makeMessage(r: Random, id: string, fromMs: number, spanMs: number): Message {
  const of = who(r)
  return {
    ...of,
    channel: r.chance(0.2) ? null : of.channel,
    session_key: `v:a:s${id}`,
    session_id: `s${id}`,
    message_id: id,
    message_key: `v:a:s${id}/${id}`,
    revision: r.pick([1, 1, 1, 2, 3, 1_793_500_000]),
    observed_at: fromMs,
    sent_at: fromMs + r.int(spanMs),
    sent_at_estimated: false,
    seq: null,
    sender: r.pick<Sender>(SENDERS),
    type: 'text',
    text: 'hello',
    attachments: [],
    intent: null,
    confidence: null,
    agent_id: null,
    agent_name: null,
    queue: null,
    attributes: {},
  }
}

export function makeEvent(r: Random, id: string, fromMs: number, spanMs: number): Event {
  const of = who(r)
  return {
    ...of,
    channel: r.chance(0.2) ? null : of.channel,
    event_key: `v:a:${id}`,
    session_key: null,
    session_id: null,
    event_id: id,
    revision: r.pick([1, 1, 1, 2, 3, 1_793_500_000]),
    observed_at: fromMs,
    occurred_at: fromMs + r.int(spanMs),
    occurred_at_estimated: false,
    type: 'other',
    name: 'x',
    user_id: null,
    attributes: {},
  }
}
