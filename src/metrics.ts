/**
 * The table of metrics: name, kind, unit, labels, help. `docs/metrics.md` is generated from it; names are without the prefix `colloquy_`,
 * but those that other systems fixed (`foreign`).
 */
import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { type Clock, systemClock } from './clock.ts'
import { CONNECT_METRICS, type ConnectMetrics, createConnectMetrics } from './connect-metrics.ts'

export const METRIC_PREFIX = 'colloquy_'

/** What a stream can be at; exactly one state of a stream is 1. */
export const STREAM_STATES = ['live', 'catching_up', 'throttled', 'stalled', 'failed', 'paused'] as const
export type StreamState = (typeof STREAM_STATES)[number]

const BOT = ['vendor', 'account', 'bot_id', 'channel'] as const

export const METRICS = {
  ingest_records_total: {
    kind: 'counter',
    unit: 'records',
    labels: ['connector', 'stream', 'kind'],
    help: 'Records committed to topics, by kind (session, message, event).',
  },
  ingest_rejects_total: {
    kind: 'counter',
    unit: 'rows',
    labels: ['connector', 'stream', 'reason'],
    help: 'Rows and records that went to the rejects topic, by reason (an error code).',
  },
  ingest_unchanged_total: {
    kind: 'counter',
    unit: 'rows',
    labels: ['connector', 'stream'],
    help: 'Rows read again that had not changed, and were not published again.',
  },
  rereads_total: {
    kind: 'counter',
    unit: 'rows',
    labels: ['connector', 'stream'],
    help: 'Rows read again that had been published before, changed or not.',
  },
  requests_planned_per_hour: {
    kind: 'gauge',
    unit: 'requests',
    labels: ['connector'],
    help: 'Requests an hour that reading takes in the steady state, as measured: sweeps of what is hot, change feeds, open rows by id, and passes; without backfill.',
  },
  hot_seconds: {
    kind: 'gauge',
    unit: 'seconds',
    labels: ['connector', 'stream'],
    help: 'How young a row must be to be read again at every poll now; less than `hot.ms` where more would not fit the quota. The least over the scopes of the stream.',
  },
  vendor_requests_total: {
    kind: 'counter',
    unit: 'requests',
    labels: ['connector', 'outcome'],
    help: 'Requests to the vendor, by outcome (ok, or an error code). Each try counts.',
  },
  vendor_request_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: ['connector'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    help: 'Time of one request to the vendor, from its start to the last byte.',
  },
  quota_wait_seconds_total: {
    kind: 'counter',
    unit: 'seconds',
    labels: ['connector'],
    help: 'Time spent waiting for the vendor quota.',
  },
  ingest_commit_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: ['connector', 'stream'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    help: 'Time of one transaction, from its first record to the acknowledged commit.',
  },
  transfer_delay_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: ['connector'],
    buckets: [5, 10, 15, 30, 45, 60, 90, 120, 180, 300, 600, 1_800, 3_600, 14_400, 43_200, 86_400],
    help: 'Time from a transfer to an agent (transferred_at, or the time of its event) to the commit that first shows it; each session once, and only what happened after the stream was first live.',
  },
  ingest_complete_until_timestamp_seconds: {
    kind: 'gauge',
    unit: 'seconds since the epoch',
    labels: ['connector', 'stream'],
    help: 'Everything the vendor showed with an earlier time has been read and committed; the least over the scopes of the stream.',
  },
  stream_last_success_timestamp_seconds: {
    kind: 'gauge',
    unit: 'seconds since the epoch',
    labels: ['connector', 'stream'],
    help: 'When the stream was last read and committed; the least over the scopes of the stream.',
  },
  task_restarts_total: {
    kind: 'counter',
    unit: 'restarts',
    labels: ['connector', 'stream'],
    help: 'How often a source partition of the stream failed and was started again.',
  },
  stream_state: {
    kind: 'gauge',
    unit: '0 or 1',
    labels: ['connector', 'stream', 'state'],
    help: `1 for the state the stream is in, 0 for the others (${STREAM_STATES.join(', ')}).`,
  },
  aggregate_records_total: {
    kind: 'counter',
    unit: 'records',
    labels: ['topic'],
    help: 'Records that the aggregator has counted in, by topic.',
  },
  aggregate_left_out_total: {
    kind: 'counter',
    unit: 'records',
    labels: ['topic', 'reason'],
    help: 'Records not counted: invalid could not be read, late is for a time before the retention.',
  },
  series_folded_total: {
    kind: 'counter',
    unit: 'records',
    labels: ['vendor', 'account'],
    help: 'Sessions, messages and events that are counted in a series of `other`, because their account has reached aggregator.maxSeries. A session counts with each of its revisions.',
  },
  reconciliation_count: {
    kind: 'gauge',
    unit: 'records',
    labels: ['vendor', 'account', 'bot_id', 'measure', 'by'],
    help: "What the vendor's own statistics count of a measure of a bot (by vendor), and what the series count for the same time (by own): its newest day that is over. Only where a stream reads the vendor's statistics, and not for a bot whose records partly count as another bot's (aggregator.maxSeries).",
  },
  aggregate_lag_records: {
    kind: 'gauge',
    unit: 'records',
    labels: ['topic', 'partition'],
    help: 'Records between what the aggregator has counted in and the end of the partition, commit markers included.',
  },
  aggregate_restore_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: [],
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
    help: 'Time to restore the state of one partition number from its topics.',
  },
  sessions_total: {
    kind: 'counter',
    unit: 'sessions',
    labels: BOT,
    fold: ['bot_id'],
    help: 'Sessions first seen within an hour of their start. Never falls, so that a backfill or a re-classed session is no spike in rate().',
  },
  messages_total: {
    kind: 'counter',
    unit: 'messages',
    labels: [...BOT, 'sender'],
    fold: ['bot_id'],
    help: 'Messages first seen within an hour of their time, by sender (user, bot, agent, other). Never falls.',
  },
  agent_transfers_total: {
    kind: 'counter',
    unit: 'sessions',
    labels: BOT,
    fold: ['bot_id'],
    help: 'Sessions handed to a person, first seen within an hour of the hand-over. Never falls; a session counts once.',
  },
  serve_points_total: {
    kind: 'counter',
    unit: 'records',
    labels: [],
    help: 'Series points that the server has read from the series topic.',
  },
  serve_invalid_records_total: {
    kind: 'counter',
    unit: 'records',
    labels: ['topic'],
    help: 'Records that the server could not read and passed over; each is logged.',
  },
  serve_query_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: [],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    help: 'Time to answer one query for series.',
  },
  alerts: {
    kind: 'gauge',
    unit: 'alerts',
    labels: ['rule', 'state', ...BOT],
    help: 'Alerts as they stand on the alerts topic, by state (FIRING, RESOLVED). An empty channel or bot_id: all of them together. Shown by the process that judges the vendor.',
  },
  alert_evaluation_delay_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: [],
    buckets: [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300],
    help: 'Time from the newest commit of what was read to the alert that is written of it.',
  },
  alert_notifications_total: {
    kind: 'counter',
    unit: 'requests',
    labels: ['alertmanager', 'outcome'],
    help: 'Requests to Alertmanagers, by outcome (ok, failed).',
  },
  role_ready: {
    kind: 'gauge',
    unit: '0 or 1',
    labels: ['role'],
    help: 'Whether the role can do its work, as /readyz says it; taken when the page is asked for.',
  },
  metrics_folded_total: {
    kind: 'counter',
    unit: 'updates',
    labels: ['metric'],
    help: 'Updates whose label set was one too many for the metric: counters and histograms add them to the set other, gauges drop them.',
  },
  build_info: {
    kind: 'gauge',
    unit: '1',
    labels: ['version'],
    help: 'Always 1; the version that runs.',
  },
  group_workers: {
    kind: 'gauge',
    unit: 'workers',
    labels: [],
    help: 'Workers of the group, as this worker knows it.',
  },
  group_unassigned_tasks: {
    kind: 'gauge',
    unit: 'tasks',
    labels: [],
    help: 'Tasks that are wanted and that no worker has, as this worker knows it. After 30 s they make every worker unready.',
  },
  ...CONNECT_METRICS,
} as const satisfies Record<string, MetricSpec>

