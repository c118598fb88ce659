/** The table of measures written a second time, as slowly and plainly as the contract tells it: what the aggregator is held to. */
import type { Event, Measure, Message, Session, SeriesPoint } from '../../src/records.ts'
import { MEASURES } from '../../src/records.ts'
import { hash128 } from '../../src/aggregate/hash.ts'
import { eachBin } from '../../src/duration-sketch.ts'

/** By `series key@minute`, the measures in the order of MEASURES, and last what the sketches hold. */
export type Table = Record<string, (number | string)[]>

type Of = Pick<Session, 'vendor' | 'account' | 'bot_id'> & { channel: string | null; language: string | null }

/** Before 2000 or more than a day ahead of when it was read: no time. */
const isTime = (atMs: number | null, of: { observed_at: number }) =>
  atMs !== null && new Date(atMs).getUTCFullYear() >= 2000 && atMs - of.observed_at <= 24 * 3_600_000

/** A table of these newest sessions, without those of tests, and of messages and events in offset order: the first record of a key counts. */
export function recount(newest: Iterable<Session>, messages: Iterable<Message>, events: Iterable<Event>): Table {
  const sessions = [...newest]
  const table: Record<string, number[]> = {}
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
  const sketches = recountSketches(sessions)
  return Object.fromEntries(Object.entries(table).map(([at, row]) => [at, [...row, textOf(sketches[at])]]))
}

const GAMMA = 1.01 / 0.99

/** Of one minute: how many durations are in each bin, and the users' hashes. Null: there is nothing to know. */
interface Sketches {
  readonly durations: Readonly<Record<string, number>> | null
  readonly users: readonly string[] | null
}

/** By `series key@minute`, what the sketches of these newest sessions hold. */
function recountSketches(sessions: Iterable<Session>): Record<string, Sketches> {
  const table: Record<string, { durations: Record<string, number> | null; users: Set<string> | null }> = {}
  const rowOf = (of: Of, atMs: number) => {
    const minute = new Date(Math.floor(atMs / 60_000) * 60_000).toISOString()
    return (table[`${[of.vendor, of.account, of.bot_id, of.channel, of.language ?? ''].join('|')}@${minute}`] ??= {
      durations: null,
      users: null,
    })
  }
  const words = new Int32Array(4)
  for (const s of sessions) {
    if (s.is_test === true) continue
    const started = isTime(s.started_at, s)
    if (started) {
      const row = rowOf(s, s.started_at)
      row.users ??= new Set()
      if (s.user_id !== null) {
        hash128(Buffer.from(s.user_id), words)
        const bytes = Buffer.alloc(8)
        bytes.writeInt32BE(words[0] ?? 0, 0)
        bytes.writeInt32BE(words[1] ?? 0, 4)
        row.users.add(bytes.toString('hex'))
      }
    }
    if (s.ended_at !== null && isTime(s.ended_at, s)) {
      const row = rowOf(s, s.ended_at)
      row.durations ??= {}
      if (!started) continue
      const ms = Math.max(0, s.ended_at - s.started_at)
      const bin = ms === 0 ? 'zero' : Math.floor(Math.log(ms) / Math.log(GAMMA))
      row.durations[bin] = (row.durations[bin] ?? 0) + 1
    }
  }
  return Object.fromEntries(
    Object.entries(table).map(([at, { durations, users }]) => [at, { durations, users: users && [...users].toSorted() }]),
  )
}

function sketchesOf({ duration_sketch, users_sketch }: Pick<SeriesPoint, 'duration_sketch' | 'users_sketch'>): Sketches {
  const durations: Record<string, number> = {}
  if (duration_sketch !== null) eachBin(duration_sketch, (bin, count) => (durations[bin === -1 ? 'zero' : bin] = count))
  const users: string[] = []
  // Minutes of these tests have few users: each is there by itself.
  for (let at = 3; at < (users_sketch?.length ?? 0); at += 8) users.push(users_sketch?.toString('hex', at, at + 8) ?? '')
  return { durations: duration_sketch && durations, users: users_sketch && users.toSorted() }
}

const textOf = ({ durations, users }: Sketches = { durations: null, users: null }): string =>
  JSON.stringify([durations && Object.entries(durations).toSorted(([a], [b]) => a.localeCompare(b)), users])

/** The same form from points; points that hold nothing but zeros are left out. */
export function tableOf(
  points: Iterable<Pick<SeriesPoint, 'series_key' | 'bucket_start' | Measure | 'duration_sketch' | 'users_sketch'>>,
): Table {
  const table: Table = {}
  for (const point of points) {
    const row = MEASURES.map(measure => point[measure])
    const key = `${point.series_key}@${new Date(point.bucket_start).toISOString()}`
    if (row.some(n => n !== 0)) table[key] = [...row, textOf(sketchesOf(point))]
    else delete table[key]
  }
  return table
}

type Merged = [durations: [string, number][] | null, users: string[] | null]

/** A table of minutes as one of hours or days, in UTC. */
export function coarser(table: Table, size: '1m' | '1h' | '1d'): Table {
  if (size === '1m') return table
  const rolled: Record<string, { row: number[]; durations: Map<string, number> | null; users: Set<string> | null }> = {}
  for (const [at, cells] of Object.entries(table)) {
    const start = at.lastIndexOf('@') + 1
    const time = at.slice(start)
    const key = at.slice(0, start) + (size === '1h' ? `${time.slice(0, 13)}:00:00.000Z` : `${time.slice(0, 10)}T00:00:00.000Z`)
    const into = (rolled[key] ??= { row: MEASURES.map(() => 0), durations: null, users: null })
    const [durations, users] = JSON.parse(String(cells.at(-1))) as Merged
    for (const [i] of MEASURES.entries()) into.row[i] = (into.row[i] ?? 0) + Number(cells[i])
    if (durations !== null) into.durations ??= new Map()
    for (const [bin, n] of durations ?? []) into.durations?.set(bin, (into.durations.get(bin) ?? 0) + n)
    if (users !== null) into.users = new Set([...(into.users ?? []), ...users])
  }
  return Object.fromEntries(
    Object.entries(rolled).map(([key, { row, durations, users }]) => [
      key,
      [...row, textOf({ durations: durations && Object.fromEntries(durations), users: users && [...users].toSorted() })],
    ]),
  )
}
