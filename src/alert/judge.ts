/**
 * The engine of alerts: minutes of series and marks in, records of alerts out. Pure: no Kafka, no clock, no timer.
 *
 * Time is event time. A bot is judged minute after minute up to where it has been read (its mark), and judged again when minutes of the last hour change. All
 * that is learnt is a function of the minutes that are held (five weeks of hours, twelve days of minutes) and of `memory`, and alert ids are made of rule, group
 * and start, so a process that is started anew goes on as if nothing had been: it is given the memory, then the minutes of that moment, then `resuming`.
 *
 * Minutes that were rolled up come as hours. An hour teaches what is usual exactly as its minutes did, and is never judged, so a roll-up neither fires nor ends an
 * alert. Only how much counts vary beyond chance needs minutes: a process that starts where fewer than twelve days of them are kept learns it from those.
 */
import type { Alert, Measure } from '../records.ts'
import { LEVELS, type Rule } from '../rules.ts'
import { finish, type Steps } from '../slices.ts'
import { HISTORY_HOURS, SETTLING_HOURS, type SlotOf } from './baseline.ts'
import { type Asked, overspent } from './burn.ts'
import { choose, doubtOf, held, judgedMinutes, type Range, rangeOf } from './choice.ts'
import { AGES, Delays } from './delay.ts'
import { lengthsBetween, type Limits, mostUnusual, onsetOf, SPAN, tailOf } from './detector.ts'
import { presumedRho, rhoBy } from './dispersion.ts'
import { type Columns, countsOf, learnAbove, learnHour, minutesOf, refreshLeaf } from './groups.ts'
import { slotsIn } from './local-time.ts'
import { HOUR_MS, HourPoints } from './hours.ts'
import { MINUTE_MS, Minutes } from './minutes.ts'
import {
  changesOf,
  delaysKey,
  type Memory,
  type MemoryChanges,
  nodeKey,
  parsed,
  type Range as Span,
  rangesOf,
  readKey,
  timeRecords,
  timesIn,
} from './memory.ts'
import { type Clock, type Episode, firstHourOf, isAged, Leaf, type Node, Tree } from './tree.ts'
import { type Finding, firing, resolved, shownNumber, shownTime } from './verdict.ts'

/** A minute of a series as the topic has it now; the newest replaces the one before. Null: the vendor does not tell. */
export interface Minute {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: string
  readonly language: string
  /** Epoch milliseconds, a whole minute. */
  readonly bucket_start: number
  /** A measure that is absent counts 0. */
  readonly values: Readonly<Partial<Record<Measure, number | null>>>
}

/** An hour of a series, of which the minutes were rolled up: as a minute, with `bucket_start` a whole hour. */
export type Hour = Minute

export type SeriesKey = Pick<Minute, 'vendor' | 'account' | 'bot_id' | 'channel' | 'language'>

/** What has been read: everything of the bot before `completeUntil` (null: nothing yet), for what the rules' measures are made of. */
export interface Read {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly completeUntil: number | null
}

/** A record of the alerts topic that must be written now, in this order. */
export type Verdict = Alert

export interface JudgeOptions {
  readonly rules: readonly Rule[]
  /** IANA zone of an account, for hours of the week. Default UTC. */
  readonly zoneOf?: (vendor: string, account: string) => string
  /** What `judgedUntil` of the process before returned: what lies before is learnt and not raised. Absent: all is judged that is not late. */
  readonly from?: Readonly<Record<string, number>>
  /** Records that `memoryChanges` of the process before returned, the newest of each key. */
  readonly memory?: Memory
  /** Minutes that become known later than this after their time teach, but neither fire nor resolve. Default one hour. */
  readonly lateMs?: number
}

export interface Judge {
  /** Takes a minute in, also again with other values, also late, in any order. */
  put(minute: Minute): void
  /** Takes an hour in, in place of its minutes, also again with other values, in any order. The nulls of minutes that follow it mean nothing. */
  putHour(hour: Hour): void
  /** Alerts that stand on the topic (a restart): they go on as they stand, and are not raised again. */
  restore(alerts: readonly Alert[]): void
  /**
   * Judges, minute after minute in event time, all that has become judgeable since the last call by these marks, and the last hour again where minutes changed.
   *
   * @param reads The newest mark of each bot; a mark that does not move need not be repeated.
   * @param nowMs When this is known: the `updated_at` of what is raised. null: a replay, in which every minute counts as known when it ends.
   */
  judge(reads: readonly Read[], nowMs: number | null): Verdict[]
  /** The same in steps, for a process with other work. What is put between two steps waits for the end, so the verdicts are those of `judge`. One at a time. */
  judging(reads: readonly Read[], nowMs: number | null): Steps<Verdict[]>
  /** Up to where each bot has been judged, by `JSON.stringify([vendor, account, bot_id])`: `from` of the next process. */
  judgedUntil(): Record<string, number>
  /**
   * What the series do not hold: how late counts become known, what became known too late to be judged, how much counts vary. Records that differ from those of the
   * last call, by key (`memory.ts`): together they are `memory` of the next process. Not while a judging is under way.
   */
  memoryChanges(): MemoryChanges
  /**
   * Brings everything to where the process before stood. Call it once, after `restore` and when all minutes have been put that that process knew, and before those that
   * it did not: what is put from then on is news, which may be too late. Without it all that is put before the first judging is what was known.
   */
  resuming(): Steps<void>
}

