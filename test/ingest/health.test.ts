import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { Health } from '../../src/ingest/health.ts'
import { createMetrics } from '../../src/metrics.ts'
import { handClock } from '../support/clock.ts'

const MINUTE = 60_000

function watched(pollIntervalMs = MINUTE) {
  const clock = handClock('2026-11-20T12:00:00Z')
  const metrics = createMetrics({ processMetrics: false })
  const health = new Health(clock, metrics)
  const add = (scope: string) => health.add({ connector: 'acme', stream: 'sessions', scope, task: 0, pollIntervalMs })
  const shown = async () => (await metrics.render()).body.split('\n')
  return { clock, health, add, shown }
}

test('a backfill says how far it is and since when this process sees it, until nothing is left to fill', async () => {
  const { clock, health, add } = watched()
  const one = add('one')
  const of = { state: 'catching_up', completeUntilMs: 0, versions: 0, lane: 'backfill' } as const
  const range = { fromMs: 0, untilMs: 1000 }
  expect(health.states()[0]).toMatchObject({ lane: null, backfill: null })
  one.committed({ ...of, backfill: { ...range, reachedMs: 100 } })
  const seen = { atMs: clock.now(), reachedMs: 100 }
  await clock.advance(MINUTE)
  one.committed({ ...of, backfill: { ...range, reachedMs: 400 } })
  expect(health.states()[0]).toMatchObject({ lane: 'backfill', backfill: { ...range, reachedMs: 400, seen } })
  one.committed({ ...of, lane: 'live', backfill: null })
  expect(health.states()[0]).toMatchObject({ lane: 'live', backfill: null })
})

test('a stream is as its worst scope is, and complete as far as its slowest, once each scope has committed', async () => {
  const { clock, health, add, shown } = watched()
  const one = add('one')
  const two = add('two')
  one.committed({ state: 'live', completeUntilMs: 50_000, versions: 3 })
  expect((await shown()).some(line => line.startsWith('colloquy_ingest_complete_until'))).toBe(false)
  two.committed({ state: 'catching_up', completeUntilMs: 20_000, versions: 4 })
  const lines = await shown()
  expect(lines).toContain('colloquy_ingest_complete_until_timestamp_seconds{connector="acme",stream="sessions"} 20')
  expect(lines).toContain(
    `colloquy_stream_last_success_timestamp_seconds{connector="acme",stream="sessions"} ${clock.now() / 1000}`,
  )
  expect(lines).toContain('colloquy_stream_state{connector="acme",stream="sessions",state="catching_up"} 1')
  expect(lines).toContain('colloquy_stream_state{connector="acme",stream="sessions",state="live"} 0')
  expect(health.states()).toMatchObject([
    { scope: 'one', state: 'live', versions: 3 },
    { scope: 'two', state: 'catching_up', versions: 4 },
  ])
})

test('a source partition in which nothing happens for two polls is stalled, until it commits', async () => {
  const { clock, health, add, shown } = watched(5 * MINUTE)
  const one = add('one')
  one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
  await clock.advance(10 * MINUTE)
  expect(health.states()[0]?.state).toBe('live')
  await clock.advance(1)
  expect(health.states()[0]?.state).toBe('stalled')
  health.refresh()
  expect(await shown()).toContain('colloquy_stream_state{connector="acme",stream="sessions",state="stalled"} 1')
  one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
  expect(health.states()[0]?.state).toBe('live')
})

describe('a vendor that does not answer', () => {
  test.each([
    [1_000, 10_000],
    [20_000, 40_000],
    [MINUTE, MINUTE],
    [24 * 60 * MINUTE, MINUTE],
  ])('is stalled while the request hangs: with a poll of %i ms after %i ms', async (pollIntervalMs, silentMs) => {
    const { clock, health, add } = watched(pollIntervalMs)
    const one = add('one')
    one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
    const answered = one.asks()
    await clock.advance(silentMs)
    expect(health.states()[0]?.state).toBe('live')
    await clock.advance(1)
    expect(health.states()[0]?.state).toBe('stalled')
    answered(true)
    expect(health.states()[0]?.state).toBe('live')
  })

  test('is stalled through the tries that follow, and no answer of another request hides one that hangs', async () => {
    const { clock, health, add } = watched()
    const one = add('one')
    const first = one.asks()
    await clock.advance(50_000)
    first(false)
    const second = one.asks()
    await clock.advance(10_001)
    expect(health.states()[0]?.state).toBe('stalled')
    const other = one.asks()
    other(true)
    expect(health.states()[0]?.state).toBe('catching_up')
    await clock.advance(50_000)
    expect(health.states()[0]?.state).toBe('stalled')
    second(true)
    expect(health.states()[0]?.state).toBe('catching_up')
  })

  test('is stalled where it was throttled before, and not where it failed', async () => {
    const { clock, health, add } = watched()
    const [one, two] = [add('one'), add('two')]
    one.set('throttled')
    two.failed(new FlowError('SRC_TIMEOUT'), 'failed')
    one.asks()
    two.asks()
    await clock.advance(MINUTE + 1)
    expect(health.states().map(({ state }) => state)).toEqual(['stalled', 'failed'])
  })
})

test('a wait for the quota is no stall, and counts as throttled when it is long', async () => {
  const { clock, health, add } = watched()
  const one = add('one')
  one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
  const over = one.waits()
  await clock.advance(2 * MINUTE)
  expect(health.states()[0]?.state).toBe('live')
  await clock.advance(1)
  expect(health.states()[0]?.state).toBe('throttled')
  over()
  expect(health.states()[0]?.state).toBe('live')
  await clock.advance(2 * MINUTE + 1)
  expect(health.states()[0]?.state).toBe('stalled')
})

test('a clock that is set back hides no stall, and one that is set forwards makes none', async () => {
  const { clock, health, add } = watched()
  const one = add('one')
  one.committed({ state: 'live', completeUntilMs: 0, versions: 0 })
  clock.jump(60 * MINUTE)
  expect(health.states()[0]?.state).toBe('live')
  clock.jump(-120 * MINUTE)
  await clock.advance(2 * MINUTE + 1)
  expect(health.states()[0]?.state).toBe('stalled')
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
