/**
 * `/v1/series`: what a question is, and its answer from the store. Pure: time, store and completeness are passed in. The work is done in small steps
 * (`slices.ts`) and has a budget that is known before it begins.
 */
import { DateTime } from 'luxon'
import { FlowError } from '../errors.ts'
import { CHANNELS, MEASURES, type Measure, type TimeRange } from '../records.ts'
import { BUCKET_MS, BUCKETS, type Bucket, type Edges, edgeSteps, isoIn, type Zone, zoneOf } from './buckets.ts'
import { sortSteps, type Steps } from '../slices.ts'
import { LABELS, type Label, type SeriesLabels, type SeriesStore, type StoredSeries } from './store.ts'

/** Most buckets of one series, of one rolling window, and most values of one answer. */
export const MOST_POINTS = 50_000
export const MOST_VALUES = 1_000_000
/** Most series of one answer; `top` takes the largest of more. */
export const MOST_SERIES = 20_000
/** Most minutes and buckets that one query looks at, rolling windows and groups included: about a second of work. */
export const MOST_SCANNED = 100_000_000
/** Most values of one filter, names of one list, and characters of a parameter that is no list. */
const MOST_LISTED = 1000
const LONGEST_VALUE = 100

const DAY_MS = 86_400_000
const PARAMETERS = ['measure', 'bucket', 'from', 'until', 'group_by', ...LABELS, 'tz', 'rolling', 'top', 'format'] as const
type Parameter = (typeof PARAMETERS)[number]

const FORMATS = ['json', 'csv'] as const

export interface SeriesQuery {
  readonly measures: readonly Measure[]
  readonly bucket: Bucket
  readonly fromMs: number
  /** Exclusive. */
  readonly untilMs: number
  readonly groupBy: readonly Label[]
  /** Values that a label may have; a label that is absent may have any. */
  readonly filters: Filters
  readonly zone: Zone
  /** Buckets that each value sums, the one it is shown at included; 1: no rolling. */
  readonly window: number
  /** So many largest series, the rest as one; null: all. */
  readonly top: number | null
  readonly format: (typeof FORMATS)[number]
}

type Filters = Readonly<Partial<Record<Label, readonly string[]>>>

/** What a measure needs to be known: the kind of record that it counts, or sessions of which transfers to a person are known. */
export type Kind = 'session' | 'transfer' | 'message' | 'event'

/** What has been read, as `Progress` says it and our own reading has caught up with it. */
export interface Completeness {
  /**
   * The streams that give this kind of record, as they are at this moment; the list does not change afterwards. Those of `transfer` are streams of
   * `session`, without those whose connector cannot know whether a session was transferred.
   */
  streams(feeds: Kind): readonly StreamRead[]
}

/** One source partition. */
export interface StreamRead {
  readonly vendor: string
  readonly account: string
  /** null: all bots of the account. */
  readonly bot_id: string | null
  /** Everything with an earlier time has been read; null: nothing is known yet. */
  readonly completeUntil: number | null
  /** Ranges of time that it has read. */
  readonly covered: readonly TimeRange[]
}

export interface SeriesAnswer {
  readonly data: {
    readonly series: readonly AnsweredSeries[]
    readonly series_labels: readonly string[]
    readonly x_values: readonly string[]
  }
  readonly complete_until: string | null
}

export interface AnsweredSeries {
  readonly labels: Readonly<Partial<Record<Label | 'measure', string>>>
  readonly values: readonly (number | null)[]
  /** Over the buckets asked for, each once, whatever `rolling` is. */
  readonly sum: number | null
  readonly mean: number | null
  readonly min: number | null
  readonly max: number | null
  readonly complete_until: string | null
}