const LATE_MS = 3_600_000
/** Bots of one vendor are judged together, so that one alert is raised for what they share; whoever is read so many minutes later is not waited for. */
const WAIT = 2
/** No alert before so many hours of a bot are known. */
const WARM_UP_HOURS = 24
/** What is usual is known badly at first: the budget of a group grows with what is known of it up to so many hours. Without that, the first three weeks of the worlds of
 * bench/alerts (seeds 600000 to 600011) raised 0.2 to 0.3 false alerts a channel-week at a budget of 0.1. */
const GROWN_UP_HOURS = 3 * 168
/** Of the budget of false alerts, what the smallest groups may use; the levels above them on which there are groups of several share the rest. */
const LEAF_BUDGET = 0.5
/** A rise is over where the usual rate explains a window e^3 times better than half of the rise does; where no window is that telling, the longest decides. */
const TELLING = 3
/** Windows for that are about so many times longer than the one before: finer than those for a rise, because looking more often costs no false alerts. */
const CALM_STEP = 1.42
/** How far back the end of a rise is looked for, in minutes. */
const MOST_ENDING = 720
/** The rate is judged where at least this share of what happened is known. */
const SETTLED_SHARE = 0.8

interface Plan {
  readonly rule: Rule
  readonly columns: Columns
  /** Of the windows in which a rise is looked for, in minutes. */
  readonly lengths: readonly number[]
  /** Of those in which its end is. */
  readonly calmLengths: readonly number[]
  /** So many minutes back is looked. */
  readonly reach: number
  readonly trees: Map<string, Tree>
  readonly delays: Map<string, Delays>
}

interface Series {
  readonly minutes: Minutes
  readonly hours: HourPoints
  readonly places: readonly { readonly plan: Plan; readonly leaf: Leaf; readonly clock: Clock }[]
}

