/**
 * The alerter's own topic, `<prefix>-alert-state`: what the next process must know of this one beside the alerts. A partition number has its own partition of it.
 *
 * A key is a JSON list: a kind, and what the record is about. A value is JSON; times are minutes since the epoch, ranges `[from, until)`.
 *
 * | Key | Value |
 * | --- | --- |
 * | `["judged", vendor, account]` | up to where each bot was judged: lists of a minute and its bots |
 * | `["read", vendor, account]` | up to where each bot had been read then: the same |
 * | `["taken"]` | by partition, the next offset of the series topic then |
 * | `["delays", rule, vendor, account]` | how late counts become known (`Delays.memory`) |
 * | `["dispersion", rule, ...labels]` | of a group: the hour of which it is, and the two figures of `Rho` |
 * | `["seen", rule, ...labels]` | of what is read together: minutes that counted otherwise when its mark last moved (place in the last hour, count, volume) |
 * | `["ahead", rule, ...labels]` | up to where what is read together was judged, where that is later than `judged` of its bots |
 * | `["late", rule, ...labels]` | ranges of what is read together that became known too late to be judged |
 * | `["late-minutes", rule, ...labels]` | ranges of minutes of a smallest group that were changed too late to be judged |
 */
import { inflateRawSync } from 'node:zlib'
import { HISTORY_HOURS } from './baseline.ts'

const MINUTE_MS = 60_000

/** Records by key, as they stand on the topic. */
export type Memory = ReadonlyMap<string, string>
/** Records that differ from those on the topic; null: not needed any more. */
export type MemoryChanges = Map<string, string | null>

export type Range = readonly [from: number, until: number]

export const TAKEN_KEY = JSON.stringify(['taken'])
export const delaysKey = (rule: string, vendor: string, account: string) => JSON.stringify(['delays', rule, vendor, account])
export const nodeKey = (
  kind: 'dispersion' | 'ahead' | 'seen' | 'late' | 'late-minutes',
  rule: string,
  labels: readonly string[],
) => JSON.stringify([kind, rule, ...labels])

const KINDS = new Set(['judged', 'read', 'taken', 'delays', 'dispersion', 'ahead', 'seen', 'late', 'late-minutes'])

/** The kind of a record and what it is about; null: it is not ours. */
export function readKey(key: string): readonly string[] | null {
  const read = parsed(key)
  if (!Array.isArray(read) || !read.every(part => typeof part === 'string') || !KINDS.has(read[0] ?? '')) return null
  return read
}

/** Null: it is no JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null
  }
}

/** Minutes as ranges. */
export function rangesOf(minutes: Iterable<number>): Range[] {
  const ranges: [number, number][] = []
  for (const minute of [...minutes].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last?.[1] === minute) last[1] = minute + 1
    else ranges.push([minute, minute + 1])
  }
  return ranges
}

/**
 * Records of a time by bot, by account.
 *
 * @param times Epoch milliseconds by `JSON.stringify([vendor, account, bot_id])`. A bot that is further behind the newest than anything is looked at is left out.
 */
export function timeRecords(kind: 'judged' | 'read', times: Readonly<Record<string, number>>): Map<string, string> {
  const entries = Object.entries(times).filter(([, time]) => Number.isFinite(time))
  const newest = entries.reduce((most, [, time]) => Math.max(most, time), Number.NEGATIVE_INFINITY)
  const accounts = new Map<string, Map<number, string[]>>()
  for (const [key, time] of entries) {
    if (time < newest - HISTORY_HOURS * 60 * MINUTE_MS) continue
    const [vendor = '', account = '', bot = ''] = JSON.parse(key) as string[]
    const record = JSON.stringify([kind, vendor, account])
    const byMinute = accounts.get(record) ?? new Map<number, string[]>()
    accounts.set(record, byMinute)
    const minute = Math.floor(time / MINUTE_MS)
    const bots = byMinute.get(minute)
    if (bots === undefined) byMinute.set(minute, [bot])
    else bots.push(bot)
  }
  return new Map(
    [...accounts].map(([key, byMinute]) => [key, JSON.stringify([...byMinute].map(([minute, bots]) => [minute, ...bots]))]),
  )
}

/** What `timeRecords` was given, in whole minutes. */
export function timesIn(kind: 'judged' | 'read', memory: Memory): Record<string, number> {
  const times: Record<string, number> = {}
  for (const [key, value] of memory) {
    const [of, vendor = '', account = ''] = readKey(key) ?? []
    if (of !== kind) continue
    for (const [minute, ...bots] of JSON.parse(value) as [number, ...string[]][])
      for (const bot of bots) times[JSON.stringify([vendor, account, bot])] = minute * MINUTE_MS
  }
  return times
}

/** Records that have other values than those written last, which follow. */
export function changesOf(written: Map<string, string>, records: ReadonlyMap<string, string>): MemoryChanges {
  const changes: MemoryChanges = new Map()
  for (const [key, value] of records) {
    if (written.get(key) === value) continue
    changes.set(key, value)
    written.set(key, value)
  }
  for (const key of written.keys()) {
    if (records.has(key)) continue
    changes.set(key, null)
    written.delete(key)
  }
  return changes
}

/** Earlier versions kept as much as fitted into the metadata of the group's offsets. */
const FORMER = '1'

/** What an earlier version has left, as records. @param marks, memory Metadata of the offsets of series and progress. */
export function formerMemory(marks: string, memory: string): Map<string, string> {
  const until = unpack(marks)
  const records = new Map<string, string>()
  if (Array.isArray(until)) {
    const times: Record<string, number> = {}
    for (const [minute, ...bots] of until as [number, ...string[]][]) for (const bot of bots) times[bot] = minute * MINUTE_MS
    for (const [key, value] of timeRecords('judged', times)) records.set(key, value)
  }
  const learnt = unpack(memory)
  if (typeof learnt !== 'string') return records
  const { delays = {}, late = {} } = JSON.parse(learnt) as { delays?: Record<string, unknown>; late?: Record<string, unknown> }
  for (const [key, value] of Object.entries(delays)) {
    const [rule = '', vendor = '', account = ''] = JSON.parse(key) as string[]
    records.set(delaysKey(rule, vendor, account), JSON.stringify(value))
  }
  for (const [key, value] of Object.entries(late)) {
    const [rule = '', clock = '[]'] = JSON.parse(key) as string[]
    records.set(nodeKey('late', rule, JSON.parse(clock) as string[]), JSON.stringify(value))
  }
  return records
}

/** Null where it is not of ours. */
function unpack(metadata: string): unknown {
  if (!metadata.startsWith(FORMER)) return null
  try {
    return JSON.parse(inflateRawSync(Buffer.from(metadata.slice(FORMER.length), 'base64url')).toString())
  } catch {
    return null
  }
}
