import { expect, test } from 'vitest'
import { logSummaries, tallied } from '../../src/cli/summary.ts'
import { createLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { handClock } from '../support/clock.ts'

const MINUTE = 60_000

function summaries(level: 'info' | 'warn' = 'info', here: readonly string[] = ['acme', 'idle']) {
  const clock = handClock()
  const stop = new AbortController()
  const lines: Record<string, unknown>[] = []
  const log = createLog(level, line => lines.push(JSON.parse(line) as Record<string, unknown>))
  const plain = createMetrics({ processMetrics: false })
  const { metrics, take } = tallied(plain)
  const done = logSummaries({ take, here: () => here, clock, log, signal: stop.signal })
  const taken = () => lines.splice(0).map(({ time: _time, level: _level, ...fields }) => fields)
  return { clock, stop, lines: taken, log, metrics, plain, done }
}

function read(metrics: ReturnType<typeof summaries>['metrics'], connector: string): void {
  metrics.inc('ingest_records_total', { connector, stream: 's', kind: 'session' }, 3)
  metrics.inc('ingest_records_total', { connector, stream: 's', kind: 'message' }, 20)
  metrics.inc('ingest_records_total', { connector, stream: 't', kind: 'event' }, 4)
  metrics.inc('ingest_rejects_total', { connector, stream: 's', reason: 'ROW_INVALID' }, 2)
  metrics.inc('ingest_unchanged_total', { connector, stream: 's' }, 100)
  metrics.inc('vendor_requests_total', { connector, outcome: 'ok' })
  metrics.inc('vendor_requests_total', { connector, outcome: 'SRC_TIMEOUT' })
}

test('each minute has a line for each connector that is here, with what was read in that minute', async () => {
  const { clock, stop, lines, metrics, done } = summaries()
  await clock.asleep(1)
  read(metrics, 'acme')
  await clock.advance(MINUTE - 1)
  expect(lines()).toEqual([])
  await clock.advance(1)
  expect(lines()).toEqual([
    { connector: 'acme', records: 27, sessions: 3, rejects: 2, requests: 2, msg: 'read in the last minute' },
    { connector: 'idle', records: 0, sessions: 0, rejects: 0, requests: 0, msg: 'read in the last minute' },
  ])
  await clock.asleep(1)
  await clock.advance(MINUTE)
  expect(lines()).toMatchObject([
    { connector: 'acme', records: 0, requests: 0 },
    { connector: 'idle', records: 0 },
  ])
  stop.abort()
  await done
})

test('what was read of a task that has moved away has its line, too', async () => {
  const { clock, stop, lines, metrics, done } = summaries('info', [])
  await clock.asleep(1)
  read(metrics, 'gone')
  await clock.advance(MINUTE)
  expect(lines()).toMatchObject([{ connector: 'gone', records: 27 }])
  stop.abort()
  await done
})

test('level warn has none of these lines; the logger of one connector turns its own off', async () => {
  const quiet = summaries('warn')
  await quiet.clock.asleep(1)
  await quiet.clock.advance(MINUTE)
  expect(quiet.lines()).toEqual([])
  quiet.stop.abort()
  await quiet.done

  const { clock, stop, lines, log, done } = summaries()
  log.levels.set('connector.idle', 'WARN')
  await clock.asleep(1)
  await clock.advance(MINUTE)
  expect(lines()).toMatchObject([{ connector: 'acme' }])
  stop.abort()
  await done
})

test('the metrics count what they counted before, and connectors beyond what they hold have their own line', async () => {
  const plain = createMetrics({ processMetrics: false, maxLabelSets: 2 })
  const { metrics, take } = tallied(plain)
  for (const connector of ['a', 'b', 'c', 'd']) metrics.inc('vendor_requests_total', { connector, outcome: 'ok' })
  const page = (await plain.render()).body
  expect(page).toContain('colloquy_vendor_requests_total{connector="a",outcome="ok"} 1')
  expect([...take()].map(([connector, { requests }]) => [connector, requests])).toEqual([
    ['a', 1],
    ['b', 1],
    ['c', 1],
    ['d', 1],
  ])
  expect([...take()]).toEqual([])
})
