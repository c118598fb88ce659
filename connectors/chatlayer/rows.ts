/**
 * Parses the vendor's rows leniently: no field is documented as required, numbers may be text (int64 often is), times may lack their zone (then UTC). Only a
 * time is required; everything else is null if missing. Unknown fields go to `attributes`. Shapes are the specification's, 2026-11; nothing here is measured.
 */
import { z } from 'zod'
import {
  contentId,
  contentIds,
  FlowError,
  instant as instantIn,
  isObject,
  type Json,
  jsonOf,
  type Loose,
  looseObject,
  number,
  objectOf,
  text,
  timeFault,
} from '../../src/source/index.ts'

/** One TrackingEvent. */
export interface Tracked {
  /** The vendor's id with the time, because callers of `track` choose ids, and may use one twice; without one, a hash of the content. */
  readonly id: string
  readonly name: string
  readonly atMs: number
  /** Bot and version in the row itself. */
  readonly botId: string | null
  readonly version: string | null
  readonly userId: string | null
  readonly channelId: string | null
  readonly channelType: string | null
  readonly conversationId: string | null
  /** The map of that name, in order of its names. */
  readonly given: Loose
  /** Fields that are not documented. */
  readonly extra: Loose
}

const Instant = z.unknown().transform((raw, ctx): number => {
  const ms = instant(raw)
  if (ms !== null) return ms
  ctx.issues.push({ code: 'custom', input: raw, message: timeFault(raw) })
  return z.NEVER
})

export const TrackingEvent = looseObject({ timestamp: Instant }).transform((row): Tracked => {
  const {
    id: _id,
    event,
    bot_id,
    version,
    user_id,
    channel_id,
    channel_type,
    conversation_id,
    attributes,
    timestamp,
    ...extra
  } = row
  return {
    id: keyOf(row),
    name: text(event) ?? 'other',
    atMs: timestamp,
    botId: text(bot_id),
    version: text(version),
    userId: text(user_id),
    channelId: text(channel_id),
    channelType: text(channel_type),
    conversationId: text(conversation_id),
    given: sorted(pairsOf(attributes)),
    extra: sorted(extra),
  }
})

/** Of a row as the vendor sent it, or as parsed: the same for repeats of one event. Without an id it is computed from the content. */
export function keyOf(row: unknown): string {
  const { id, timestamp } = objectOf(row)
  const given = text(id)
  const atMs = instant(timestamp)
  if (given !== null) return `${given}@${atMs === null ? '' : new Date(atMs).toISOString()}`
  // For dead letters, which differ in anything that their rows differ in.
  if (atMs === null) return contentId(jsonOf(row))
  return contentId(canonical({ ...objectOf(row), timestamp: atMs }))
}

/** A conversation with events in a window. `flow` is null before enrichment, and if it was refused. */
export const Thread = z.object({
  conversationId: z.string(),
  /** Of its events in the window, epoch milliseconds, both inclusive. */
  firstMs: z.number(),
  lastMs: z.number(),
  events: z.number(),
  userId: z.string().nullable(),
  channelId: z.string().nullable(),
  channelType: z.string().nullable(),
  flow: z.unknown(),
  /** With this status. */
  refused: z.number().optional(),
})
export type Thread = z.output<typeof Thread>

/** A row of the stream `events`: a tracking event, or a conversation whose flow is searched for steps that hand over. */
export const EventRow = z.unknown().transform((raw, ctx): Tracked | Thread => {
  const { watched, timestamp } = objectOf(raw)
  const isWatched = timestamp === undefined && isObject(watched) && 'firstMs' in watched
  const parsed = isWatched ? Thread.safeParse(watched) : TrackingEvent.safeParse(raw)
  if (parsed.success) return parsed.data
  ctx.issues.push(...(parsed.error.issues.map(issue => ({ ...issue, input: undefined })) as never[]))
  return z.NEVER
})

export function isThread(row: Tracked | Thread): row is Thread {
  return 'firstMs' in row
}

/** Of one session of a thread, as far as it has come: a window that is read again shows the same, neighbouring windows show others. */
export function viewId({ conversationId, lastMs }: Thread): string {
  return JSON.stringify([conversationId, lastMs])
}

