/**
 * How each source partition is, for readiness, the REST API and metrics. Metrics have no scope label: a stream is as its worst scope is, and
 * complete as far as its slowest.
 */
import { type Clock, steadyMs } from '../clock.ts'
import type { ErrorCode, FlowError } from '../errors.ts'
import type { Metrics, StreamState } from '../metrics.ts'
import type { Lane } from '../records.ts'
import type { HttpWatch } from '../source/http.ts'
import type { PartitionName } from './cursor.ts'

export interface PartitionState extends PartitionName {
  readonly task: number
  readonly state: StreamState
  /** False until cursor and versions were read for the first time, and the readers of the topics know of the source partition. */
  readonly restored: boolean
  /** Everything the vendor showed with an earlier time is committed; null before the first commit. */
  readonly completeUntilMs: number | null
  readonly committedAtMs: number | null
  /** Rows remembered because they may be read again. */
  readonly versions: number
  /** What the last commit read; null before the first. */
  readonly lane: Lane | null
  readonly backfill: BackfillState | null
  /** The last error, until the next commit. */
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly atMs: number } | null
}

/** `[fromMs, reachedMs)` of `[fromMs, untilMs)` has been read. */
export interface BackfillRange {
  readonly fromMs: number
  readonly reachedMs: number
  readonly untilMs: number
}

export interface BackfillState extends BackfillRange {
  /** The first commit that this process saw of it: the pace follows from it. */
  readonly seen: { readonly atMs: number; readonly reachedMs: number }
}

export interface Committed {
  readonly state: StreamState
  readonly completeUntilMs: number
  readonly versions: number
  readonly lane?: Lane
  /** null: nothing is left to fill. */
  readonly backfill?: BackfillRange | null
}

export type HealthMetrics = Pick<Metrics, 'set' | 'setStreamState' | 'remove'>

/** From good to bad. */
const ORDER: readonly StreamState[] = ['live', 'paused', 'catching_up', 'throttled', 'stalled', 'failed']

export interface PartitionHealth extends HttpWatch {
  set(state: StreamState): void
  restored(versions: number): void
  committed(of: Committed): void
  failed(error: FlowError, state: StreamState): void
  /** As it is now. */
  now(): PartitionState
  /** It is not read here any more. */
  end(): void
}

/** The gauges of a stream that tell how it is. */
const OF_STREAM = ['stream_state', 'stream_last_success_timestamp_seconds', 'ingest_complete_until_timestamp_seconds'] as const

/**
 * When a source partition that should get on counts as stalled. Two cases, because both are known better than by commits alone:
 *
 * - A vendor that takes a request and does not answer it, also where bytes drip in: after two poll intervals, as by then the stream is two polls behind what
 *   was asked for; but never before 10 s, or a pace of a second would call every slow answer a stall, and after 60 s at the latest, however seldom
 *   the stream is read: no healthy vendor takes longer, and requests that were given up and tried again count on.
 * - Nothing at all happens, no answer and no commit: after two poll intervals, at least 60 s. Waits for a quota, or that the vendor asked for, are not
 *   that: they are `throttled` then.
 */
export function stallTimes(pollIntervalMs: number): { readonly silentAfterMs: number; readonly stalledAfterMs: number } {
  const twoPollsMs = 2 * pollIntervalMs
  return { silentAfterMs: Math.min(60_000, Math.max(10_000, twoPollsMs)), stalledAfterMs: Math.max(60_000, twoPollsMs) }
}

interface Entry {
  state: PartitionState
  readonly pollIntervalMs: number
  /** Steady times. The last answer, commit, failure or end of a wait. */
  movedMs: number
  /** When the waits under way began. */
  readonly waits: Set<{ readonly sinceMs: number }>
  /** When the requests under way began. */
  readonly asks: Set<{ readonly sinceMs: number }>
  /** When the oldest request began that was given up, since the last answer. */
  unansweredMs: number | null
}

export class Health {
  readonly #clock: Clock
  readonly #metrics: HealthMetrics
  readonly #partitions = new Set<Entry>()
  /** By connector and stream: a change of one looks at no others, however many there are. */
  readonly #byStream = new Map<string, Set<Entry>>()

  constructor(clock: Clock, metrics: HealthMetrics) {
    this.#clock = clock
    this.#metrics = metrics
  }