export interface MetricSpec {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly unit: string
  readonly labels: readonly string[]
  readonly help: string
  /** Upper bounds of a histogram, in the metric's unit. */
  readonly buckets?: readonly number[]
  /** Labels that become `other` when the metric has too many label sets; default: all. When even that is too many, all do. */
  readonly fold?: readonly string[]
  /** The name was fixed by another system and carries no prefix of ours. */
  readonly foreign?: boolean
}

export type MetricName = keyof typeof METRICS
type OfKind<K extends MetricSpec['kind']> = { [N in MetricName]: (typeof METRICS)[N]['kind'] extends K ? N : never }[MetricName]
export type CounterName = OfKind<'counter'>
export type GaugeName = OfKind<'gauge'>
export type HistogramName = OfKind<'histogram'>
/** Exactly the labels of the metric. Values may come from a vendor: they are cleaned here. */
export type LabelsOf<N extends MetricName> = Readonly<Record<(typeof METRICS)[N]['labels'][number], string | number>>

/** One counter with its labels bound: adding to it is an addition and nothing else. */
export interface CounterChild {
  inc(n?: number): void
}

export interface Metrics {
  /** Kafka Connect's metrics of a worker. */
  readonly connect: ConnectMetrics
  /** Adds `n` (default 1; not negative). */
  inc<N extends CounterName>(name: N, labels: LabelsOf<N>, n?: number): void
  /** Shows the counter at 0, unless it is there already: call it as soon as the labels are known, so that `increase()` sees the first increment. */
  born<N extends CounterName>(name: N, labels: LabelsOf<N>): void
  /** The counter of one label set, for hot paths: look it up once, keep it. */
  counter<N extends CounterName>(name: N, labels: LabelsOf<N>): CounterChild
  set<N extends GaugeName>(name: N, labels: LabelsOf<N>, value: number): void
  observe<N extends HistogramName>(name: N, labels: LabelsOf<N>, value: number): void
  /** Sets one stream's state to 1 and its others to 0. */
  setStreamState(of: { connector: string; stream: string }, state: StreamState): void
  /** Forgets the gauges that carry all of these labels: of a partition that is now elsewhere, of a connector that was removed. */
  remove<N extends GaugeName>(name: N, labels: Partial<LabelsOf<N>>): void
  /** The page in the format that the Accept header asks for: OpenMetrics 1.0 when it is named there with a weight not below plain text's. */
  render(accept?: string): Promise<Page>
}

