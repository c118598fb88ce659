/** The two sketches of a cell, drawn from the sessions that it counts: of how long they lasted, and of who their users were. */
import { binOf, createDurations } from '../duration-sketch.ts'
import { createUsers } from '../users-sketch.ts'
import { DAY_HOURS, dayOf, hourBucket, isDay } from './buckets.ts'
import type { CellTable } from './cells.ts'
import { COUNT, USER } from './contribution.ts'
import { ENDED, type Members, STARTED } from './members.ts'
import type { RememberedSessions } from './remembered.ts'

export interface CellSketches {
  /**
   * Valid until the next call. Null where the cell counts no session, and where it counts sessions that are not remembered (their state was lost): a sketch of some
   * of them would be wrong.
   */
  durations(cell: number): Buffer | null
  /** The same; also null where the user of a session was not kept (it was counted by an older version). */
  users(cell: number): Buffer | null
}

export function createCellSketches(cells: CellTable, sessions: RememberedSessions, members: Members): CellSketches {
  const durations = createDurations()
  const users = createUsers()
  const hash = new Int32Array(2)
  /** Calls back for the cells whose lists hold the sessions of this one beside its own: the hours of a day. */
  function eachHour(cell: number, visit: (hour: number) => void): void {
    const bucket = cells.bucketOf(cell)
    if (!isDay(bucket)) return
    const first = dayOf(bucket) * DAY_HOURS
    for (let hour = first; hour < first + DAY_HOURS; hour++) {
      const part = cells.find(cells.seriesOf(cell), hourBucket(hour))
      if (part >= 0) visit(part)
    }
  }

  /** Sessions in the lists, as far as they are wanted: one more than `wanted` where there are more. */
  let found = 0
  let wanted = 0
  let isKnown = true

  function addDurations(list: number): void {
    for (let session = members.first(list, ENDED); session >= 0; session = members.next(session, ENDED)) {
      if (++found > wanted) return
      const durationMs = sessions.durationMs(session)
      if (durationMs >= 0) durations.add(binOf(durationMs), 1)
    }
  }

  function addUsers(list: number): void {
    for (let session = members.first(list, STARTED); session >= 0; session = members.next(session, STARTED)) {
      const user = sessions.user(session, hash)
      if (user === USER.unkept) isKnown = false
      if (++found > wanted || !isKnown) return
      if (user === USER.known) users.add(hash[0] as number, hash[1] as number)
    }
  }

  function begin(cell: number, count: number): boolean {
    found = 0
    wanted = cells.count(cell, count)
    isKnown = true
    return wanted > 0
  }

  return {
    durations(cell) {
      if (!begin(cell, COUNT.sessions_ended)) return null
      durations.clear()
      addDurations(cell)
      eachHour(cell, addDurations)
      return found === wanted ? durations.encode() : null
    },

    users(cell) {
      if (!begin(cell, COUNT.sessions)) return null
      users.clear()
      addUsers(cell)
      eachHour(cell, addUsers)
      return found === wanted && isKnown ? users.encode() : null
    },
  }
}