export function createJudge(options: JudgeOptions): Judge {
  const { rules, zoneOf = () => 'UTC', lateMs = LATE_MS, from = {} } = options
  /** What no group has taken yet. */
  const remembered = new Map(options.memory ?? [])
  const recall = (key: string): unknown => {
    const value = remembered.get(key)
    remembered.delete(key)
    return value === undefined ? null : JSON.parse(value)
  }
  const measures = [...new Set(rules.flatMap(({ measure, per }) => (per === null ? [measure] : [measure, per])))]
  const columnOf = (measure: Measure | null) => (measure === null ? -1 : measures.indexOf(measure))
  const plans = rules.map((rule): Plan => {
    const [shortest = 0, longest = shortest] = [rule.windowsMs[0], rule.windowsMs.at(-1)]
    return {
      rule,
      columns: { kind: rule.per === null ? 'count' : 'share', count: columnOf(rule.measure), volume: columnOf(rule.per) },
      lengths: lengthsBetween(shortest / MINUTE_MS, longest / MINUTE_MS),
      calmLengths: lengthsBetween(shortest / MINUTE_MS, longest / MINUTE_MS, CALM_STEP),
      reach: Math.max(2 * SPAN, ...rule.burn.map(({ longMs }) => longMs / MINUTE_MS)),
      trees: new Map(),
      delays: new Map(),
    }
  })
  const seriesByKey = new Map<string, Series>()
  const places = new Map<Leaf, Clock>()
  const slots = new Map<string, SlotOf>()
  const marks = new Map<string, Read>()
  /** Records of marks, as they were written last. */
  const writtenMarks = new Map<string, string>()
  for (const [bot, completeUntil] of Object.entries(timesIn('read', remembered))) marks.set(bot, readOf(bot, completeUntil))
  for (const [key, value] of remembered) {
    if (readKey(key)?.[0] !== 'read') continue
    writtenMarks.set(key, value)
    remembered.delete(key)
  }
  let waiting: Alert[] = []
  /** What came while a judging is under way; null: none is. */
  let later: (() => void)[] | null = null

  const slotOf = (vendor: string, account: string): SlotOf => {
    const zone = zoneOf(vendor, account)
    let found = slots.get(zone)
    if (found === undefined) slots.set(zone, (found = slotsIn(zone)))
    return found
  }

  const delaysOf = (plan: Plan, vendor: string, account: string): Delays => {
    const key = delaysKey(plan.rule.name, vendor, account)
    let found = plan.delays.get(key)
    if (found === undefined) plan.delays.set(key, (found = new Delays(recall(key) as number[][] | null)))
    return found
  }

  const treeOf = (plan: Plan, vendor: string): Tree => {
    let tree = plan.trees.get(vendor)
    if (tree === undefined) plan.trees.set(vendor, (tree = new Tree(plan.rule, vendor, presumedRho(plan.columns.kind))))
    return tree
  }

  /** A smallest group that is new here knows what was remembered of it, and of all above it. */
  const remind = (plan: Plan, clock: Clock, leaf: Leaf) => {
    const { name } = plan.rule
    for (const node of leaf.upwards()) {
      const found = recall(nodeKey('dispersion', name, Object.values(node.labels))) as [number, number, number] | null
      if (found === null) continue
      node.setRho(found[0], [found[1], found[2]])
      node.isRhoChanged = false
    }
    const seen = recall(nodeKey('seen', name, Object.values(clock.top.labels)))
    if (seen !== null) clock.seenBefore = JSON.stringify(seen)
    const ahead = recall(nodeKey('ahead', name, Object.values(clock.top.labels))) as number | null
    if (ahead !== null) {
      clock.judged = Math.max(clock.judged ?? 0, ahead)
      clock.aheadBefore = ahead
    }
    const late = recall(nodeKey('late', name, Object.values(clock.top.labels))) as [number, number][] | null
    if (late !== null) clock.late = late
    const minutes = recall(nodeKey('late-minutes', name, Object.values(leaf.labels))) as [number, number][] | null
    for (const [from, until] of minutes ?? []) for (let minute = from; minute < until; minute++) leaf.late.add(minute)
  }

  /** A clock starts where the process before had come to. */
  const begin = (clock: Clock, key: SeriesKey) => {
    const bot = botKeyOf(key)
    const fromMs = from[bot]
    if (fromMs !== undefined && !clock.marks.has(bot)) clock.judged = Math.max(clock.judged ?? 0, Math.floor(fromMs / MINUTE_MS))
    const read = marks.get(bot)
    if (read !== undefined) setMark(clock, bot, read)
  }

  const seriesOf = (key: SeriesKey): Series => {
    const name = LEVELS.map(level => key[level]).join('\0')
    let series = seriesByKey.get(name)
    if (series === undefined) {
      const minutes = new Minutes(measures.length)
      series = {
        minutes,
        hours: new HourPoints(measures.length),
        places: plans.map(plan => {
          const tree = treeOf(plan, key.vendor)
          const leaf = tree.leafOf(key)
          const clock = tree.clockOf(leaf, account => ({
            slotOf: slotOf(key.vendor, account),
            delays: delaysOf(plan, key.vendor, account),
          }))
          leaf.addSeries(name, minutes)
          leaf.changedFrom = Number.NEGATIVE_INFINITY
          if (!places.has(leaf)) remind(plan, clock, leaf)
          places.set(leaf, clock)
          begin(clock, key)
          return { plan, leaf, clock }
        }),
      }
      seriesByKey.set(name, series)
    }
    return series
  }

  const attach = (alert: Alert): boolean => {
    const plan = plans.find(({ rule }) => rule.name === alert.rule)
    const tree = plan?.trees.get(alert.vendor)
    if (plan === undefined || tree === undefined) return false
    const values = plan.rule.by.map(level => alert[level]).filter((value): value is string => value !== null && value !== '')
    // An empty language is a value of its own.
    if (plan.rule.by.at(-1) === 'language' && alert.language === '') values.push('')
    const node = tree.find(values)
    if (node === null) return false
    // The newest record of an alert is the alert.
    node.episodes = node.episodes.filter(episode => episode.alert.alert_id !== alert.alert_id)
    node.episodes.push({
      alert,
      node,
      start: Math.floor(alert.starts_at / MINUTE_MS),
      end: alert.ends_at === null ? null : Math.ceil(alert.ends_at / MINUTE_MS),
    })
    node.episodes.sort((a, b) => a.start - b.start)
    for (const leaf of node.leaves) leaf.changedFrom = Number.NEGATIVE_INFINITY
    return true
  }

  /** Runs the work; what is put meanwhile waits for its end. */
  function* alone<T>(work: Steps<T>): Steps<T> {
    const waited: (() => void)[] = []
    later = waited
    const found = yield* work
    later = null
    for (const take of waited) take()
    return found
  }

  /** The trees of a rule, and what a pass over one of them needs. */
  const treesOf = (plan: Plan) => [...plan.trees.values()].sort((a, b) => (vendorOf(a) < vendorOf(b) ? -1 : 1))
  const surroundingsOf = (plan: Plan): Surroundings => ({
    columns: plan.columns,
    lengths: plan.lengths,
    calmLengths: plan.calmLengths,
    reach: plan.reach,
    clockOf: leaf => places.get(leaf) as Clock,
    lateMs,
  })

  function* resumed(): Steps<void> {
    waiting = waiting.filter(alert => !attach(alert))
    for (const plan of plans) for (const tree of treesOf(plan)) yield* createPass(tree, surroundingsOf(plan), null).resume()
  }

  function* judged(reads: readonly Read[], nowMs: number | null): Steps<Verdict[]> {
    for (const read of reads) {
      marks.set(botKeyOf(read), read)
      for (const plan of plans) {
        for (const clock of plan.trees.get(read.vendor)?.clocks ?? []) if (isOf(clock, read)) setMark(clock, botKeyOf(read), read)
      }
    }
    waiting = waiting.filter(alert => !attach(alert))
    const verdicts: Verdict[] = []
    for (const plan of plans) {
      for (const tree of treesOf(plan)) verdicts.push(...(yield* createPass(tree, surroundingsOf(plan), nowMs).judge()))
    }
    for (const series of seriesByKey.values()) {
      series.minutes.prune(Math.min(...series.places.map(({ clock }) => clock.judged ?? 0)) - 1440)
    }
    return verdicts
  }

  return {
    put(minute) {
      if (later !== null) {
        later.push(() => this.put(minute))
        return
      }
      const at = Math.floor(minute.bucket_start / MINUTE_MS)
      const series = seriesOf(minute)
      const { minutes } = series
      if (!minutes.isOpen(at) || series.hours.has(Math.floor(at / 60))) return
      const before = measures.map((_, i) => minutes.at(at, i))
      let isChanged = false
      for (const [i, measure] of measures.entries()) {
        const now = valueOf(minute, measure)
        if (Object.is(now, before[i])) continue
        minutes.set(at, i, now)
        isChanged = true
      }
      if (!isChanged) return
      for (const { plan, leaf, clock } of series.places) changed(plan, leaf, clock, at, before, minutes)
    },

    putHour(point) {
      if (later !== null) {
        later.push(() => this.putHour(point))
        return
      }
      const hour = Math.floor(point.bucket_start / HOUR_MS)
      const series = seriesOf(point)
      // What minutes taught that are not held any more stays as it is.
      if (!series.hours.has(hour) && !series.minutes.isOpen(hour * 60)) return
      const values = measures.map(measure => valueOf(point, measure))
      const before = series.places.map(({ plan }) => learnt(series, hour, plan.columns))
      const isHeld = series.hours.set(hour, values)
      for (const [i, { leaf, plan, clock }] of series.places.entries()) {
        const [count, volume] = toldOf(plan.columns, measure => values[measure] as number)
        // So old that it only says since when the group is known.
        if (!isHeld && (count !== 0 || volume !== 0)) leaf.hours.first = Math.min(leaf.hours.first, hour)
        const [wasCount, wasVolume] = before[i] as [number, number]
        if (!isHeld || (count === wasCount && volume === wasVolume)) continue
        leaf.addRolled(hour, count - wasCount, volume - wasVolume)
        learnAgain(clock, hour)
        leaf.pruneHours(series.hours.from)
      }
    },

    restore(alerts) {
      waiting.push(...alerts)
    },

    judge: (reads, nowMs) => finish(alone(judged(reads, nowMs))),
    judging: (reads, nowMs) => alone(judged(reads, nowMs)),
    resuming: () => alone(resumed()),

    judgedUntil() {
      const until: Record<string, number> = { ...from }
      const seen = new Map<string, number>()
      for (const clock of places.values()) {
        if (clock.judged === null) continue
        for (const bot of clock.marks.keys()) seen.set(bot, Math.min(seen.get(bot) ?? Number.POSITIVE_INFINITY, clock.judged))
      }
      for (const [bot, minute] of seen) until[bot] = minute * MINUTE_MS
      return until
    },

    memoryChanges() {
      const times: Record<string, number> = {}
      for (const [bot, { completeUntil }] of marks) if (completeUntil !== null) times[bot] = completeUntil
      const changes = changesOf(writtenMarks, timeRecords('read', times))
      const until = this.judgedUntil()
      for (const { rule, delays, trees, columns } of plans) {
        for (const [key, each] of delays) if (each.takeChange()) changes.set(key, JSON.stringify(each.memory()))
        for (const tree of trees.values()) addChanges(changes, rule.name, tree, columns, until)
      }
      for (const key of [...remembered.keys()].filter(isForgotten)) {
        remembered.delete(key)
        changes.set(key, null)
      }
      return changes
    },
  }

  /** Whether what was remembered of a group that has no series here can be of no use any more. */
  function isForgotten(key: string): boolean {
    const [kind, name] = readKey(key) ?? []
    const plan = plans.find(({ rule }) => rule.name === name)
    if (plan === undefined) return true
    const newest = Math.max(...places.values().map(({ judged }) => judged ?? Number.NEGATIVE_INFINITY))
    if (newest === Number.NEGATIVE_INFINITY) return false
    const value = JSON.parse(remembered.get(key) ?? '[]') as number[][] & [number]
    if (kind === 'delays') return Delays.isForgotten(value, newest)
    if (kind === 'seen' || kind === 'ahead') return true
    if (kind === 'dispersion') return value[0] * 60 < newest - HISTORY_HOURS * 60
    return (value.at(-1)?.[1] ?? 0) < newest - plan.reach
  }

  /** A minute of a series has other values: the group's hours follow, and it will be judged again. */
  function changed(plan: Plan, leaf: Leaf, clock: Clock, minute: number, before: readonly number[], minutes: Minutes): void {
    const [wasCount, wasVolume] = toldOf(plan.columns, measure => before[measure] as number)
    const [isCount, isVolume] = toldOf(plan.columns, measure => minutes.at(minute, measure))
    leaf.hours.add(Math.floor(minute / 60), isCount - wasCount, isVolume - wasVolume)
    leaf.changedFrom = Math.min(leaf.changedFrom, minute)
    learnAgain(clock, Math.floor(minute / 60))
    // What is read before the first judgement is the history that the process before has judged, however old it is.
    if (clock.judged === null || Number.isNaN(clock.hour)) return
    if (minute >= clock.judged - lateMs / MINUTE_MS || minute < clock.judged - plan.reach) return
    leaf.late.add(minute)
    leaf.isLateChanged = true
  }
}

