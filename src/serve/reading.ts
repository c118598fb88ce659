/** What had been read when a query began: which buckets were read, and until when everything is complete, for any choice of vendors, accounts and bots. */
import type { TimeRange } from '../records.ts'
import type { Kind } from './measures.ts'
import type { Filters } from './parameters.ts'
import type { Steps } from '../slices.ts'
import type { Label, SeriesLabels } from './store.ts'
import { untoldOf } from '../watermark.ts'

/** What has been read, as `Progress` says it and our own reading has caught up with it. */
export interface Completeness {
  /**
   * The streams that give this kind of record, as they are at this moment; the list does not change afterwards. Those of `transfer` are streams of
   * `session`, without those whose connector cannot know whether a session was transferred.
   */
  streams(feeds: Kind): readonly StreamRead[]
}

/** One source partition, or what stands for those that are not known yet (`isKnown`). */
export interface StreamRead {
  readonly stream: string
  readonly vendor: string
  readonly account: string
  /** null: all bots of the account. */
  readonly bot_id: string | null
  /** Everything with an earlier time has been read; null: nothing is known yet. */
  readonly completeUntil: number | null
  /** Ranges of time that it has read. */
  readonly covered: readonly TimeRange[]
}

/** An absent part stands for all. */
export type StreamFilter = Readonly<Partial<Record<'vendor' | 'account' | 'bot_id', readonly string[]>>>

/** The streams behind a group. A stream is of no channel and no language: any of a bot's streams may hold any of them. */
export function streamsOf(filters: Filters, labels: Partial<Record<Label, string>>): StreamFilter {
  const of = (label: 'vendor' | 'account' | 'bot_id') => {
    const one = labels[label]
    const values = one === undefined ? filters[label] : [one]
    return values === undefined ? {} : { [label]: values }
  }
  return { ...of('vendor'), ...of('account'), ...of('bot_id') }
}

export interface Read {
  /** 1 for every bucket of which some part has been read. */
  readonly marks: Uint8Array
  readonly completeUntil: number | null
  /** How many streams were asked. */
  readonly streams: number
}

export interface Reading {
  /** Whether the bot's sessions are read, and nobody can know which of them were transferred. */
  isUntold(labels: SeriesLabels): boolean
  /** Whether there may be such bots at all. */
  readonly hasUntold: boolean
  of(kind: Kind, filters: readonly StreamFilter[], edges: readonly number[]): Steps<Read>
}

/** What has been read at this moment, of these kinds. Groups of the same streams share one answer. */
export function readingOf(asked: Iterable<Kind>, completeness: Completeness): Reading {
  const kinds = new Set(asked)
  if (kinds.has('transfer')) kinds.add('session')
  const streams = new Map([...kinds].map(kind => [kind, completeness.streams(kind)]))
  const tables = new Map([...streams].map(([kind, all]) => [kind, tableOf(all)]))
  const answers = new Map<string, Read>()
  const untold = untoldOf(kinds.has('transfer') ? (streams.get('session') ?? []) : [], streams.get('transfer') ?? [])
  return {
    isUntold: labels => untold.of(labels),
    hasUntold: untold.hasAny,
    *of(kind, filters, edges) {
      const key = filters.length === 1 ? `${kind}${JSON.stringify(filters[0])}` : null
      const before = key === null ? undefined : answers.get(key)
      if (before) return before
      const matching = new Set<StreamRead>()
      let tried = 0
      for (const filter of filters) {
        const matches = matcherOf(filter)
        for (const candidates of tables.get(kind)?.candidates(filter) ?? []) {
          for (const stream of candidates) {
            if (++tried % 1024 === 0) yield
            if (matches(stream)) matching.add(stream)
          }
        }
        if (++tried % 128 === 0) yield
      }
      const changes = new Int32Array(edges.length)
      const until: (number | null)[] = []
      for (const stream of matching) {
        until.push(stream.completeUntil)
        for (const range of stream.covered) {
          if (++tried % 1024 === 0) yield
          touch(changes, edges, range)
        }
      }
      const marks = new Uint8Array(edges.length - 1)
      for (let at = 0, open = 0; at < marks.length; at++) {
        open += changes[at] ?? 0
        if (open > 0) marks[at] = 1
      }
      const read = { marks, completeUntil: leastOf(until), streams: matching.size }
      // The newest few: groups by channel all ask alike, those by bot each on their own.
      if (key !== null) answers.set(key, read)
      for (const oldest of answers.keys()) if (answers.size > MOST_KEPT) answers.delete(oldest)
      return read
    },
  }
}

const MOST_KEPT = 8

/** Streams by bot, so that a query by bot does not look at all of them for each. */
function tableOf(streams: readonly StreamRead[]) {
  const byBot = Map.groupBy(streams, stream => stream.bot_id)
  return {
    /** Lists that hold every stream that the filter could match. */
    candidates({ bot_id }: StreamFilter): (readonly StreamRead[])[] {
      return bot_id === undefined ? [streams] : [null, ...bot_id].map(bot => byBot.get(bot) ?? [])
    },
  }
}

function matcherOf(filter: StreamFilter): (stream: StreamRead) => boolean {
  const set = (values: readonly string[] | undefined) => (values === undefined ? null : new Set(values))
  const [vendors, accounts, bots] = [set(filter.vendor), set(filter.account), set(filter.bot_id)]
  return ({ vendor, account, bot_id }) =>
    (vendors === null || vendors.has(vendor)) &&
    (accounts === null || accounts.has(account)) &&
    (bots === null || bot_id === null || bots.has(bot_id))
}

/** The least; null where there is none, or one of which nothing is known. */
export function leastOf(values: readonly (number | null)[]): number | null {
  let least: number | null = null
  for (const value of values) {
    if (value === null) return null
    if (least === null || value < least) least = value
  }
  return least
}

/** Notes in which buckets a range begins and ends to be touched. */
function touch(changes: Int32Array, edges: readonly number[], { from, until }: TimeRange): void {
  if (until <= from) return
  const last = edges.length - 1
  const begin = firstAbove(edges, from) - 1
  const end = firstAbove(edges, until - 1)
  if (end <= 0 || begin >= last) return
  const at = Math.max(0, begin)
  changes[at] = (changes[at] ?? 0) + 1
  changes[end] = (changes[end] ?? 0) - 1
}

/** Index of the first edge above the time; the number of edges where there is none. */
function firstAbove(edges: readonly number[], time: number): number {
  let low = 0
  let high = edges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((edges[middle] ?? 0) <= time) low = middle + 1
    else high = middle
  }
  return low
}
