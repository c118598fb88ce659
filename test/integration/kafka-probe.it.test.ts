import { expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { watchKafka } from '../../src/kafka/probe.ts'
import { kafka, proxy, topic, until } from '../kafka/fixture.ts'

test('a broker that is stopped, or gone, is reported within 10 s, and its return at once', async () => {
  const line = await proxy()
  const name = await topic(kafka(), 3)
  const stop = new AbortController()
  const watch = watchKafka({ kafka: kafka({ brokers: [line.address] }), clock: systemClock, signal: stop.signal, topics: [name] })
  await until(() => watch.ok())
  for (const [away, back] of [
    [() => line.freeze(), () => line.thaw()],
    [() => line.breakOff(), () => line.restore()],
  ] as const) {
    away()
    const began = Date.now()
    await until(() => !watch.ok())
    expect(Date.now() - began).toBeLessThan(10_000)
    expect(watch.why()).toMatch(/^Kafka has not answered for \d+ s: Kafka did not answer/)
    back()
    await until(() => watch.ok())
  }
  stop.abort()
  await watch.done
}, 60_000)
