/** The suite's time: it stands still while anything is in progress, and jumps to the next sleeper as soon as nothing is. */
import type { Clock } from '../clock.ts'

export interface JumpingClock extends Clock {
  /** Something is in progress that time must wait for; call the result when it is over. */
  busy(): () => void
  /** Called before each jump, with its target time; false: time stands still until the next call of anything here. */
  onIdle: (dueMs: number) => boolean
  /** Real milliseconds of idleness before a jump; more if something is in progress that does not report by `busy`. */
  quietMs: () => number
  readonly jumps: number
}

/** Idle turns of the event loop before a jump: enough for bytes to cross the loopback in one process. */
const QUIET_TURNS = 6

export function jumpingClock(startMs: number): JumpingClock {
  let nowMs = startMs
  let underWay = 0
  let stirs = 0
  let looking = false
  let jumps = 0
  const sleepers = new Set<{ readonly dueMs: number; wake(): void }>()

  function next() {
    let first: { readonly dueMs: number; wake(): void } | null = null
    for (const sleeper of sleepers) if (first === null || sleeper.dueMs < first.dueMs) first = sleeper
    return first !== null && Number.isFinite(first.dueMs) ? first : null
  }

  function look(): void {
    if (looking || underWay > 0 || next() === null) return
    looking = true
    let seen = stirs
    let turns = 0
    let sinceMs = performance.now()
    const turn = () => {
      if (underWay > 0) {
        looking = false
        return
      }
      if (seen === stirs) turns++
      else [seen, turns, sinceMs] = [stirs, 0, performance.now()]
      if (turns < QUIET_TURNS || performance.now() - sinceMs < clock.quietMs()) {
        setImmediate(turn)
        return
      }
      looking = false
      const sleeper = next()
      if (sleeper === null || !clock.onIdle(sleeper.dueMs)) return
      if (!sleepers.has(sleeper)) {
        look()
        return
      }
      nowMs = Math.max(nowMs, sleeper.dueMs)
      jumps++
      sleeper.wake()
      look()
    }
    setImmediate(turn)
  }

  const clock: JumpingClock = {
    onIdle: () => true,
    quietMs: () => 0,
    now: () => {
      stirs++
      return nowMs
    },
    sleep(ms, signal) {
      stirs++
      if (ms <= 0 || signal?.aborted === true) return new Promise(resolve => setImmediate(resolve))
      return new Promise(resolve => {
        const wake = () => {
          sleepers.delete(sleeper)
          signal?.removeEventListener('abort', wake)
          stirs++
          resolve()
          look()
        }
        const sleeper = { dueMs: Math.ceil(nowMs + ms), wake }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', wake, { once: true })
        look()
      })
    },
    busy() {
      underWay++
      let over = false
      return () => {
        if (over) return
        over = true
        underWay--
        stirs++
        look()
      }
    },
    get jumps() {
      return jumps
    },
  }
  return clock
}
