/** What the console shows of the process beside the series: connectors with their source partitions, dead letters, topics and schemas. */
import type { Clock } from '../clock.ts'
import type {
  ConnectorView,
  ConsoleSources,
  LettersView,
  PartitionView,
  RequestsView,
  SubjectView,
  TopicPartitionView,
  TopicView,
} from '../console.ts'
import { ControlError, type Herder } from '../control/port.ts'
import { ERRORS, type ErrorCode, FlowError } from '../errors.ts'
import type { PartitionState } from '../ingest/health.ts'
import { type DeadLetter, readDeadLetter, readDeadLetters } from '../ingest/rejects.ts'
import { type ConnectorToRun, countsOf, requestsPerHour } from '../ingest/source-partition.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { CounterName, LabelsOf, Metrics } from '../metrics.ts'
import { quotaLimits } from '../source/config.ts'
import type { TopicNames } from '../topics.ts'
import { isKnown, type StreamProgress } from '../watermark.ts'
import { patientRead } from './console-reads.ts'
import { SCHEMA_FILES } from './setup.ts'

/** Dead letters that a page lists. */
const MOST_LETTERS = 500
const LETTERS_HOLD_MS = 10_000
const TOPICS_HOLD_MS = 3_000
const WAIT_MS = 3_000

export interface ConsoleOptions {
  readonly kafka: Kafka
  readonly registry: Registry
  readonly names: TopicNames
  readonly partitions: number
  /** Consumer group of the aggregators. */
  readonly aggregatorGroup: string
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Source partitions as their Progress says. */
  readonly streams: () => readonly StreamProgress[]
  /** null: the process has no worker role. */
  readonly worker: {
    /** null while the worker starts. */
    readonly herder: () => Herder | null
    readonly starting: () => string
    readonly states: () => readonly PartitionState[]
    readonly connectorOf: (name: string) => ConnectorToRun | FlowError
    readonly counts: VendorCounts
  } | null
}

export function createConsoleSources(options: ConsoleOptions): ConsoleSources {
  const { kafka, registry, names, partitions, clock, signal } = options
  const common = { clock, signal, waitMs: WAIT_MS }
  return {
    connectors: () => connectorsOf(options),
    letters: patientRead({
      ...common,
      holdsMs: LETTERS_HOLD_MS,
      read: async until => lettersView(await readDeadLetters(kafka, names.rejects, partitions, until)),
    }),
    letter: async (partition, offset) => {
      const place = { topic: names.rejects, partition, offset }
      const found =
        partition < partitions ? await readDeadLetter(kafka, place, AbortSignal.any([signal, AbortSignal.timeout(10_000)])) : null
      if (found === null) throw new FlowError('NOT_FOUND', { hint: `there is no dead letter ${partition}:${offset}` })
      const { id, reason, row, isMasked } = found
      return { id, cure: Object.hasOwn(ERRORS, reason) ? ERRORS[reason as ErrorCode].cure : null, row, isMasked }
    },
    topics: patientRead({ ...common, holdsMs: TOPICS_HOLD_MS, read: () => readTopics(options) }),
    subjects: patientRead({
      ...common,
      holdsMs: 60_000,
      read: () =>
        Promise.all(
          Object.keys(SCHEMA_FILES).map(async (topic): Promise<SubjectView> => {
            const subject = `${names[topic as keyof typeof SCHEMA_FILES]}-value`
            return { subject, newest: await registry.newest(subject) }
          }),
        ),
    }),
  }
}

// ---- Connectors ----