/** An hour that has settled counts otherwise now. What was learnt stays a function of what is counted, as the next process will learn it. */
function learnAgain(clock: Clock, hour: number): void {
  if (hour < clock.hour - SETTLING_HOURS) clock.isStale = true
}

/** What was counted otherwise when the clock's mark last moved: place, count and volume then. null: nothing was. */
function changedSince(clock: Clock, columns: Columns): string | null {
  const { seen } = clock
  if (seen === null) return null
  const now = countsOf(clock, seen.mark, columns)
  const others: [number, number, number][] = []
  for (let i = 0; i <= AGES; i++) {
    if (now.count[i] !== seen.count[i] || now.volume[i] !== seen.volume[i])
      others.push([i, seen.count[i] as number, seen.volume[i] as number])
  }
  return others.length > 0 ? JSON.stringify(others) : null
}

/** The minute up to which a clock was judged, where that is later than `judgedUntil` of its bots, which a wider group of another rule holds back; else null. */
function aheadOf({ judged, marks }: Clock, until: Readonly<Record<string, number>>): number | null {
  const least = Math.min(...[...marks.keys()].map(bot => until[bot] ?? Number.POSITIVE_INFINITY))
  return judged !== null && judged * MINUTE_MS > least ? judged : null
}

/**
 * What the process after this one must know of the groups of a tree.
 *
 * @param until As `judgedUntil` returns it.
 */