interface Page {
  readonly contentType: string
  readonly body: string
}

type Labels = Readonly<Record<string, string | number>>

export interface MetricsOptions {
  /** Most label sets of one metric; more are folded into `other`. Default 2000. */
  readonly maxLabelSets?: number
  /** Process and Node metrics under their usual names. Default true. */
  readonly processMetrics?: boolean
  /** What `_created` is read from. Default the system's. */
  readonly clock?: Clock
}

interface Cell {
  readonly labels: Record<string, string>
  /** Epoch milliseconds. */
  readonly createdMs: number
  value: number
  /** Keys of label values, as they came, by which it is found. */
  readonly raw: string[]
}

export const fullName = (name: MetricName): string =>
  (METRICS[name] as MetricSpec).foreign === true ? name : METRIC_PREFIX + name

/** Metrics with a registry of their own, so that two in one process (tests, the demo) never mix. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const { maxLabelSets = 2000, processMetrics = true, clock = systemClock } = options
  const registry = new Registry()
  const families = new Map<MetricName, Family>()
  const histograms = new Map<MetricName, Histogram>()
  let folded = (_metric: MetricName) => {}

  for (const [key, spec] of Object.entries(METRICS) as [MetricName, MetricSpec][]) {
    const family = createFamily(spec, { maxLabelSets, clock, onFold: () => folded(key) })
    families.set(key, family)
    const from = { family, isPlain: spec.labels.length === 0 }
    const common = { name: fullName(key), help: spec.help, labelNames: [...spec.labels], registers: [registry] }
    if (spec.kind === 'histogram') {
      histograms.set(key, new Histogram({ ...common, buckets: [...(spec.buckets ?? [])] }))
    } else if (spec.kind === 'counter') {
      const counter: Counter = new Counter({
        ...common,
        collect: () => handOver(from, counter, (cell, to) => to.inc(cell.labels, cell.value)),
      })
    } else {
      const gauge: Gauge = new Gauge({
        ...common,
        collect: () => handOver(from, gauge, (cell, to) => to.set(cell.labels, cell.value)),
      })
    }
    if (spec.kind === 'counter' && spec.labels.length === 0) family.cell({})
  }
  folded = metric => {
    const cell = families.get('metrics_folded_total')?.cell({ metric })
    if (cell) cell.value += 1
  }
  if (processMetrics) collectDefaultMetrics({ register: registry })

  const familyOf = (name: MetricName): Family => families.get(name) as Family

  const byFullName = new Map([...families].map(([name, family]) => [fullName(name), family]))
  /** What the process itself counts, it counts from its start. */
  const createdOf = (name: string, labels: Labels) => byFullName.get(name)?.createdOf(labels) ?? performance.timeOrigin
  const pages: { open?: Promise<Page>; plain?: Promise<Page> } = {}

  const metrics: Metrics = {
    get connect() {
      return connect
    },
    inc(name, labels, n = 1) {
      if (!(n >= 0)) return
      const cell = familyOf(name).cell(labels)
      if (cell) cell.value += n
    },
    born(name, labels) {
      familyOf(name).cell(labels)
    },
    counter(name, labels) {
      const cell = familyOf(name).cell(labels) as Cell
      return {
        inc(n = 1) {
          if (n >= 0) cell.value += n
        },
      }
    },
    set(name, labels, value) {
      if (Number.isNaN(value)) return
      const cell = familyOf(name).cell(labels)
      if (cell) cell.value = value
    },
    observe(name, labels, value) {
      const cell = familyOf(name).cell(labels)
      if (cell && Number.isFinite(value)) histograms.get(name)?.observe(cell.labels, value)
    },
    setStreamState(of, state) {
      for (const each of STREAM_STATES) metrics.set('stream_state', { ...of, state: each }, each === state ? 1 : 0)
    },
    remove(name, labels) {
      familyOf(name).remove(labels)
    },
    render(accept) {
      const isOpen = wantsOpenMetrics(accept)
      const key = isOpen ? 'open' : 'plain'
      // Scrapers that ask at the same moment get the same page: it is made once.
      pages[key] ??= connect
        .refresh()
        .then(() => (isOpen ? openMetricsPage(registry, createdOf) : plainPage(registry)))
        .then(body => ({ contentType: isOpen ? Registry.OPENMETRICS_CONTENT_TYPE : registry.contentType, body }))
        .finally(() => delete pages[key])
      return pages[key]
    },
  }
  const connect = createConnectMetrics(metrics, clock)
  return metrics
}