function connectorsOf({ streams, worker }: ConsoleOptions): ReturnType<ConsoleSources['connectors']> {
  const herder = worker?.herder() ?? null
  const elsewhere =
    'Connectors are shown as far as the progress topic says; states, errors and controls are on the console of a process with the worker and the server role.'
  const why =
    worker === null ? `This process has no worker role. ${elsewhere}` : `The worker is not there yet (${worker.starting()}).`
  const control = herder === null ? { isThere: false, why } : { isThere: true, why: null }
  const here = worker?.states() ?? []
  const told = streams().filter(isKnown)
  const all = new Set([...(herder?.names() ?? []), ...here.map(each => each.connector), ...told.map(each => each.connector)])
  const connectors = [...all].toSorted().map((name): ConnectorView => {
    const own = here.filter(({ connector }) => connector === name)
    const others = told.filter(
      each => each.connector === name && !own.some(({ stream, scope }) => stream === each.stream && scope === each.scope),
    )
    const views = [...own.map(state => stateView(state, worker?.counts)), ...others.map(progressView)]
    return {
      name,
      ...statusOf(name, herder),
      requests: worker !== null && own.length > 0 ? requestsOf(name, worker) : null,
      partitions: views.toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1)),
    }
  })
  return { control, connectors }
}

const placeOf = ({ stream, scope }: PartitionView) => JSON.stringify([stream, scope])

function statusOf(
  name: string,
  herder: Herder | null,
): Pick<ConnectorView, 'className' | 'state' | 'workerId' | 'trace' | 'tasks'> {
  const unknown = { className: null, state: null, workerId: null, trace: null, tasks: [] }
  if (herder === null) return unknown
  try {
    const className = herder.info(name).config['connector.class'] ?? null
    const { connector, tasks } = herder.status(name)
    return {
      className,
      state: connector.state,
      workerId: connector.worker_id,
      trace: connector.trace ?? null,
      tasks: tasks.map(({ id, state, worker_id, trace }) => ({ id, state, workerId: worker_id, trace: trace ?? null })),
    }
  } catch (error) {
    // Its status is not known yet, it was removed, or the group is in motion.
    if (error instanceof ControlError) return unknown
    throw error
  }
}

function stateView(of: PartitionState, counts: VendorCounts | undefined): PartitionView {
  const { connector, stream, scope, state, task, completeUntilMs, committedAtMs, lane, backfill, error } = of
  return {
    stream,
    scope,
    state,
    task,
    completeUntilMs,
    committedAtMs,
    lane,
    backfill,
    error: error && { ...error, cure: ERRORS[error.code].cure },
    restarts: counts?.restarts(connector, stream) ?? 0,
  }
}

function progressView({ stream, scope, completeUntil, committedAt, lane }: StreamProgress): PartitionView {
  return {
    stream,
    scope,
    state: null,
    task: null,
    completeUntilMs: completeUntil,
    committedAtMs: committedAt,
    lane,
    backfill: null,
    error: null,
    restarts: null,
  }
}

function requestsOf(name: string, { counts, connectorOf }: NonNullable<ConsoleOptions['worker']>): RequestsView {
  const connector = connectorOf(name)
  return { ...counts.requests(name), perHour: connector instanceof FlowError ? null : allowedPerHour(connector) }
}

/** Of all quotas that the connector's scopes are counted by. */
function allowedPerHour(of: ConnectorToRun): number | null {
  const each = requestsPerHour(quotaLimits(of.connector.manifest, of.base))
  return Number.isFinite(each) ? each * countsOf(of).sharers.size : null
}

// ---- Counts of the running process ----

export interface VendorCounts {
  /** Of the last hour. */
  requests(connector: string): { readonly count: number; readonly sinceMs: number }
  restarts(connector: string, stream: string): number
}

const MINUTE_MS = 60_000
const MINUTES = 60

