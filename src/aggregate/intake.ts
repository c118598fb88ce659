/**
 * The tail of one partition number, cut into batches: one fetch runs ahead while a batch is worked, and a batch waits a little for more, so that
 * a backfill writes a minute once for many records.
 */
import type { Clock } from '../clock.ts'
import type { Chunk } from '../kafka/port.ts'

export interface Intake {
  /**
   * What has come since the last call, at least one chunk, of which none need have a record: the position counts also where only markers and aborted
   * records were passed, for others wait until it has reached the end. Null when the signal has aborted. @throws what the tail throws
   *
   * @param patienceMs Nothing may come for so long, then the batch is empty. Without it there is no end to waiting.
   */
  next(patienceMs?: number): Promise<Chunk[] | null>
  /** A batch is full and waits to be taken; fetching pauses. */
  readonly isFull: boolean
}

export interface IntakeOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  /** A batch is given out as soon as it has so many records; fetching pauses above it. */
  readonly maxRecords: number
  /** How long a batch waits for more, from its first chunk on. */
  readonly lingerMs: number
}

export function createIntake(tail: AsyncIterable<Chunk[]>, options: IntakeOptions): Intake {
  const { clock, signal, maxRecords, lingerMs } = options
  let chunks: Chunk[] = []
  let records = 0
  let end: { error: unknown } | null = null
  let wake = () => {}
  let drained = () => {}

  const isFull = () => records >= maxRecords
  const isEmpty = () => chunks.length === 0
  const isOver = () => end !== null

  async function pull(): Promise<void> {
    for await (const fetched of tail) {
      chunks.push(...fetched)
      for (const chunk of fetched) records += chunk.records.length
      if (chunks.length > 0) wake()
      while (isFull() && !signal.aborted) await new Promise<void>(resolve => (drained = resolve))
    }
  }
  pull().then(
    () => finish(null),
    (error: unknown) => finish({ error }),
  )
  function finish(how: { error: unknown } | null): void {
    end = how ?? { error: null }
    wake()
  }
  signal.addEventListener('abort', () => drained(), { once: true })

  /** Until something came, the tail ended, or the time has passed. */
  async function wait(forMs: number | null): Promise<void> {
    const stop = new AbortController()
    const woken = new Promise<void>(resolve => (wake = resolve))
    await (forMs === null ? woken : Promise.race([woken, clock.sleep(forMs, stop.signal)]))
    stop.abort()
    wake = () => {}
  }

  return {
    get isFull() {
      return isFull()
    },

    async next(patienceMs) {
      const startedMs = clock.now()
      while (isEmpty() && !isOver()) {
        const leftMs = patienceMs === undefined ? null : startedMs + patienceMs - clock.now()
        if (leftMs !== null && leftMs <= 0) return signal.aborted ? null : []
        await wait(leftMs)
      }
      const untilMs = clock.now() + lingerMs
      for (let now = clock.now(); !isFull() && !isOver() && now < untilMs; now = clock.now()) await wait(untilMs - now)
      if (signal.aborted) return null
      if (end?.error) throw end.error
      if (end !== null && isEmpty()) return null
      const batch = chunks
      chunks = []
      records = 0
      drained()
      return batch
    },
  }
}
