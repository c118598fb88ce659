/**
 * The time that a source partition plans by. A clock that jumps ahead would put cursors into the future, and what they say was read could not have
 * been there; so a reading of the local clock counts only as far as the vendor's `Date` header, and time that has passed since, bear it out.
 *
 * Where the vendor says nothing of the kind, time that has passed since the process began bears it out; a clock that stays ahead for an hour then
 * is believed, since a machine that slept looks the same. A clock that is behind does no harm.
 */
import { type Clock, steadyMs } from '../clock.ts'
import type { Log } from '../log.ts'
import { SKEW_MS } from './plan.ts'

/** A clock that nobody but itself contradicts is believed after so long. */
const BELIEVED_AFTER_MS = 3_600_000

/** No date before this program was written is the time: a server without a clock says 1970. */
const EARLIEST_DATE_MS = Date.UTC(2026, 0, 1)

export interface TrustedClock extends Clock {
  /** The vendor's time, as an answer gave it just now: epoch milliseconds. */
  vouch(dateMs: number): void
}

export function trustedClock(clock: Clock, log: Log): TrustedClock {
  /** A time that is borne out, and the steady reading that it belongs to. */
  let anchor = { atMs: clock.now(), steadyMs: steadyMs(clock) }
  let hasVouched = false
  let isAhead = false
  let aheadSinceMs = 0

  const expected = () => anchor.atMs + steadyMs(clock) - anchor.steadyMs

  return {
    now() {
      const localMs = clock.now()
      const borneOutMs = expected()
      const wasAhead = isAhead
      isAhead = localMs > borneOutMs + SKEW_MS
      if (isAhead !== wasAhead) {
        aheadSinceMs = steadyMs(clock)
        const fields = {
          clock: new Date(localMs).toISOString(),
          takenFor: new Date(isAhead ? borneOutMs : localMs).toISOString(),
        }
        if (isAhead) log.warn(fields, 'clock of this machine is ahead, going by the vendor and by time passed')
        else log.info(fields, 'clock of this machine is right again')
      }
      if (isAhead && !hasVouched && steadyMs(clock) - aheadSinceMs >= BELIEVED_AFTER_MS) isAhead = false
      if (isAhead) return borneOutMs
      // Before the vendor has said anything, small steps are followed.
      if (!hasVouched) anchor = { atMs: localMs, steadyMs: steadyMs(clock) }
      return localMs
    },
    steady: () => steadyMs(clock),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    vouch(dateMs) {
      if (!(dateMs >= EARLIEST_DATE_MS)) return
      // An answer from a cache has an old date: the newest one counts.
      if (hasVouched && dateMs < expected()) return
      hasVouched = true
      anchor = { atMs: dateMs, steadyMs: steadyMs(clock) }
    },
  }
}