function addChanges(
  changes: MemoryChanges,
  rule: string,
  tree: Tree,
  columns: Columns,
  until: Readonly<Record<string, number>>,
): void {
  const late = (kind: 'late' | 'late-minutes', node: Node, ranges: readonly Span[]) =>
    changes.set(nodeKey(kind, rule, Object.values(node.labels)), ranges.length > 0 ? JSON.stringify(ranges) : null)
  for (const clock of tree.clocks) {
    if (clock.isLateChanged) late('late', clock.top, clock.late)
    clock.isLateChanged = false
    const ahead = aheadOf(clock, until)
    if (ahead !== clock.aheadBefore)
      changes.set(nodeKey('ahead', rule, Object.values(clock.top.labels)), ahead === null ? null : JSON.stringify(ahead))
    clock.aheadBefore = ahead
    const seen = changedSince(clock, columns)
    if (seen !== clock.seenBefore) changes.set(nodeKey('seen', rule, Object.values(clock.top.labels)), seen)
    clock.seenBefore = seen
    for (const leaf of clock.leaves) {
      if (leaf.isLateChanged) late('late-minutes', leaf, rangesOf(leaf.late))
      leaf.isLateChanged = false
    }
  }
  for (const node of tree.root.downwards()) {
    if (node.isRhoChanged)
      changes.set(nodeKey('dispersion', rule, Object.values(node.labels)), JSON.stringify([node.rhoHour, ...node.rho]))
    node.isRhoChanged = false
  }
}

/** NaN: the vendor does not tell. */
function valueOf({ values }: Minute, measure: Measure): number {
  const value = values[measure]
  return value === null ? Number.NaN : (value ?? 0)
}

/** Count and volume; nothing where the vendor does not tell one of them. */
function toldOf({ count, volume }: Columns, at: (measure: number) => number): [count: number, volume: number] {
  const [x, n] = [at(count), volume < 0 ? 0 : at(volume)]
  return Number.isNaN(x + n) ? [0, 0] : [x, n]
}

/** What the series has taught of an hour: as the point says that took the place of its minutes, or minute by minute. */
function learnt({ hours, minutes }: Series, hour: number, columns: Columns): [count: number, volume: number] {
  if (hours.has(hour)) return toldOf(columns, measure => hours.at(hour, measure))
  const sums: [number, number] = [0, 0]
  for (let minute = hour * 60; minute < hour * 60 + 60; minute++) {
    const [count, volume] = toldOf(columns, measure => minutes.at(minute, measure))
    sums[0] += count
    sums[1] += volume
  }
  return sums
}

const vendorOf = (tree: Tree) => tree.root.labels.vendor ?? ''
const readOf = (key: string, completeUntil: number): Read => {
  const [vendor = '', account = '', bot_id = ''] = JSON.parse(key) as string[]
  return { vendor, account, bot_id, completeUntil }
}
const botKeyOf = ({ vendor, account, bot_id }: Pick<Read, 'vendor' | 'account' | 'bot_id'>) =>
  JSON.stringify([vendor, account, bot_id])

function isOf({ top }: Clock, read: Read): boolean {
  const { account = read.account, bot_id = read.bot_id } = top.labels
  return account === read.account && bot_id === read.bot_id
}

/** The clock is read as far as all of its bots are. */
function setMark(clock: Clock, bot: string, { completeUntil }: Read): void {
  if (completeUntil === null) clock.marks.delete(bot)
  else clock.marks.set(bot, Math.floor(completeUntil / MINUTE_MS))
  const least = Math.min(...clock.marks.values())
  // What was judged once is not unread again.
  if (clock.marks.size > 0) clock.mark = Math.max(least, clock.judged ?? least)
}

interface Surroundings {
  readonly columns: Columns
  readonly lengths: readonly number[]
  readonly calmLengths: readonly number[]
  readonly reach: number
  readonly clockOf: (leaf: Leaf) => Clock
  readonly lateMs: number
}

interface Pass {
  /** From where each clock was judged to where it may be judged now. */
  judge(): Steps<Verdict[]>
  /** To where each clock was judged by the process before, without judging it. */
  resume(): Steps<void>
}

