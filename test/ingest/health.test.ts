import { expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { Health } from '../../src/ingest/health.ts'
import { createMetrics } from '../../src/metrics.ts'
import { handClock } from '../support/clock.ts'

const MINUTE = 60_000

function watched() {
  const clock = handClock('2026-11-20T12:00:00Z')
  const metrics = createMetrics({ processMetrics: false })
  const health = new Health(clock, metrics)
  const add = (scope: string) => health.add({ connector: 'acme', stream: 'sessions', scope, task: 0, stalledAfterMs: 5 * MINUTE })
  const shown = async () => (await metrics.render()).body.split('\n')
  return { clock, health, add, shown }
}

test('a stream is as its worst scope is, and complete as far as its slowest, once each scope has committed', async () => {
  const { health, add, shown } = watched()
  const one = add('one')
  const two = add('two')
  one.committed({ state: 'live', completeUntilMs: 50_000, versions: 3 })
  expect((await shown()).some(line => line.startsWith('colloquy_ingest_complete_until'))).toBe(false)
  two.committed({ state: 'catching_up', completeUntilMs: 20_000, versions: 4 })
  const lines = await shown()
  expect(lines).toContain('colloquy_ingest_complete_until_timestamp_seconds{connector="acme",stream="sessions"} 20')
  expect(lines).toContain('colloquy_stream_state{connector="acme",stream="sessions",state="catching_up"} 1')
  expect(lines).toContain('colloquy_stream_state{connector="acme",stream="sessions",state="live"} 0')
  expect(health.states()).toMatchObject([
    { scope: 'one', state: 'live', versions: 3 },
    { scope: 'two', state: 'catching_up', versions: 4 },
  ])
})

test('a source partition that commits nothing for long is stalled, until it commits', async () => {
  const { clock, health, add, shown } = watched()
  const one = add('one')
  one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
  await clock.advance(5 * MINUTE)
  expect(health.states()[0]?.state).toBe('live')
  await clock.advance(1)
  expect(health.states()[0]?.state).toBe('stalled')
  health.refresh()
  expect(await shown()).toContain('colloquy_stream_state{connector="acme",stream="sessions",state="stalled"} 1')
  one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
  expect(health.states()[0]?.state).toBe('live')
})

test('the last error stands until the next commit', () => {
  const { health, add } = watched()
  const one = add('one')
  one.failed(new FlowError('SRC_REFUSED', { status: 404 }), 'failed')
  expect(health.states()[0]).toMatchObject({ state: 'failed', error: { code: 'SRC_REFUSED' } })
  one.set('catching_up')
  expect(health.states()[0]).toMatchObject({ state: 'catching_up', error: { code: 'SRC_REFUSED' } })
  one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
  expect(health.states()[0]?.error).toBeNull()
})
