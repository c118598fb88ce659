/**
 * Reading Progress: what has been read completely, as far as a reader of the topics may believe it.
 *
 * The records of one ingest transaction become visible partition by partition, so a Progress is believed only when the reader has passed the last
 * record of that transaction (`through`) in every partition that it follows, and when all earlier Progress of the same source partition
 * (connector, stream, scope) is believed too. "Nothing happened" and "not read yet" are different answers; this tells which.
 *
 * A source partition of which no Progress has been read may give anything: each Progress tells how many the connector has (`source_partitions`), and
 * until so many are known one stands for those that are missing. Otherwise a stream whose first commit hangs, or lies in a partition whose broker
 * is down, would be taken for one that has nothing.
 *
 * Nobody has read the future: a Progress that claims times well after it was written (a clock that had jumped ahead) is not believed at all, and what was
 * believed before stands until a later Progress is credible again.
 *
 * Pure: no time, no Kafka. Used by the aggregator (for the partition numbers it owns) and by the server (for all).
 */
import type { Lane, Progress, TimeRange, TopicOffset } from './records.ts'

export interface Watermarks {
  /**
   * Takes a Progress, in the order of its topic. Believed when `through` and everything before it has been passed.
   *
   * @param alsoThrough More places to pass first. The progress topic is compacted: what an earlier Progress of the source partition wrote is not
   *   in the `through` of the newest. Who reads the topic from its start gives the newest of each source partition and the ends (offset of the
   *   last record) that the followed topics had *after* the reading.
   */
  apply(progress: Progress, alsoThrough?: readonly TopicOffset[]): void
  /** The source partition is no more (a null value on the progress topic): it holds nothing back any longer. */
  forget(of: SourcePartition): void
  /** Everything before `nextOffset` of this partition has been worked. Never moves back. */
  passed(topic: string, partition: number, nextOffset: number): void
  /** Everything with an earlier time has been read by all matching streams; null: there is no stream, or one of which nothing is believed yet. */
  completeUntil(filter?: StreamFilter): number | null
  /** The ranges of time that all matching streams have read completely, in order and apart. No stream: none. */
  covered(filter?: StreamFilter): TimeRange[]
  /** Matching streams, as far as believed; for each connector of which some are not known yet, one that stands for them (`isKnown`). */
  streams(filter?: StreamFilter): StreamProgress[]
  /** Changes whenever an answer may have changed. */
  readonly version: number
}

export interface SourcePartition {
  readonly connector: string
  readonly stream: string
  readonly scope: string
}

/** Each list names what is wanted; absent: all. A source partition without a bot feeds every bot of its account. */
export interface StreamFilter {
  readonly vendor?: readonly string[] | undefined
  readonly account?: readonly string[] | undefined
  readonly bot_id?: readonly string[] | undefined
  readonly connector?: readonly string[] | undefined
  /** Only streams that give this kind of record; `transfer`: sessions, of which transfers to a person are known. */
  readonly feeds?: string | undefined
}

export interface StreamProgress extends SourcePartition {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string | null
  /** null, and nothing covered: nothing is believed yet. */
  readonly completeUntil: number | null
  readonly covered: readonly TimeRange[]
  readonly newestAt: number | null
  readonly committedAt: number | null
  readonly lane: Lane | null
  /** Progress that is known, but not believed yet. */
  readonly pending: number
}

interface Waiting {
  progress: Progress
  through: TopicOffset[]
}

/** A vendor's clock may be so far ahead of ours. */
const CLOCKS_DIFFER_MS = 300_000

/** The Progress with the time when it was really written: whoever committed it may have had a wrong clock, the record's own time is the broker's limit. */
export function asPublished(progress: Progress, recordMs: number): Progress {
  return progress.committed_at <= recordMs ? progress : { ...progress, committed_at: recordMs }
}

/** Whether all that it says has been read lies before it was written. */
function isCredible({ complete_until, covered, committed_at }: Progress): boolean {
  const limitMs = committed_at + CLOCKS_DIFFER_MS
  return complete_until <= limitMs && covered.every(({ until }) => until <= limitMs)
}