/** The values of one metric by label set. Values stand here and are handed to the client when the page is asked for. */
interface Family {
  readonly cells: ReadonlyMap<string, Cell>
  /** The cell of a label set, made at 0 when it is new; undefined for a gauge that is one too many. */
  cell(labels: Readonly<Record<string, string | number>>): Cell | undefined
  remove(labels: Readonly<Record<string, string | number | undefined>>): void
  /** Since when the label set is counted, epoch milliseconds. */
  createdOf(labels: Labels): number | undefined
}

function createFamily(
  spec: MetricSpec,
  { maxLabelSets, clock, onFold }: { maxLabelSets: number; clock: Clock; onFold: () => void },
): Family {
  const cells = new Map<string, Cell>()
  /** Label values as they came → their cell, so that cleaning is done once. Bounded: beyond the bound values are cleaned each time. */
  const seen = new Map<string, Cell>()

  const open = (key: string, labels: Record<string, string>): Cell => {
    const cell = { labels, createdMs: clock.now(), value: 0, raw: [] }
    cells.set(key, cell)
    return cell
  }
  const keyOf = (labels: Readonly<Record<string, string | number>>): string => {
    let key = ''
    for (const name of spec.labels) {
      const value = String(labels[name] ?? '')
      key += `${value.length}:${value}`
    }
    return key
  }
  const foldedInto = (clean: Record<string, string>): Cell => {
    const partly = { ...clean }
    for (const name of spec.fold ?? spec.labels) partly[name] = 'other'
    const partlyKey = keyOf(partly)
    const known = cells.get(partlyKey)
    if (known) return known
    if (cells.size < 2 * maxLabelSets) return open(partlyKey, partly)
    const wholly = Object.fromEntries(spec.labels.map(name => [name, 'other']))
    const whollyKey = keyOf(wholly)
    return cells.get(whollyKey) ?? open(whollyKey, wholly)
  }

  return {
    cells,
    cell(labels) {
      const raw = keyOf(labels)
      const before = seen.get(raw)
      if (before) return before
      const clean: Record<string, string> = {}
      for (const name of spec.labels) clean[name] = cleanLabel(labels[name] ?? '')
      const key = keyOf(clean)
      let cell = cells.get(key)
      if (!cell && cells.size >= maxLabelSets) {
        onFold()
        return spec.kind === 'gauge' ? undefined : foldedInto(clean)
      }
      cell ??= open(key, clean)
      if (seen.size < 2 * maxLabelSets) {
        seen.set(raw, cell)
        cell.raw.push(raw)
      }
      return cell
    },
    createdOf: labels => cells.get(keyOf(labels))?.createdMs,
    remove(labels) {
      const wanted = Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, cleanLabel(value ?? '')]))
      const drop = (key: string, cell: Cell) => {
        cells.delete(key)
        for (const raw of cell.raw) seen.delete(raw)
      }
      // All labels are one cell: the others need not be looked at.
      if (spec.labels.every(name => name in wanted)) {
        const key = keyOf(wanted)
        const cell = cells.get(key)
        if (cell) drop(key, cell)
        return
      }
      const names = Object.keys(wanted)
      for (const [key, cell] of cells) if (names.every(name => cell.labels[name] === wanted[name])) drop(key, cell)
    },
  }
}

