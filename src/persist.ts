import type { Clock } from './clock.ts'
import { asFlowError, type FlowError } from './errors.ts'
import { errorFields, type Log } from './log.ts'

const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 10_000

export interface Persistence {
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  /** For the log: `cannot start yet, trying again`. */
  readonly message: string
  /** Called with each failure that is tried again. */
  readonly failed: (error: FlowError) => void
}

/**
 * What a role cannot begin without, tried until it works: from 1 s to 10 s apart, so that a role is back soon after Kafka or the registry.
 *
 * @returns null when stopped before. @throws FlowError that time does not mend (`never`)
 */
export async function persist<T>(
  { clock, log, signal, message, failed }: Persistence,
  work: () => Promise<T>,
): Promise<T | null> {
  for (let waitMs = FIRST_WAIT_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    try {
      return await work()
    } catch (thrown) {
      const error = asFlowError(thrown)
      if (error.retry === 'never') throw error
      failed(error)
      log.warn({ ...errorFields(error), waitMs }, message)
      await clock.sleep(waitMs, signal)
    }
  }
  return null
}
