/**
 * Long work in short slices. The aggregator of the same process must reach its group's coordinator in time, so no query and no judging of alerts may hold the event loop:
 * work is written as a generator that yields often, and run a few milliseconds at a time, one slice in each turn of the loop, whoever waits longest first.
 */
import { FlowError } from './errors.ts'

/** Work that can pause at every `yield`; a step between two takes well below a millisecond. */
export type Steps<T> = Generator<void, T, void>

/** Under the 20 ms that a slice may take at most, with room for the last step and for garbage collection. */
const SLICE_MS = 8

export interface Slices {
  /** @throws FlowError STOPPED when the signal aborts before the end; what the work throws. */
  run<T>(steps: Steps<T>, signal?: AbortSignal): Promise<T>
}

export function createSlices(sliceMs = SLICE_MS): Slices {
  const waiting: (() => void)[] = []
  let scheduled = false

  function enqueue(slice: () => void): void {
    waiting.push(slice)
    if (scheduled) return
    scheduled = true
    setImmediate(turn)
  }

  function turn(): void {
    waiting.shift()?.()
    scheduled = waiting.length > 0
    if (scheduled) setImmediate(turn)
  }

  return {
    run: <T>(steps: Steps<T>, signal?: AbortSignal) =>
      new Promise<T>((resolve, reject) => {
        const slice = () => {
          try {
            if (signal?.aborted === true) throw new FlowError('STOPPED', { hint: 'nobody waits for the answer any more' })
            const endsMs = performance.now() + sliceMs
            for (let step = steps.next(); ; step = steps.next()) {
              if (step.done === true) return resolve(step.value)
              if (performance.now() >= endsMs) return enqueue(slice)
            }
          } catch (error) {
            reject(error)
          }
        }
        enqueue(slice)
      }),
  }
}

/** A stable sort. */
export function* sortSteps<T>(items: readonly T[], compare: (a: T, b: T) => number): Steps<T[]> {
  if (items.length <= SORTED_A_STEP) {
    yield
    return items.toSorted(compare)
  }
  const half = items.length >>> 1
  const left = yield* sortSteps(items.slice(0, half), compare)
  const right = yield* sortSteps(items.slice(half), compare)
  const merged: T[] = []
  for (let i = 0, j = 0; i < left.length || j < right.length; ) {
    const takesRight = i === left.length || (j < right.length && compare(left[i] as T, right[j] as T) > 0)
    if (merged.push((takesRight ? right[j++] : left[i++]) as T) % SORTED_A_STEP === 0) yield
  }
  return merged
}

const SORTED_A_STEP = 1024

/** Runs the work to its end at once: for tests, and where the work is known to be small. */
export function finish<T>(steps: Steps<T>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}
