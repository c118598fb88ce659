import { expect, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { handClock } from '../support/clock.ts'
import { draw } from './random.ts'
import { tinyConnector } from './tiny.ts'
import { startLife } from './world.ts'

const MINUTE = 60_000
const NOON = Date.parse('2026-11-20T12:00:00Z')

/** Ten conversations of which one cannot be read, a vendor that fails once, a commit that fails once. */
async function live(): Promise<Map<string, number>> {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
  const kafka = memoryKafka()
  const sessions = Array.from({ length: 10 }, (_, index) => {
    const startMs = NOON - 50 * MINUTE + index * MINUTE
    return {
      id: `s${index}`,
      bot: 'b',
      startMs,
      messageTimes: [startMs],
      closesMs: startMs,
      shownMs: startMs,
      broken: index === 3,
    }
  })
  const vendor = { sessions, clock, luck: draw(1), pageRows: 4, failing: 1, longestMs: Infinity, reads: 0 }
  const window = { longestMs: 60 * MINUTE, lagMs: 0, lookbackMs: 0, pollIntervalMs: 60 * MINUTE, durableResume: false }
  kafka.nextCommits('ok', 'aborted')
  const life = startLife({ kafka, connector: tinyConnector(vendor, window), clock, base: { startAtMs: NOON - 60 * MINUTE } })
  await clock.sleep(100)
  vendor.failing = 0
  await clock.sleep(20_000)
  const lines = await life.connectMetrics()
  await life.stop()
  return new Map(
    lines
      .filter(line => line.includes('task="0"'))
      .map(line => [line.slice(14, line.indexOf('{')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

test('what a task reads, writes, rejects and repeats is in the metrics of Kafka Connect', async () => {
  const shown = await live()
  const part = (...names: string[]) => Object.fromEntries(names.map(name => [name, shown.get(name)]))
  // Ten rows in pages of four, read twice because the first commit of them was lost; each of the nine that can be read is a session, a message and an event.
  expect(part('source_task_source_record_poll_total', 'source_task_source_record_write_total')).toEqual({
    source_task_source_record_poll_total: 20,
    source_task_source_record_write_total: 27,
  })
  expect(
    part('connector_task_batch_size_max', 'source_task_source_record_active_count', 'source_task_transaction_size_max'),
  ).toEqual({
    connector_task_batch_size_max: 4,
    source_task_source_record_active_count: 0,
    source_task_transaction_size_max: 27,
  })
  expect(shown.get('connector_task_offset_commit_failure_percentage')).toBeGreaterThan(0)
  expect(part('task_error_total_record_errors', 'task_error_total_records_skipped', 'task_error_total_retries')).toEqual({
    task_error_total_record_errors: 1,
    task_error_total_records_skipped: 1,
    task_error_total_retries: 2,
  })
  expect(shown.get('task_error_total_record_failures'), 'the row, the vendor, the commit').toBe(3)
  expect(shown.get('task_error_deadletterqueue_produce_failures'), 'the row was in the commit that failed').toBe(1)
  expect(shown.get('task_error_last_error_timestamp')).toBeGreaterThanOrEqual(NOON)
})
