import { expect, test } from 'vitest'
import { createIntake } from '../../src/aggregate/intake.ts'
import type { Chunk, ReadRecord } from '../../src/kafka/port.ts'
import { handClock } from '../support/clock.ts'

/** A tail whose fetches are given by hand. */
function handTail(signal: AbortSignal) {
  const fetches: Chunk[][] = []
  let wake = () => {}
  let failure: Error | null = null
  signal.addEventListener('abort', () => wake())
  return {
    give(...records: number[]) {
      fetches.push([{ topic: 't', partition: 0, records: records.map(offset => ({ offset }) as ReadRecord), next: 0, high: 0 }])
      wake()
    },
    fail(error: Error) {
      failure = error
      wake()
    },
    waiting: () => fetches.length,
    async *[Symbol.asyncIterator]() {
      while (!signal.aborted) {
        if (failure !== null) throw failure
        const next = fetches.shift()
        if (next !== undefined) yield next
        else await new Promise<void>(resolve => (wake = resolve))
      }
    },
  }
}

const offsets = (chunks: Chunk[] | null) => chunks?.flatMap(chunk => chunk.records.map(record => record.offset)) ?? null

function begin() {
  const stop = new AbortController()
  const clock = handClock()
  const tail = handTail(stop.signal)
  return { stop, clock, tail, intake: createIntake(tail, { clock, signal: stop.signal, maxRecords: 4, lingerMs: 250 }) }
}

test('a batch waits for more until the linger has passed since its first record', async () => {
  const { clock, tail, intake } = begin()
  const batch = intake.next()
  tail.give(1)
  await clock.asleep(1)
  await clock.advance(200)
  tail.give(2)
  await clock.asleep(1)
  await clock.advance(50)
  expect(offsets(await batch)).toEqual([1, 2])
})

test('a full batch goes at once, and fetching pauses until it is taken', async () => {
  const { tail, intake } = begin()
  for (let i = 0; i < 10; i++) tail.give(i)
  const batch = await intake.next()
  expect(offsets(batch)).toEqual([0, 1, 2, 3])
  expect(tail.waiting()).toBeGreaterThanOrEqual(5) // taking the batch lets it go on
  expect(offsets(await intake.next())).toEqual([4, 5, 6, 7])
})

test('a fetch that brought nothing but markers makes a batch too, after the linger: its position counts', async () => {
  const { clock, tail, intake } = begin()
  const batch = intake.next()
  tail.give()
  await clock.asleep(1)
  await clock.advance(250)
  expect(await batch).toEqual([{ topic: 't', partition: 0, records: [], next: 0, high: 0 }])
})

test('with patience, a batch is empty when nothing has come for so long, and what comes later is in the next', async () => {
  const { clock, tail, intake } = begin()
  const batch = intake.next(100)
  await clock.asleep(1)
  await clock.advance(100)
  expect(await batch).toEqual([])
  tail.give(1)
  const next = intake.next(100)
  await clock.asleep(1)
  await clock.advance(250)
  expect(offsets(await next)).toEqual([1])
})

test('stopping ends it, and what the tail throws is passed on', async () => {
  const stopped = begin()
  const waiting = stopped.intake.next()
  stopped.stop.abort()
  expect(await waiting).toBeNull()
  expect(await stopped.intake.next(100)).toBeNull()

  const failed = begin()
  const failing = failed.intake.next()
  failed.tail.fail(new Error('gone'))
  await expect(failing).rejects.toThrow('gone')
})
