/** Minutes of a channel that goes on as usual for days up to now, with an incident where a test wants one. */
import { Random } from '../../src/sim/random.ts'
import type { point } from '../serve/points.ts'

export const MINUTE_MS = 60_000

type Point = Parameters<typeof point>[0]

export interface HistorySpec {
  readonly vendor?: string
  readonly bot_id?: string
  readonly channel?: Point['channel']
  /** Epoch milliseconds, whole minutes; until is exclusive. */
  readonly fromMs: number
  readonly untilMs: number
  readonly sessions?: number
  /** Usual share of transfers; while an incident is on, the share is multiplied. */
  readonly share?: number
  readonly incident?: { readonly fromMs: number; readonly untilMs: number; readonly times: number }
  readonly seed?: number
}

export function historyOf(spec: HistorySpec): Point[] {
  const { vendor = 'botmaker', bot_id = 'b1', channel = 'whatsapp', sessions = 8, share = 0.08, seed = 1, incident } = spec
  const random = new Random(seed, 3, 11)
  const out: Point[] = []
  for (let at = spec.fromMs; at < spec.untilMs; at += MINUTE_MS) {
    const count = sessions + random.int(-2, 2)
    const times = incident !== undefined && at >= incident.fromMs && at < incident.untilMs ? incident.times : 1
    let transfers = 0
    for (let one = 0; one < count; one++) if (random.chance(Math.min(0.9, share * times))) transfers++
    out.push({ at, vendor, bot_id, channel, sessions: count, agent_transfers: transfers })
  }
  return out
}

/** The start of the minute so many minutes before now. */
export const ago = (minutes: number) => Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - minutes * MINUTE_MS
