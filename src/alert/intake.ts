/** From points of the series topic to the engines of the vendors that are ours. */
import type { Follower } from '../follow/follower.ts'
import { botKey, type SeriesPoint } from '../records.ts'
import type { Rule } from '../rules.ts'
import type { Judge, SeriesKey } from './judge.ts'
import { type Bot, measuresOf, type Reading, readingOf } from './reads.ts'
import { numberOf, type Share } from './share.ts'

export interface Intake {
  /** A point that the process before did not know (`Share.taken`) waits for `putNews`. */
  put(point: PointOf, place: { readonly partition: number; readonly offset: number }): void
  /** The shares have resumed: what waited is put, and what comes from now on at once. */
  putNews(): void
  /** Looks at the marks again where they have changed. */
  look(follower: Pick<Follower, 'watermarks'>): void
  /** The bots of which there is any minute or hour, by bot key. */
  readonly bots: ReadonlyMap<string, Bot>
  /** Series of the number that were met since the last call. */
  newGroups(number: number): SeriesKey[]
  readonly reading: Reading | null
}

type PointOf = Pick<SeriesPoint, 'series_key' | 'bucket_start' | 'bucket' | keyof SeriesKey> & Partial<SeriesPoint>

/** Points into the engines of the vendors that are ours. */
export function createIntake(
  rules: readonly Rule[],
  partitions: number,
  shareOf: (vendor: string) => Pick<Share, 'judge' | 'taken'> | undefined,
): Intake {
  const measures = measuresOf(rules)
  const keys = new Map<string, SeriesKey>()
  const bots = new Map<string, Bot>()
  const fresh = new Map<number, SeriesKey[]>()
  /** What waits for the end of the first reading; null: that is over. */
  let news: (() => void)[] | null = []
  let reading: Reading | null = null
  let version = -1

  function keyOf(point: PointOf): SeriesKey {
    const known = keys.get(point.series_key)
    if (known !== undefined) return known
    const { vendor, account, bot_id, channel, language } = point
    const key = { vendor, account, bot_id, channel, language }
    keys.set(point.series_key, key)
    bots.set(botKey(key), { vendor, account, bot_id })
    const number = numberOf(vendor, partitions)
    fresh.set(number, [...(fresh.get(number) ?? []), key])
    return key
  }

  return {
    bots,
    newGroups(number) {
      const groups = fresh.get(number) ?? []
      fresh.delete(number)
      return groups
    },
    get reading() {
      return reading
    },
    look({ watermarks }) {
      if (watermarks.version === version) return
      version = watermarks.version
      reading = readingOf(watermarks, rules)
    },
    put(point, { partition, offset }) {
      // Days say nothing of the hour of the week.
      if (point.bucket !== '1m' && point.bucket !== '1h') return
      const share = shareOf(point.vendor)
      if (share === undefined) return
      if (news !== null && offset >= (share.taken?.[partition] ?? Number.POSITIVE_INFINITY))
        news.push(() => give(share.judge, point))
      else give(share.judge, point)
    },
    putNews() {
      for (const put of news ?? []) put()
      news = null
    },
  }

  function give(judge: Judge, point: PointOf): void {
    const key = keyOf(point)
    const values = Object.fromEntries(
      measures.map(measure => [measure, reading?.isUntold(key, measure) === true ? null : (point[measure] ?? 0)]),
    )
    const taken = { ...key, bucket_start: point.bucket_start, values }
    if (point.bucket === '1m') judge.put(taken)
    else judge.putHour(taken)
  }
}
