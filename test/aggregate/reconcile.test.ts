import { describe, expect, test } from 'vitest'
import { createCounting } from '../../src/aggregate/decode.ts'
import { type Claim, claimIn, createReconciler } from '../../src/aggregate/reconcile.ts'
import { createState } from '../../src/aggregate/state.ts'
import { aggregateMetrics } from '../../src/cli/aggregate-metrics.ts'
import { memoryEncoder, memoryRegistry } from '../../src/conformance/topics.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import type { Event } from '../../src/records.ts'
import { topicNames } from '../../src/topics.ts'
import { makeEvent, makeSession, random } from './make.ts'

const DAY = 86_400_000
const FROM = Date.parse('2026-11-01T05:00:00Z')
const KEPT = { retention: { minutesMs: Infinity, hoursMs: Infinity, daysMs: Infinity } }
const names = topicNames('colloquy')

const ATTRIBUTES = {
  compares_to: 'sessions',
  value: '12',
  range_start: new Date(FROM).toISOString(),
  range_end: new Date(FROM + DAY).toISOString(),
}
const point = (attributes: Record<string, string> = ATTRIBUTES, more: Partial<Event> = {}): Event => ({
  ...makeEvent(random(1), 'point', FROM, 1),
  vendor: 'v',
  account: 'a',
  bot_id: 'bot-1',
  type: 'metric_point',
  attributes,
  ...more,
})
const claimOf = (event: Event) => claimIn(event) as Claim

describe('a metric point', () => {
  test('claims what a measure of ours sums up to in its range', () => {
    expect(claimIn(point())).toEqual({
      vendor: 'v',
      account: 'a',
      bot_id: 'bot-1',
      measure: 'sessions',
      fromMs: FROM,
      untilMs: FROM + DAY,
      value: 12,
    })
  })

  test.each([
    ['compares_to', undefined],
    ['compares_to', 'elephants'],
    ['compares_to', 'constructor'],
    ['value', 'many'],
    ['range_start', 'yesterday'],
    ['range_end', ATTRIBUTES.range_start],
    ['range_end', '2027-11-01T05:00:00Z'],
  ])('with %s %s claims nothing', (name, value) => {
    const { [name as 'value']: _, ...rest } = ATTRIBUTES
    expect(claimIn(point(value === undefined ? rest : { ...ATTRIBUTES, [name]: value }))).toBeNull()
  })

  test('is told to the reconciler, and no other event is; each counts as an event', async () => {
    const encoder = memoryEncoder<Event>('event')
    const state = createState(KEPT)
    const told: Claim[] = []
    const events = [point(), point(ATTRIBUTES, { event_key: 'v:a:other', type: 'other' })]
    const records = events.map((event, offset) => ({
      offset,
      key: null,
      value: encoder.encode(event),
      timestamp: FROM,
      headers: {},
    }))
    const chunk = { topic: names.events, partition: 0, next: 2, high: 2, records }
    expect(
      await createCounting({ ...memoryRegistry, newest: async () => null, ping: async () => {} }, names, silentLog).apply(
        chunk as never,
        state,
        claim => told.push(claim),
      ),
    ).toBe(0)
    expect(told.map(({ measure, value }) => [measure, value])).toEqual([['sessions', 12]])
    expect(state.counted.size).toBe(2)
  })
})

describe('reconciliation', () => {
  /** Sessions of five bots that begin in the day, and one of bot 1 at its end, which is the next day's. */
  const state = createState(KEPT)
  const r = random(7)
  let own = 0
  for (let n = 0; n < 60; n++) {
    const session = { ...makeSession(r, `s${n}`, 1, FROM, DAY), is_test: false }
    state.session(Buffer.from(session.session_key), session)
    if (session.bot_id === 'bot-1') own++
  }
  state.session(Buffer.from('v:a:s61'), { ...makeSession(r, 's61', 1, FROM + DAY, 1), bot_id: 'bot-1', is_test: false })

  test('shows our count of the bot and time beside the claim', () => {
    const reconciler = createReconciler()
    reconciler.note(claimOf(point()))
    const compared = reconciler.compare(state, FROM + DAY)
    expect(own).toBeGreaterThan(5)
    expect(compared.map(each => [each.claim.value, each.own])).toEqual([[12, own]])
  })

  test('compares again when the claim changes or ten minutes have passed, and keeps the newest range', () => {
    const reconciler = createReconciler()
    const next = { range_start: ATTRIBUTES.range_end, range_end: new Date(FROM + 2 * DAY).toISOString() }
    const values = (atMs: number) => reconciler.compare(state, atMs).map(each => [each.claim.value, each.own])
    reconciler.note(claimOf(point({ ...ATTRIBUTES, ...next, value: '1' })))
    reconciler.note(claimOf(point()))
    expect(values(0)).toEqual([[1, 1]])
    expect(values(599_999)).toEqual([])
    expect(values(600_000)).toEqual([[1, 1]])
    reconciler.note(claimOf(point({ ...ATTRIBUTES, ...next, value: '2' })))
    expect(values(600_001)).toEqual([[2, 1]])
  })

  test('compares a few of many at a time, and all of them in the end', () => {
    const reconciler = createReconciler()
    for (let bot = 0; bot < 50; bot++) reconciler.note(claimOf(point(ATTRIBUTES, { bot_id: `bot-${bot}` })))
    const turns = [1, 2, 3, 4].map(() => reconciler.compare(state, FROM))
    expect(turns.map(each => each.length)).toEqual([20, 20, 10, 0])
    expect(new Set(turns.flat().map(each => each.claim.bot_id)).size).toBe(50)
  })

  test('a bot whose sessions count as another bot, because the account has no room for its series, has no count of ours', () => {
    const full = createState(KEPT, undefined, { series: 1, restBot: () => 'other' })
    const session = { ...makeSession(random(3), 's1', 1, FROM, DAY), is_test: false, bot_id: 'bot-1' }
    full.session(Buffer.from(session.session_key), session)
    const reconciler = createReconciler()
    reconciler.note(claimOf(point()))
    reconciler.note(claimOf(point(ATTRIBUTES, { account: 'another' })))
    const own = new Map(reconciler.compare(full, FROM + DAY).map(each => [each.claim.account, each.own]))
    expect(own).toEqual(
      new Map([
        ['a', null],
        ['another', 0],
      ]),
    )
  })

  test('is a metric of both counts, which goes with the partition', async () => {
    const metrics = createMetrics({ processMetrics: false })
    const told = aggregateMetrics(metrics)
    const of = { vendor: 'v', account: 'a', bot_id: 'bot-1', measure: 'sessions' }
    told.reconciled?.(of, { vendor: 12, own: 11 })
    const labels = 'vendor="v",account="a",bot_id="bot-1",measure="sessions"'
    const { body } = await metrics.render()
    expect(body).toContain(`colloquy_reconciliation_count{${labels},by="vendor"} 12`)
    expect(body).toContain(`colloquy_reconciliation_count{${labels},by="own"} 11`)
    told.reconciled?.(of, null)
    expect((await metrics.render()).body).not.toContain('bot_id="bot-1"')
  })
})
