import { afterEach, beforeEach, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { watchKafka, type WatchOptions } from '../../src/kafka/probe.ts'
import { type HandClock, handClock } from '../support/clock.ts'

let stop = new AbortController()
beforeEach(() => {
  stop = new AbortController()
})
afterEach(() => stop.abort())

/** A cluster that answers, or is silent until the deadline, by the manual clock. */
function cluster(clock: HandClock) {
  const state = { answers: true, asked: 0 }
  const kafka: WatchOptions['kafka'] = {
    async ping({ timeoutMs }) {
      state.asked++
      if (state.answers) return
      await clock.sleep(timeoutMs)
      throw new FlowError('KAFKA_UNREACHABLE', { hint: 'no answer' })
    },
  }
  return { state, watch: watchKafka({ kafka, clock, signal: stop.signal }) }
}

test('silence of Kafka is reported between 6 and 10 s later, and its return within 4 s', async () => {
  const clock = handClock()
  const { state, watch } = cluster(clock)
  await clock.asleep(1)
  expect({ ok: watch.ok(), why: watch.why() }).toEqual({ ok: true, why: null })

  // At the worst moment: just after an answer.
  state.answers = false
  await clock.advance(5_900)
  expect(watch.ok()).toBe(true)
  await clock.advance(4_000)
  expect(watch.ok()).toBe(false)
  expect(watch.why()).toMatch(/^Kafka has not answered for 9 s: Kafka did not answer: no answer/)

  state.answers = true
  await clock.advance(4_000)
  expect({ ok: watch.ok(), why: watch.why() }).toEqual({ ok: true, why: null })
})

test('a single request without an answer changes nothing', async () => {
  const clock = handClock()
  const { state, watch } = cluster(clock)
  await clock.asleep(1)
  state.answers = false
  await clock.advance(2_500)
  state.answers = true
  for (let ms = 0; ms < 5_000; ms += 100) {
    await clock.advance(100)
    expect(watch.ok()).toBe(true)
  }
  expect(state.asked).toBeGreaterThan(3)
})

test('Kafka that never answered is not ok, from the start', async () => {
  const clock = handClock()
  const { state, watch } = cluster(clock)
  state.answers = false
  expect({ ok: watch.ok(), why: watch.why() }).toEqual({ ok: false, why: 'Kafka has not answered yet' })
})

test('a watch ends with its signal', async () => {
  const clock = handClock()
  const { watch } = cluster(clock)
  await clock.asleep(1)
  stop.abort()
  await expect(watch.done).resolves.toBeUndefined()
})
