/** Sessions, messages and events with what is easily counted wrong: placeholders for times, labels that are missing, moves, withdrawals, repeats. */
import { CHANNELS, type Message, type Session } from '../../src/records.ts'
import type { Item } from '../aggregate/harness.ts'
import { makeEvent, makeMessage, makeSession, type Random } from '../aggregate/make.ts'

const DAY_MS = 86_400_000
/** What vendors write for no time. */
const BEFORE_2000 = Date.UTC(1999, 11, 31, 23, 59, 59, 999)
/** Bars and backslashes are escaped in the series key. */
const BOTS: Readonly<Record<string, string>> = { 'bot-3': 'bot|3', 'bot-4': String.raw`b\ot|4@x` }

const bot = (id: string) => BOTS[id] ?? id

/** A message or event keeps its bot, and so its partition, whenever it is published again. */
const botOf = (id: string) => bot(`bot-${Number(id.slice(1)) % 5}`)

function label<T extends { channel: Session['channel'] | null; language: string | null }>(r: Random, record: T): T {
  if (r.chance(0.1)) return { ...record, channel: r.pick(CHANNELS) }
  return r.chance(0.1) ? { ...record, language: '' } : record
}

/** A time at the edge of what counts, on either side of it. */
const edge = (r: Random, observedAt: number) => r.pick([BEFORE_2000, 0, observedAt + DAY_MS, observedAt + DAY_MS + 1])

function session(r: Random, id: string, revision: number, fromMs: number, spanMs: number): Session {
  const made = label(r, makeSession(r, id, revision, fromMs, spanMs))
  const record = { ...made, bot_id: bot(made.bot_id) }
  const { started_at, observed_at } = record
  if (r.chance(0.05)) record.started_at = edge(r, observed_at)
  if (r.chance(0.05)) record.ended_at = edge(r, observed_at)
  if (r.chance(0.05)) record.transferred_at = edge(r, observed_at)
  if (r.chance(0.05)) record.ended_at = started_at - 5_000
  return record
}

function message(r: Random, id: string, fromMs: number, spanMs: number): Message {
  const made = label(r, makeMessage(r, id, fromMs, spanMs))
  return { ...made, bot_id: botOf(id), observed_at: made.sent_at + 1000 }
}

export interface HistoryOptions {
  /** Ids begin with it, behind the letter of the kind. */
  readonly from: number
  readonly sessions: number
  readonly fromMs: number
  readonly spanMs: number
}

/** In the order of publication. Revisions of a session may change all that is counted; withdrawn sessions may come back. */
export function history(r: Random, { from, sessions, fromMs, spanMs }: HistoryOptions): Item[] {
  const items: Item[] = []
  for (let i = from; i < from + sessions; i++) {
    const revisions = 1 + r.int(4)
    for (let revision = 1; revision <= revisions; revision++) {
      const record = session(r, `s${i}`, revision, fromMs, spanMs)
      items.push({ kind: r.chance(0.1) ? 'withdrawal' : 'session', record })
    }
    const said = message(r, `m${i}`, fromMs, spanMs)
    if (r.chance(0.1)) items.push({ kind: 'message', record: { ...said, sent_at: edge(r, said.observed_at) } })
    items.push({ kind: 'message', record: said })
    // Shown again later, as another.
    if (r.chance(0.2))
      items.push({ kind: 'message', record: { ...said, sender: 'SYSTEM', sent_at: said.sent_at + 60_000, revision: 9 } })
    const made = label(r, makeEvent(r, `e${i}`, fromMs, spanMs))
    const happened = { ...made, bot_id: botOf(`e${i}`), observed_at: made.occurred_at + 1000 }
    if (r.chance(0.1)) items.push({ kind: 'event', record: { ...happened, occurred_at: edge(r, happened.observed_at) } })
    items.push({ kind: 'event', record: happened })
    if (r.chance(0.2))
      items.push({ kind: 'event', record: { ...happened, occurred_at: happened.occurred_at + 60_000, revision: 9 } })
  }
  return items
}