function handOver<T extends Counter | Gauge>(
  { family, isPlain }: { family: Family; isPlain: boolean },
  to: T,
  give: (cell: Cell, to: T) => void,
): void {
  to.reset()
  // Of a metric without labels the client shows 0 before anybody has set it.
  if (isPlain && family.cells.size === 0) to.remove()
  for (const cell of family.cells.values()) give(cell, to)
}

const MAX_LABEL_LENGTH = 100

/**
 * A label value that is safe to hand to the client. The client builds its map key from unescaped values (prom-client 15: `name:value,`, its
 * successor: joined by `|`), so that two label sets could become one series; control characters would break the page for readers. What had to
 * be changed or shortened carries a hash of the original: two values never become one.
 */
export function cleanLabel(value: string | number): string {
  const text = String(value)
  const clean = text
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029]/gu, ' ')
    .replace(/[,|]/g, '_')
  if (clean === text && text.length <= MAX_LABEL_LENGTH) return text
  const mark = createHash('sha256').update(text, 'utf16le').digest('hex').slice(0, 8)
  return `${clean.slice(0, MAX_LABEL_LENGTH - 9).toWellFormed()}~${mark}`
}

/** One metric in a turn of the event loop: a page of many bots must not hold up the rest of the process. */
async function plainPage(registry: Registry): Promise<string> {
  const parts: string[] = []
  for (const { name } of registry.getMetricsAsArray()) {
    parts.push(await registry.getSingleMetricAsString(name))
    await nextTurn()
  }
  return `${parts.join('\n\n')}\n`
}

