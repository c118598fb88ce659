/**
 * The vendor's own statistics: a day of its dashboards. One request for each dashboard and day. The vendor documents the content, but no names: paths and names
 * here are proposals, and settings. An unreadable answer becomes a dead letter as it came.
 */
import { z } from 'zod'
import {
  contentIds,
  type Draft,
  eventWithoutSession,
  FlowError,
  instant,
  instantsOf,
  isObject,
  type Json,
  jsonOf,
  number,
  objectOf,
  type Page,
  type RowContext,
  realTime,
  saysFault,
  text,
  texts,
  type Window,
  wallOf,
  type Zone,
} from '../../src/source/index.ts'

const DAY_MS = 86_400_000

const field = (usual: string, what: string) => z.string().min(1).default(usual).describe(`Dashboard field: ${what}`)
const path = (operation: string, what: string) =>
  z.string().min(1).default(`/eva-dashboard/org/{org}/env/{env}/bot/{bot}/${operation}`).describe(`Path of ${what}`)

export const dashboardKeys = {
  pathSummary: path('dashboard/summary', 'the summary of what data there is'),
  pathTraffic: path('dashboard/{resource}', 'a traffic dashboard; {resource} is conversations, messages or users'),
  pathGraph: path('dashboard/{resource}/graph', 'a graph; {resource} is conversations, messages or users'),
  pathAccuracy: path('dashboard/accuracy', 'the accuracy dashboard'),
  fieldOverview: field('overview', 'totals of a traffic dashboard'),
  fieldTotal: field('total', 'a count, in totals, by channel and in graphs'),
  fieldChannels: field('channels', 'list of channels, in traffic and graphs'),
  fieldDataset: field('dataset', 'points of one channel in a graph'),
  fieldDate: field('date', 'time of a point in a graph'),
  fieldAccuracy: field('accuracy', 'the accuracy'),
  fieldHasData: field('hasData', 'whether there is data, in the summary'),
}
const Keys = z.object(dashboardKeys)
type Keys = z.output<typeof Keys>

const RESOURCES = ['conversations', 'messages', 'users'] as const
type Resource = (typeof RESOURCES)[number]
type Kind = 'summary' | 'traffic' | 'graph' | 'accuracy'

/** One request. */
export interface Question {
  /** The event's name. */
  readonly name: string
  readonly kind: Kind
  readonly resource: Resource | null
  /** From the config. */
  readonly path: string
  readonly day: Day
}

/** A day of the vendor's zone. */
export interface Day {
  /** `YYYY-MM-DD`. */
  readonly name: string
  /** Its midnights as wall time, epoch milliseconds. */
  readonly wall: Window
  /** When it begins and ends. */
  readonly at: Window
}

/** The days of the zone that end in `(from, until]`. */
export function daysEndingIn({ fromMs, untilMs }: Window, zone: Zone): Day[] {
  const days: Day[] = []
  for (let wallMs = Math.floor(wallOf(fromMs, zone) / DAY_MS) * DAY_MS - DAY_MS; ; wallMs += DAY_MS) {
    const at = { fromMs: midnight(wallMs, zone), untilMs: midnight(wallMs + DAY_MS, zone) }
    if (at.untilMs > untilMs) return days
    const wall = { fromMs: wallMs, untilMs: wallMs + DAY_MS }
    if (at.untilMs > fromMs) days.push({ name: new Date(wallMs).toISOString().slice(0, 10), wall, at })
  }
}

/** The first moment of the day; if its clock skips midnight, the moment it goes forward. */
function midnight(wallMs: number, zone: Zone): number {
  return instantsOf(wallMs, zone)[0] ?? wallMs - zone.offsetMs(wallMs - DAY_MS)
}

export function questionsOf(config: Keys, days: readonly Day[]): Question[] {
  return days.flatMap(day => [
    { name: 'summary', kind: 'summary' as const, resource: null, path: config.pathSummary, day },
    ...RESOURCES.map(resource => ({ name: resource, kind: 'traffic' as const, resource, path: config.pathTraffic, day })),
    { name: 'accuracy', kind: 'accuracy' as const, resource: null, path: config.pathAccuracy, day },
    ...RESOURCES.map(resource => ({ name: `${resource}/graph`, kind: 'graph' as const, resource, path: config.pathGraph, day })),
  ])
}

/**
 * A page for each question, in their order.
 *
 * @param ask Returns the answer; throws FlowError SRC_REFUSED with 404, 405 or 501 if the installation lacks the dashboard.
 */
export async function* askAll(
  questions: readonly Question[],
  config: Keys,
  resume: Json,
  ask: (question: Question) => Promise<unknown>,
): AsyncIterable<Page> {
  const first = resume === null ? 0 : number(resume)
  if (first === null || first >= Math.max(1, questions.length))
    throw new FlowError('SRC_RESUME_EXPIRED', { hint: 'no dashboard of this window' })
  for (const [place, question] of questions.entries()) {
    if (place < first) continue
    const rows = pointsOf(await answerTo(question, ask), question, config)
    yield { rows, resume: place + 1 < questions.length ? place + 1 : null }
  }
}