/** @throws FlowError QUERY_INVALID that names the parameter and what it takes. */
export function parseQuery(parameters: Readonly<Record<string, unknown>>, nowMs: number): SeriesQuery {
  for (const name of Object.keys(parameters)) {
    if (!(PARAMETERS as readonly string[]).includes(name)) {
      throw invalid(shortened(name), `is not a parameter of /v1/series; known are ${PARAMETERS.join(', ')}`)
    }
  }
  /** Every value of a parameter, those that say nothing left out: an empty parameter is as absent. */
  const all = (name: Parameter): string[] =>
    [parameters[name]].flat().filter((value): value is string => typeof value === 'string' && value.trim() !== '')
  const once = (name: Parameter): string | undefined => {
    const [value, ...more] = all(name)
    if (more.length > 0) throw invalid(name, 'is given more than once, and takes one value')
    if (value !== undefined && value.length > LONGEST_VALUE) throw invalid(name, `takes at most ${LONGEST_VALUE} characters`)
    return value?.trim()
  }
  const list = (name: Parameter): string[] => {
    const values = all(name).flatMap(listOf)
    if (values.length > MOST_LISTED) throw invalid(name, `takes at most ${MOST_LISTED} values`)
    return values
  }
  const oneOf = <T extends string>(name: Parameter, known: readonly T[], missing: T): T => {
    const value = once(name) ?? missing
    const found = known.find(each => each === value)
    if (found === undefined) throw invalid(name, `is not known; it takes one of ${known.join(', ')}`)
    return found
  }
  const listedOf = <T extends string>(name: Parameter, known: readonly T[]): T[] => [
    ...new Set(
      list(name).map(given => {
        const found = known.find(each => each === given.trim())
        if (found === undefined) throw invalid(name, `takes one or more, as a comma list, of ${known.join(', ')}`)
        return found
      }),
    ),
  ]

  const measures = listedOf('measure', MEASURES)
  if (measures.length === 0)
    throw invalid('measure', `is required; it takes one or more, as a comma list, of ${MEASURES.join(', ')}`)
  const bucket = oneOf('bucket', BUCKETS, '1h')
  const zone = zoneOf(once('tz') ?? 'UTC')
  if (!zone) throw invalid('tz', 'takes the IANA name of a time zone, such as Europe/Madrid')

  const untilMs = parseTime('until', once('until'), zone, nowMs) ?? nowMs
  const fromMs = parseTime('from', once('from'), zone, nowMs) ?? untilMs - DAY_MS
  if (fromMs >= untilMs) throw invalid('from', 'must lie before until')
  const least = bucket === '1M' ? 28 * DAY_MS : BUCKET_MS[bucket]
  if ((untilMs - fromMs) / least > MOST_POINTS) {
    throw invalid(
      'bucket',
      `asks for more than ${MOST_POINTS} points from ${isoIn(zone, fromMs)} on; take a longer bucket or a shorter range`,
    )
  }

  const filters: Partial<Record<Label, readonly string[]>> = {}
  for (const label of LABELS) {
    const values = list(label)
    if (values.length === 0) continue
    // No language is a language here: series of records without one.
    if (label !== 'language' && values.some(value => value.trim() === ''))
      throw invalid(label, 'takes a comma list of values, none of them empty; a comma inside a value is written \\,')
    if (label === 'channel' && values.some(value => !(CHANNELS as readonly string[]).includes(value.trim())))
      throw invalid(label, `takes a comma list of ${CHANNELS.join(', ')}`)
    // Vendors may name a bot with blanks around it, and people write a blank after a comma.
    filters[label] = [...new Set(values.flatMap(value => [value, value.trim()]))]
  }

  return {
    measures,
    bucket,
    fromMs,
    untilMs,
    groupBy: listedOf('group_by', LABELS),
    filters,
    zone,
    window: parseRolling(once('rolling'), bucket),
    top: parseTop(once('top')),
    format: oneOf('format', FORMATS, 'json'),
  }
}

/**
 * What is believed complete is looked up first, then the series: a point that arrives between two steps can be in the answer without being spoken for,
 * never the other way round.
 *
 * @throws FlowError QUERY_INVALID when the answer would be too large or too dear.
 */
