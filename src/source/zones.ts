/**
 * Wall clocks: for vendors that write local time without a zone. A wall time is held as the epoch milliseconds that it would be in UTC, so that arithmetic and
 * formatting are those of UTC. Pure.
 */
import { FixedOffsetZone, IANAZone } from 'luxon'

export interface Zone {
  /** As requested. */
  readonly name: string
  /** What to add to UTC for the wall clock at this moment, milliseconds. */
  offsetMs(atMs: number): number
}

/** No zone changes its offset more often than every quarter of an hour on the clock, so one look-up serves for that long. */
const STEP_MS = 900_000
const KEPT_STEPS = 10_000

/** The zone for an IANA name (`America/Bogota`), `UTC`, `Z` or an offset (`+03:00`, `-0500`); null for anything else. */
export function zoneOf(name: string): Zone | null {
  const offset = /^([+-])(\d{1,2})(?::?([0-5]\d))?$/.exec(name)
  if (offset !== null) {
    const [, sign, hours, minutes = '0'] = offset
    const ms = (Number(hours) * 60 + Number(minutes)) * 60_000
    return Number(hours) > 14 ? null : { name, offsetMs: () => (sign === '-' ? -ms : ms) }
  }
  const zone = /^(utc|gmt|z)$/i.test(name) ? FixedOffsetZone.utcInstance : IANAZone.create(name)
  if (!zone.isValid) return null
  const known = new Map<number, number>()
  return {
    name,
    offsetMs: atMs => {
      const step = Math.floor(atMs / STEP_MS)
      let ms = known.get(step)
      if (ms === undefined) {
        ms = Math.round(zone.offset(step * STEP_MS) * 60_000)
        if (known.size >= KEPT_STEPS) known.clear()
        known.set(step, ms)
      }
      return ms
    },
  }
}

/** What the wall clock shows. */
export function wallOf(atMs: number, zone: Zone): number {
  return atMs + zone.offsetMs(atMs)
}

/**
 * The moments at which the wall clock shows this, earliest first: one, nearly always; two in the hour that is repeated when clocks go back; none in the hour
 * that is skipped when they go forward.
 */
export function instantsOf(wallMs: number, zone: Zone): number[] {
  const found: number[] = []
  // The true offset is the one of a day before or after, whatever happens between.
  for (const offsetMs of new Set([zone.offsetMs(wallMs - 86_400_000), zone.offsetMs(wallMs + 86_400_000)])) {
    const atMs = wallMs - offsetMs
    if (zone.offsetMs(atMs) === offsetMs) found.push(atMs)
  }
  return found.sort((a, b) => a - b)
}
