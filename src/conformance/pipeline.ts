/**
 * The whole pipeline of a connector, as in production (`startIngest`), from the vendor behind the suite's proxy to topics in memory, under a clock that jumps
 * when nothing is in progress. A `Line` is one set of topics; processes live and die on it one after another.
 */
import assert from 'node:assert/strict'
import { type Log, silentLog } from '../log.ts'
import type { Fault } from '../ingest/commit.ts'
import { type Cursor, cursorKey, readCursor } from '../ingest/cursor.ts'
import type { PartitionState } from '../ingest/health.ts'
import { horizon, type PlanSpec } from '../ingest/plan.ts'
import { partitionsOf, planSpecOf } from '../ingest/source-partition.ts'
import { type IngestOptions, startIngest } from '../ingest/start.ts'
import { noConnectMetrics } from '../connect-metrics.ts'
import type { IngestMetrics } from '../ingest/stages.ts'
import type { Kafka } from '../kafka/port.ts'
import { topicNames } from '../topics.ts'
import type { BaseConfig } from '../source/config.ts'
import type { Connector, Http, HttpSpec, Page, Stream } from '../source/contract.ts'
import { type Bench } from './bench.ts'
import { type JumpingClock, jumpingClock } from './clock.ts'
import { type MemoryKafka, memoryKafka } from './memory-kafka.ts'
import { assertSound, assertTrue, memoryRegistry, readTopics, type WrittenTopics } from './topics.ts'

export const NAMES = topicNames('conformance')
const PARTITIONS = 3
const CONNECTOR = 'conformance'
const MINUTE_MS = 60_000
/** Real time limit of one life: far more than any needs, so that endless ones are reported rather than waited for. */
const LONGEST_LIFE_MS = 120_000
/** Real idle time before the clock jumps while a call is neither at the vendor nor answered: it waits for its turn, or is on its way. */
const QUIET_MS = 3
/** Requests of one line. */
const MOST_REQUESTS = 20_000

const NO_QUOTA: BaseConfig['quota'] = { perSecond: 0, perMinute: 0, perHour: 0, concurrency: 0, gapMs: 0 }
export const OWN_QUOTA: BaseConfig['quota'] = {
  perSecond: null,
  perMinute: null,
  perHour: null,
  concurrency: null,
  gapMs: null,
}

/** What is observed of a running connector from outside. */
export interface Watch {
  /** Listings that have yielded a page and are at the next one now. */
  midListing: number
  /** Whether anything has been read. */
  sawPage: boolean
  /** Whether any listing has had a second page. */
  sawSecondPage: boolean
  /** Unanswered calls of the connector: in progress, waiting for quota, or waiting for a retry. */
  calls: number
  /** The last yielded page: stream, scope, window and number in it. */
  lastPage: string
  /** Results of `normalise`, by row: `stream scope id` → keys of its records. */
  readonly keysByRow: Map<string, string[]>
}

const NO_METRICS: IngestMetrics = {
  inc: () => {},
  observe: () => {},
  set: () => {},
  setStreamState: () => {},
  remove: () => {},
  connect: noConnectMetrics,
}

export interface LineOptions {
  readonly startMs: number
  readonly base?: Partial<BaseConfig>
  /** Overrides the streams' own. */
  readonly longestMs?: number
  /** Overrides the connector's own. */
  readonly timeoutMs?: number
}

export interface LifeOptions {
  readonly base?: Partial<BaseConfig>
  /** Checked whenever nothing is in progress; the life ends when it is true. */
  readonly until: () => boolean
  readonly fault?: (at: Parameters<Fault>[0], die: () => Promise<never>) => void | Promise<void>
  /** Time must not go beyond this: what is not reached by then never will be. */
  readonly deadlineMs?: number
  /** Called before each jump; true ends the life, as a stop signal does. */
  readonly stopAt?: (dueMs: number) => boolean
  /** Gets a function to stop from elsewhere. */
  readonly onStart?: (stop: () => void) => void
  readonly log?: Log
  readonly metrics?: IngestMetrics
  /** `max.message.bytes` of topics; default: the broker's default. */
  readonly maxBytes?: ReadonlyMap<string, number>
  /** Real time limit, instead of `LONGEST_LIFE_MS`. */
  readonly longestMs?: number
  /** The life may also end because reading never ends. */
  readonly mostRequests?: number
}

