/** From the answer of the overview to what charts and tables show. Pure. A null is a gap: nothing was read there, which is not 0. */
import type { OverviewAnswer, OverviewGroup } from '../src/console.ts'

export type Values = readonly (number | null)[]

export interface Line {
  readonly name: string
  readonly values: Values
  /** Everything before it is read; null: not known. */
  readonly completeUntilMs: number | null
}

export const LINES_BY = ['vendor', 'channel', 'all'] as const
export type LinesBy = (typeof LINES_BY)[number]

export const MEASURES = ['sessions', 'messages', 'transfers', 'rate'] as const
export type Measure = (typeof MEASURES)[number]

/** Lines of one chart; those beyond are one line, `other`. */
export const MOST_LINES = 6

/** Sum by bucket; null only where none has a value. */
export function added(lists: readonly Values[], length: number): (number | null)[] {
  return Array.from({ length }, (_, at) =>
    lists.reduce<number | null>((sum, list) => {
      const value = list[at] ?? null
      return value === null ? sum : (sum ?? 0) + value
    }, null),
  )
}

export function total(values: Values): number | null {
  return values.reduce<number | null>((sum, value) => (value === null ? sum : (sum ?? 0) + value), null)
}

/** Transfers of the sessions in percent; null where one is not known, or there are no sessions. */
export function rate(transfers: Values, sessions: Values): (number | null)[] {
  return sessions.map((all, at) => {
    const part = transfers[at] ?? null
    return all === null || all === 0 || part === null ? null : (100 * part) / all
  })
}

/** Sums of several groups, where `transfers` has only groups that report them: others would dilute the rate. */
export interface Sums {
  readonly sessions: (number | null)[]
  readonly messages: (number | null)[]
  readonly transfers: (number | null)[]
  readonly rate: (number | null)[]
  /** Over the whole range, in percent. */
  readonly rateOfAll: number | null
}

export function sumsOf(groups: readonly OverviewGroup[], length: number): Sums {
  const reporting = groups.filter(({ transfers }) => transfers.some(value => value !== null))
  const transfers = added(
    reporting.map(each => each.transfers),
    length,
  )
  const base = added(
    reporting.map(each => each.sessions),
    length,
  )
  const [part, all] = [total(transfers), total(base)]
  return {
    sessions: added(
      groups.map(each => each.sessions),
      length,
    ),
    messages: added(
      groups.map(each => each.messages),
      length,
    ),
    transfers,
    rate: rate(transfers, base),
    rateOfAll: part === null || all === null || all === 0 ? null : (100 * part) / all,
  }
}

/** The least of what is known of these vendors; null where one of them is not known, or there are none. */
export function completeUntil(vendors: Iterable<string>, known: OverviewAnswer['completeUntil']): number | null {
  let least = Infinity
  for (const vendor of vendors) {
    const until = known[vendor] ?? null
    if (until === null) return null
    least = Math.min(least, until)
  }
  return Number.isFinite(least) ? least : null
}

/** The lines of each measure, the largest by sessions first. */
export function linesOf(
  groups: readonly OverviewGroup[],
  by: LinesBy,
  { completeUntil: known, times }: Pick<OverviewAnswer, 'completeUntil' | 'times'>,
): Readonly<Record<Measure, readonly Line[]>> {
  const named = Map.groupBy(groups, each => (by === 'all' ? 'all' : each[by] === '' ? '(none)' : each[by]))
  const sizeOf = (of: readonly OverviewGroup[]) => of.reduce((sum, { sessions }) => sum + (total(sessions) ?? 0), 0)
  const sorted = [...named].toSorted(([, a], [, b]) => sizeOf(b) - sizeOf(a))
  const shown = sorted.length > MOST_LINES ? sorted.slice(0, MOST_LINES - 1) : sorted
  const others = sorted.slice(shown.length).flatMap(([, of]) => of)
  const all = others.length === 0 ? shown : [...shown, ['other', others] as const]
  const lines = all.map(([name, of]) => ({
    name,
    sums: sumsOf(of, times.length),
    completeUntilMs: completeUntil(new Set(of.map(({ vendor }) => vendor)), known),
  }))
  const of = (measure: Measure) =>
    lines.map(({ name, sums, completeUntilMs }) => ({ name, values: sums[measure], completeUntilMs }))
  return { sessions: of('sessions'), messages: of('messages'), transfers: of('transfers'), rate: of('rate') }
}

/**
 * A line as two: what is final, and the edge that may still grow, which begins at the last final value so that both join.
 *
 * @param bucketMs A bucket is final when all of it lies before `completeUntilMs`.
 */
export function splitAtEdge(
  { values, completeUntilMs }: Pick<Line, 'values' | 'completeUntilMs'>,
  times: readonly number[],
  bucketMs: number,
): { readonly final: (number | null)[]; readonly unfinished: (number | null)[] } {
  const isFinal = (at: number) => completeUntilMs !== null && (times[at] ?? Infinity) + bucketMs <= completeUntilMs
  const first = values.findIndex((_, at) => !isFinal(at))
  const edge = first < 0 ? values.length : first
  return {
    final: values.map((value, at) => (at < edge ? value : null)),
    unfinished: values.map((value, at) => (edge < values.length && at >= edge - 1 ? value : null)),
  }
}

/** Values without neighbours: a line has no length there, so they need a dot. */
export function isolated(values: Values): number[] {
  return values.flatMap((value, at) =>
    value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null ? [at] : [],
  )
}