  /** @param options.onChange Called after each change of its state. */
  add(options: PartitionName & { task: number; pollIntervalMs: number; onChange?: () => void }): PartitionHealth {
    const { pollIntervalMs, onChange, ...name } = options
    const entry: Entry = {
      state: {
        ...name,
        state: 'catching_up',
        restored: false,
        completeUntilMs: null,
        committedAtMs: null,
        versions: 0,
        lane: null,
        backfill: null,
        error: null,
      },
      pollIntervalMs,
      movedMs: steadyMs(this.#clock),
      waits: new Set(),
      asks: new Set(),
      unansweredMs: null,
    }
    this.#partitions.add(entry)
    const stream = streamKey(name)
    const siblings = this.#byStream.get(stream) ?? new Set()
    this.#byStream.set(stream, siblings.add(entry))
    const moved = () => (entry.movedMs = steadyMs(this.#clock))
    const change = (to: Partial<PartitionState>) => {
      entry.state = { ...entry.state, ...to }
      if (!this.#partitions.has(entry)) return
      this.#publish(options)
      onChange?.()
    }
    return {
      set: state => {
        if (entry.state.state !== state) change({ state })
      },
      restored: versions =>
        // Ours again: what says that another process has it is no longer true.
        change({ restored: true, versions, ...(entry.state.error?.code === 'KAFKA_FENCED' ? { error: null } : {}) }),
      committed: ({ backfill = null, lane = null, ...to }) => {
        moved()
        const atMs = this.#clock.now()
        const seen = entry.state.backfill?.seen
        change({
          ...to,
          lane,
          backfill: backfill && { ...backfill, seen: seen ?? { atMs, reachedMs: backfill.reachedMs } },
          committedAtMs: atMs,
          error: null,
        })
      },
      failed: (error, state) => {
        moved()
        change({ state, error: { code: error.code, message: error.message, atMs: this.#clock.now() } })
      },
      now: () => entry.state,
      end: () => {
        this.#partitions.delete(entry)
        siblings.delete(entry)
        if (siblings.size === 0 && this.#byStream.get(stream) === siblings) this.#byStream.delete(stream)
        this.#publish(options)
      },
      waits: () => {
        const wait = { sinceMs: steadyMs(this.#clock) }
        entry.waits.add(wait)
        return () => {
          if (entry.waits.delete(wait)) moved()
        }
      },
      asks: () => {
        const ask = { sinceMs: steadyMs(this.#clock) }
        entry.asks.add(ask)
        return isAnswered => {
          if (!entry.asks.delete(ask)) return
          if (isAnswered) {
            entry.unansweredMs = null
            moved()
          } else entry.unansweredMs = Math.min(entry.unansweredMs ?? Infinity, ask.sinceMs)
        }
      },
    }
  }

  states(): readonly PartitionState[] {
    return this.#shown(this.#partitions)
  }

  #shown(entries: Iterable<Entry>): readonly PartitionState[] {
    const nowMs = steadyMs(this.#clock)
    return Array.from(entries, entry => {
      const state = shownState(entry, nowMs)
      return state === entry.state.state ? entry.state : { ...entry.state, state }
    })
  }

  /** Updates the metrics with what has become stalled; call it now and then. */
  refresh(): void {
    for (const [{ state } = { state: null }] of this.#byStream.values()) if (state !== null) this.#publish(state)
  }

  #publish(of: { connector: string; stream: string }): void {
    const labels = { connector: of.connector, stream: of.stream }
    const scopes = this.#shown(this.#byStream.get(streamKey(of)) ?? [])
    if (scopes.length === 0) {
      for (const name of OF_STREAM) this.#metrics.remove(name, labels)
      return
    }
    const worst = Math.max(...scopes.map(each => ORDER.indexOf(each.state)))
    this.#metrics.setStreamState(labels, ORDER[worst] ?? 'failed')
    if (scopes.every(each => each.committedAtMs !== null)) {
      const least = Math.min(...scopes.map(each => each.committedAtMs ?? 0))
      this.#metrics.set('stream_last_success_timestamp_seconds', labels, least / 1000)
    }
    if (scopes.every(each => each.completeUntilMs !== null)) {
      const least = Math.min(...scopes.map(each => each.completeUntilMs ?? 0))
      this.#metrics.set('ingest_complete_until_timestamp_seconds', labels, least / 1000)
    }
  }
}

function streamKey({ connector, stream }: { connector: string; stream: string }): string {
  return `${connector}/${stream}`
}

function shownState({ state: { state }, pollIntervalMs, movedMs, waits, asks, unansweredMs }: Entry, nowMs: number): StreamState {
  if (state !== 'live' && state !== 'catching_up' && state !== 'throttled') return state
  const { silentAfterMs, stalledAfterMs } = stallTimes(pollIntervalMs)
  const oldest = (all: Set<{ readonly sinceMs: number }>) => Math.min(...[...all].map(({ sinceMs }) => sinceMs))
  const silentSinceMs = Math.min(oldest(asks), unansweredMs ?? Infinity)
  if (nowMs - silentSinceMs > silentAfterMs) return 'stalled'
  if (state === 'throttled') return state
  if (waits.size > 0) return nowMs - oldest(waits) > stalledAfterMs ? 'throttled' : state
  return nowMs - movedMs > stalledAfterMs ? 'stalled' : state
}