export type End = 'done' | 'killed' | 'endless'

export class Line {
  readonly clock: JumpingClock
  readonly kafka: MemoryKafka = memoryKafka(() => this.clock.now())
  readonly watch: Watch = { midListing: 0, sawPage: false, sawSecondPage: false, calls: 0, lastPage: '', keysByRow: new Map() }
  readonly #bench: Bench
  readonly #connector: Connector
  readonly #base: BaseConfig
  #states: readonly PartitionState[] = []

  constructor(bench: Bench, options: LineOptions) {
    this.#bench = bench
    this.clock = jumpingClock(options.startMs)
    this.clock.quietMs = () => (this.watch.calls > 0 ? QUIET_MS : 0)
    this.#connector = watched(bench.connector, this, options)
    this.#base = { ...bench.base, startAtMs: bench.vendor.window.fromMs, quota: NO_QUOTA, ...options.base }
    bench.setTime(() => this.clock.now())
    bench.proxy.onRequest = () => this.clock.busy()
  }

  /** State of each source partition when the last life was checked. */
  get states(): readonly PartitionState[] {
    return this.#states
  }

  /** Runs the process until the condition is met, or until it is killed. Throws if neither happens. */
  async live(options: LifeOptions): Promise<End> {
    const {
      proxy,
      connector: { manifest },
    } = this.#bench
    const { until, fault, deadlineMs = Infinity, stopAt = () => false, mostRequests } = options
    const stopping = new AbortController()
    const killed = Promise.withResolvers<'killed'>()
    const given = Promise.withResolvers<never>()
    let dead = false
    let reached = false
    let endless = false
    const giveUp = (why: string) => given.reject(new Error(`${why}: ${this.#told()}`))
    const die = (): Promise<never> => {
      dead = true
      stopping.abort()
      killed.resolve('killed')
      return never()
    }
    const alive = async <T>(work: Promise<T>): Promise<T> => {
      const result = await work
      return dead ? never() : result
    }
    const { clock, kafka } = this
    this.watch.midListing = this.watch.calls = 0
    const firstRequest = proxy.requests
    proxy.onRequest = () => {
      const most = mostRequests ?? MOST_REQUESTS
      if (proxy.requests - firstRequest >= most && !reached) {
        reached = endless = true
        stopping.abort()
        if (mostRequests === undefined) giveUp(`${most} requests without an end`)
      }
      return clock.busy()
    }
    const theirs: Pick<Kafka, 'openWriter' | 'readToEnd' | 'watermarks' | 'maxMessageBytes'> = {
      openWriter: options => {
        const writer = kafka.openWriter(options)
        return {
          transactionalId: writer.transactionalId,
          fence: () => (dead ? never() : alive(writer.fence())),
          transact: work => (dead ? never() : alive(writer.transact(work))),
          close: () => (dead ? never() : writer.close()),
        }
      },
      readToEnd: (place, onRecord) => (dead ? never() : alive(kafka.readToEnd(place, onRecord))),
      watermarks: places => (dead ? never() : alive(kafka.watermarks(places))),
      maxMessageBytes: async () => new Map(options.maxBytes),
    }
    const options_: IngestOptions = {
      kafka: theirs as Kafka,
      registry: memoryRegistry,
      isAlone: true,
      names: NAMES,
      partitions: PARTITIONS,
      connectors: [
        {
          name: CONNECTOR,
          connector: this.#connector,
          base: { ...this.#base, ...options.base, connectorClass: manifest.id },
          config: this.#bench.config,
        },
      ],
      clock: { now: () => clock.now(), sleep: (ms, signal) => (dead ? never() : alive(clock.sleep(ms, signal))) },
      log: options.log ?? silentLog,
      metrics: options.metrics ?? NO_METRICS,
      signal: stopping.signal,
      refreshMs: Infinity,
      fault: at => (dead ? never() : fault?.(at, die)),
    }
    const ingest = await startIngest(options_)
    clock.onIdle = dueMs => {
      if (dead || reached) return true
      this.#states = ingest.states()
      if (until() || stopAt(dueMs)) {
        reached = true
        stopping.abort()
      } else if (dueMs > deadlineMs) {
        giveUp(`the awaited condition has not been met by ${new Date(deadlineMs).toISOString()}`)
        stopping.abort()
      }
      return true
    }
    options.onStart?.(() => {
      reached = true
      stopping.abort()
    })
    const timer = setTimeout(() => giveUp('it has not ended'), options.longestMs ?? LONGEST_LIFE_MS)
    try {
      const end = await Promise.race([ingest.done, killed.promise, given.promise])
      if (end === 'killed') return 'killed'
      this.#states = ingest.states()
      assert(reached, `every source partition has ended for good: ${this.#told()}`)
      return endless ? 'endless' : 'done'
    } finally {
      clearTimeout(timer)
      stopping.abort()
    }
  }

  /** The newest committed cursor of each source partition to read (null: none yet), and the silence after which its derived sessions end. */
  cursors(): { readonly spec: PlanSpec; readonly gapMs: number; readonly cursor: Cursor | null }[] {
    const newest = this.kafka.newest(NAMES.offsets)
    return partitionsOf(this.#connector, this.#base, this.#bench.config).map(({ stream, streamName, scope }) => {
      const key = cursorKey({ connector: CONNECTOR, stream: streamName, scope: scope.name })
      const last = newest.get(key)
      const cursor = last === undefined ? null : readCursor(String(last.value), this.clock.now())
      const gapMs = stream.derive?.(this.#bench.config)?.gapMs ?? 0
      return { spec: planSpecOf(this.#connector, stream, this.#base, this.#bench.config), gapMs, cursor }
    })
  }

  /** Positions of all source partitions, by their committed cursors. */
  place(): string {
    return [...this.kafka.newest(NAMES.offsets)].map(([key, { value }]) => `${key} ${String(value)}`).join(' ')
  }

  /** Everything before `untilMs` has been read once, and sessions derived from it are over. */
  isRead(untilMs: number): boolean {
    return this.cursors().every(({ cursor, gapMs }) => {
      const endsMs = gapMs === 0 ? untilMs : untilMs + gapMs + 1
      return cursor !== null && cursor.backfill === null && cursor.live.atMs >= endsMs
    })
  }

  /** Everything before `untilMs` has been read for the last time. */
  isSettled(untilMs: number): boolean {
    const isLast = ({ cursor, spec }: { cursor: Cursor | null; spec: PlanSpec }) =>
      spec.lookbackMs === 0 || (cursor !== null && horizon(cursor, spec) >= untilMs)
    return this.isRead(untilMs) && this.cursors().every(isLast)
  }

  topics(): Promise<WrittenTopics> {
    return readTopics(this.kafka, NAMES)
  }

  /** The topics have what the vendor's truth says, each once, and nothing was rejected. */
  async assertTrue(): Promise<void> {
    const { vendor } = this.#bench
    const topics = await this.topics()
    assertSound(topics)
    const [reject] = topics.rejects
    assert(
      reject === undefined,
      `${topics.rejects.length} rows are rejected, the first of ${reject?.stream} at '${reject?.path}': ${reject?.reason}, ${reject?.message}`,
    )
    assert(vendor.truth !== undefined, 'the vendor tells no truth: nothing can be compared')
    assertTrue(topics, vendor.truth(this.clock.now()))
  }

  #told(): string {
    const states = this.#states.map(
      ({ stream, scope, state, completeUntilMs, error }) =>
        `${stream}/${scope} is ${state}, complete until ${completeUntilMs === null ? 'nothing' : new Date(completeUntilMs).toISOString()}${error ? `, ${error.message}` : ''}`,
    )
    return [`at ${new Date(this.clock.now()).toISOString()}`, ...states].join('; ')
  }
}

/** Over the streams that are read, at most: how long after a row's time it may appear, and how long it may still change. */
function longestOf({ connector, base, config }: Bench): { lagMs: number; lookbackMs: number } {
  const parts = partitionsOf(connector, base, config).map(({ stream }) => ({
    spec: planSpecOf(connector, stream, base, config),
    gapMs: stream.derive?.(config)?.gapMs ?? 0,
  }))
  return {
    lagMs: Math.max(0, ...parts.map(({ spec, gapMs }) => spec.lagMs + gapMs)),
    lookbackMs: Math.max(0, ...parts.map(({ spec }) => spec.lookbackMs)),
  }
}

/** When the world of the vendor is over and every row is older than the lookback. */
export function overAt(bench: Bench): number {
  const { lagMs, lookbackMs } = longestOf(bench)
  return Math.max(bench.nowMs, bench.vendor.window.untilMs + lookbackMs + lagMs + MINUTE_MS)
}

/** A line in a world that is over: everything is backfill, each window is read once and never again. What a fault loses here stays lost, so that it shows. */
export function stillLine(bench: Bench, options: Partial<LineOptions> = {}): Line {
  const base = { lookbackMs: 0, pollIntervalMs: 60 * MINUTE_MS, ...options.base }
  return new Line(bench, { startMs: overAt(bench), ...options, base })
}

export async function liveStill(line: Line, bench: Bench, options: Partial<LifeOptions> = {}): Promise<End> {
  const { untilMs } = bench.vendor.window
  return line.live({ until: () => line.isRead(untilMs), deadlineMs: overAt(bench) + 2 * 86_400_000, ...options })
}

/** A line that reads the vendor from this time on, as in production: from now, with the connector's own pace and quota. */
export function promptLine(bench: Bench, startMs: number): Line {
  return new Line(bench, { startMs, base: { startAtMs: null, quota: OWN_QUOTA } })
}

/** Polls of the live edge within the window, and lookback passes after it. An odd number, so that fewer polls fall on round times. */
const POLLS = 5
const PASSES = 3
/** Number of both, if one process does it all. */
const POLLS_IN_ONE_LIFE = 12

/**
 * A line in a world that continues: the first half of the window is backfill, the second comes as time passes; then lookback passes until no row of the window
 * can change any more.
 */
export function unfoldingLine(bench: Bench, options: Partial<LineOptions> = {}): Line {
  const { fromMs, untilMs } = bench.vendor.window
  return new Line(bench, { startMs: Math.round((fromMs + untilMs) / 2), ...options })
}

export async function liveUnfolding(line: Line, bench: Bench, options: Partial<LifeOptions> = {}): Promise<End> {
  const { untilMs, fromMs } = bench.vendor.window
  const { lagMs, lookbackMs } = longestOf(bench)
  if (!line.isRead(untilMs)) {
    const pollIntervalMs = Math.max(1000, Math.ceil(((untilMs - fromMs) / 2 + lagMs) / POLLS))
    const pace = { pollIntervalMs, lookbackIntervalMs: 2 * pollIntervalMs }
    const deadlineMs = untilMs + lagMs + 2 * 86_400_000
    const end = await line.live({ deadlineMs, until: () => line.isRead(untilMs), ...options, base: { ...pace, ...options.base } })
    if (end !== 'done') return end
  }
  const everyMs = Math.max(MINUTE_MS, Math.ceil(lookbackMs / PASSES))
  return lastLife(line, bench, everyMs, options)
}

/** Like `liveUnfolding`, in one process: its record of requests is not lost on the way. */
export async function liveUnfoldingAtOnce(line: Line, bench: Bench): Promise<End> {
  return lastLife(line, bench, Math.max(MINUTE_MS, Math.ceil((overAt(bench) - line.clock.now()) / POLLS_IN_ONE_LIFE)), {})
}

function lastLife(line: Line, bench: Bench, everyMs: number, options: Partial<LifeOptions>): Promise<End> {
  const { untilMs } = bench.vendor.window
  const { lookbackMs } = longestOf(bench)
  const pace = { pollIntervalMs: everyMs, lookbackIntervalMs: everyMs }
  const until = () => line.clock.now() >= bench.nowMs && line.isSettled(untilMs)
  const deadlineMs = overAt(bench) + lookbackMs + 2 * 86_400_000
  return line.live({ deadlineMs, until, ...options, base: { ...pace, ...options.base } })
}

export function never(): Promise<never> {
  return new Promise(() => {})
}

/** The connector, observed from outside; with other lengths of windows and deadlines if requested. */
function watched(connector: Connector, { watch, clock }: Line, { longestMs, timeoutMs }: LineOptions): Connector {
  const streams = Object.fromEntries(
    Object.entries(connector.streams).map(([name, stream]) => [name, watchedStream(name, stream, watch, longestMs)]),
  )
  const http = (config: never) => ({ ...busyAuth(connector.http(config), clock), ...(timeoutMs !== undefined && { timeoutMs }) })
  return { manifest: connector.manifest, config: connector.config, http, streams }
}

/** Time stands still while credentials are created: signing, or reading a file, is not a request that the proxy could see. */
function busyAuth(spec: HttpSpec, clock: JumpingClock): HttpSpec {
  const { auth } = spec
  if (auth === undefined) return spec
  const busy = async <T>(work: () => T | Promise<T>): Promise<T> => {
    const over = clock.busy()
    try {
      return await work()
    } finally {
      over()
    }
  }
  return {
    ...spec,
    auth: {
      headers: at => busy(() => auth.headers(at)),
      ...(auth.refresh && { refresh: (...args) => busy(() => auth.refresh?.(...args)) }),
    },
  }
}

function watchedStream(name: string, stream: Stream, watch: Watch, longestMs: number | undefined): Stream {
  const counted = (http: Http): Http => {
    const call = async <T>(work: Promise<T>): Promise<T> => {
      watch.calls++
      return work.finally(() => watch.calls--)
    }
    return {
      getJson: (...args) => call(http.getJson(...args)),
      postJson: (...args) => call(http.postJson(...args)),
    }
  }
  /** The page of its listing that a resume leads to: the vendor may return another resume for it the next time. */
  const numbers = new Map<string, number>()
  async function* read(args: Parameters<Stream['read']>[0]): AsyncGenerator<Page> {
    const { scope, window, resume } = args
    const listing = [name, scope.name, window.fromMs, window.untilMs].join(' ')
    let number = resume === null ? 0 : (numbers.get(JSON.stringify(resume)) ?? 0)
    let later = false
    try {
      for await (const page of stream.read({ ...args, http: counted(args.http) })) {
        if (later) {
          watch.midListing--
          watch.sawSecondPage = true
        }
        later = false
        watch.sawPage = true
        watch.lastPage = `${listing} ${number++}`
        if (page.resume !== null) numbers.set(JSON.stringify(page.resume), number)
        yield page
        if (page.resume !== null) {
          later = true
          watch.midListing++
        }
      }
    } finally {
      if (later) watch.midListing--
    }
  }
  const { follow } = stream
  const over: Partial<Stream> = {
    read,
    ...(stream.enrich && { enrich: async args => (await stream.enrich?.({ ...args, http: counted(args.http) })) ?? [] }),
    ...(follow && {
      follow: {
        ...follow,
        isOpen: (row, ctx) => follow.isOpen(row, ctx),
        read: args => {
          watch.lastPage = [name, args.scope.name, ...args.ids].join(' ')
          return follow.read({ ...args, http: counted(args.http) })
        },
      },
    }),
    ...(longestMs !== undefined && {
      window: config => {
        const spec = typeof stream.window === 'function' ? stream.window(config) : stream.window
        return {
          ...spec,
          longestMs: Math.min(spec.longestMs, longestMs),
          smallestMs: Math.min(spec.smallestMs ?? 1000, longestMs),
        }
      },
    }),
    normalise: (row, ctx) => {
      const drafts = stream.normalise(row, ctx)
      const keys = drafts.map(({ kind, record }) =>
        kind === 'session' ? record.session_key : kind === 'message' ? record.message_key : record.event_key,
      )
      watch.keysByRow.set(`${name} ${ctx.scope.name} ${stream.identify(row)}`, keys)
      return drafts
    },
  }
  return Object.assign(Object.create(stream) as Stream, over)
}
