/**
 * Seeded channels with incidents and decoys, as the alerter sees them: minute by minute, each transfer known up to twenty minutes after its session began, polls that
 * pause. Three weeks to learn from, two that are scored.
 */
import { Random } from '../../src/sim/random.ts'
import { beta, gamma, normal, poisson } from './draw.ts'

export const DAY = 1440
export const WEEK = 7 * DAY
export const LEARNT = 3 * WEEK
export const LENGTH = 5 * WEEK
export const SCORED_WEEKS = (LENGTH - LEARNT) / WEEK

/** How the share of transfers varies beyond chance. */
export type Noise = 'beta-binomial' | 'drifting logit-normal'

export interface Happening {
  readonly kind: 'incident' | 'decoy'
  /** Times the share of transfers (incident) or the sessions (decoy). */
  readonly factor: number
  /** Minutes, half-open. */
  readonly from: number
  readonly until: number
}

export interface Channel {
  readonly sessions: Uint16Array
  /** By the minute in which the session began. */
  readonly transfers: Uint16Array
  /** The share of transfers that is usual in a minute: the mean of the noise, without incidents. What no detector can see. */
  readonly usual: Float64Array
  /** Each transfer: minute of its session's start, minute in which it became known; ascending by the latter. */
  readonly known: readonly (readonly [start: number, known: number])[]
}

export interface World {
  readonly noise: Noise
  readonly channels: readonly Channel[]
  readonly happenings: readonly Happening[]
  /** Minutes that end with a poll. */
  readonly polls: Uint8Array
}

export const BUCKET = 5
const HAPPENING = 60
/** Minutes from a session's start until its transfer is known, at most; every delay up to it is equally likely. */
export const LATEST = 20
/** Transfers a session, in the mean over the channels. */
export const SHARE = 0.08
/** Of beta noise: the share of each five minutes is drawn anew. */
export const CONCENTRATION = 60
/** Of drifting noise: standard deviation of the log-odds, once for what lasts days and once for what lasts `FAST` minutes. */
export const DRIFT = 0.25
export const FAST = 60

/**
 * @param mean Sessions in five minutes, over the week.
 * @param channels So many channels that everything happens to together.
 */
export function createWorld(noise: Noise, mean: number, channels: number, seed: number): World {
  const random = new Random(seed, Math.round(mean * 10) + channels * 1000, noise === 'beta-binomial' ? 11 : 12)
  const happenings = happeningsOf(random)
  const polls = pollsOf(random)
  return {
    noise,
    happenings,
    polls,
    channels: Array.from({ length: channels }, () => channelOf(random, noise, mean, happenings)),
  }
}

function happeningsOf(random: Random): Happening[] {
  const kinds: Pick<Happening, 'kind' | 'factor'>[] = [
    ...[3, 3, 3, 5, 5, 5].map(factor => ({ kind: 'incident' as const, factor })),
    ...[3, 3, 3, 3].map(factor => ({ kind: 'decoy' as const, factor })),
  ]
  const out: Happening[] = []
  // Apart by so much that each is scored by itself.
  while (out.length < kinds.length) {
    const from = random.int(LEARNT + 240, LENGTH - 300)
    if (out.some(other => Math.abs(other.from - from) < 300)) continue
    out.push({ ...(kinds[out.length] as Happening), from, until: from + HAPPENING })
  }
  return out
}

/** Every minute, but for some pauses: one a day in the mean, of 5 to 45 minutes. */
function pollsOf(random: Random): Uint8Array {
  const polls = new Uint8Array(LENGTH).fill(1)
  for (let minute = 0; minute < LENGTH; ) {
    minute += Math.ceil(random.exponential(DAY))
    const length = random.int(5, 45)
    polls.fill(0, minute, minute + length)
    minute += length
  }
  return polls
}

function channelOf(random: Random, noise: Noise, mean: number, happenings: readonly Happening[]): Channel {
  const sessions = new Uint16Array(LENGTH)
  const transfers = new Uint16Array(LENGTH)
  const usualOf = new Float64Array(LENGTH)
  const known: [number, number][] = []
  const share = SHARE * (0.85 + 0.3 * random.next())
  const phase = random.next()
  const sharePhase = random.next()
  let slow = DRIFT * normal(random)
  let fast = DRIFT * normal(random)
  const keepSlow = Math.exp(-BUCKET / (3 * DAY))
  const keepFast = Math.exp(-BUCKET / FAST)
  for (let start = 0; start < LENGTH; start += BUCKET) {
    const day = start / DAY
    const weekend = Math.floor(day) % 7 >= 5 ? 0.7 : 1.12
    const volume = mean * weekend * (1 + 0.6 * Math.sin(2 * Math.PI * (day + phase))) * (gamma(random, 8) / 8)
    const usual = share * (1 + 0.2 * Math.sin(2 * Math.PI * (day + sharePhase)))
    slow = keepSlow * slow + DRIFT * Math.sqrt(1 - keepSlow ** 2) * normal(random)
    fast = keepFast * fast + DRIFT * Math.sqrt(1 - keepFast ** 2) * normal(random)
    const rate =
      noise === 'beta-binomial'
        ? beta(random, CONCENTRATION * usual, CONCENTRATION * (1 - usual))
        : 1 / (1 + Math.exp(-(Math.log(usual / (1 - usual)) + slow + fast)))
    // The mean of a logistic of a normal variable, to the second order of its variance.
    const drifted = usual + DRIFT ** 2 * usual * (1 - usual) * (1 - 2 * usual)
    usualOf.fill(noise === 'beta-binomial' ? usual : drifted, start, start + BUCKET)
    for (let minute = start; minute < start + BUCKET; minute++) {
      const now = happenings.find(each => minute >= each.from && minute < each.until)
      const n = poisson(random, (volume / BUCKET) * (now?.kind === 'decoy' ? now.factor : 1))
      const p = Math.min(0.9, rate * (now?.kind === 'incident' ? now.factor : 1))
      sessions[minute] = n
      for (let i = 0; i < n; i++) {
        if (!random.chance(p)) continue
        transfers[minute] = (transfers[minute] as number) + 1
        known.push([minute, Math.floor(minute + random.next() + LATEST * random.next())])
      }
    }
  }
  known.sort((a, b) => a[1] - b[1] || a[0] - b[0])
  return { sessions, transfers, usual: usualOf, known }
}
