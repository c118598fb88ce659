/**
 * Checks of promptness: what happens at the vendor is on the topics within a poll or two, at a time that does not move, and the vendor does not get too many
 * requests.
 */
import assert from 'node:assert/strict'
import { scheduleOf } from '../ingest/schedule.ts'
import { kindsOf, partitionsOf, planSpecOf, detectsTransfers } from '../ingest/source-partition.ts'
import type { Event, Session } from '../records.ts'
import type { RecordKind } from '../source/contract.ts'
import type { Bench } from './bench.ts'
import { promptLine } from './pipeline.ts'
import type { Read, Written, WrittenTopics } from './topics.ts'

/** The vendor's world is watched from this long before a session until this long after what is checked in it. */
const AROUND_MS = 30 * 60_000
/** A transfer this soon after the start must be visible at the next polls. */
const SOON_MS = 60 * 60_000
const MINUTE_MS = 60_000
/** A session is young for at least this long, even if nothing is read again at every poll. */
const YOUNG_MS = 10 * MINUTE_MS

interface Watched {
  readonly topics: WrittenTopics
  readonly startMs: number
  readonly untilMs: number
  /** How long something may take to the topics. */
  readonly promptMs: number
}

/** Content of the topics after the connector has read the vendor at its own pace, around a session that was handed to a person, or any if none was. */
async function watched(bench: Bench, kind: RecordKind): Promise<Watched> {
  const { vendor } = bench
  // Two polls, because a vendor may show something just after it was read; and a minute for requests that wait for their turn.
  const polls = specsOf(bench, kind).map(({ pollIntervalMs }) => pollIntervalMs)
  const promptMs = 2 * Math.max(...polls) + MINUTE_MS
  const session = sessionToWatch(vendor.truth?.(vendor.window.untilMs).sessions ?? [])
  assert(session !== null, 'the vendor has no session with a start: nothing is checked')
  const startMs = session.startedMs - AROUND_MS
  const untilMs = (session.transferredMs ?? session.startedMs) + promptMs + AROUND_MS
  const line = promptLine(bench, startMs)
  await line.live({ until: () => line.clock.now() >= untilMs })
  return { topics: await line.topics(), startMs, untilMs, promptMs }
}

function sessionToWatch(sessions: readonly Partial<Session>[]): { startedMs: number; transferredMs: number | null } | null {
  const started = sessions.flatMap(({ started_at: startedAt, transferred_at: transferredAt }) => {
    if (startedAt === undefined) return []
    return [{ startedMs: startedAt, transferredMs: transferredAt ?? null }]
  })
  const soon = started.filter(({ startedMs, transferredMs }) => transferredMs !== null && transferredMs - startedMs <= SOON_MS)
  const some = soon.length > 0 ? soon : started
  return some[Math.floor(some.length / 2)] ?? null
}

/** Of the streams that publish records of the kind. */
function specsOf({ connector, base, config }: Bench, kind: RecordKind) {
  return partitionsOf(connector, base, config)
    .filter(({ streamName }) => kindsOf(connector, streamName, config).includes(kind))
    .map(({ stream }) => planSpecOf(connector, stream, base, config))
}

/** When each session's transfer happened, and when the first record with it was written. */
export function transfersOf(sessions: readonly Written<Session>[]): { key: string; atMs: number; writtenMs: number }[] {
  const first = new Map<string, { key: string; atMs: number; writtenMs: number }>()
  for (const { key, value, writtenMs } of sessions) {
    if (value?.transferred_at === null || value === null || first.has(key)) continue
    first.set(key, { key, atMs: value.transferred_at, writtenMs })
  }
  return [...first.values()]
}

/** A transfer is on the topics within two polls of its happening. */
export async function transfersArePrompt(bench: Bench): Promise<void> {
  if (!tells(bench)) return
  const { topics, startMs, untilMs, promptMs } = await watched(bench, 'session')
  const known = transfersOf(topics.sessions)
  // As finally known: what the vendor itself shows late is late. A subject's truth may leave out session keys, so sessions are matched by the time of their
  // transfer.
  const { vendor } = bench
  const due = (vendor.truth?.(vendor.window.untilMs).sessions ?? []).flatMap(({ transferred_at: at, started_at: startedAt }) => {
    const atMs = at ?? Number.NaN
    // What began before the connector started is not read.
    return (startedAt ?? atMs) > startMs && atMs - (startedAt ?? atMs) <= SOON_MS && atMs < untilMs - promptMs ? [atMs] : []
  })
  assert(due.length > 0, 'there is no transfer in the watched time: nothing is checked')
  for (const atMs of due) {
    const published = known.find(each => each.atMs === atMs)
    assert(published !== undefined, `a transfer at ${iso(atMs)} is not on the topics at ${iso(untilMs)}`)
    const lateMs = published.writtenMs - atMs
    const late = `the transfer of ${published.key} is on the topics ${Math.round(lateMs / 1000)} s after it happened`
    assert(lateMs <= promptMs, `${late}; ${promptMs / 1000} s are allowed`)
  }
}