export function* answerQuery(query: SeriesQuery, store: SeriesStore, completeness: Completeness): Steps<SeriesAnswer> {
  const { measures, zone, window } = query
  const told = readingOf(query, completeness)
  const cut = yield* edgeSteps(query.bucket, zone, query.fromMs, query.untilMs, window - 1, MOST_POINTS)
  const { edges, first } = cut
  const groups = yield* topOf(query, cut, yield* groupsOf(query, store, edges))
  const points = edges.length - 1 - first
  if (groups.length * measures.length * points > MOST_VALUES) {
    throw invalid(
      query.groupBy.length > 0 ? 'group_by' : 'measure',
      `asks for ${groups.length * measures.length} series of ${points} points; at most ${MOST_VALUES} values are answered at once. Take a longer bucket, a shorter range, or top`,
    )
  }

  const series: AnsweredSeries[] = []
  const names: string[] = []
  const iso = (atMs: number | null) => (atMs === null ? null : isoIn(zone, atMs))
  for (const group of groups) {
    for (const measure of measures) {
      const sums = new Float64Array(edges.length - 1)
      const known = new Uint8Array(edges.length - 1)
      const isUntold = (of: StoredSeries) => kindOf(measure) === 'transfer' && told.isUntold(of.labels)
      yield* addAll(
        group.series.filter(of => !isUntold(of)),
        measure,
        edges,
        sums,
        known,
      )
      yield* addCounted(group.series.filter(isUntold), measure, edges, sums, known)
      const read = yield* told.of(kindOf(measure), group.streams, edges)
      for (let at = 0; at < known.length; at++) if (read.marks[at] === 1) known[at] = 1
      const values = rolled(sums, known, window, first)
      const labels = measures.length === 1 ? group.labels : { ...group.labels, measure }
      series.push({ labels, values, ...summary(values, sums, known, first), complete_until: iso(read.completeUntil) })
      names.push(nameOf(group.labels, query.groupBy, measures.length === 1 ? null : measure) || measure)
      yield
    }
  }

  const xValues: string[] = []
  for (let at = first; at < edges.length - 1; at++) if (xValues.push(isoIn(zone, edges[at] ?? 0)) % 512 === 0) yield
  const whole: (number | null)[] = []
  for (const kind of new Set(measures.map(kindOf))) {
    const asked = [streamsOf(query.filters, {})]
    const read = yield* told.of(kind, asked, edges)
    // What no connector can know does not hold up what was asked for beside it.
    if (kind === 'transfer' && read.streams === 0 && (yield* told.of('session', asked, edges)).streams > 0) continue
    whole.push(read.completeUntil)
  }
  return {
    data: { series, series_labels: names, x_values: xValues },
    complete_until: iso(leastOf(whole)),
  }
}

interface Group {
  readonly labels: Partial<Record<Label, string>>
  /** Whose streams may give records of this group: of any of these. */
  readonly streams: readonly StreamFilter[]
  readonly series: StoredSeries[]
}

/** An absent part stands for all. */
type StreamFilter = Readonly<Partial<Record<'vendor' | 'account' | 'bot_id', readonly string[]>>>

/**
 * Every group that any series belongs to, also where it has nothing in the range: a line does not come and go with its traffic. In order of their labels.
 *
 * @throws FlowError QUERY_INVALID when the series hold more than one query may look at.
 */