/** Whether there is Progress of it; false: it stands for source partitions of which nothing has been read. */
export const isKnown = ({ stream }: Pick<SourcePartition, 'stream'>): boolean => stream !== UNKNOWN

/** No stream has this name. */
const UNKNOWN = ''

type OfBot = Pick<StreamProgress, 'vendor' | 'account' | 'bot_id'>

export interface Untold {
  /** Whether sessions of the bot are read, and nobody can know which of them were transferred to a person: where transfers are 0, that means nothing. */
  of(bot: OfBot): boolean
  /** Whether there may be such bots at all. */
  readonly hasAny: boolean
}

/**
 * The bots whose transfers cannot be known. What stands for source partitions that are not known yet (`isKnown`) speaks for no bot: it would seem to give transfers.
 *
 * @param sessions The streams that give sessions.
 * @param transfers Those of them that give transfers as well.
 */
export function untoldOf(
  sessions: readonly (OfBot & Pick<StreamProgress, 'stream'>)[],
  transfers: readonly (OfBot & Pick<StreamProgress, 'stream'>)[],
): Untold {
  const keyOf = ({ vendor, account }: OfBot, bot: string | null) => JSON.stringify([vendor, account, bot])
  const botsOf = (streams: typeof sessions) => new Set(streams.filter(isKnown).map(stream => keyOf(stream, stream.bot_id)))
  const [giving, telling] = [botsOf(sessions), botsOf(transfers)]
  const has = (bots: ReadonlySet<string>, bot: OfBot) => bots.has(keyOf(bot, null)) || bots.has(keyOf(bot, bot.bot_id))
  return { of: bot => has(giving, bot) && !has(telling, bot), hasAny: telling.size < giving.size }
}

interface Source {
  newest: Progress
  believed: Progress | null
  waiting: Waiting[]
}

/** So many Progress of one source partition wait apart; beyond them the newest takes the places of the one before it over. */
const MOST_WAITING = 64

/** Whether the stream gives it. A Progress from before `transfer` was said says neither word: all that give sessions were taken to know transfers then. */
function isFed(feeds: readonly string[], wanted: string): boolean {
  if (feeds.length === 0 || feeds.includes(wanted)) return true
  return wanted === 'transfer' && feeds.includes('session') && !feeds.includes('no_transfer')
}

