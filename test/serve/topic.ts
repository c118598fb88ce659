/**
 * The series topic as an aggregator with tiers writes it, for tests of those who read it: records in the order of their partitions, roll-ups at random moments
 * among them, and beside it the truth of what was counted.
 */
import { binOf, createDurations } from '../../src/duration-sketch.ts'
import type { SeriesPoint } from '../../src/records.ts'
import { createUsers } from '../../src/users-sketch.ts'
import { point, seeded } from './points.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
export const LENGTHS = { '1m': MINUTE, '1h': HOUR, '1d': DAY } as const
export type Length = keyof typeof LENGTHS

/** A session, or an event beside one. */
export interface Counted {
  readonly bot: string
  readonly at: number
  readonly user: number
  /** null: it has no end. An end is in the minute of its start. */
  readonly durationMs: number | null
  readonly events: number
}

export interface TopicRecord {
  readonly partition: number
  readonly key: string
  readonly seriesKey: string
  readonly start: number
  readonly bucket: Length
  /** null: rolled up, or ended. */
  readonly point: SeriesPoint | null
}

export interface Retention {
  readonly minutes: number
  readonly hours: number
  readonly days: number
}

/** A bot's hash as it might be: the same for the same number. */
const hashOf = (user: number): [high: number, low: number] => {
  const random = seeded(user * 7919 + 1)
  return [(random() * 2 ** 32) | 0, (random() * 2 ** 32) | 0]
}

const floor = (at: number, length: Length) => Math.floor(at / LENGTHS[length]) * LENGTHS[length]

export class SeriesTopic {
  readonly records: TopicRecord[] = []
  /** What is counted, each in the longest point that is kept of it: what has ended is not there. */
  readonly counted = new Set<Counted>()
  /** The points that are on the topic, by key. */
  readonly #revisions = new Map<string, { bot: string; start: number; bucket: Length; revision: number }>()
  /** How far each series and day was rolled up. */
  readonly #rolled = new Map<string, 'hours' | 'days' | 'ended'>()
  readonly #retention: Retention
  /** Minutes before this have no sketches: an older version wrote them. */
  readonly #sketchesFrom: number
  readonly #bots: readonly string[]

  constructor(bots: readonly string[], retention: Retention, sketchesFrom: number) {
    this.#bots = bots
    this.#retention = retention
    this.#sketchesFrom = sketchesFrom
  }

  partitionOf(bot: string): number {
    return this.#bots.indexOf(bot) % 2
  }

  /** The length of the points in which the bot's time is counted now. */
  lengthAt(bot: string, at: number): Length | null {
    const rolled = this.#rolled.get(`${bot} ${floor(at, '1d')}`)
    if (rolled === undefined) return '1m'
    return { hours: '1h', days: '1d', ended: null }[rolled] as Length | null
  }

  /** Whether there is a point of the bot that begins then, and is counted. */
  isPublished(bot: string, start: number, bucket: Length): boolean {
    return this.#revisions.has(keyOf(bot, start, bucket)) && this.lengthAt(bot, start) === bucket
  }