/**
 * In order of their first event. Events without a conversation, or that do not fit their schema, have no flow.
 *
 * @param rows In order of time.
 * @param gapMs A longer silence splits a conversation in two.
 */
export function threadsOf(rows: readonly unknown[], gapMs = Infinity): Thread[] {
  const over: Thread[] = []
  const threads = new Map<string, Thread>()
  for (const row of rows) {
    const parsed = TrackingEvent.safeParse(row)
    if (!parsed.success || parsed.data.conversationId === null) continue
    const { conversationId, atMs, userId, channelId, channelType } = parsed.data
    let known = threads.get(conversationId)
    if (known !== undefined && atMs - known.lastMs > gapMs) {
      over.push(known)
      known = undefined
    }
    threads.set(conversationId, {
      conversationId,
      firstMs: Math.min(known?.firstMs ?? atMs, atMs),
      lastMs: Math.max(known?.lastMs ?? atMs, atMs),
      events: (known?.events ?? 0) + 1,
      userId: known?.userId ?? userId,
      channelId: known?.channelId ?? channelId,
      channelType: known?.channelType ?? channelType,
      flow: null,
    })
  }
  return [...over, ...threads.values()].sort((a, b) => a.firstMs - b.firstMs)
}

/** One FlowTransition. */
export interface Transition {
  readonly id: string
  /** The vendor's; null: none. */
  readonly givenId: string | null
  readonly atMs: number
  readonly from: FlowStep
  readonly to: FlowStep
  readonly depth: string | null
  readonly extra: Loose
}

/** Nulls: unknown. The first transition of a conversation need not come from anywhere. */
export interface FlowStep {
  readonly id: string | null
  readonly type: string | null
}

/**
 * The transitions of a flow, in order of time, each id once: the vendor's with the time, as a thread may count from one in each of its conversations.
 *
 * @param parts Parts of the id besides the transition itself.
 * @param byContent Ignore the vendor's ids, which may change from read to read.
 * @throws FlowError ROW_UNMAPPABLE for one without a time: a flow without a step would look complete.
 */
export function transitionsOf(rows: readonly unknown[], parts: readonly string[], byContent: boolean): Transition[] {
  const read = rows.map((row, place) => {
    const { id, from_step, to_step, depth, timestamp, ...extra } = objectOf(row)
    const atMs = instant(timestamp)
    if (atMs === null)
      throw new FlowError('ROW_UNMAPPABLE', { path: `flow.transitions.${place}.timestamp`, hint: 'a transition has no time' })
    const value = number(depth)
    return {
      givenId: text(id),
      atMs,
      from: stepOf(from_step),
      to: stepOf(to_step),
      depth: value === null ? text(depth) : String(value),
      extra: sorted(extra),
    }
  })
  read.sort((a, b) => a.atMs - b.atMs || Number(a.depth ?? 0) - Number(b.depth ?? 0))
  const made = contentIds()
  const transitions = read.map(each => ({
    ...each,
    id:
      each.givenId === null || byContent
        ? made(...parts, each.from.id, each.from.type, each.to.id, each.to.type, each.depth, each.atMs)
        : contentId(...parts, each.givenId, each.atMs),
  }))
  return [...new Map(transitions.map(each => [each.id, each])).values()]
}

/** Those transitions of a flow that have a time. See `transitionsOf`, which rejects a flow with others. */
export function readableTransitions(flow: unknown, parts: readonly string[], byContent: boolean): Transition[] {
  const { transitions } = objectOf(flow)
  const rows: unknown[] = Array.isArray(transitions) ? transitions : []
  return transitionsOf(
    rows.filter(row => instant(objectOf(row)['timestamp']) !== null),
    parts,
    byContent,
  )
}

/** `{id, type}`, or the id alone. */
function stepOf(raw: unknown): FlowStep {
  return isObject(raw) ? { id: text(raw['id']), type: text(raw['type']) } : { id: text(raw), type: null }
}

/** A series without any readable value: becomes a dead letter. */
export interface Unreadable {
  readonly fault: { readonly path: readonly (string | number)[]; readonly message: string }
  readonly endpoint: string
  readonly stat: string | null
  /** As the vendor sent it. */
  readonly series: unknown
}

