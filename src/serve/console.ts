/** `/ui/api/…`: one answer for each page of the console. Read only; the shapes are in `../console.ts`. */
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { Alert } from '../records.ts'
import {
  type AlertsAnswer,
  type ConnectorsAnswer,
  type ConsoleFrame,
  type ConsoleSources,
  type LetterAnswer,
  type LettersAnswer,
  type OverviewAnswer,
  type OverviewGroup,
  type Range,
  RANGES,
  type TopicsAnswer,
} from '../console.ts'
import { createSlices } from '../slices.ts'
import type { Serve } from './api.ts'
import { BUCKET_MS } from './buckets.ts'
import type { RoleHealth } from './http.ts'
import { readParameters } from './parameters.ts'
import { answerQuery } from './query.ts'
import { parseQuery } from './series-query.ts'

const HOUR_MS = 3_600_000

/** Length of a range and of its buckets. */
const SHAPES: Readonly<Record<Range, { readonly ms: number; readonly bucket: keyof typeof BUCKET_MS }>> = {
  '1h': { ms: HOUR_MS, bucket: '1m' },
  '6h': { ms: 6 * HOUR_MS, bucket: '5m' },
  '24h': { ms: 24 * HOUR_MS, bucket: '15m' },
  '7d': { ms: 7 * 24 * HOUR_MS, bucket: '1h' },
  '30d': { ms: 30 * 24 * HOUR_MS, bucket: '6h' },
}

const MESSAGES = ['messages_user', 'messages_bot', 'messages_agent', 'messages_other'] as const
/** Largest groups of vendor and channel that the overview has. */
const MOST_GROUPS = 200
/** Alerts of one page. */
const MOST_ALERTS = 500

const OverviewParameters = z.object({ range: z.enum(RANGES).default('24h') })
const LetterParameters = z.object({ partition: z.coerce.number().int().min(0), offset: z.coerce.number().int().min(0) })
const NoParameters = z.object({})

export interface ConsoleOptions {
  readonly serve: Serve
  readonly sources: ConsoleSources
  readonly clock: Clock
  readonly version: string
  readonly health: () => readonly RoleHealth[]
}

type Parameters = Readonly<Record<string, unknown>>
export type ConsoleAnswer = (parameters: Parameters, gone: AbortSignal) => Promise<object>

/** By path. @throws FlowError QUERY_INVALID (400), NOT_FOUND (404) */
export function createConsole({
  serve,
  sources,
  clock,
  version,
  health,
}: ConsoleOptions): Readonly<Record<string, ConsoleAnswer>> {
  const slices = createSlices()

  function frame(): ConsoleFrame {
    const firing = alertsOf(serve, ['FIRING'], -Infinity).length
    const roles = health().map(({ role, ok, why }) => ({ role, ok, why: why ?? null }))
    return { atMs: clock.now(), version, roles, firing }
  }

  async function overview(range: Range, gone: AbortSignal): Promise<OverviewAnswer> {
    const nowMs = clock.now()
    const { ms, bucket } = SHAPES[range]
    const unready = serve.unready()
    const begin = { ...frame(), range, bucketMs: BUCKET_MS[bucket], unready }
    if (unready !== null) return { ...begin, times: [], groups: [], completeUntil: {}, alerts: [] }
    const query = parseQuery(
      {
        measure: ['sessions', ...MESSAGES, 'agent_transfers'].join(','),
        bucket,
        from: String(nowMs - ms),
        until: String(nowMs),
        group_by: 'vendor,channel',
        top: String(MOST_GROUPS),
      },
      nowMs,
    )
    const { data } = await slices.run(answerQuery(query, serve.store, serve.completeness), gone)
    return {
      ...begin,
      times: data.x_values.map(each => Date.parse(each)),
      groups: groupsOf(data.series),
      completeUntil: completeByVendor(serve),
      alerts: newestFirst(alertsOf(serve, null, nowMs - ms)),
    }
  }

  return {
    '/ui/api/overview': async (parameters, gone) =>
      overview(readParameters('/ui/api/overview', OverviewParameters, parameters).range, gone),

    '/ui/api/alerts': async (parameters): Promise<AlertsAnswer> => {
      readParameters('/ui/api/alerts', NoParameters, parameters)
      const rules = serve.rules as AlertsAnswer['rules']
      const alerts = newestFirst(alertsOf(serve, null, -Infinity)).slice(0, MOST_ALERTS)
      return { ...frame(), unready: serve.unready(), alerts, rules }
    },

    '/ui/api/connectors': async (parameters): Promise<ConnectorsAnswer> => {
      readParameters('/ui/api/connectors', NoParameters, parameters)
      return { ...frame(), ...sources.connectors() }
    },

    '/ui/api/letters': async (parameters): Promise<LettersAnswer> => {
      readParameters('/ui/api/letters', NoParameters, parameters)
      return { ...frame(), letters: await sources.letters() }
    },

    '/ui/api/letter': async (parameters): Promise<LetterAnswer> => {
      const { partition, offset } = readParameters('/ui/api/letter', LetterParameters, parameters)
      return sources.letter(partition, offset)
    },

    '/ui/api/topics': async (parameters): Promise<TopicsAnswer> => {
      readParameters('/ui/api/topics', NoParameters, parameters)
      const [topics, subjects] = await Promise.all([sources.topics(), sources.subjects()])
      return { ...frame(), topics, subjects }
    },
  }
}

function alertsOf({ alerts }: Serve, states: readonly string[] | null, fromMs: number): Alert[] {
  return alerts.find({ states, rules: null, filters: {}, fromMs, untilMs: Infinity, limit: MOST_ALERTS })
}

/** What fires before what is over. */
const newestFirst = (alerts: readonly Alert[]): Alert[] =>
  alerts.toSorted((a, b) => Number(b.state === 'FIRING') - Number(a.state === 'FIRING') || b.starts_at - a.starts_at)

interface Answered {
  readonly labels: Readonly<Partial<Record<string, string>>>
  readonly values: readonly (number | null)[]
}

/** One group for each vendor and channel, of the series of its measures. */
function groupsOf(series: readonly Answered[]): OverviewGroup[] {
  const byGroup = Map.groupBy(series, ({ labels }) => JSON.stringify([labels['vendor'] ?? '', labels['channel'] ?? '']))
  return [...byGroup].map(([key, own]) => {
    const [vendor = '', channel = ''] = JSON.parse(key) as string[]
    const valuesOf = (measure: string) => own.find(({ labels }) => labels['measure'] === measure)?.values ?? []
    return {
      vendor,
      channel,
      sessions: valuesOf('sessions'),
      messages: added(MESSAGES.map(valuesOf)),
      transfers: valuesOf('agent_transfers'),
    }
  })
}

/** Sums by bucket; null where none has a value. */
function added(lists: readonly (readonly (number | null)[])[]): (number | null)[] {
  return (lists[0] ?? []).map((_, at) =>
    lists.reduce<number | null>((sum, list) => {
      const value = list[at] ?? null
      return value === null ? sum : (sum ?? 0) + value
    }, null),
  )
}

/** The slowest stream of sessions of each vendor. */
function completeByVendor({ completeness }: Serve): Record<string, number | null> {
  const byVendor = Map.groupBy(completeness.streams('session'), ({ vendor }) => vendor)
  return Object.fromEntries(
    [...byVendor].map(([vendor, streams]) => {
      const known = streams.flatMap(({ completeUntil }) => completeUntil ?? [])
      return [vendor, known.length < streams.length ? null : Math.min(...known)]
    }),
  )
}
