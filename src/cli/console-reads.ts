/** Reads for the console that may take long or fail: one at a time, kept for a while, and an answer in time whatever Kafka does. */
import type { Clock } from '../clock.ts'
import type { Reading } from '../console.ts'
import { asFlowError } from '../errors.ts'

export interface ReadOptions<T> {
  readonly read: (signal: AbortSignal) => Promise<T>
  readonly clock: Clock
  readonly signal: AbortSignal
  /** So long a value is as new as it should be. */
  readonly holdsMs: number
  /** So long a page waits; the read itself goes on for `READ_MS`. */
  readonly waitMs: number
}

const READ_MS = 30_000

/**
 * @returns asks for the value: a new one, or the last one with what keeps the next from coming. Reads only while somebody asks.
 */
export function patientRead<T>({ read, clock, signal, holdsMs, waitMs }: ReadOptions<T>): () => Promise<Reading<T>> {
  let last: Reading<T> = { value: null, readMs: null, problem: null }
  let underWay: { readonly sinceMs: number; readonly done: Promise<void> } | null = null

  async function refresh(): Promise<void> {
    try {
      const value = await read(AbortSignal.any([signal, AbortSignal.timeout(READ_MS)]))
      last = { value, readMs: clock.now(), problem: null }
    } catch (thrown) {
      last = { ...last, problem: asFlowError(thrown).message }
    }
  }

  return async () => {
    const isFresh = last.problem === null && last.readMs !== null && clock.now() - last.readMs < holdsMs
    if (isFresh) return last
    underWay ??= { sinceMs: clock.now(), done: refresh().finally(() => (underWay = null)) }
    const { done, sinceMs } = underWay
    const ending = new AbortController()
    const inTime = await Promise.race([done.then(() => true), clock.sleep(waitMs, ending.signal).then(() => false)])
    ending.abort()
    if (inTime) return last
    const seconds = Math.round((clock.now() - sinceMs) / 1000)
    return { ...last, problem: last.problem ?? `no answer for ${seconds} s` }
  }
}
