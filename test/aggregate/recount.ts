/** The table of measures written a second time, as slowly and plainly as the contract tells it: what the aggregator is held to. */
import type { Event, Measure, Message, Session, SeriesPoint } from '../../src/records.ts'
import { MEASURES } from '../../src/records.ts'

/** By `series key@minute`, the measures in the order of MEASURES. */
export type Table = Record<string, number[]>

type Of = Pick<Session, 'vendor' | 'account' | 'bot_id'> & { channel: string | null; language: string | null }

/** A table of these newest sessions and of all messages and events, those of revision 1. */
export function recount(sessions: Iterable<Session>, messages: Iterable<Message>, events: Iterable<Event>): Table {
  const table: Table = {}
  const count = (of: Of, atMs: number, measure: (typeof MEASURES)[number], by = 1) => {
    const minute = new Date(Math.floor(atMs / 60_000) * 60_000).toISOString()
    const key = `${[of.vendor, of.account, of.bot_id, of.channel ?? 'other', of.language ?? ''].join('|')}@${minute}`
    const row = (table[key] ??= MEASURES.map(() => 0))
    row[MEASURES.indexOf(measure)] = (row[MEASURES.indexOf(measure)] ?? 0) + by
  }
  for (const s of sessions) {
    count(s, s.started_at, 'sessions')
    count(s, s.started_at, `sessions_${s.containment.toLowerCase()}` as 'sessions_agent')
    if (s.ended_at !== null) {
      count(s, s.ended_at, 'sessions_ended')
      count(s, s.ended_at, 'duration_ms', s.ended_at - s.started_at)
    }
    if (s.transferred_at !== null) count(s, s.transferred_at, 'agent_transfers')
    else if (s.containment === 'AGENT') count(s, s.ended_at ?? s.started_at, 'agent_transfers')
  }
  for (const m of messages) {
    if (m.revision !== 1) continue
    const other = m.sender === 'SYSTEM' || m.sender === 'UNKNOWN'
    count(m, m.sent_at, other ? 'messages_other' : (`messages_${m.sender.toLowerCase()}` as 'messages_user'))
  }
  for (const e of events) if (e.revision === 1) count(e, e.occurred_at, 'events')
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
