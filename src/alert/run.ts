/**
 * The alerter, from series to alerts: the order of stages and nothing else.
 *
 * It joins a group that shares partition numbers. For the numbers it is given it fences older owners and restores what they left (`share.ts`), follows series
 * and progress from their start (`src/follow`), lets the engine judge what the marks make judgeable (`judge.ts`), looks for evidence (`evidence.ts`), and
 * writes each verdict in one transaction with how far the judging has come. Alertmanager is told after that (`alertmanager.ts`).
 *
 * When numbers are added, or a transaction fails, everything is dropped and restored from the topics: nothing in memory is repaired.
 */
import { aborted } from '../abort.ts'
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { type Follower, startFollower } from '../follow/follower.ts'
import { encoderFor } from '../kafka/codec.ts'
import { beMember, fencedWaitMs, type WhyNot, whyNotAll } from '../kafka/membership.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import { errorFields, type Log } from '../log.ts'
import { persist } from '../persist.ts'
import type { Alert } from '../records.ts'
import { LEVELS, type Rule } from '../rules.ts'
import { schemaText } from '../schemas.ts'
import { createSlices } from '../slices.ts'
import type { TopicNames } from '../topics.ts'
import { createIntake, type Intake } from './intake.ts'
import type { Judge, JudgeOptions, SeriesKey } from './judge.ts'
import { measuresOf } from './reads.ts'
import { claimShares, numberOf, type Offsets, type Share, type ShareParts } from './share.ts'

export interface AlerterParts {
  readonly kafka: Kafka
  readonly registry: Registry
  /** The topics are there already. */
  readonly names: TopicNames
  readonly partitions: number
  readonly options: AlerterOptions
  readonly createJudge: (options: JudgeOptions) => Judge
  readonly log: Log
  readonly clock: Clock
  readonly metrics?: AlertMetrics
  /** Who is told of alerts beside the topic. */
  readonly outlet?: AlertOutlet
  /** Looks for what else is known of alerts that are about to be raised, and adds it to their evidence. Never throws, and takes a bounded time. */
  readonly enrich?: (alerts: readonly Alert[], signal: AbortSignal) => Promise<readonly Alert[]>
  /** Stops it: the transaction in hand is finished, the group left. */
  readonly signal: AbortSignal
}

export interface AlerterOptions {
  /** Processes with one group id share the work. */
  readonly groupId: string
  readonly rules: readonly Rule[]
  /** IANA zone of an account. */
  readonly zoneOf: (vendor: string, account: string) => string
  /** After so long without a sign of life the group gives a member's numbers to others. Default 10 s. */
  readonly sessionTimeoutMs?: number
}

/** What the alerter tells of itself. */
export interface AlertMetrics {
  /** A smallest group of the rule is judged from now on: it is shown as not firing. */
  known(rule: string, of: SeriesKey): void
  /** As it stands on the topic. */
  state(alert: Alert): void
  /** The numbers are another's, or are restored: nothing of these vendors is shown any more. */
  forget(vendors: (vendor: string) => boolean): void
  /** From the commit of what was read to the verdict on it. */
  evaluated(delaySeconds: number): void
}

export interface AlertOutlet {
  /** Everything that is to be told of these vendors, as it stands on the topic: in place of what was told before. */
  restore(alerts: readonly Alert[], vendors: (vendor: string) => boolean): void
  /** What was written just now. */
  tell(alerts: readonly Alert[]): void
}

export interface Alerter {
  /** Whether we are in the group and every number that is ours is judged; if not, which is not, and why. */
  ready(): { ok: boolean; why?: string }
  /** Resolves when it has stopped on its signal; rejects where only a person can help. */
  readonly done: Promise<void>
}

const FIRST_WAIT_MS = 1000
const LONGEST_WAIT_MS = 10_000
/** Between two judgements: what comes in meanwhile is judged together. */
const PAUSE_MS = 1000
/** How far the judging has come is written at least this often, when it has come further. */
const MARKS_EVERY_MS = 60_000
/** What stands for membership in the reasons. */
const MEMBER = 'the alerter'