/** The metrics, with requests of the last hour and restarts beside them: counters alone cannot say when something was counted. */
export function countingVendors<M extends Pick<Metrics, 'inc'>>(metrics: M, clock: Clock): { metrics: M; counts: VendorCounts } {
  const beganMs = clock.now()
  /** By connector: requests by minute. */
  const requests = new Map<string, Map<number, number>>()
  const restarts = new Map<string, number>()
  const minuteNow = () => Math.floor(clock.now() / MINUTE_MS)

  function count(name: CounterName, { connector, stream }: Readonly<Record<string, string | number>>, n: number): void {
    if (connector === undefined) return
    if (name === 'task_restarts_total') {
      const key = JSON.stringify([connector, stream])
      restarts.set(key, (restarts.get(key) ?? 0) + n)
    }
    if (name !== 'vendor_requests_total') return
    const minutes = requests.get(String(connector)) ?? new Map<number, number>()
    requests.set(String(connector), minutes)
    const minute = minuteNow()
    minutes.set(minute, (minutes.get(minute) ?? 0) + n)
    for (const each of minutes.keys()) if (each <= minute - MINUTES) minutes.delete(each)
  }

  const inc = <N extends CounterName>(name: N, labels: LabelsOf<N>, n = 1) => {
    metrics.inc(name, labels, n)
    count(name, labels, n)
  }
  return {
    metrics: { ...metrics, inc },
    counts: {
      requests: connector => {
        const fromMinute = minuteNow() - MINUTES
        const all = [...(requests.get(connector) ?? [])].filter(([minute]) => minute > fromMinute)
        return { count: all.reduce((sum, [, n]) => sum + n, 0), sinceMs: Math.max(beganMs, (fromMinute + 1) * MINUTE_MS) }
      },
      restarts: (connector, stream) => restarts.get(JSON.stringify([connector, stream])) ?? 0,
    },
  }
}

// ---- Dead letters ----

function lettersView(letters: readonly DeadLetter[]): LettersView {
  const groups = Map.groupBy(letters, ({ reason, connector }) => JSON.stringify([reason, connector]))
  return {
    total: letters.length,
    byReason: [...groups.values()]
      .flatMap(([first, ...others]) =>
        first === undefined ? [] : [{ reason: first.reason, connector: first.connector, count: 1 + others.length }],
      )
      .toSorted((a, b) => b.count - a.count),
    newest: letters
      .slice(-MOST_LETTERS)
      .toReversed()
      .map(({ id, atMs, connector, stream, scope, reason, stage, path, message, key }) => ({
        id,
        atMs,
        connector,
        stream,
        scope,
        reason,
        stage,
        path,
        message,
        rowId: key,
      })),
  }
}

// ---- Topics ----

/** What each topic holds, for people. */
const HOLDS: Readonly<Record<keyof TopicNames, string>> = {
  sessions: 'sessions, the newest revision of each',
  messages: 'messages',
  events: 'events',
  progress: 'time ranges read completely',
  series: 'series by minute, hour and day',
  alerts: 'alerts',
  rejects: 'dead letters',
  offsets: 'cursors of source partitions',
  versions: 'deduplication state',
  aggregateState: 'state of the aggregator',
  aggregateOffsets: 'offsets of the aggregator',
  alertState: 'state of the alerter',
  configs: 'connectors created over REST',
  status: 'states of connectors and tasks',
}

async function readTopics({ kafka, names, partitions, aggregatorGroup }: ConsoleOptions): Promise<TopicView[]> {
  const counted = [names.sessions, names.messages, names.events]
  const all = Object.values(names).flatMap(topic =>
    Array.from({ length: topic === names.configs ? 1 : partitions }, (_, partition) => ({ topic, partition })),
  )
  const [ends, committed] = await Promise.all([kafka.watermarks(all), kafka.groupOffsets(aggregatorGroup, counted)])
  const committedAt = new Map(committed.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset]))
  return Object.entries(names).map(([key, topic]) => ({
    topic,
    holds: HOLDS[key as keyof TopicNames],
    partitions: ends
      .filter(each => each.topic === topic)
      .toSorted((a, b) => a.partition - b.partition)
      .map(({ partition, low, high }): TopicPartitionView => {
        const offset = committedAt.get(`${topic}/${partition}`) ?? null
        return { partition, low, high, lag: offset === null ? null : Math.max(0, high - offset) }
      }),
  }))
}