/** @param follows Whether the reader works this partition; places elsewhere (rejects, another's partitions) are not waited for. */
export function createWatermarks(follows: (topic: string, partition: number) => boolean): Watermarks {
  const sources = new Map<string, Source>()
  const next = new Map<string, number>()
  let version = 0
  /** What `missing` returned at this version. */
  let missed: { version: number; sources: readonly Source[] } = { version, sources: [] }

  const isPassed = (at: TopicOffset) => (next.get(placeKey(at.topic, at.partition)) ?? 0) > at.offset

  /** Believes what is passed, oldest first. */
  function settle(source: Source): void {
    for (let first = source.waiting[0]; first !== undefined && first.through.every(isPassed); first = source.waiting[0]) {
      if (isCredible(first.progress)) source.believed = first.progress
      source.waiting.shift()
      version++
    }
  }

  /** One for each connector of which fewer source partitions are known than its newest Progress says that there are. */
  function missing(): readonly Source[] {
    if (missed.version === version) return missed.sources
    const stand = [...Map.groupBy(sources.values(), ({ newest }) => newest.connector).values()].flatMap(known => {
      const { newest } = known.reduce((a, b) => (b.newest.committed_at > a.newest.committed_at ? b : a))
      if (known.length >= (newest.source_partitions ?? 0)) return []
      return { newest: { ...newest, stream: UNKNOWN, scope: '', bot_id: null, feeds: [] }, believed: null, waiting: [] }
    })
    missed = { version, sources: stand }
    return stand
  }

  function matching(filter: StreamFilter): Source[] {
    const wanted = (list: readonly string[] | undefined, value: string) => list === undefined || list.includes(value)
    return [...sources.values(), ...missing()].filter(
      ({ newest }) =>
        wanted(filter.vendor, newest.vendor) &&
        wanted(filter.account, newest.account) &&
        wanted(filter.connector, newest.connector) &&
        (filter.feeds === undefined || isFed(newest.feeds, filter.feeds)) &&
        (newest.bot_id === null || wanted(filter.bot_id, newest.bot_id)),
    )
  }

  return {
    apply(progress, alsoThrough = []) {
      const through = [...progress.through, ...alsoThrough].filter(at => follows(at.topic, at.partition) && !isPassed(at))
      const source = sources.get(sourceKey(progress)) ?? { newest: progress, believed: null, waiting: [] }
      sources.set(sourceKey(progress), source)
      source.newest = progress
      if (source.waiting.length === MOST_WAITING) through.push(...newestOf(source.waiting.pop()?.through ?? [], through))
      source.waiting.push({ progress, through })
      version++
      settle(source)
    },

    forget(of) {
      if (sources.delete(sourceKey(of))) version++
    },

    passed(topic, partition, nextOffset) {
      const key = placeKey(topic, partition)
      if (nextOffset <= (next.get(key) ?? 0)) return
      next.set(key, nextOffset)
      for (const source of sources.values()) if (source.waiting.length > 0) settle(source)
    },

    completeUntil(filter = {}) {
      let least: number | null = null
      for (const { believed } of matching(filter)) {
        if (believed === null) return null
        if (least === null || believed.complete_until < least) least = believed.complete_until
      }
      return least
    },

    covered(filter = {}) {
      return commonRanges(matching(filter).map(({ believed }) => believed?.covered ?? []))
    },

    streams: (filter = {}) =>
      matching(filter).map(({ newest, believed, waiting }) => ({
        connector: newest.connector,
        stream: newest.stream,
        scope: newest.scope,
        vendor: newest.vendor,
        account: newest.account,
        bot_id: newest.bot_id,
        completeUntil: believed?.complete_until ?? null,
        covered: believed?.covered ?? [],
        newestAt: believed?.newest_at ?? null,
        committedAt: believed?.committed_at ?? null,
        lane: believed?.lane ?? null,
        pending: waiting.length,
      })),

    get version() {
      return version
    },
  }
}

/** Whether one of the ranges (in order and apart) holds all of `[from, until)`. */
export function covers(ranges: readonly TimeRange[], from: number, until: number): boolean {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ranges[middle] as TimeRange).from <= from) low = middle + 1
    else high = middle
  }
  const range = ranges[low - 1]
  return range !== undefined && until <= range.until
}

/** What all of the lists hold, in order and apart; nothing where there is no list. */
export function commonRanges(lists: readonly (readonly TimeRange[])[]): TimeRange[] {
  const [first, ...rest] = lists.map(joined)
  return rest.reduce<TimeRange[]>(common, first ?? [])
}

/** Ranges in order and apart: those that touch or overlap become one, empty ones go. */
function joined(ranges: readonly TimeRange[]): TimeRange[] {
  const out: TimeRange[] = []
  for (const { from, until } of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = out.at(-1)
    if (until <= from) continue
    if (last !== undefined && from <= last.until) out[out.length - 1] = { from: last.from, until: Math.max(last.until, until) }
    else out.push({ from, until })
  }
  return out
}

/** What is in both lists, each in order and apart. */
function common(a: readonly TimeRange[], b: readonly TimeRange[]): TimeRange[] {
  const out: TimeRange[] = []
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [x, y] = [a[i] as TimeRange, b[j] as TimeRange]
    const from = Math.max(x.from, y.from)
    const until = Math.min(x.until, y.until)
    if (from < until) out.push({ from, until })
    if (x.until < y.until) i++
    else j++
  }
  return out
}

/** Those of the older places that the newer list has nothing later for. */
function newestOf(older: readonly TopicOffset[], newer: readonly TopicOffset[]): TopicOffset[] {
  return older.filter(o => !newer.some(n => n.topic === o.topic && n.partition === o.partition && n.offset >= o.offset))
}

function placeKey(topic: string, partition: number): string {
  return `${partition}/${topic}`
}

function sourceKey(of: SourcePartition): string {
  return JSON.stringify([of.connector, of.stream, of.scope])
}