/** One value of one series. */
const Value = z
  .object({
    /** The docs' name of the operation, without the ids in its path. */
    endpoint: z.string(),
    bucket: z.string().nullable(),
    groupBy: z.string().nullable(),
    stat: z.string().nullable(),
    labels: z.custom<Readonly<Record<string, string>>>(isObject),
    seriesLabel: z.string().nullable(),
    /** mean, max, min, sum and any other fields of the series, over the requested range. */
    series: z.custom<Loose>(isObject),
    /** As the vendor wrote it; null: the single value of a range. */
    x: z.string('the series has more values than x_values').nullable(),
    /** For a value without an x that is not the only one of its series. */
    place: z.number().nullable().default(null),
    value: z.unknown().transform((raw, ctx): number => {
      const value = number(raw)
      if (value !== null) return value
      ctx.issues.push({ code: 'custom', input: raw, message: 'is not a number' })
      return z.NEVER
    }),
    /** The filter of the request; null: everything. */
    filter: z.record(z.string(), z.array(z.string())).nullable().default(null),
    /** The requested range. */
    fromMs: z.number(),
    untilMs: z.number(),
  })
  .transform(row => ({ ...row, atMs: instant(row.x) }))

export const Point = z
  .unknown()
  .superRefine((row, ctx) => {
    const { fault } = objectOf(row) as Partial<Unreadable>
    if (fault !== undefined) ctx.addIssue({ code: 'custom', message: fault.message, path: [...fault.path] })
  })
  .pipe(Value)
export type Point = z.output<typeof Point>

/**
 * Id of the point, whatever its value: endpoint, bucket, group, statistic, labels, x, and the filter. A bin of a histogram belongs to the requested day.
 *
 * @param whose The bot with its version, or the team; null: unique among the points of one scope only.
 */
export function pointId(point: Point, whose: string | null): string {
  const { endpoint, bucket, groupBy, stat, labels, x, place, atMs, fromMs, filter } = point
  const where = atMs ?? (bucket === null ? `${fromMs} ${x ?? place ?? ''}` : x)
  const filters = filter === null ? [] : [JSON.stringify(sorted(filter))]
  return contentId(endpoint, whose, bucket, groupBy, stat, JSON.stringify(sorted(labels)), where, ...filters)
}

/** Aggregates of a series over the requested range, which change with that range. */
const AGGREGATES: ReadonlySet<string> = new Set(['mean', 'max', 'min', 'sum'])

/**
 * What counts as a change of a point: its value, and the fields of its series other than readable aggregates. Without the latter a series that was malformed
 * once would keep the fault, or its dead letter, when only the fault is fixed.
 */
export function pointMark({ value, series }: Point): Json {
  const odd = Object.entries(sorted(series)).filter(([name, value]) => !AGGREGATES.has(name) || number(value) === null)
  return odd.length === 0 ? value : [value, jsonOf(odd) ?? null]
}

/**
 * Epoch milliseconds of an RFC 3339 time, of one without a zone (UTC) or with its name, of a bare hour, date or month (UTC), or of an epoch time; null for
 * anything else, such as bins of a histogram, and for placeholders.
 */
export function instant(raw: unknown): number | null {
  if (typeof raw !== 'string') return instantIn(raw)
  const words = raw.trim().replace(/ ?(?:UTC|GMT)$/, '')
  return instantIn(words) ?? instantIn(`${words}:00Z`) ?? instantIn(`${words}-01`)
}

/** A map, or a list of `{key, value}`, as some gateways write maps. */
function pairsOf(raw: unknown): Loose {
  if (isObject(raw)) return raw
  if (!Array.isArray(raw)) return raw === undefined || raw === null ? {} : { attributes: raw }
  const pairs = raw.filter(isObject).flatMap(pair => {
    const name = text(pair['key'] ?? pair['name'])
    return name === null ? [] : [[name, pair['value']] as const]
  })
  return pairs.length === raw.length ? Object.fromEntries(pairs) : { attributes: raw }
}

/** In order of their names, without missing ones. */
export function sorted<T>(fields: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  const known = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)
  return Object.fromEntries(known.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** JSON with the names of every object in order, without fields that are null. */
function canonical(value: unknown): string {
  return jsonOf(value, { sorted: true, withoutNulls: true }) ?? ''
}