/**
 * OpenMetrics 1.0. prom-client's own page has no `_created`, writes `le="1"`, and renames counters for good, so that the next plain page would have lost
 * every `_total` (measured with 15.1.3).
 */
async function openMetricsPage(registry: Registry, createdOf: (name: string, labels: Labels) => number): Promise<string> {
  type Sample = { value: number; labels: Labels; metricName?: string }
  type Shown = { type: string; get(): Promise<{ name: string; help: string; values: Sample[] }> }
  let page = ''
  for (const metric of registry.getMetricsAsArray() as unknown as Shown[]) {
    await nextTurn()
    const { name, help, values } = await metric.get()
    const family = metric.type === 'counter' ? name.replace(/_total$/, '') : name
    page += `# TYPE ${family} ${metric.type}\n# HELP ${family} ${escaped(help)}\n`
    for (const { value, labels, metricName = name } of values) {
      page += `${metricName}${labelText(labels)} ${numberText(value)}\n`
      // Last of the samples of one label set.
      if (metric.type === 'counter' || (metric.type === 'histogram' && metricName.endsWith('_count')))
        page += `${family}_created${labelText(labels)} ${createdOf(name, labels) / 1000}\n`
    }
  }
  return `${page}# EOF\n`
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${escaped(name === 'le' ? boundText(value) : String(value))}"`,
  )
  return parts.length === 0 ? '' : `{${parts.join(',')}}`
}

const escaped = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
/** A bound is always written as a float: `1.0`. */
const boundText = (bound: string | number) => (Number.isInteger(Number(bound)) ? `${bound}.0` : String(bound))
const numberText = (value: number) =>
  Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf'

function wantsOpenMetrics(accept: string | undefined): boolean {
  let plain = 0
  let open = 0
  for (const part of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = part.split(';').map(each => each.trim().toLowerCase())
    const q = parameters.find(each => each.startsWith('q='))?.slice(2)
    const weight = q === undefined ? 1 : Number(q) || 0
    if (type === 'application/openmetrics-text') {
      const version = parameters.find(each => each.startsWith('version='))?.slice(8)
      if (version === undefined || version === '1.0.0' || version === '0.0.1') open = Math.max(open, weight)
    } else if (type === 'text/plain') plain = Math.max(plain, weight)
  }
  return open > 0 && open >= plain
}

/** The content of `docs/metrics.md`. */
export function metricsPage(): string {
  const rows = (Object.entries(METRICS) as [MetricName, MetricSpec][]).map(
    ([name, spec]) =>
      `| \`${fullName(name)}\` | ${spec.kind} | ${spec.unit} | ${spec.labels.map(label => `\`${label}\``).join(', ') || 'none'} | ${spec.help} |`,
  )
  return `# Metrics

Generated from \`src/metrics.ts\`. Every process serves them at \`/metrics\`: Prometheus text, or OpenMetrics if the scraper asks for it,
together with the usual process and Node metrics (\`process_…\`, \`nodejs_…\`). Counters are exported with 0 as soon as their labels are known: those of a
connector, stream, outcome or reason from the start, those of a bot and channel when the aggregator has restored them or sees them for the first time. \`increase()\` therefore counts
the first increment too. OpenMetrics pages say with \`_created\` since when a counter or histogram counts.

| Name | Kind | Unit | Labels | Meaning |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

Label values that come from vendors are cleaned: control characters, \`,\` and \`|\` are replaced and long values cut; a changed value
ends with \`~\` and a hash of the original, so that two values never become one series. A metric holds at most 2000 label sets. Anything
beyond is added to a set whose labels (for metrics by bot: whose \`bot_id\`) are \`other\`, and counted in \`${METRIC_PREFIX}metrics_folded_total\`.

These metrics count what arrives, for \`rate()\` and alerts. The series have the whole picture, with late and corrected records and by the time of the conversation:
\`/v1/series\`.
`
}