/** The time of a transfer is the same on every revision, of the session and of the event. */
export async function transfersDoNotMove(bench: Bench): Promise<void> {
  if (!tells(bench)) return
  const { topics } = await watched(bench, 'session')
  const transfers = topics.sessions.filter(({ value }) => value !== null && value.transferred_at !== null)
  assert(transfers.length > 0, 'there is no transfer in the watched time: nothing is checked')
  oneTimeEach(transfers, session => session.transferred_at)
  oneTimeEach(
    topics.events.filter(({ value }) => value !== null && value.type.startsWith('agent_transfer')),
    event => event.occurred_at,
  )
  const seen = new Set<string>()
  for (const { key, value } of topics.sessions) {
    if (value === null) continue
    assert(value.transferred_at !== null || !seen.has(key), `the time of transfer of ${key} is gone from a later revision`)
    if (value.transferred_at !== null) seen.add(key)
  }
}

function oneTimeEach<T extends Session | Event>(records: readonly Read<T>[], timeOf: (record: T) => unknown): void {
  const times = new Map<string, number>()
  for (const { value } of records) {
    if (value === null) continue
    const key = 'event_key' in value ? value.event_key : value.session_key
    const atMs = Number(timeOf(value))
    const before = times.get(key) ?? atMs
    assert(before === atMs, `the transfer of ${key} moved from ${iso(before)} to ${iso(atMs)}`)
    times.set(key, atMs)
  }
}

/** Messages or events of a new session are on the topics within two polls. */
export async function hotRowsArePrompt(bench: Bench): Promise<void> {
  // Without messages, events show how a session continues.
  const kind = specsOf(bench, 'message').length > 0 ? 'message' : 'event'
  const { topics, startMs, untilMs, promptMs } = await watched(bench, kind)
  const youngMs = Math.max(YOUNG_MS, ...specsOf(bench, kind).map(({ hotMs }) => hotMs)) - promptMs
  const began = new Map<string, number>()
  for (const { key, value } of topics.sessions) if (value !== null) began.set(key, value.started_at)
  let checked = 0
  const met = new Set<string>()
  for (const { key, sessionKey, atMs, writtenMs } of kind === 'message' ? saidIn(topics) : happenedIn(topics)) {
    const beganMs = began.get(sessionKey ?? '') ?? Infinity
    // Once published, it may change at any time: a tag, for example, that the vendor shows on each message of a conversation.
    if (met.has(key) || !Number.isFinite(beganMs)) continue
    met.add(key)
    if (beganMs <= startMs || atMs - beganMs > youngMs || atMs > untilMs - promptMs) continue
    checked++
    const [intoS, lateS] = [atMs - beganMs, writtenMs - atMs].map(ms => Math.round(ms / 1000))
    assert(writtenMs - atMs <= promptMs, `${kind} ${key}, ${intoS} s into its session, is on the topics ${lateS} s later`)
  }
  assert(checked > 0, 'there is no message in a new session: nothing is checked')
}

function saidIn({ messages }: WrittenTopics) {
  return messages.flatMap(({ value, writtenMs }) =>
    value === null || value.sent_at_estimated
      ? []
      : [{ key: value.message_key, sessionKey: value.session_key, atMs: value.sent_at, writtenMs }],
  )
}

function happenedIn({ events }: WrittenTopics) {
  return events.flatMap(({ value, writtenMs }) =>
    value === null || value.occurred_at_estimated
      ? []
      : [{ key: value.event_key, sessionKey: value.session_key, atMs: value.occurred_at, writtenMs }],
  )
}

/** At the connector's own pace, the requests of an hour are at most a third of the quota; as planned, and as observed. */
export async function scheduleFits(bench: Bench): Promise<void> {
  const { connector, base, config, proxy } = bench
  const { fits, perHour, quotaPerHour } = scheduleOf({ name: 'conformance', connector, base, config })
  assert(fits, `${perHour} requests an hour are planned, more than a third of the ${quotaPerHour} that the quota allows`)
  const before = proxy.requests
  const { startMs, untilMs } = await watched(bench, 'session')
  const seen = ((proxy.requests - before) * 3_600_000) / (untilMs - startMs)
  assert(
    quotaPerHour === null || seen <= quotaPerHour / 3,
    `${Math.round(seen)} requests an hour were made, more than a third of the ${quotaPerHour} that the quota allows`,
  )
}

function tells({ connector, base, config }: Bench): boolean {
  return detectsTransfers({ connector, base, config })
}

const iso = (ms: number) => new Date(ms).toISOString()