function* groupsOf(query: SeriesQuery, store: SeriesStore, edges: readonly number[]): Steps<Group[]> {
  const { groupBy, filters, measures, window } = query
  const wanted = LABELS.flatMap(label => (filters[label] ? [{ label, values: new Set(filters[label]) }] : []))
  const groups = new Map<string, Group>()
  const groupFor = (labels: Group['labels']): Group => {
    const key = JSON.stringify(groupBy.map(label => labels[label]))
    let group = groups.get(key)
    if (!group) {
      const own = picked(labels, groupBy)
      group = { labels: own, streams: [streamsOf(filters, own)], series: [] }
      groups.set(key, group)
      afford(edges.length)
    }
    return group
  }
  let scanned = 0
  let visited = 0
  const afford = (more: number) => {
    scanned += more
    if (scanned * measures.length <= MOST_SCANNED) return
    const name = window > 1 && window > edges.length / 2 ? 'rolling' : groups.size > 1 ? 'group_by' : 'from'
    throw invalid(
      name,
      `asks to look at more than ${MOST_SCANNED} minutes and buckets; take a shorter range or rolling window, a longer bucket, fewer groups or measures, or a filter`,
    )
  }
  if (groupBy.length === 0) groupFor({})
  for (const series of store.snapshot()) {
    if (++visited % 512 === 0) yield
    if (!wanted.every(({ label, values }) => values.has(series.labels[label]))) continue
    groupFor(series.labels).series.push(series)
    afford(series.cellsIn(edges[0] ?? 0, edges.at(-1) ?? 0))
  }
  if (groups.size > MOST_SERIES && query.top === null)
    throw invalid(
      'group_by',
      `asks for ${groups.size} groups; at most ${MOST_SERIES} are answered at once. Take a filter, or top`,
    )
  return yield* sortSteps([...groups.values()], (a, b) => {
    for (const label of groupBy) {
      const [left = '', right = ''] = [a.labels[label], b.labels[label]]
      if (left !== right) return left < right ? -1 : 1
    }
    return 0
  })
}

/** The groups with the largest sums of the first measure, largest first, and the rest as one. */
function* topOf(query: SeriesQuery, { edges, first }: Edges, groups: Group[]): Steps<Group[]> {
  const { top, groupBy } = query
  const [measure = 'sessions'] = query.measures
  if (top === null || groupBy.length === 0 || groups.length <= top) return groups
  const range = [edges[first] ?? 0, edges.at(-1) ?? 0]
  const sized: { group: Group; size: number }[] = []
  const rest: Group = { labels: Object.fromEntries(groupBy.map(label => [label, OTHER])), streams: [], series: [] }
  const streams: StreamFilter[] = []
  const intoRest = (group: Group) => {
    for (const each of group.series) rest.series.push(each)
    for (const each of group.streams) streams.push(each)
  }
  for (const group of groups) {
    const sums = new Float64Array(1)
    yield* addAll(group.series, measure, range, sums, new Uint8Array(1))
    yield
    // A channel that is called `other` itself can only be part of the rest: two series with one name would be told from each other by nobody.
    if (groupBy.every(label => group.labels[label] === OTHER)) intoRest(group)
    else sized.push({ group, size: sums[0] ?? 0 })
  }
  const sorted = yield* sortSteps(sized, (a, b) => b.size - a.size)
  for (const { group } of sorted.slice(top)) intoRest(group)
  return [...sorted.slice(0, top).map(({ group }) => group), { ...rest, streams }]
}

const OTHER = 'other'

/** Pauses between series too: most of them are short. */
function* addAll(
  series: readonly StoredSeries[],
  measure: Measure,
  edges: readonly number[],
  sums: Float64Array,
  known: Uint8Array,
): Steps<void> {
  for (const [at, each] of series.entries()) {
    yield* each.addInto(measure, edges, sums, known)
    if (at % 64 === 63) yield
  }
}

/** The same for series whose zeros mean nothing: only what was counted is known. */
function* addCounted(
  series: readonly StoredSeries[],
  measure: Measure,
  edges: readonly number[],
  sums: Float64Array,
  known: Uint8Array,
): Steps<void> {
  if (series.length === 0) return
  const counted = new Float64Array(sums.length)
  yield* addAll(series, measure, edges, counted, new Uint8Array(known.length))
  for (const [at, count] of counted.entries()) {
    if (count === 0) continue
    sums[at] = (sums[at] ?? 0) + count
    known[at] = 1
  }
}

