/** Checks continuously whether Kafka answers: for readiness. */
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import type { Kafka } from './port.ts'

export interface WatchOptions {
  readonly kafka: Pick<Kafka, 'ping'>
  readonly clock: Clock
  /** Ends the watch. */
  readonly signal: AbortSignal
  /** The leader of every partition of these topics is asked. Default none: any broker will do. */
  readonly topics?: readonly string[]
  /** Interval between two requests. Default 2 s; after one without an answer, 0.5 s. */
  readonly everyMs?: number
  /** Deadline of one request. Default 3 s. */
  readonly timeoutMs?: number
  /** How long nothing may answer before `ok` returns false. Default 6 s: one slow answer does not count. */
  readonly patienceMs?: number
}

export interface KafkaWatch {
  /**
   * False until Kafka has answered once, and when it has not answered for `patienceMs`, whether its brokers are gone, cut off or stopped (their sockets stay
   * open then). With the defaults an outage shows within 9 s, and its end within 4 s.
   */
  ok(): boolean
  /** Why not, in a sentence without secrets; null while `ok`. */
  why(): string | null
  /** Resolves when the signal has ended it. */
  readonly done: Promise<void>
}

const EVERY_MS = 2_000
const SOON_MS = 500
const TIMEOUT_MS = 3_000
const PATIENCE_MS = 6_000

/** Starts at once. Logs nothing: the caller decides what to report. */
export function watchKafka(options: WatchOptions): KafkaWatch {
  const { kafka, clock, signal, topics = [], everyMs = EVERY_MS, timeoutMs = TIMEOUT_MS, patienceMs = PATIENCE_MS } = options
  let answeredAtMs: number | null = null
  /** Failure of the last request; null: it was answered. */
  let failure: string | null = 'Kafka has not answered yet'

  async function watch(): Promise<void> {
    while (!signal.aborted) {
      try {
        await kafka.ping({ topics, timeoutMs })
        answeredAtMs = clock.now()
        failure = null
      } catch (thrown) {
        failure = asFlowError(thrown).message
      }
      await clock.sleep(failure === null ? everyMs : Math.min(SOON_MS, everyMs), signal)
    }
  }

  const why = (): string | null => {
    if (failure === null) return null
    if (answeredAtMs === null) return failure
    const silentMs = clock.now() - answeredAtMs
    return silentMs < patienceMs ? null : `Kafka has not answered for ${Math.floor(silentMs / 1000)} s: ${failure}`
  }

  return { ok: () => why() === null, why, done: watch() }
}
