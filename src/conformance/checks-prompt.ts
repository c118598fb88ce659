/** Checks of promptness: what happens at the vendor is on the topics within a poll or two, at a time that does not move, and the vendor is not asked too often. */
import assert from 'node:assert/strict'
import { scheduleOf } from '../ingest/schedule.ts'
import { partitionsOf, planSpecOf, tellsTransfers } from '../ingest/source-partition.ts'
import type { Event, Session } from '../records.ts'
import type { Bench } from './bench.ts'
import { type Line, promptLine } from './pipeline.ts'
import type { Read, Written, WrittenTopics } from './topics.ts'

/** How long the vendor's world is watched at its own pace. */
const WATCHED_MS = 2 * 3_600_000
const MINUTE_MS = 60_000
/** A session is young so long at least, also where nothing is read again at every poll. */
const YOUNG_MS = 10 * MINUTE_MS

/** What stands on the topics after the connector has read the vendor for two hours at its own pace, and how long a poll takes to come round. */
async function watched(
  bench: Bench,
): Promise<{ line: Line; topics: WrittenTopics; startMs: number; untilMs: number; promptMs: number }> {
  const line = promptLine(bench)
  const startMs = line.clock.now()
  const untilMs = Math.min(startMs + WATCHED_MS, bench.vendor.window.untilMs)
  await line.live({ until: () => line.clock.now() >= untilMs })
  // Two polls, because a vendor may show a thing just after it was asked; and a minute for requests that wait for their turn.
  const polls = specsOf(bench).map(({ pollIntervalMs }) => pollIntervalMs)
  return { line, topics: await line.topics(), startMs, untilMs, promptMs: 2 * Math.max(...polls) + MINUTE_MS }
}

/** Of the streams that give sessions, messages or events: all. */
function specsOf({ connector, base, config }: Bench) {
  return partitionsOf(connector, base, config).map(({ stream }) => planSpecOf(connector, stream, base, config))
}

/** When each session's transfer happened, and when the first record that tells it was written. */
export function transfersOf(sessions: readonly Written<Session>[]): { key: string; atMs: number; writtenMs: number }[] {
  const first = new Map<string, { key: string; atMs: number; writtenMs: number }>()
  for (const { key, value, writtenMs } of sessions) {
    if (value?.transferred_at === null || value === null || first.has(key)) continue
    first.set(key, { key, atMs: Number(value.transferred_at), writtenMs })
  }
  return [...first.values()]
}

/** A transfer is on the topics within two polls of its happening. */
export async function transfersArePrompt(bench: Bench): Promise<void> {
  if (!tells(bench)) return
  const { topics, startMs, untilMs, promptMs } = await watched(bench)
  const known = new Map(transfersOf(topics.sessions).map(each => [each.key, each]))
  const truth = bench.vendor.truth?.(untilMs).sessions ?? []
  const due = truth.flatMap(({ session_key: key, transferred_at: atMs, started_at: startedMs }) => {
    const isWatched = atMs !== undefined && atMs !== null && Number(atMs) > startMs && Number(atMs) < untilMs - promptMs
    // What began before the connector was there is not read.
    return key !== undefined && isWatched && Number(startedMs ?? atMs) > startMs ? [{ key, atMs: Number(atMs) }] : []
  })
  assert(due.length > 0, 'nobody is transferred in the two hours that are watched: nothing is checked')
  for (const { key, atMs } of due) {
    const told = known.get(key)
    assert(told !== undefined, `the transfer of ${key} at ${iso(atMs)} is not on the topics at ${iso(untilMs)}`)
    const lateMs = told.writtenMs - atMs
    assert(
      lateMs <= promptMs,
      `the transfer of ${key} is on the topics ${Math.round(lateMs / 1000)} s after it happened; ${promptMs / 1000} s are allowed`,
    )
  }
}

/** The time of a transfer is the same on every revision, of the session and of the event. */
export async function transfersDoNotMove(bench: Bench): Promise<void> {
  if (!tells(bench)) return
  const { topics } = await watched(bench)
  const transfers = topics.sessions.filter(({ value }) => value !== null && value.transferred_at !== null)
  assert(transfers.length > 0, 'nobody is transferred in the two hours that are watched: nothing is checked')
  oneTimeEach(transfers, session => session.transferred_at)
  oneTimeEach(
    topics.events.filter(({ value }) => value !== null && /^agent_transfer/.test(value.type)),
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

/** What is said in a session that has just begun is on the topics within two polls. */
export async function hotRowsArePrompt(bench: Bench): Promise<void> {
  const { topics, startMs, untilMs, promptMs } = await watched(bench)
  const youngMs = Math.max(YOUNG_MS, ...specsOf(bench).map(({ hotMs }) => hotMs)) - promptMs
  const began = new Map<string, number>()
  for (const { key, value } of topics.sessions) if (value !== null) began.set(key, Number(value.started_at))
  let checked = 0
  const told = new Set<string>()
  for (const { value, writtenMs } of topics.messages) {
    // Once told, a message may change at any time: a tag, say, that the vendor shows on each message of a conversation.
    if (value === null || value.sent_at_estimated || told.has(value.message_key)) continue
    told.add(value.message_key)
    const sentMs = Number(value.sent_at)
    const beganMs = began.get(value.session_key) ?? Infinity
    if (beganMs <= startMs || sentMs - beganMs > youngMs || sentMs > untilMs - promptMs) continue
    checked++
    const lateMs = writtenMs - sentMs
    assert(
      lateMs <= promptMs,
      `message ${value.message_key}, ${Math.round((sentMs - beganMs) / 1000)} s into its session, is on the topics ${Math.round(lateMs / 1000)} s later`,
    )
  }
  assert(checked > 0, 'no message is said in a session that has just begun: nothing is checked')
}

/** With the connector's own pace, what the vendor is asked in an hour is no more than a third of its quota; planned, and seen. */
export async function scheduleFits(bench: Bench): Promise<void> {
  const { connector, base, config, proxy } = bench
  const { fits, perHour, quotaPerHour } = scheduleOf({ name: 'conformance', connector, base, config })
  assert(fits, `${perHour} requests an hour are planned, more than a third of the ${quotaPerHour} that the quota allows`)
  const before = proxy.requests
  const { startMs, untilMs } = await watched(bench)
  const seen = ((proxy.requests - before) * 3_600_000) / (untilMs - startMs)
  assert(
    quotaPerHour === null || seen <= quotaPerHour / 3,
    `${Math.round(seen)} requests an hour were made, more than a third of the ${quotaPerHour} that the quota allows`,
  )
}

function tells({ connector, base, config }: Bench): boolean {
  return tellsTransfers({ connector, base, config })
}

const iso = (ms: number) => new Date(ms).toISOString()
