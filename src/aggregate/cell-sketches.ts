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
  const lists: number[] = []

  /** The cells whose lists hold the sessions of this one: itself, and with a day its hours. */
  function listsOf(cell: number): readonly number[] {
    lists.length = 0
    lists.push(cell)
    const bucket = cells.bucketOf(cell)
    if (!isDay(bucket)) return lists
    const first = dayOf(bucket) * DAY_HOURS
    for (let hour = first; hour < first + DAY_HOURS; hour++) {
      const part = cells.find(cells.seriesOf(cell), hourBucket(hour))
      if (part >= 0) lists.push(part)
    }
    return lists
  }

  return {
    durations(cell) {
      const wanted = cells.count(cell, COUNT.sessions_ended)
      if (wanted === 0) return null
      durations.clear()
      let found = 0
      for (const list of listsOf(cell)) {
        for (let session = members.first(list, ENDED); session >= 0; session = members.next(session, ENDED)) {
          if (++found > wanted) return null
          const durationMs = sessions.durationMs(session)
          if (durationMs >= 0) durations.add(binOf(durationMs), 1)
        }
      }
      return found === wanted ? durations.encode() : null
    },

    users(cell) {
      const wanted = cells.count(cell, COUNT.sessions)
      if (wanted === 0) return null
      users.clear()
      let found = 0
      for (const list of listsOf(cell)) {
        for (let session = members.first(list, STARTED); session >= 0; session = members.next(session, STARTED)) {
          const user = sessions.user(session, hash)
          if (++found > wanted || user === USER.unkept) return null
          if (user === USER.known) users.add(hash[0] as number, hash[1] as number)
        }
      }
      return found === wanted ? users.encode() : null
    },
  }
}
