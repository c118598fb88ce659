/**
 * What `/v1/series` can be asked for: the counts of the points as they are, and measures that are made of sums of them. A measure is made once all sums
 * are known, so that a rate over a day, a group or a rolling window is that of all its sessions, not a mean of rates. Percentiles and users come of sketches, which are
 * merged instead (`sketches.ts`).
 */
import type { Measure } from '../records.ts'
import type { Sketch } from './sketch-pool.ts'
import { SKETCH_VALUES } from './sketches.ts'

/** What a measure needs to be known: the kind of record that it counts, or sessions of which transfers to a person are known. */
export type Kind = 'session' | 'transfer' | 'message' | 'event'

export interface MeasureSpec {
  readonly unit: 'count' | 'ms' | 'ratio'
  readonly meaning: string
  readonly kind: Kind
  /** Columns of the points that it is made of. */
  readonly columns: readonly Measure[]
  /**
   * The measure, from the sums of its columns in their order; null: it has no value, as a rate of nothing.
   * Absent: the sum of its one column. Such values add up over buckets and series.
   */
  readonly of?: (...sums: number[]) => number | null
  /** The measure is read out of a sketch: which of `SKETCH_VALUES`. Its column only says whether there is something to count. */
  readonly sketch?: { readonly name: Sketch; readonly at: number }
}

const ratio = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole)

const count = (column: Measure, kind: Kind, meaning: string): MeasureSpec => ({
  unit: 'count',
  meaning,
  kind,
  columns: [column],
})

const COUNTS = {
  sessions: count('sessions', 'session', 'Sessions, at their start'),
  sessions_self_service: count(
    'sessions_self_service',
    'session',
    'Sessions that ended without a person, their purpose served, at their start',
  ),
  sessions_drop_off: count('sessions_drop_off', 'session', 'Sessions that the user left, at their start'),
  sessions_agent: count('sessions_agent', 'transfer', 'Sessions that went to a person, at their start'),
  sessions_unknown: count('sessions_unknown', 'session', 'Sessions of which the containment is not known, at their start'),
  sessions_ended: count('sessions_ended', 'session', 'Sessions with an end, at their end'),
  duration_ms: {
    ...count('duration_ms', 'session', 'Time from start to end, of sessions with an end, at their end'),
    unit: 'ms',
  },
  agent_transfers: count('agent_transfers', 'transfer', 'Transfers to a person, one a session, at the transfer'),
  messages_user: count('messages_user', 'message', 'Messages of users'),
  messages_bot: count('messages_bot', 'message', 'Messages of bots'),
  messages_agent: count('messages_agent', 'message', 'Messages of agents'),
  messages_other: count('messages_other', 'message', 'Messages of the system or of an unknown sender'),
  events: count('events', 'event', 'Events'),
} satisfies Record<Measure, MeasureSpec>

const MADE = {
  transfer_rate: {
    unit: 'ratio',
    meaning: 'Transfers to a person for each session: agent_transfers / sessions, each at its own time',
    kind: 'transfer',
    columns: ['agent_transfers', 'sessions'],
    of: ratio,
  },
  containment_rate: {
    unit: 'ratio',
    meaning: 'Share of sessions that did not go to a person, of those with a known containment, at their start',
    kind: 'transfer',
    columns: ['sessions_self_service', 'sessions_drop_off', 'sessions_agent'],
    of: (served, left, agent) => ratio(served + left, served + left + agent),
  },
  duration_avg_ms: {
    unit: 'ms',
    meaning: 'Mean time from start to end, of sessions with an end: duration_ms / sessions_ended',
    kind: 'session',
    columns: ['duration_ms', 'sessions_ended'],
    of: ratio,
  },
} satisfies Record<string, MeasureSpec & { of: (...sums: [number, number, number]) => number | null }>

const percentile = (quantile: (typeof SKETCH_VALUES.duration_sketch)[number]): MeasureSpec => ({
  unit: 'ms',
  meaning: `Time from start to end that ${quantile * 100} % of the sessions with an end do not exceed, within 1 %, at their end`,
  kind: 'session',
  columns: ['sessions_ended'],
  sketch: { name: 'duration_sketch', at: SKETCH_VALUES.duration_sketch.indexOf(quantile) },
})

const SKETCHED = {
  duration_p50_ms: percentile(0.5),
  duration_p90_ms: percentile(0.9),
  duration_p95_ms: percentile(0.95),
  duration_p99_ms: percentile(0.99),
  users: {
    unit: 'count',
    meaning: 'Different users (user_id) of sessions, at their start: exact up to some thousands, else within about 1 %',
    kind: 'session',
    columns: ['sessions'],
    sketch: { name: 'users_sketch', at: 0 },
  },
} satisfies Record<string, MeasureSpec>

export type SeriesMeasure = keyof typeof COUNTS | keyof typeof MADE | keyof typeof SKETCHED

export const MEASURE_TABLE: Readonly<Record<SeriesMeasure, MeasureSpec>> = { ...COUNTS, ...MADE, ...SKETCHED }

export const SERIES_MEASURES = Object.keys(MEASURE_TABLE) as SeriesMeasure[]

/** The measure, from the sums of its columns. */
export function valueOf(spec: MeasureSpec, sums: readonly number[]): number | null {
  return spec.of === undefined ? (sums[0] ?? 0) : spec.of(...sums)
}