export function startAlerter(parts: AlerterParts): Alerter {
  const reasons = new Map<string, WhyNot>([[MEMBER, () => 'has not joined its group yet']])
  return {
    ready() {
      const why = whyNotAll(reasons)
      return why === null ? { ok: true } : { ok: false, why }
    },
    done: run(parts, reasons),
  }
}

async function run(parts: AlerterParts, reasons: Map<string, WhyNot>): Promise<void> {
  const { kafka, registry, names, options, clock, log, signal } = parts
  const message = 'the alerter could not start; trying again'
  const failed = ({ message: why }: { message: string }) => reasons.set(MEMBER, () => `could not start: ${why}`)
  const schema = schemaText('alert')
  const schemaId = await persist({ clock, log, signal, message, failed }, () =>
    registry.register(`${names.alerts}-value`, schema),
  )
  if (schemaId === null || signal.aborted) return
  const shareParts: ShareParts = { ...parts, ...options, encoder: encoderFor<Alert>(schema, schemaId) }

  /** The numbers that the group gives us, and those among them that another process has taken: not before that time again. */
  const owned = new Set<number>()
  const takenUntilMs = new Map<number, number>()
  let watch: Watch | null = null
  let changed = Promise.withResolvers<void>()
  const change = () => {
    changed.resolve()
    changed = Promise.withResolvers<void>()
  }

  const membership = beMember({
    ...options,
    kafka,
    topics: [names.alerts],
    clock,
    log,
    signal,
    message,
    async gained(numbers) {
      for (const number of numbers) {
        owned.add(number)
        reasons.set(nameOf(number), () => 'is being restored')
      }
      change()
    },
    async lost(numbers) {
      for (const number of numbers) owned.delete(number)
      await watch?.drop(numbers)
      for (const number of numbers) reasons.delete(nameOf(number))
      if (owned.size === 0) change()
    },
    async letGo() {
      owned.clear()
      await watch?.end()
      change()
    },
    report: whyNot => reasons.set(MEMBER, whyNot),
  })

  async function work(): Promise<void> {
    let waitMs = FIRST_WAIT_MS
    while (!signal.aborted) {
      const next = changed.promise
      const numbers = [...owned].filter(number => (takenUntilMs.get(number) ?? 0) <= clock.now())
      if (numbers.length === 0) {
        const pause = new AbortController()
        await Promise.race([next, aborted(signal), clock.sleep(LONGEST_WAIT_MS, pause.signal)])
        pause.abort()
        continue
      }
      const mine = startWatch(parts, shareParts, numbers, whyNot => {
        for (const number of numbers) if (owned.has(number)) reasons.set(nameOf(number), whyNot)
        if (whyNot() === null) waitMs = FIRST_WAIT_MS
      })
      watch = mine
      const revived = new AbortController()
      const revival = Math.min(...[...owned].flatMap(number => takenUntilMs.get(number) ?? []).filter(at => at > clock.now()))
      try {
        await Promise.race([
          mine.done,
          next,
          aborted(signal),
          ...(Number.isFinite(revival) ? [clock.sleep(revival - clock.now(), revived.signal)] : []),
        ])
      } catch (thrown) {
        if (signal.aborted) break
        const error = asFlowError(thrown)
        const fenced = error.code === 'KAFKA_FENCED' ? mine.failedNumber : null
        if (fenced !== null) takenUntilMs.set(fenced, clock.now() + fencedWaitMs(options.sessionTimeoutMs))
        const why = fenced !== null ? 'was taken over by another process' : `failed: ${error.message}`
        for (const number of fenced === null ? numbers : [fenced]) if (owned.has(number)) reasons.set(nameOf(number), () => why)
        log.warn({ ...errorFields(error), waitMs }, 'alerts are not judged; their state is restored again')
        await mine.end()
        await clock.sleep(waitMs, signal)
        waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)
      } finally {
        revived.abort()
        await mine.end()
        watch = null
      }
    }
  }

  const working = work()
  await Promise.race([membership, working])
  await Promise.all([membership, working])
}

const nameOf = (number: number) => `number ${number}`

