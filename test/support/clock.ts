import type { Clock } from '../../src/clock.ts'

/** A clock that stands still until a test moves it. */
export interface HandClock extends Clock {
  /** Move by `ms`, waking every sleeper that falls due on the way in order of time, each with the clock at its own time. */
  advance(ms: number): Promise<void>
  /** Somebody sets the clock: `now` differs by `ms` from here on, and no time passes. */
  jump(ms: number): void
  /** How many sleep at this moment. */
  readonly sleeping: number
  /** Resolves when at least `count` sleep; a test that waits in vain runs into its time limit. */
  asleep(count: number): Promise<void>
}

export interface HandClockOptions {
  /**
   * Move by itself: when for `quietMs` of real time (default 3) nobody asked the clock anything, jump to the next sleeper. For code that runs
   * to its end, where the test does not care about single steps; `busy` holds the jump back while something else is under way.
   */
  readonly autoAdvance?: boolean | { readonly quietMs?: number; readonly busy?: () => boolean }
}

interface Sleeper {
  readonly dueMs: number
  wake(): void
}

export function handClock(startMs: number | string = '2026-11-01T12:00:00Z', options: HandClockOptions = {}): HandClock {
  let nowMs = typeof startMs === 'string' ? Date.parse(startMs) : startMs
  /** How far `now` was set away from the time that passed. */
  let setMs = 0
  const sleepers: Sleeper[] = []
  const auto = options.autoAdvance === true ? {} : options.autoAdvance || null
  let quietTicks = 0
  let ticking = false
  let watchers: { count: number; resolve(): void }[] = []

  /** Sleepers in order of time; equal times in the order they fell asleep, as the sort is stable. */
  const next = () => sleepers.toSorted((a, b) => a.dueMs - b.dueMs)[0]

  function tick(): void {
    if (auto === null || ticking || sleepers.length === 0) return
    ticking = true
    setTimeout(() => {
      ticking = false
      quietTicks = auto.busy?.() === true ? 0 : quietTicks + 1
      const sleeper = next()
      if (quietTicks >= (auto.quietMs ?? 3) && sleeper !== undefined) {
        quietTicks = 0
        nowMs = Math.max(nowMs, sleeper.dueMs)
        sleeper.wake()
      }
      tick()
    }, 1)
  }

  return {
    now() {
      quietTicks = 0
      return nowMs + setMs
    },
    steady() {
      quietTicks = 0
      return nowMs
    },
    jump(ms) {
      setMs += ms
    },
    sleep(ms, signal) {
      quietTicks = 0
      if (ms <= 0 || signal?.aborted === true) return turn()
      return new Promise(resolve => {
        const wake = () => {
          sleepers.splice(sleepers.indexOf(sleeper), 1)
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const sleeper: Sleeper = { dueMs: nowMs + ms, wake }
        sleepers.push(sleeper)
        signal?.addEventListener('abort', wake, { once: true })
        for (const watcher of watchers) if (sleepers.length >= watcher.count) watcher.resolve()
        watchers = watchers.filter(watcher => sleepers.length < watcher.count)
        tick()
      })
    },
    async advance(ms) {
      const untilMs = nowMs + ms
      await turns()
      for (let sleeper = next(); sleeper !== undefined && sleeper.dueMs <= untilMs; sleeper = next()) {
        nowMs = Math.max(nowMs, sleeper.dueMs)
        sleeper.wake()
        await turns()
      }
      nowMs = untilMs
    },
    get sleeping() {
      return sleepers.length
    },
    asleep: count => (sleepers.length >= count ? Promise.resolve() : new Promise(resolve => watchers.push({ count, resolve }))),
  }
}

/** One turn of the event loop. */
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

/** Enough turns for what a wake-up sets going, where it does no more than promises. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn()
}