  /** The starts of all points of that length. */
  published(bot: string, bucket: Length): number[] {
    return [...this.#revisions.values()]
      .filter(each => each.bot === bot && each.bucket === bucket && this.lengthAt(bot, each.start) === bucket)
      .map(({ start }) => start)
  }

  /** Counts it, if its day has not ended. */
  add(each: Counted, now: number): void {
    this.#catchUp(each.bot, each.at, now)
    if (this.lengthAt(each.bot, each.at) === null) return
    this.counted.add(each)
    this.#publish(each.bot, each.at)
  }

  /** Takes it back. */
  withdraw(each: Counted, now: number): void {
    this.#catchUp(each.bot, each.at, now)
    if (!this.counted.delete(each)) return
    this.#publish(each.bot, each.at)
  }

  /** Days of a bot that are due to be rolled up, or to end. */
  due(now: number): { bot: string; day: number }[] {
    const days = new Map<string, { bot: string; day: number }>()
    for (const bot of this.#bots) {
      for (const length of ['1m', '1h', '1d'] as const)
        for (const start of this.published(bot, length))
          days.set(`${bot} ${floor(start, '1d')}`, { bot, day: floor(start, '1d') })
    }
    return [...days.values()].filter(({ bot, day }) => this.#isDue(bot, day, now))
  }

  /** One step of the roll-up of one day of one bot. @returns how many records it wrote */
  roll(bot: string, day: number): number {
    const before = this.records.length
    const length = this.lengthAt(bot, day)
    if (length === '1m') {
      const minutes = this.published(bot, '1m').filter(start => floor(start, '1d') === day)
      this.#rolled.set(`${bot} ${day}`, 'hours')
      for (const hour of new Set(minutes.map(start => floor(start, '1h')))) this.#put(bot, hour, '1h')
      if (minutes.length > 0) this.#put(bot, day, '1d')
      for (const minute of minutes) this.#end(bot, minute, '1m')
    } else if (length === '1h') {
      const hours = this.published(bot, '1h').filter(start => floor(start, '1d') === day)
      this.#rolled.set(`${bot} ${day}`, 'days')
      for (const hour of hours) this.#end(bot, hour, '1h')
    } else if (length === '1d') {
      this.#rolled.set(`${bot} ${day}`, 'ended')
      for (const each of this.counted) if (each.bot === bot && floor(each.at, '1d') === day) this.counted.delete(each)
      if (this.#revisions.has(keyOf(bot, day, '1d'))) this.#end(bot, day, '1d')
    }
    return this.records.length - before
  }

  /** As a log cleaner may leave it: of what lies before a place, only the newest of each key, and of nulls before another place none. */
  compacted(random: () => number): TopicRecord[] {
    const kept: TopicRecord[] = []
    for (const partition of [0, 1]) {
      const all = this.records.filter(each => each.partition === partition)
      const until = Math.floor(random() * (all.length + 1))
      const nullsFrom = Math.floor(random() * (until + 1))
      const newest = new Map(all.slice(0, until).map((each, at) => [each.key, at]))
      kept.push(
        ...all.filter((each, at) => at >= until || (newest.get(each.key) === at && (each.point !== null || at >= nullsFrom))),
      )
    }
    return kept
  }

  #isDue(bot: string, day: number, now: number): boolean {
    const { minutes, hours, days } = this.#retention
    const ageMs = (length: Length) => ({ '1m': minutes, '1h': hours, '1d': days })[length] * DAY
    const length = this.lengthAt(bot, day)
    return length !== null && day + DAY <= floor(now - ageMs(length), '1d')
  }

  #catchUp(bot: string, at: number, now: number): void {
    const day = floor(at, '1d')
    while (this.#isDue(bot, day, now)) this.roll(bot, day)
  }

  /** The points that the time belongs to, after a change. */
  #publish(bot: string, at: number): void {
    const length = this.lengthAt(bot, at)
    if (length === '1m') this.#put(bot, floor(at, '1m'), '1m')
    if (length === '1h') this.#put(bot, floor(at, '1h'), '1h')
    if (length !== '1m') this.#put(bot, floor(at, '1d'), '1d')
  }

  #put(bot: string, start: number, bucket: Length): void {
    const key = keyOf(bot, start, bucket)
    const revision = (this.#revisions.get(key)?.revision ?? 0) + 1
    this.#revisions.set(key, { bot, start, bucket, revision })
    const parts = [...this.counted].filter(each => each.bot === bot && floor(each.at, bucket) === start)
    const durations = createDurations()
    const users = createUsers()
    for (const { durationMs, user } of parts) {
      if (durationMs !== null) durations.add(binOf(durationMs), 1)
      users.add(...hashOf(user))
    }
    const ended = parts.filter(({ durationMs }) => durationMs !== null)
    const isOld = (all: readonly Counted[]) => all.some(each => each.at < this.#sketchesFrom)
    this.#write(bot, start, bucket, {
      ...point({ at: start, bot_id: bot }),
      bucket,
      revision,
      sessions: parts.length,
      sessions_ended: ended.length,
      duration_ms: ended.reduce((sum, each) => sum + (each.durationMs ?? 0), 0),
      events: parts.reduce((sum, each) => sum + each.events, 0),
      duration_sketch: ended.length === 0 || isOld(ended) ? null : Buffer.from(durations.encode()),
      users_sketch: parts.length === 0 || isOld(parts) ? null : Buffer.from(users.encode()),
    })
  }

  #end(bot: string, start: number, bucket: Length): void {
    this.#revisions.delete(keyOf(bot, start, bucket))
    this.#write(bot, start, bucket, null)
  }

  #write(bot: string, start: number, bucket: Length, made: SeriesPoint | null): void {
    const partition = this.partitionOf(bot)
    this.records.push({ partition, key: keyOf(bot, start, bucket), seriesKey: seriesKeyOf(bot), start, bucket, point: made })
  }
}

const seriesKeyOf = (bot: string) => point({ at: 0, bot_id: bot }).series_key
const keyOf = (bot: string, start: number, bucket: Length) =>
  `${seriesKeyOf(bot)}@${new Date(start).toISOString()}${bucket === '1m' ? '' : `@${bucket}`}`