interface Watch {
  /** Lets go of numbers: what is being written is finished. */
  drop(numbers: readonly number[]): Promise<void>
  /** Lets go of all. Never throws. */
  end(): Promise<void>
  /** Resolves when it was ended; rejects when it cannot go on. */
  readonly done: Promise<void>
  /** The number that it failed with. */
  readonly failedNumber: number | null
}

/** The numbers that are ours, from the fence to the first failure or change. */
function startWatch(
  parts: AlerterParts,
  shareParts: ShareParts,
  numbers: readonly number[],
  report: (whyNot: WhyNot) => void,
): Watch {
  const { clock, log, metrics, outlet } = parts
  const stop = new AbortController()
  const signal = AbortSignal.any([parts.signal, stop.signal])
  const shares = new Map<number, Share>()
  const slices = createSlices()
  let failedNumber: number | null = null
  /** The publishing in hand. */
  let inHand: Promise<unknown> = Promise.resolve()
  const isOurs = (vendor: string) => numbers.includes(numberOf(vendor, parts.partitions))

  async function work(): Promise<void> {
    report(() => 'is being restored')
    const startedMs = clock.now()
    for (const share of await claimShares(shareParts, numbers, signal)) shares.set(share.number, share)
    for (const share of shares.values()) await showRestored(share)
    const intake = createIntake(parts.options.rules, parts.partitions, vendor => shares.get(numberOf(vendor, parts.partitions)))
    let isDirty = true
    const follower = startFollower({
      ...parts,
      role: 'alerter',
      signal,
      fields: ['series_key', ...LEVELS, 'bucket_start', 'bucket', ...measuresOf(parts.options.rules)],
      onPoint: (point, place) => intake.put(point, place),
      // What was rolled up stays learnt, and what has ended is forgotten as it ages.
      onRemoved() {},
      onInvalid() {},
      onBatch() {
        intake.look(follower)
        isDirty = true
      },
    })
    report(() => follower.why() ?? 'is being restored')
    try {
      await Promise.race([follower.ready, aborted(signal)])
      if (signal.aborted) return
      intake.look(follower)
      for (const share of shares.values()) if (share.taken !== null) await slices.run(share.judge.resuming(), signal)
      intake.putNews()
      log.info(
        { numbers: numbers.join(','), bots: intake.bots.size, restoreMs: clock.now() - startedMs },
        'alerter has read the series',
      )
      report(() => follower.why())
      // By now it can only end by the signal, or with an error.
      const following = follower.done.finally(() => stop.abort())
      following.catch(() => {})
      const pace = createPace()
      for (let judgedMs = -Infinity; !signal.aborted; ) {
        if (isDirty || clock.now() - judgedMs >= MARKS_EVERY_MS) {
          isDirty = false
          judgedMs = clock.now()
          await judgeAll(intake, follower, pace)
        }
        await clock.sleep(PAUSE_MS, signal)
      }
      await following
    } finally {
      stop.abort()
      await follower.done.catch(() => {})
    }
  }

  /** What stands on the topic is shown and told again. Alerts of rules that are no more are ended: nothing else would ever end them. */
  async function showRestored(share: Share): Promise<void> {
    const known = new Set(parts.options.rules.map(({ name }) => name))
    const orphans = [...share.alerts.values()].filter(({ state, rule }) => state === 'FIRING' && !known.has(rule))
    if (orphans.length > 0) {
      const nowMs = clock.now()
      const ended = orphans.map(
        (alert): Alert => ({
          ...alert,
          state: 'RESOLVED',
          ends_at: Math.max(nowMs, alert.starts_at),
          updated_at: nowMs,
          evidence: { ...alert.evidence, ended: 'the rule is not in force any more' },
        }),
      )
      await writing(share, ended, { series: 0, progress: 0, taken: share.taken })
    }
    const all = [...share.alerts.values()]
    for (const alert of all) metrics?.state(alert)
    outlet?.restore(all, vendor => numberOf(vendor, parts.partitions) === share.number)
  }

  async function writing(share: Share, alerts: readonly Alert[], offsets: Offsets): Promise<void> {
    failedNumber = share.number
    const written = share.publish(alerts, offsets)
    inHand = written.catch(() => {})
    await written
    failedNumber = null
  }

  async function judgeAll(intake: Intake, follower: Follower, pace: Pace): Promise<void> {
    const { reading } = intake
    if (reading === null) return
    for (const share of shares.values()) {
      if (signal.aborted || !shares.has(share.number)) continue
      const bots = [...intake.bots.values()].filter(({ vendor }) => numberOf(vendor, parts.partitions) === share.number)
      const judgedUntil = share.judge.judgedUntil()
      const reads = reading.reads(bots, ({ vendor, account, bot_id }) => judgedUntil[JSON.stringify([vendor, account, bot_id])])
      // What comes while it is judged is put after it.
      const taken = Array.from({ length: parts.partitions }, (_, partition) => follower.next(parts.names.series, partition))
      const verdicts = await slices.run(share.judge.judging(reads, clock.now()), signal)
      for (const group of intake.newGroups(share.number)) for (const rule of parts.options.rules) metrics?.known(rule.name, group)
      if (verdicts.length === 0 && !pace.isDue(share, clock.now())) continue
      await publish(share, verdicts, follower, taken)
      if (signal.aborted) return
      pace.written(share, clock.now())
      if (verdicts.length > 0 && reading.committedAt !== null)
        metrics?.evaluated(Math.max(0, clock.now() - reading.committedAt) / 1000)
    }
  }

  async function publish(share: Share, verdicts: readonly Alert[], follower: Follower, taken: readonly number[]): Promise<void> {
    const raised = verdicts.filter(({ state }) => state === 'FIRING')
    const enriched = raised.length === 0 || parts.enrich === undefined ? raised : await parts.enrich(raised, signal)
    const byId = new Map(enriched.map(alert => [alert.alert_id, alert]))
    const told = verdicts.map(alert => {
      if (alert.state === 'FIRING') return byId.get(alert.alert_id) ?? alert
      // What was found at the start stays with the alert to its end.
      const before = byId.get(alert.alert_id) ?? share.alerts.get(alert.alert_id)
      return { ...alert, evidence: { ...before?.evidence, ...alert.evidence } }
    })
    // It was lost meanwhile, or the evidence was cut off by a stop: nothing is written, and whoever is next finds it once more.
    if (signal.aborted || !shares.has(share.number)) return
    const { names } = parts
    await writing(share, told, {
      series: follower.next(names.series, share.number),
      progress: follower.next(names.progress, share.number),
      taken,
    })
    for (const alert of told) {
      const { alert_id: id, rule, state, vendor, account, bot_id, channel, observed, expected } = alert
      log.info({ alert: id, rule, state, vendor, account, bot: bot_id, channel, observed, expected }, 'alert written')
      metrics?.state(alert)
    }
    outlet?.tell(told)
  }

  async function close(): Promise<void> {
    await inHand
    await Promise.all([...shares.values()].map(share => share.close()))
    metrics?.forget(isOurs)
    outlet?.restore([], isOurs)
    shares.clear()
  }

  const done = work()
  done.catch(() => {})
  let ending: Promise<void> | null = null
  return {
    done,
    get failedNumber() {
      return failedNumber
    },
    async drop(gone) {
      await inHand
      for (const number of gone) {
        const share = shares.get(number)
        shares.delete(number)
        await share?.close()
      }
      const isGone = (vendor: string) => gone.includes(numberOf(vendor, parts.partitions))
      metrics?.forget(isGone)
      outlet?.restore([], isGone)
    },
    end() {
      stop.abort()
      ending ??= done.catch(() => {}).then(close)
      return ending
    },
  }
}

interface Pace {
  /** Whether how far the judging has come is to be written though nothing was found. */
  isDue(share: Share, nowMs: number): boolean
  written(share: Share, nowMs: number): void
}

function createPace(): Pace {
  const last = new Map<number, { atMs: number; marks: string }>()
  const marksOf = (share: Share) => JSON.stringify(share.judge.judgedUntil())
  return {
    isDue(share, nowMs) {
      const before = last.get(share.number)
      if (before !== undefined && nowMs - before.atMs < MARKS_EVERY_MS) return false
      return marksOf(share) !== (before?.marks ?? '{}')
    },
    written: (share, nowMs) => void last.set(share.number, { atMs: nowMs, marks: marksOf(share) }),
  }
}
