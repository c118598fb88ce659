/** Time as a parameter: the system's in production, moved by hand in tests. */
export interface Clock {
  /** Epoch milliseconds, UTC. */
  now(): number
  /** Milliseconds since some moment; does not jump when the clock is set. Read it with `steadyMs`. */
  steady?(): number
  /** Resolves after `ms`, or at once, without an error, when the signal aborts; check the signal afterwards. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Readings of clocks without `steady`: for each, the latest time seen and how long had passed by then. */
const readings = new WeakMap<Clock, { nowMs: number; passedMs: number }>()

/**
 * Milliseconds since some moment, for durations: never goes back, whatever happens to `now`. If the clock has no steady reading, backward steps of `now` count
 * as nothing.
 */
export function steadyMs(clock: Clock): number {
  if (clock.steady) return clock.steady()
  const nowMs = clock.now()
  const last = readings.get(clock) ?? { nowMs, passedMs: nowMs }
  const reading = { nowMs, passedMs: last.passedMs + Math.max(0, nowMs - last.nowMs) }
  readings.set(clock, reading)
  return reading.passedMs
}

export const systemClock: Clock = {
  now: Date.now,
  steady: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise(resolve => {
      if (signal?.aborted === true || ms <= 0) {
        setImmediate(resolve)
        return
      }
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1))
      signal?.addEventListener('abort', done, { once: true })
    }),
}
