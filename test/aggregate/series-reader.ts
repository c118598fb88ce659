/**
 * A reader of the series topic, as the contract of tiers tells it, in the plainest way: one record after the other, every instant in one tier. It refuses what a
 * writer must not do.
 */
import { readPointKey } from '../../src/point-key.ts'
import { MEASURES, type SeriesPoint } from '../../src/records.ts'
import { coarser, type Table, tableOf } from './recount.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

interface SeriesDay {
  minutes: Map<number, SeriesPoint>
  hours: Map<number, SeriesPoint>
  day: SeriesPoint | null
}

export type Form = 'minutes' | 'hours' | 'day'

export function createSeriesReader() {
  /** By series and start of the day. */
  const days = new Map<string, SeriesDay>()
  const revisions = new Map<string, number>()

  function dayOf(seriesKey: string, startMs: number): SeriesDay {
    const at = `${seriesKey}@${Math.floor(startMs / DAY_MS) * DAY_MS}`
    const day = days.get(at) ?? { minutes: new Map(), hours: new Map(), day: null }
    days.set(at, day)
    return day
  }

  const formOf = ({ hours, day }: SeriesDay): Form => (hours.size > 0 ? 'hours' : day === null ? 'minutes' : 'day')

  /** The points that count, each instant once. */
  function pointsOf(of: SeriesDay): SeriesPoint[] {
    if (of.hours.size === 0 && of.day !== null) return [of.day]
    return [...of.hours.values(), ...of.minutes.values()]
  }

  return {
    /** @throws Error where the record breaks a rule. */
    apply(key: string, point: SeriesPoint | null): void {
      const parts = readPointKey(key)
      if (parts === null) throw new Error(`${key} is no key`)
      const { seriesKey, startMs, bucket } = parts
      const of = dayOf(seriesKey, startMs)
      if (point === null) {
        revisions.delete(key)
        if (bucket === '1m') of.minutes.delete(startMs)
        else if (bucket === '1d') of.day = null
        else if (of.day !== null) of.hours.clear()
        else of.hours.delete(startMs)
        return
      }
      if (point.series_key !== seriesKey || point.bucket_start !== startMs || point.bucket !== bucket)
        throw new Error(`${key} is not the key of its point`)
      if (point.revision !== (revisions.get(key) ?? 0) + 1) throw new Error(`revision ${point.revision} of ${key}`)
      revisions.set(key, point.revision)
      if (bucket === '1m') {
        if (formOf(of) !== 'minutes') throw new Error(`${key} was rolled up before`)
        of.minutes.set(startMs, point)
      } else if (bucket === '1d') of.day = point
      else {
        if (of.day !== null && of.hours.size === 0 && of.minutes.size === 0) throw new Error(`${key} was rolled up before`)
        of.hours.set(startMs, point)
        for (const minute of of.minutes.keys()) if (minute >= startMs && minute < startMs + HOUR_MS) of.minutes.delete(minute)
      }
    },

    /** Of each series and day that has anything but zeros: in which form it is, and its rows. */
    forms(): Map<string, { form: Form; rows: Table }> {
      const shown = [...days].map(([at, of]) => [at, { form: formOf(of), rows: tableOf(pointsOf(of)) }] as const)
      return new Map(shown.filter(([, { rows }]) => Object.keys(rows).length > 0))
    },

    /** By series and day, the sum of each measure. */
    sums(): Map<string, number[]> {
      const sum = (points: SeriesPoint[]) => MEASURES.map(measure => points.reduce((n, point) => n + point[measure], 0))
      return new Map([...days].map(([at, of]) => [at, sum(pointsOf(of))] as const).filter(([, row]) => row.some(n => n !== 0)))
    },

    /** Hours and their day say the same, wherever both are held. */
    disagreements(): string[] {
      return [...days].flatMap(([at, of]) => {
        if (of.hours.size === 0 || of.day === null) return []
        const { day } = of
        const isEqual = MEASURES.every(
          measure => [...of.hours.values()].reduce((n, hour) => n + hour[measure], 0) === day[measure],
        )
        return isEqual ? [] : [at]
      })
    },
  }
}

export type SeriesReader = ReturnType<typeof createSeriesReader>

const SIZES = { minutes: '1m', hours: '1h', day: '1d' } as const

/** The start of the day in a key of `forms` and `sums`, epoch milliseconds. */
export const dayStartOf = (at: string) => Number(at.slice(at.lastIndexOf('@') + 1))

function dayKeyOf(at: string): string {
  const split = at.lastIndexOf('@')
  return `${at.slice(0, split)}@${Math.floor(Date.parse(at.slice(split + 1)) / DAY_MS) * DAY_MS}`
}

/** What the reader shows of each day from a time on, in the form that it has, beside what a recount of minutes makes in the same form. */
export function compared(reader: SeriesReader, minutes: Table, fromMs: number) {
  const expected = new Map<string, Record<Form, Table>>()
  for (const [form, size] of Object.entries(SIZES) as [Form, (typeof SIZES)[Form]][]) {
    for (const [at, row] of Object.entries(coarser(minutes, size))) {
      const key = dayKeyOf(at)
      if (dayStartOf(key) < fromMs) continue
      const forms = expected.get(key) ?? { minutes: {}, hours: {}, day: {} }
      forms[form][at] = row
      expected.set(key, forms)
    }
  }
  const shown = new Map([...reader.forms()].filter(([at]) => dayStartOf(at) >= fromMs))
  const should = new Map(
    [...expected].map(([at, forms]) => {
      const form = shown.get(at)?.form ?? 'minutes'
      return [at, { form, rows: forms[form] }] as const
    }),
  )
  return { shown, should }
}
