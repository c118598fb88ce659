/**
 * The order of stages for one source partition, and nothing else. Each stage is a value passed in (`stages.ts` makes the real ones).
 *
 * Pages pile up in a batch and are committed together: at the end of what is known, when the batch is large or old enough, and before another
 * lane's page. A page that is too much for one transaction is committed in parts, with the cursor still before it; versions drop the repeats
 * should it be read again.
 */
import type { Draft } from '../source/contract.ts'
import type { Decoded, Row } from './decode.ts'
import type { Step } from './reader.ts'

export interface Stages {
  /** The next page that is due; null when nothing is. */
  read(): Promise<Step | null>
  /** Each row by itself: those that fit, and those that go to rejects. */
  decode(step: Step): Decoded | Promise<Decoded>
  /** The rows that consumers have not seen like this, a few at a time. */
  changed(step: Step, decoded: Decoded): Iterable<readonly Row[]>
  /** The dearer second call. Same rows, same order. */
  expand(rows: readonly Row[]): Promise<readonly Row[]>
  /** The records in a row; null when it went to rejects. */
  normalise(step: Step, row: Row): readonly Draft[] | null
  /** Mask, drop what was published before, encode. */
  publish(step: Step, row: Row, drafts: readonly Draft[]): void
  /** The page is dealt with: the cursor stands after it. */
  accept(step: Step): void
  /** True when the batch is as much as one transaction should hold. */
  isFull(): boolean
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
    const decoded = await stages.decode(step)
    for (const changed of stages.changed(step, decoded)) {
      for (const row of await stages.expand(changed)) {
        const drafts = stages.normalise(step, row)
        if (drafts !== null) stages.publish(step, row, drafts)
        if (stages.isFull()) await stages.commit()
      }
    }
    stages.accept(step)
    if (stages.isDue(step)) await stages.commit()
  }
  await stages.commit()
}
