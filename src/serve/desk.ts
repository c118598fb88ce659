/**
 * How many queries are worked on at once, over all connections. Each holds its place until its answer has left, and for a bounded time, so that clients that
 * do not read their answers cannot fill the memory or keep the others out for ever.
 */
import type { Clock } from '../clock.ts'

/** Queries that are computed or sent at once. */
const MOST_AT_WORK = 8
/** Queries that wait for a place; more are refused. */
const MOST_IN_LINE = 200
/** Time from the place to the last byte. */
const LONGEST_MS = 60_000

export interface Desk {
  /**
   * Waits for a place.
   *
   * @param gone Aborts when the client has gone or has its answer: the place is free then.
   * @param onOverdue Called when the place was held for too long: end the connection.
   * @returns false when too many wait already, or the client went while it waited; there is no place then.
   */
  admit(gone: AbortSignal, onOverdue: () => void): Promise<boolean>
}

export function createDesk(clock: Clock, most = MOST_AT_WORK, line = MOST_IN_LINE, longestMs = LONGEST_MS): Desk {
  const waiting = new Set<() => void>()
  let atWork = 0

  function hold(gone: AbortSignal): void {
    atWork += 1
    const release = () => {
      atWork -= 1
      const [take] = waiting
      take?.()
    }
    gone.addEventListener('abort', release, { once: true })
  }

  /** @returns false when the client has gone. */
  const placeInLine = (gone: AbortSignal): Promise<boolean> =>
    new Promise(resolve => {
      const take = () => {
        waiting.delete(take)
        gone.removeEventListener('abort', leave)
        hold(gone)
        resolve(true)
      }
      const leave = () => {
        waiting.delete(take)
        resolve(false)
      }
      waiting.add(take)
      gone.addEventListener('abort', leave, { once: true })
    })

  return {
    async admit(gone, onOverdue) {
      if (gone.aborted) return false
      if (atWork < most) hold(gone)
      else if (waiting.size >= line || !(await placeInLine(gone))) return false
      void clock.sleep(longestMs, gone).then(() => {
        if (!gone.aborted) onOverdue()
      })
      return true
    },
  }
}