const picked = (labels: Group['labels'], names: readonly Label[]): Partial<Record<Label, string>> =>
  Object.fromEntries(names.map(name => [name, labels[name] ?? '']))

/** The streams behind a group. A stream is of no channel and no language: any of a bot's streams may hold any of them. */
function streamsOf(filters: Filters, labels: Partial<Record<Label, string>>): StreamFilter {
  const of = (label: 'vendor' | 'account' | 'bot_id') => {
    const one = labels[label]
    const values = one === undefined ? filters[label] : [one]
    return values === undefined ? {} : { [label]: values }
  }
  return { ...of('vendor'), ...of('account'), ...of('bot_id') }
}

const nameOf = (labels: Partial<Record<Label, string>>, groupBy: readonly Label[], measure: Measure | null) =>
  [...groupBy.map(label => labels[label] || '(none)'), ...(measure === null ? [] : [measure])].join(' / ')

function kindOf(measure: Measure): Kind {
  if (measure === 'agent_transfers' || measure === 'sessions_agent') return 'transfer'
  return measure === 'events' ? 'event' : measure.startsWith('messages_') ? 'message' : 'session'
}

interface Read {
  /** 1 for every bucket of which some part has been read. */
  readonly marks: Uint8Array
  readonly completeUntil: number | null
  /** How many streams were asked. */
  readonly streams: number
}

