import { MEASURES, type Measure, type SeriesPoint } from '../../src/records.ts'
import type { EventIndex } from '../../src/serve/event-index.ts'
import type { Completeness } from '../../src/serve/reading.ts'
import type { SeriesSnapshot, SeriesStore } from '../../src/serve/store.ts'

export const T = (iso: string): number => Date.parse(iso)

/** A point of one minute; everything not given is 0 or the usual bot's. */
export function point(of: Partial<SeriesPoint> & { at: string | number }): SeriesPoint {
  const { at, ...rest } = of
  const labels = { vendor: 'botmaker', account: 'acme', bot_id: 'b1', channel: 'web' as const, language: 'es', ...rest }
  const zeros = Object.fromEntries(MEASURES.map(measure => [measure, 0])) as Record<Measure, number>
  return {
    ...zeros,
    series_key: `${labels.vendor}|${labels.account}|${labels.bot_id}|${labels.channel}|${labels.language}`,
    bucket_start: typeof at === 'number' ? at : T(at),
    bucket: '1m',
    revision: 1,
    complete: false,
    updated_at: 0,
    duration_sketch: null,
    users_sketch: null,
    ...labels,
  }
}

/** Streams as the server believes them: each with its account and what it has read. */
export function completenessOf(
  ...streams: {
    /** Empty: it stands for source partitions that are not known yet. */
    stream?: string
    vendor?: string
    account?: string
    bot_id?: string | null
    covered: [string, string][]
    completeUntil?: string
    feeds?: string
    /** false: gives sessions, and cannot know which of them were transferred. */
    tells?: boolean
  }[]
): Completeness {
  return {
    streams: kind =>
      streams
        .filter(({ feeds = kind, tells = true }) =>
          kind === 'transfer' ? tells && (feeds === kind || feeds === 'session') : feeds === kind,
        )
        .map(({ stream = 'conversations', vendor = 'botmaker', account = 'acme', bot_id = null, covered, completeUntil }) => ({
          stream,
          vendor,
          account,
          bot_id,
          completeUntil: completeUntil === undefined ? null : T(completeUntil),
          covered: covered.map(([from, until]) => ({ from: T(from), until: T(until) })),
        })),
  }
}

/** Of a topic without events. */
export const noEvents: EventIndex = { partitions: 1, bytes: 0, find: async () => [] }

/** All series of a store as they are. */
export const snapshotsOf = (store: SeriesStore): SeriesSnapshot[] =>
  store.series.map(series => series.snapshot(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY))

export const nothingRead = completenessOf()

/** The same numbers for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