async function answerTo(question: Question, ask: (question: Question) => Promise<unknown>): Promise<unknown> {
  try {
    return await ask(question)
  } catch (error) {
    const status = error instanceof FlowError ? number(error.details['status']) : null
    if (status === null || ![404, 405, 501].includes(status)) throw error
    return { lacking: status }
  }
}

interface Found {
  readonly channel: unknown
  /** Null: the value of the whole day. */
  readonly x: unknown
  readonly value: unknown
  readonly more: Readonly<Record<string, unknown>>
}

/** Points as rows; one row that fits no schema if the answer has no readable ones. */
function pointsOf(answer: unknown, { name, resource, day }: Question, config: Keys): unknown[] {
  const row = { dashboard: name, resource, day: day.name, fromMs: day.at.fromMs, untilMs: day.at.untilMs }
  const body = objectOf(answer)
  if (body['lacking'] !== undefined) return [{ ...row, status: body['lacking'] }]
  const points = found(answer, config)
  if (points === null || saysFault(body)) return [{ ...row, answer }]
  const ids = contentIds()
  return points.map(point => ({ ...row, ...point, pointId: ids(name, day.name, jsonOf(point.channel), jsonOf(point.x)) }))
}

/** null: none of the names exists. */
function found(answer: unknown, config: Keys): Found[] | null {
  const body = objectOf(answer)
  const { [config.fieldOverview]: overview, [config.fieldChannels]: channels, ...more } = body
  const points: Found[] = []
  const lists = Array.isArray(answer) ? (answer as unknown[]) : Array.isArray(channels) ? (channels as unknown[]) : []
  if (isObject(overview)) {
    const { [config.fieldTotal]: value, ...rest } = overview
    points.push({ channel: null, x: null, value, more: { ...rest, ...more } })
  }
  for (const each of lists) {
    const { channel, [config.fieldTotal]: value, [config.fieldDataset]: dataset, ...rest } = objectOf(each)
    if (Array.isArray(dataset))
      for (const point of dataset) {
        const { [config.fieldDate]: x, [config.fieldTotal]: y, ...beside } = objectOf(point)
        points.push({ channel, x, value: y, more: { ...rest, ...beside } })
      }
    else points.push({ channel, x: null, value, more: rest })
  }
  for (const name of [config.fieldAccuracy, config.fieldHasData]) {
    if (!(name in body) || points.length > 0) continue
    const { [name]: value, ...rest } = body
    points.push({ channel: null, x: null, value: typeof value === 'boolean' ? Number(value) : value, more: rest })
  }
  return points.length === 0 && !Array.isArray(channels) && !Array.isArray(answer) ? null : points
}

export interface Point {
  readonly dashboard: string
  /** Of one point of one day, channel and time, of one bot. */
  readonly id: string
  readonly resource: Resource | null
  readonly day: string
  readonly fromMs: number
  readonly untilMs: number
  readonly channel: { readonly name: string | null; readonly uuid: string | null }
  readonly x: string | null
  readonly value: number
  readonly more: Readonly<Record<string, string>>
}

export const Point = z
  .looseObject({
    dashboard: z.string(),
    pointId: z.string().default(''),
    resource: z.enum(RESOURCES).nullable(),
    day: z.string(),
    fromMs: z.number(),
    untilMs: z.number(),
    channel: z.unknown().optional(),
    x: z.unknown().optional(),
    value: z.unknown().optional(),
    more: z.unknown().optional(),
    status: z.unknown().optional(),
    answer: z.unknown().optional(),
  })
  .transform(({ dashboard, pointId, resource, day, fromMs, untilMs, ...row }, ctx): Point => {
    const value = number(row.value)
    if (value === null) {
      const [at, message] =
        row.status !== undefined
          ? ['status', 'the vendor does not know this dashboard; is its path right?']
          : row.answer !== undefined
            ? ['answer', 'has none of the fields of a dashboard']
            : ['value', 'is missing or no number']
      ctx.issues.push({ code: 'custom', input: undefined, path: [at], message })
      return z.NEVER
    }
    const channel = isObject(row.channel) ? row.channel : { name: row.channel }
    return {
      dashboard,
      id: pointId,
      resource,
      day,
      fromMs,
      untilMs,
      channel: { name: text(channel['name']), uuid: text(channel['uuid']) },
      x: text(row.x),
      value,
      more: texts(objectOf(row.more)),
    }
  })

/** A point is at its own time, else at the start of its day. */
export function pointDraft(row: Point, ctx: RowContext, channel: string | null, comparesTo: string | null): Draft {
  const { dashboard, resource, day, fromMs, untilMs, x, value, more } = row
  const ownMs = x === null ? null : realTime(instant(x), ctx)
  return eventWithoutSession(ctx, {
    botId: ctx.scope.botId ?? '',
    eventId: `${ctx.scope.name}/${row.id}`,
    occurredAt: ownMs ?? fromMs,
    occurredAtEstimated: x !== null && ownMs === null,
    type: 'metric_point',
    name: dashboard,
    channel,
    attributes: {
      ...more,
      resource,
      value,
      x_value: x,
      bucket: x === null ? '1d' : null,
      day,
      'channel.name': row.channel.name,
      'channel.uuid': row.channel.uuid,
      range_start: new Date(fromMs).toISOString(),
      range_end: new Date(untilMs).toISOString(),
      compares_to: comparesTo,
    },
  })
}
