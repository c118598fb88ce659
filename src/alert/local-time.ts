/** Hours of the week in an account's time zone. */
import { DateTime } from 'luxon'
import { SLOTS, type SlotOf } from './baseline.ts'
import { HOUR_MS } from './hours.ts'

/** So many hours are remembered: somewhat more than a baseline looks at. */
const MOST = 2048

/** @param zone IANA name. Monday 0 h is slot 0. */
export function slotsIn(zone: string): SlotOf {
  // The epoch was a Thursday.
  if (zone === 'UTC') return hour => (hour + 72) % SLOTS
  const known = new Map<number, number>()
  return hour => {
    let slot = known.get(hour)
    if (slot === undefined) {
      const local = DateTime.fromMillis(hour * HOUR_MS, { zone })
      slot = (local.weekday - 1) * 24 + local.hour
      if (known.size >= MOST) known.clear()
      known.set(hour, slot)
    }
    return slot
  }
}
