/**
 * How each source partition is, for readiness, the REST API and metrics. Metrics have no scope label: a stream is as its worst scope is, and
 * complete as far as its slowest.
 */
import type { Clock } from '../clock.ts'
import type { ErrorCode, FlowError } from '../errors.ts'
import type { Metrics, StreamState } from '../metrics.ts'
import type { PartitionName } from './cursor.ts'

export interface PartitionState extends PartitionName {
  readonly task: number
  readonly state: StreamState
  /** False until cursor and versions were read for the first time. */
  readonly restored: boolean
  /** Everything the vendor showed with an earlier time is committed; null before the first commit. */
  readonly completeUntilMs: number | null
  readonly committedAtMs: number | null
  /** Rows remembered because they may be read again. */
  readonly versions: number
  /** The last error, until the next commit. */
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly atMs: number } | null
}

export type HealthMetrics = Pick<Metrics, 'set' | 'setStreamState'>

/** From good to bad. */
const ORDER: readonly StreamState[] = ['live', 'paused', 'catching_up', 'throttled', 'stalled', 'failed']

export interface PartitionHealth {
  set(state: StreamState): void
  restored(versions: number): void
  committed(of: { state: StreamState; completeUntilMs: number; versions: number }): void
  failed(error: FlowError, state: StreamState): void
}

export class Health {
  readonly #clock: Clock
  readonly #metrics: HealthMetrics
  readonly #partitions: { state: PartitionState; movedAtMs: number; readonly stalledAfterMs: number }[] = []

  constructor(clock: Clock, metrics: HealthMetrics) {
    this.#clock = clock
    this.#metrics = metrics
  }

  /** @param of.stalledAfterMs Without a commit for so long, in a state that should commit, the source partition counts as stalled. */
  add(of: PartitionName & { task: number; stalledAfterMs: number }): PartitionHealth {
    const { stalledAfterMs, ...name } = of
    const entry = {
      state: {
        ...name,
        state: 'catching_up',
        restored: false,
        completeUntilMs: null,
        committedAtMs: null,
        versions: 0,
        error: null,
      } as PartitionState,
      movedAtMs: this.#clock.now(),
      stalledAfterMs,
    }
    this.#partitions.push(entry)
    const change = (to: Partial<PartitionState>) => {
      entry.state = { ...entry.state, ...to }
      this.#publish(of)
    }
    return {
      set: state => {
        if (entry.state.state !== state) change({ state })
      },
      restored: versions =>
        // Ours again: what says that another process has it is no longer true.
        change({ restored: true, versions, ...(entry.state.error?.code === 'KAFKA_FENCED' ? { error: null } : {}) }),
      committed: to => {
        entry.movedAtMs = this.#clock.now()
        change({ ...to, committedAtMs: entry.movedAtMs, error: null })
      },
      failed: (error, state) => {
        const atMs = this.#clock.now()
        entry.movedAtMs = atMs
        change({ state, error: { code: error.code, message: error.message, atMs } })
      },
    }
  }

  states(): readonly PartitionState[] {
    const nowMs = this.#clock.now()
    return this.#partitions.map(({ state, movedAtMs, stalledAfterMs }) =>
      (state.state === 'live' || state.state === 'catching_up') && nowMs - movedAtMs > stalledAfterMs
        ? { ...state, state: 'stalled' }
        : state,
    )
  }

  /** Tells metrics of what became stalled; call it now and then. */
  refresh(): void {
    for (const { state } of this.#partitions) this.#publish(state)
  }

  #publish(of: { connector: string; stream: string }): void {
    const labels = { connector: of.connector, stream: of.stream }
    const scopes = this.states().filter(each => each.connector === of.connector && each.stream === of.stream)
    const worst = Math.max(...scopes.map(each => ORDER.indexOf(each.state)))
    this.#metrics.setStreamState(labels, ORDER[worst] ?? 'failed')
    if (scopes.every(each => each.completeUntilMs !== null)) {
      const least = Math.min(...scopes.map(each => each.completeUntilMs ?? 0))
      this.#metrics.set('ingest_complete_until_timestamp_seconds', labels, least / 1000)
    }
  }
}
