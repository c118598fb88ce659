/** The table of measures written a second time, as slowly and plainly as the contract tells it: what the aggregator is held to. */
import type { Event, Measure, Message, Session, SeriesPoint } from '../../src/records.ts'
import { MEASURES } from '../../src/records.ts'

/** By `series key@minute`, the measures in the order of MEASURES. */
export type Table = Record<string, number[]>

type Of = Pick<Session, 'vendor' | 'account' | 'bot_id'> & { channel: string | null; language: string | null }

/** Before 2000 or more than a day ahead of when it was read: no time. */
const isTime = (atMs: number | null, of: { observed_at: number }) =>
  atMs !== null && new Date(atMs).getUTCFullYear() >= 2000 && atMs - of.observed_at <= 24 * 3_600_000

/** A table of these newest sessions, without those of tests, and of messages and events in offset order: the first record of a key counts. */
export function recount(sessions: Iterable<Session>, messages: Iterable<Message>, events: Iterable<Event>): Table {
  const table: Table = {}
  const count = (of: Of, atMs: number, measure: (typeof MEASURES)[number], by = 1) => {
    const minute = new Date(Math.floor(atMs / 60_000) * 60_000).toISOString()
    const key = `${[of.vendor, of.account, of.bot_id, of.channel ?? 'other', of.language ?? ''].join('|')}@${minute}`
    const row = (table[key] ??= MEASURES.map(() => 0))
    row[MEASURES.indexOf(measure)] = (row[MEASURES.indexOf(measure)] ?? 0) + by
  }
  for (const session of sessions) {
    if (session.is_test === true) continue
    const s = {
      ...session,
      ended_at: isTime(session.ended_at, session) ? session.ended_at : null,
      transferred_at: isTime(session.transferred_at, session) ? session.transferred_at : null,
    }
    const started = isTime(s.started_at, s)
    if (started) {
      count(s, s.started_at, 'sessions')
      count(s, s.started_at, `sessions_${s.containment.toLowerCase()}` as 'sessions_agent')
    }
    if (s.ended_at !== null) {
      count(s, s.ended_at, 'sessions_ended')
      if (started) count(s, s.ended_at, 'duration_ms', Math.max(0, s.ended_at - s.started_at))
    }
    const transferAt = s.transferred_at ?? s.ended_at ?? (started ? s.started_at : null)
    if ((s.transferred_at !== null || s.containment === 'AGENT') && transferAt !== null) count(s, transferAt, 'agent_transfers')
  }
  const seen = new Set<string>()
  const isFirst = (key: string) => seen.size < seen.add(key).size
  for (const m of messages) {
    if (!isFirst(`message ${m.message_key}`) || !isTime(m.sent_at, m)) continue
    const other = m.sender === 'SYSTEM' || m.sender === 'UNKNOWN'
    count(m, m.sent_at, other ? 'messages_other' : (`messages_${m.sender.toLowerCase()}` as 'messages_user'))
  }
  for (const e of events) if (isFirst(`event ${e.event_key}`) && isTime(e.occurred_at, e)) count(e, e.occurred_at, 'events')
  return table
}

/** The same form from points; points that hold nothing but zeros are left out. */
export function tableOf(points: Iterable<Pick<SeriesPoint, 'series_key' | 'bucket_start' | Measure>>): Table {
  const table: Table = {}
  for (const point of points) {
    const row = MEASURES.map(measure => point[measure])
    const key = `${point.series_key}@${new Date(point.bucket_start).toISOString()}`
    if (row.some(n => n !== 0)) table[key] = row
    else delete table[key]
  }
  return table
}