/** What had been read when the query began. Groups of the same streams share one answer. */
function readingOf({ measures }: SeriesQuery, completeness: Completeness) {
  const kinds = new Set(measures.map(kindOf))
  if (kinds.has('transfer')) kinds.add('session')
  const streams = new Map([...kinds].map(kind => [kind, completeness.streams(kind)]))
  const tables = new Map([...streams].map(([kind, all]) => [kind, tableOf(all)]))
  const answers = new Map<string, Read>()
  const botOf = (labels: Pick<SeriesLabels, 'vendor' | 'account'>, bot: string | null) =>
    JSON.stringify([labels.vendor, labels.account, bot])
  const botsOf = (kind: Kind) => new Set(streams.get(kind)?.map(stream => botOf(stream, stream.bot_id)))
  const [giving, telling] = kinds.has('transfer') ? [botsOf('session'), botsOf('transfer')] : [new Set(), new Set()]
  const has = (bots: ReadonlySet<unknown>, labels: SeriesLabels) =>
    bots.has(botOf(labels, null)) || bots.has(botOf(labels, labels.bot_id))
  return {
    /** Whether the bot's sessions are read, and nobody can know which of them were transferred. */
    isUntold: (labels: SeriesLabels) => telling.size < giving.size && has(giving, labels) && !has(telling, labels),
    *of(kind: Kind, filters: readonly StreamFilter[], edges: readonly number[]): Steps<Read> {
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
function leastOf(values: readonly (number | null)[]): number | null {
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

/** From bucket `first` on, the sum of the `window` buckets up to each; null where nothing is known of any of them. */
function rolled(sums: Float64Array, known: Uint8Array, window: number, first: number): (number | null)[] {
  const values: (number | null)[] = []
  let sum = 0
  let count = 0
  for (let at = 0; at < sums.length; at++) {
    sum += sums[at] ?? 0
    count += known[at] ?? 0
    if (at >= window) {
      sum -= sums[at - window] ?? 0
      count -= known[at - window] ?? 0
    }
    if (at >= first) values.push(count > 0 ? sum : null)
  }
  return values
}

function summary(
  values: readonly (number | null)[],
  sums: Float64Array,
  known: Uint8Array,
  first: number,
): Pick<AnsweredSeries, 'sum' | 'mean' | 'min' | 'max'> {
  let total: number | null = null
  for (let at = first; at < sums.length; at++) if (known[at] === 1) total = (total ?? 0) + (sums[at] ?? 0)
  let sum = 0
  let count = 0
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (value === null) continue
    sum += value
    count += 1
    if (value < min) min = value
    if (value > max) max = value
  }
  return count === 0 ? { sum: total, mean: null, min: null, max: null } : { sum: total, mean: sum / count, min, max }
}

/** Parts of a comma list. A backslash before a comma or a backslash makes it part of the value. */
export function listOf(text: string): string[] {
  const values = ['']
  for (let at = 0; at < text.length; at++) {
    const here = text[at] ?? ''
    const next = text[at + 1]
    if (here === ',') values.push('')
    else if (here === '\\' && (next === ',' || next === '\\')) values[values.length - 1] += text[++at] ?? ''
    else values[values.length - 1] += here
  }
  return values
}

/** ISO 8601 (without an offset: in the zone of the query), epoch milliseconds, or from now on. */
export function parseTime(name: 'from' | 'until', text: string | undefined, zone: Zone, nowMs: number): number | undefined {
  if (text === undefined) return undefined
  let ms = Number.NaN
  // A plus sign that was not percent-encoded arrives as a blank.
  const [isRelative, sign, count, unit] = /^now(?:([-+ ])(\d{1,9})([smhdwMy]))?$/.exec(text) ?? []
  if (isRelative !== undefined) {
    const step = count === undefined ? {} : { [STEPS[unit ?? ''] ?? '']: Number(count) * (sign === '-' ? -1 : 1) }
    ms = DateTime.fromMillis(nowMs, { zone: zone.name }).plus(step).toMillis()
  } else if (/^\d{5,16}$/.test(text)) ms = Number(text)
  else if (/^\d{4}-/.test(text)) ms = DateTime.fromISO(text.replace(/ (\d\d:?\d\d)$/, '+$1'), { zone: zone.name }).toMillis()
  if (!Number.isFinite(ms) || ms > LATEST_MS || ms < -LATEST_MS) {
    throw invalid(
      name,
      'takes a time as ISO 8601, such as 2026-11-01T00:00:00Z, as epoch milliseconds, or as now-24h (s, m, h, d, w, M, y)',
    )
  }
  return ms
}

const LATEST_MS = 8_000_000_000_000
const STEPS: Readonly<Record<string, string>> = {
  s: 'seconds',
  m: 'minutes',
  h: 'hours',
  d: 'days',
  w: 'weeks',
  M: 'months',
  y: 'years',
}

/** How many buckets one value sums. */
function parseRolling(text: string | undefined, bucket: Bucket): number {
  if (text === undefined) return 1
  const takes = `takes a length such as 15m, 1h, 24h or 7d, a multiple of the bucket (${bucket})`
  const [, digits, unit] = /^([1-9]\d{0,5})([mhdwM])$/.exec(text) ?? []
  if (digits === undefined || unit === undefined) throw invalid('rolling', takes)
  const count = Number(digits)
  if ((unit === 'M') !== (bucket === '1M')) throw invalid('rolling', `${takes}; months are counted in months`)
  const lengthMs = { m: 60_000, h: 3_600_000, d: DAY_MS, w: 7 * DAY_MS }[unit] ?? 0
  const window = bucket === '1M' ? count : (count * lengthMs) / BUCKET_MS[bucket]
  if (!Number.isInteger(window)) throw invalid('rolling', takes)
  if (window > MOST_POINTS) throw invalid('rolling', `${takes}, of at most ${MOST_POINTS} buckets`)
  return window
}

function parseTop(text: string | undefined): number | null {
  if (text === undefined) return null
  if (!/^[1-9]\d{0,3}$/.test(text)) throw invalid('top', 'takes how many of the largest series are shown, 1 to 9999')
  return Number(text)
}

const shortened = (text: string) => (text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text)

const invalid = (parameter: string, hint: string): FlowError =>
  new FlowError('QUERY_INVALID', { parameter, hint: `${parameter} ${hint}` })
