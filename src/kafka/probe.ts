/** Whether Kafka answers, asked all the time: for readiness. */
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import type { Kafka } from './port.ts'

export interface WatchOptions {
  readonly kafka: Pick<Kafka, 'ping'>
  readonly clock: Clock
  /** Ends the watch. */
  readonly signal: AbortSignal
  /** Every partition's leader of these is asked. Default none: any broker will do. */
  readonly topics?: readonly string[]
  /** Between two questions. Default 2 s; after one without an answer, 0.5 s. */
  readonly everyMs?: number
  /** How long one question may take. Default 3 s. */
  readonly timeoutMs?: number
  /** So long nothing may answer before `ok` says no. Default 6 s: one slow answer is none of that. */
  readonly patienceMs?: number
}

export interface KafkaWatch {
  /**
   * False until Kafka has answered once, and when it has not answered for `patienceMs`, whether its brokers are gone, cut off or stopped (their
   * sockets stay open then). With the defaults that is said within 9 s, and that it is back within 4 s.
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

/** Begins at once. Nothing is logged: whoever asks decides what to say, and to whom. */
export function watchKafka(options: WatchOptions): KafkaWatch {
  const { kafka, clock, signal, topics = [], everyMs = EVERY_MS, timeoutMs = TIMEOUT_MS, patienceMs = PATIENCE_MS } = options
  let answeredAtMs: number | null = null
  /** What the last question came to; null: it was answered. */
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
