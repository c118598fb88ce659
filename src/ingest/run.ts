/**
 * The order of stages for one source partition, and nothing else. Each stage is a value passed in (`stages.ts` makes the real ones).
 *
 * Pages are collected in a batch and committed together: when nothing more is due, when the batch is large or old enough, and before another
 * lane's page. A page that is too much for one transaction is committed in parts, with the cursor still before it; versions drop the repeats
 * should it be read again.
 */
import type { Step } from './reader.ts'
import type { Mapped, Row } from './rows.ts'

export interface Stages {
  /** The next page that is due; null when nothing is. */
  read(): Promise<Step | null>
  /** Each row by itself: those that fit; the others go to rejects. */
  decode(step: Step): readonly Row[] | Promise<readonly Row[]>
  /** The rows that consumers have not seen like this, with their records: some at once, enriched and mapped when they are asked for. */
  map(step: Step, rows: readonly Row[]): AsyncIterable<Iterable<Mapped>>
  /** Leave out what was published before, encode, add to the batch; or add the reject. */
  append(step: Step, mapped: Mapped): void
  /** The page is dealt with: the cursor stands after it. */
  accept(step: Step): void
  /** True when the batch is as much as one transaction should hold. */
  isFull(mapped: Mapped): boolean
  /** True when the batch waits for nothing more after this page. */
  isDue(step: Step): boolean
  /** The batch, if there is one, with the cursor where it stands: together, or not at all. */
  commit(): Promise<void>
  /** Until something may be due, or the stop signal. */
  wait(): Promise<void>
}

/** Runs until the signal aborts; what is in hand then is finished and committed. Throws what a stage throws. */
export async function run(stages: Stages, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const step = await stages.read()
    if (step === null) {
      await stages.commit()
      await stages.wait()
      continue
    }
    const rows = await stages.decode(step)
    for await (const some of stages.map(step, rows)) {
      for (const mapped of some) {
        stages.append(step, mapped)
        if (stages.isFull(mapped)) await stages.commit()
      }
    }
    stages.accept(step)
    if (stages.isDue(step)) await stages.commit()
  }
  await stages.commit()
}