/** One pass over one tree. */
function createPass(tree: Tree, around: Surroundings, nowMs: number | null): Pass {
  const { rule, root } = tree
  const { columns, lengths, calmLengths, reach, lateMs } = around
  const verdicts: Verdict[] = []
  const slotOfLeaf = (leaf: Leaf, end: number) => around.clockOf(leaf).slotOf(Math.floor((end - 1) / 60))

  /** Up to where each clock may be judged now. */
  function limits(): Map<Clock, number> {
    const known = tree.clocks.filter(clock => clock.mark !== null)
    const newest = Math.max(...known.map(clock => clock.mark as number))
    const together = known.filter(clock => (clock.mark as number) >= newest - WAIT)
    const shared = Math.min(...together.map(clock => clock.mark as number))
    return new Map(known.map(clock => [clock, together.includes(clock) ? shared : (clock.mark as number)]))
  }

  /** What became known since the last pass teaches how late things become known. */
  function learnDelays(clock: Clock): void {
    const mark = clock.mark as number
    if (clock.seen?.mark === mark) return
    const sums = countsOf(clock, mark, columns)
    const { seen } = clock
    clock.seen = sums
    if (seen === null || nowMs === null) return
    const shift = mark - seen.mark
    clock.delays.learn(seen.mark, mark, minute => {
      const then = minute - (seen.mark - AGES - 1)
      return {
        was: seen.count[then] ?? 0,
        wasVolume: seen.volume[then] ?? 0,
        is: sums.count[then - shift] ?? 0,
        isVolume: sums.volume[then - shift] ?? 0,
      }
    })
  }

  /** A clock that was never judged begins where its first minute lies that was not rolled up, or where minutes are not late; late ones are only learnt. */
  function skipLate(clock: Clock, limit: number): void {
    const first = Math.max(firstHourOf(clock.leaves) * 60, ...clock.leaves.map(leaf => leaf.rolledUntil))
    const isFirst = clock.judged === null
    const begun = clock.judged ?? (Number.isFinite(first) ? Math.min(first, limit) : limit)
    const onTime = nowMs === null ? begun : Math.ceil((nowMs - lateMs) / MINUTE_MS)
    clock.judged = Math.max(begun, Math.min(limit, onTime))
    if (isFirst) clock.late.push([0, clock.judged])
    else if (clock.judged > begun) clock.late.push([begun, clock.judged])
    if (isFirst || clock.judged > begun) clock.isLateChanged = true
    const kept = clock.judged - reach
    if (clock.late.some(([, until]) => until < kept)) {
      clock.late = clock.late.filter(([, until]) => until >= kept)
      clock.isLateChanged = true
    }
    for (const leaf of clock.leaves)
      for (const minute of leaf.late) if (minute < kept) leaf.isLateChanged = leaf.late.delete(minute)
  }

  const isWarm = (clock: Clock, hour: number) => hour - firstHourOf(clock.leaves) >= WARM_UP_HOURS

  /** False alerts a week that a group may cause. A smallest group that has none beside it need not share its budget. */
  const levels = levelsAbove(root)
  const budgetOf = (node: Node, end: number) => {
    const knownHours = end / 60 - firstHourOf(node.leaves)
    const budget = rule.alertsPerWeek * Math.min(1, knownHours / GROWN_UP_HOURS)
    if (!(node instanceof Leaf)) return (budget * (1 - LEAF_BUDGET) * node.leaves.length) / levels
    return budget * (levels > 0 ? LEAF_BUDGET : 1)
  }

  /** Brings the clocks' groups, and all above them, up to the minute `end`. Returns the groups that changed, with the first minute that did. */
  function* refresh(ready: readonly Clock[], end: number): Steps<Map<Node, number>> {
    const changed = new Map<Node, number>()
    const parents = new Map<Node, number>()
    for (const clock of ready) {
      const hour = Math.floor((end - 1) / 60)
      if (clock.hour !== hour || clock.isStale) {
        learnHour(clock, hour, columns)
        yield* learnAbove(tree, hour, columns)
      }
      yield
      for (const leaf of clock.leaves) {
        const first = Math.max(end - SPAN, Math.min(leaf.changedFrom, Number.isNaN(leaf.end) ? end - SPAN : leaf.end))
        const isOlder = isAged(clock, leaf)
        if (first >= end && !isOlder) continue
        refreshLeaf(clock, leaf, end, rule, columns)
        leaf.changedFrom = Number.POSITIVE_INFINITY
        if (first < end) changed.set(leaf, first)
        const from = isOlder ? Math.min(first, end - AGES - 1) : first
        for (let node = leaf.parent; node !== null; node = node.parent) {
          parents.set(node, Math.min(from, parents.get(node) ?? Number.POSITIVE_INFINITY))
          if (first < end) changed.set(node, Math.min(first, changed.get(node) ?? Number.POSITIVE_INFINITY))
        }
      }
    }
    for (const [node, first] of [...parents].sort(([a], [b]) => b.depth - a.depth)) {
      node.moveTo(end)
      node.addUp(first)
    }
    return changed
  }

  /** Raises what is unusual, the highest group first, until nothing is. */
  function* raise(first: Map<Node, number>, end: number, now: number): Steps<void> {
    let changed = first
    for (let round = 0; round < 100; round++) {
      const found = rule.budget === null ? yield* unusual(changed, end) : overspending(changed, end)
      if (found === null) return
      const { node, start, finding } = found
      const alert = firing(rule, node, start, finding, now)
      if (node.episodes.some(episode => episode.alert.alert_id === alert.alert_id)) return
      node.episodes.push({ alert, node, start, end: null })
      verdicts.push(alert)
      for (const leaf of node.leaves) leaf.changedFrom = Number.NEGATIVE_INFINITY
      for (const clock of tree.clocks) {
        if (Number.isNaN(clock.hour) || !clock.leaves.some(leaf => node.leaves.includes(leaf))) continue
        changed = new Map([...changed, ...(yield* refresh([clock], clock.judged as number))])
      }
    }
  }

  function* unusual(changed: ReadonlyMap<Node, number>, end: number): Steps<Found | null> {
    let found: { node: Node; range: Range; until: number } | null = null
    for (const [node, first] of [...changed].sort(([a], [b]) => a.depth - b.depth)) {
      if (found !== null && node.depth > found.node.depth) break
      if (node.children.length === 1 && !(node instanceof Leaf)) continue
      const limits: Limits = {
        kind: columns.kind,
        lengths,
        budget: budgetOf(node, end),
        minCount: rule.minCount,
        minRatio: rule.minRatio,
      }
      const firstEnd = Math.max(0, first + 1 - (node.end - SPAN))
      const doubt = () => doubtOf(node, leaf => slotOfLeaf(leaf, end))
      const window = mostUnusual(node.recent, limits, rhoBy(node.rho), doubt, firstEnd)
      if (window !== null && found === null) found = { node, range: rangeOf(node, window), until: window.until }
      yield
    }
    if (found === null) return null
    const node = choose(found.node, found.range, columns.kind)
    const { range } = found
    const sums = held(node, range)
    const offset = node.end - SPAN
    const length = judgedMinutes(node, range)
    const window = { from: range.from - offset, until: range.until - offset, length, ...sums, probability: 1, falsePerWeek: 0 }
    const start = offset + onsetOf(node.recent, window, rule.minRatio)
    const rho = rhoBy(node.rho)(length)
    const doubt = doubtOf(node, leaf => slotOfLeaf(leaf, end))
    const probability = tailOf(columns.kind, sums, rho, doubt)
    return { node, start, finding: { range, sums, probability, more: completeness(node, end, range) } }
  }

  function overspending(changed: ReadonlyMap<Node, number>, end: number): Found | null {
    const asked: Asked = {
      about: 'beginning',
      isFree: leaf =>
        [...leaf.upwards()].every(node =>
          node.episodes.every(episode => episode.end !== null && end > episode.end + rule.refractoryMs / MINUTE_MS),
        ),
      clockOf: around.clockOf,
    }
    for (const node of [...changed.keys()].sort((a, b) => a.depth - b.depth)) {
      if (node.children.length === 1) continue
      const burnt = overspent(node, end, rule, columns, asked)
      if (burnt === null) continue
      // The highest group that overspends without its largest spender; else the spender.
      let chosen = node
      while (chosen.children.length > 0) {
        const spenders = chosen.children.filter(child => overspent(child, end, rule, columns, asked) !== null)
        if (spenders.length !== 1) break
        chosen = spenders[0] as Node
      }
      const own = overspent(chosen, end, rule, columns, asked) ?? burnt
      const [long, short] = own.spent
      return {
        node: chosen,
        start: own.range.until - own.burn.shortMs / MINUTE_MS,
        finding: {
          range: own.range,
          sums: own.sums,
          probability: null,
          more: {
            budget: shownNumber(rule.budget as number),
            spent_long: shownNumber(long),
            spent_short: shownNumber(short),
            burn_rate: shownNumber(own.burn.rate),
            ...completeness(chosen, end, own.range),
          },
        },
      }
    }
    return null
  }

  /** How much is known of what the window will have counted, and up to when everything was read. */
  function completeness(node: Node, end: number, range: Range): Record<string, string> {
    const { expected, due } = held(node, range)
    return { complete_until: shownTime(end), ...(due > 0 ? { known_share: shownNumber(expected / due) } : {}) }
  }

  /** Ends the alerts whose rate has been back for a window. */
  function resolve(ready: readonly Clock[], end: number, now: number): void {
    const isReady = (leaf: Leaf) => ready.includes(around.clockOf(leaf))
    for (const node of firingNodes(root)) {
      if (!node.leaves.some(isReady)) continue
      for (const episode of node.episodes) {
        if (episode.end !== null) continue
        const back = rule.budget === null ? backSince(episode, end) : unspentSince(episode, end)
        if (back === null) continue
        episode.end = back
        episode.alert = resolved(episode.alert, back, now)
        verdicts.push(episode.alert)
      }
    }
  }

  /** From which minute on the rate is usual again; null: it is not, or nobody can say. */
  function backSince({ node, start, alert }: Episode, end: number): number | null {
    const clocks = [...new Set(node.leaves.map(around.clockOf))]
    const edge = Math.min(end, ...clocks.map(clock => (clock.mark ?? end) - settledAge(clock)))
    const raised = Math.max(rule.minRatio, alert.observed / Math.max(alert.expected, 1e-9))
    // Half of the excess: what was seen when the alert was raised is more than what goes on.
    const ratio = 1 + (raised - 1) / 2
    const longest = calmLengths.at(-1) as number
    for (const length of calmLengths) {
      const from = edge - length
      if (from <= start) return null
      const minutes = minutesOf(node, from, edge, columns, around.clockOf)
      if (minutes === null) return null
      const count = sum(minutes.count)
      const expected = sum(minutes.expected)
      const isBack = expected * (ratio - 1) - count * Math.log(ratio) >= TELLING
      if (isBack || (length === longest && count <= expected * ratio)) return endOf(node, start, from, edge, ratio)
    }
    return null
  }

  /** The minute behind the incident: up to where a raised rate explains the counts best. */
  function endOf(node: Node, start: number, from: number, edge: number, ratio: number): number {
    const first = Math.max(start, edge - MOST_ENDING)
    const minutes = minutesOf(node, first, edge, columns, around.clockOf)
    if (minutes === null) return from
    let end = first + 1
    let most = Number.NEGATIVE_INFINITY
    let gain = 0
    for (let i = 0; i < minutes.count.length; i++) {
      gain += (minutes.count[i] as number) * Math.log(ratio) - (ratio - 1) * (minutes.expected[i] as number)
      if (gain <= most) continue
      most = gain
      end = first + i + 1
    }
    return end
  }

  function settledAge(clock: Clock): number {
    const delays = clock.delays
    for (let age = 0; age < AGES; age++) if (delays.share(age) >= SETTLED_SHARE) return age
    return AGES
  }

  function unspentSince({ node, start }: Episode, end: number): number | null {
    const shortest = Math.min(...rule.burn.map(burn => burn.shortMs)) / MINUTE_MS
    const from = end - Math.max(shortest, (rule.windowsMs[0] as number) / MINUTE_MS)
    if (from <= start || minutesOf(node, from, end, columns, around.clockOf) === null) return null
    const asked: Asked = { about: 'end', isFree: () => true, clockOf: around.clockOf }
    return overspent(node, end, rule, columns, asked) === null ? from : null
  }

  function* judge(): Steps<Verdict[]> {
    const limit = limits()
    for (const clock of limit.keys()) {
      learnDelays(clock)
      yield
    }
    for (const [clock, until] of limit) skipLate(clock, until)
    const begin = Math.min(...[...limit.keys()].map(clock => clock.judged as number))
    const last = Math.max(...limit.values())
    // First once more what was judged and has changed since, at the minute up to which it was judged; then minute after minute.
    for (let end = begin; end <= last; end++) {
      const ready = [...limit].filter(([clock, until]) => (clock.judged as number) <= end && end <= until).map(([clock]) => clock)
      const hour = Math.floor((end - 1) / 60)
      const due = ready.filter(clock => end > (clock.judged as number) || hasChanged(clock))
      for (const clock of due) clock.judged = end
      const warm = due.filter(clock => isWarm(clock, hour))
      const now = nowMs ?? end * MINUTE_MS
      if (warm.length === 0 || now - end * MINUTE_MS > lateMs) continue
      forgetEpisodes(root, end)
      const changed = yield* refresh(warm, end)
      resolve(warm, end, now)
      yield* raise(changed, end, now)
    }
    return verdicts
  }

  function* resume(): Steps<void> {
    const learnt = tree.clocks.filter(clock => clock.judged !== null && !Number.isNaN(clock.top.rhoHour))
    for (const clock of tree.clocks) {
      if (clock.mark === null) continue
      clock.seen = countsOf(clock, clock.mark, columns)
      for (const [age, count, volume] of (parsed(clock.seenBefore ?? '') as [number, number, number][] | null) ?? []) {
        clock.seen.count[age] = count
        clock.seen.volume[age] = volume
      }
    }
    const byEnd = Map.groupBy(
      learnt.filter(({ mark }) => mark !== null),
      clock => clock.judged as number,
    )
    for (const [end, ready] of [...byEnd].sort(([a], [b]) => a - b)) yield* refresh(ready, end)
  }

  function hasChanged(clock: Clock): boolean {
    return (
      !Number.isNaN(clock.hour) && clock.leaves.some(leaf => leaf.changedFrom < (clock.judged as number) || isAged(clock, leaf))
    )
  }

  /** Alerts that ended so long ago that no window reaches back to them. */
  function forgetEpisodes(node: Node, end: number): void {
    const keptFrom = end - 2 * SPAN - rule.refractoryMs / MINUTE_MS
    if (node.episodes.some(episode => episode.end !== null && episode.end < keptFrom)) {
      node.episodes = node.episodes.filter(episode => episode.end === null || episode.end >= keptFrom)
    }
    for (const child of node.children) forgetEpisodes(child, end)
  }

  return { judge, resume }
}

const sum = (values: Float64Array) => values.reduce((all, each) => all + each, 0)

interface Found {
  readonly node: Node
  readonly start: number
  readonly finding: Finding
}

/** On how many levels there are groups of several: only those are judged beside the smallest. */
function levelsAbove(root: Node): number {
  let count = 0
  for (let level: readonly Node[] = [root]; level.length > 0; level = level.flatMap(({ children }) => children)) {
    if (level.some(({ children }) => children.length > 1)) count++
  }
  return count
}

function* firingNodes(node: Node): Generator<Node> {
  if (node.episodes.some(episode => episode.end === null)) yield node
  for (const child of node.children) yield* firingNodes(child)
}
