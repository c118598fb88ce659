/** Roll-ups: minutes to hours and days, by a state that publishes to topics in memory and is restored from them. */
import { describe, expect, test } from 'vitest'
import { COUNT } from '../../src/aggregate/contribution.ts'
import type { Retention } from '../../src/aggregate/state.ts'
import { random } from '../aggregate/make.ts'
import { compared, dayStartOf } from '../aggregate/series-reader.ts'
import {
  apply,
  DAY_MS,
  decoder,
  event,
  expectedOf,
  goTo,
  HOUR_MS,
  keysFrom,
  names,
  randomStep,
  session,
  SHORT,
  START,
  type Step,
  tick,
  world,
  type World,
} from '../aggregate/world.ts'

const firstDay = (nowMs: number, ms: number) => Math.floor((nowMs - ms) / DAY_MS) * DAY_MS

describe('a history with late revisions, moves and withdrawals across the borders of tiers', () => {
  // Each seed is another history; a failure names its seed.
  test.each(Array.from({ length: 40 }, (_, i) => i + 1))(
    'equals a recount in minutes, hours and days, over restarts in the middle of roll-ups too (seed %i)',
    async seed => {
      const r = random(seed)
      const w = await world()
      const steps: Step[] = []
      const revisions = new Map<string, number>()
      for (let round = 0; round < 30; round++) {
        w.nowMs += r.pick([10 * 60_000, HOUR_MS, 7 * HOUR_MS, DAY_MS])
        for (let n = r.int(25); n >= 0; n--) steps.push(randomStep(r, steps.length, w.nowMs, revisions))
        steps.push(tick(w.nowMs))
        const crashes = r.chance(0.25)
        if (crashes) w.kafka.nextCommits(r.pick(['lost', 'aborted']))
        const ended = await w.batch(steps.slice(w.done), r.pick([0, 1, 200, Infinity])).then(
          () => true,
          () => false,
        )
        expect(ended).toBe(!crashes)
        if (crashes || r.chance(0.1)) await w.restart()
        await w.read()
        if (!r.chance(0.3)) continue
        expect(w.reader.disagreements()).toEqual([])
        const { shown, should } = compared(w.reader, expectedOf(steps.slice(0, w.done)), firstDay(w.nowMs, SHORT.daysMs))
        expect(shown).toEqual(should)
      }
      // All that is due is rolled up in the end, whatever became of it in between.
      await w.batch(steps.slice(w.done))
      do await w.batch([])
      while (w.state.due > 0)
      await w.read()
      const { shown, should } = compared(w.reader, expectedOf(steps), firstDay(w.nowMs, SHORT.daysMs))
      expect(shown).toEqual(should)
      const forms = [...shown].map(([at, { form }]) => [
        form,
        dayStartOf(at) >= firstDay(w.nowMs, SHORT.minutesMs)
          ? 'minutes'
          : dayStartOf(at) >= firstDay(w.nowMs, SHORT.hoursMs)
            ? 'hours'
            : 'day',
      ])
      expect(forms.filter(([is, wanted]) => is !== wanted)).toEqual([])
      expect(new Set(forms.map(([is]) => is))).toEqual(new Set(['minutes', 'hours', 'day']))
      // Nothing is left of what was rolled up, nor of days that are not kept any more.
      const kept = [...(await w.newest())].flatMap(([, point]) => (point === null ? [] : [point]))
      const froms = { '1m': SHORT.minutesMs, '1h': SHORT.hoursMs, '1d': SHORT.daysMs }
      expect(
        kept.filter(point => point.bucket_start < firstDay(w.nowMs, froms[point.bucket as '1m'])).map(point => point.bucket),
      ).toEqual([])
      // The state in memory is that of the topics.
      const before = w.state.cells.size
      await w.restart()
      expect(w.state.cells.size).toBe(before)
    },
  )
})

const T = (time: string) => Date.parse(`2026-${time}Z`)

describe('a roll-up', () => {
  test('of minutes writes the hours, then the day, then withdraws the minutes, in one transaction', async () => {
    const w = await world()
    await w.batch([event('a', T('11-01T08:15:00')), event('b', T('11-01T08:59:00')), event('c', T('11-01T00:00:00'))])
    await goTo(w, T('11-03T23:59:00'))
    const from = w.kafka.committed(names.series).length
    await w.batch([])
    expect([w.state.due, keysFrom(w, from)], 'until two whole days have passed, nothing').toEqual([0, []])
    await goTo(w, T('11-04T00:00:00'))
    const before = w.kafka.committed(names.series).length
    const { transactions } = w.kafka
    await w.batch([])
    expect(w.kafka.transactions).toBe(transactions + 1)
    expect(keysFrom(w, before)).toEqual([
      '11-01T00:00:00.000Z@1h',
      '11-01T08:00:00.000Z@1h',
      '11-01T00:00:00.000Z@1d',
      '(11-01T00:00:00.000Z)',
      '(11-01T08:15:00.000Z)',
      '(11-01T08:59:00.000Z)',
    ])
    await w.read()
    expect(w.reader.forms().get(`v|a|bot-0|web|en@${T('11-01T00:00:00')}`)).toMatchObject({ form: 'hours' })
  })

  test('of hours withdraws them, and the day stays; at last the day is withdrawn', async () => {
    const w = await world()
    await w.batch([event('a', T('11-01T08:15:00'))])
    await goTo(w, T('11-05T00:00:00'), Infinity)
    await w.batch([])
    await goTo(w, T('11-07T00:00:00'), Infinity)
    const [before] = [w.kafka.committed(names.series).length]
    await w.batch([])
    expect(keysFrom(w, before)).toContain('(11-01T08:00:00.000Z@1h)')
    expect(keysFrom(w, before).filter(key => key.includes('11-01') && !key.startsWith('('))).toEqual([])
    await goTo(w, T('11-14T00:00:00'), Infinity)
    const then = w.kafka.committed(names.series).length
    await w.batch([])
    expect(keysFrom(w, then)).toContain('(11-01T00:00:00.000Z@1d)')
    expect(w.state.due).toBe(0)
  })

  test('shows whoever reads it record by record the same sums after each of them', async () => {
    const w = await world()
    const r = random(3)
    const revisions = new Map<string, number>()
    const steps: Step[] = []
    w.nowMs = T('11-13T12:00:00')
    for (let n = 0; n < 400; n++) steps.push(randomStep(r, n, w.nowMs, revisions))
    await w.batch(steps, 0)
    await w.read()
    await w.batch([tick(w.nowMs)], 0)
    await w.read()
    const sums = w.reader.sums()
    await w.batch([], Infinity)
    let records = 0
    await w.read(() => {
      records++
      expect(w.reader.sums()).toEqual(sums)
    })
    expect(records).toBeGreaterThan(100)
  })

  test('goes on in parts, the oldest day first; what falls into a day that is due rolls it up first, in the same transaction', async () => {
    const w = await world()
    const days = ['01', '02', '03', '04']
    await w.batch(days.map(day => event(day, T(`11-${day}T08:15:00`))))
    await goTo(w, T('11-06T00:00:00'))
    await w.batch([], 0)
    expect(w.state.due).toBe(3)
    await w.batch([], 1)
    expect([w.state.due, keysFrom(w, 0).at(-1)]).toEqual([2, '(11-01T08:15:00.000Z)'])
    const before = w.kafka.committed(names.series).length
    await w.batch([event('late', T('11-03T20:00:00'))], 0)
    expect(w.state.due).toBe(1)
    expect(keysFrom(w, before)).toEqual([
      '11-03T08:00:00.000Z@1h',
      '11-03T20:00:00.000Z@1h',
      '11-03T00:00:00.000Z@1d',
      '(11-03T08:15:00.000Z)',
    ])
    await w.restart()
    expect(w.state.due, 'what is still to be rolled up is found again').toBe(1)
  })

  test('of a day in which nothing was leaves nothing; what comes late makes its hour and its day', async () => {
    const w = await world()
    await goTo(w, T('11-05T00:00:00'))
    await w.batch([])
    const before = w.kafka.committed(names.series).length
    await w.batch([event('late', T('11-01T20:00:00'))])
    expect(keysFrom(w, before)).toEqual(['11-01T20:00:00.000Z@1h', '11-01T00:00:00.000Z@1d'])
  })

  test('of what was wholly withdrawn leaves zeros, and later revisions count from there', async () => {
    const w = await world()
    await w.batch([session('s1', 1, T('11-01T08:15:00'))])
    await goTo(w, T('11-05T00:00:00'))
    await w.batch([{ kind: 'withdrawal', key: 'v:a:s1' }])
    const hour = 'v|a|bot-0|web|en@2026-11-01T08:00:00.000Z@1h'
    expect((await w.newest()).get(hour)).toMatchObject({ sessions: 0, users_sketch: null, revision: 1 })
    await w.batch([session('s1', 2, T('11-01T08:40:00'))])
    expect((await w.newest()).get(hour)).toMatchObject({ sessions: 1, revision: 2 })
  })

  test('is limited: no transaction withdraws more than its part and one day', async () => {
    const w = await world()
    const minutes = Array.from({ length: 20 }, (_, day) =>
      Array.from({ length: 30 }, (_, i) => event(`${day}-${i}`, T('11-01T10:00:00') + day * DAY_MS + i * 60_000)),
    ).flat()
    await w.batch(minutes, 0)
    w.nowMs = T('11-21T10:00:00')
    for (let before = 0; w.state.due > 0 || before === 0; ) {
      before = w.kafka.committed(names.series).length
      await w.batch([], 250)
      const withdrawn = keysFrom(w, before).filter(key => key.startsWith('('))
      expect(withdrawn.length).toBeLessThan(250 + 32)
    }
    await w.read()
    expect([...w.reader.sums().values()].reduce((sum, row) => sum + (row.at(-1) ?? 0), 0)).toBe(13 * 30)
  })

  test('happens to an installation of before step by step, and changes no sum', async () => {
    const w = await world({ minutesMs: 730 * DAY_MS, hoursMs: 730 * DAY_MS, daysMs: 730 * DAY_MS })
    const r = random(4)
    const steps = Array.from({ length: 500 }, (_, n) => event(`${n}`, START - r.int(700 * DAY_MS)))
    await w.batch([...steps, tick(START)])
    await w.batch([])
    await w.restart({ minutesMs: 14 * DAY_MS, hoursMs: 400 * DAY_MS, daysMs: 1825 * DAY_MS })
    await w.read()
    const sums = w.reader.sums()
    expect(w.state.due).toBeGreaterThan(300)
    while (w.state.due > 0) await w.batch([], 3_000)
    await w.read()
    expect(w.reader.sums()).toEqual(sums)
    const forms = new Set([...w.reader.forms().values()].map(({ form }) => form))
    expect(forms).toEqual(new Set(['minutes', 'hours', 'day']))
    const held = w.state.cells.size
    await w.restart({ minutesMs: 14 * DAY_MS, hoursMs: 400 * DAY_MS, daysMs: 1825 * DAY_MS })
    expect([w.state.cells.size, w.state.due]).toEqual([held, 0])
  })
})

describe('a day that was rolled up', () => {
  /** Of the first of November: one session at 8:15 in the form that the retention gives it on the tenth. */
  async function rolledUp(retention: Retention): Promise<World> {
    const w = await world(retention)
    await w.batch([session('s1', 1, T('11-01T08:15:00'))])
    await goTo(w, T('11-10T00:00:00'))
    await w.batch([])
    return w
  }
  const LONG: Retention = { minutesMs: 30 * DAY_MS, hoursMs: 60 * DAY_MS, daysMs: 90 * DAY_MS }

  test.each([
    [
      'hours',
      { minutesMs: DAY_MS, hoursMs: 30 * DAY_MS, daysMs: 90 * DAY_MS },
      ['11-01T20:00:00.000Z@1h', '11-01T00:00:00.000Z@1d'],
    ],
    ['the day', { minutesMs: DAY_MS, hoursMs: DAY_MS, daysMs: 90 * DAY_MS }, ['11-01T00:00:00.000Z@1d']],
  ] as const)('to %s stays so when the retention becomes longer; other days come in minutes', async (_, retention, keys) => {
    const w = await rolledUp(retention)
    await w.restart(LONG)
    const before = w.kafka.committed(names.series).length
    await w.batch([event('late', T('11-01T20:00:00')), event('later', T('11-02T20:00:00'))])
    expect(keysFrom(w, before).toSorted()).toEqual([...keys, '11-02T20:00:00.000Z'].toSorted())
    await w.batch([session('s1', 2, T('11-02T08:15:00'))])
    await w.read()
    const sessions = [...w.reader.sums()].map(([at, row]) => [new Date(dayStartOf(at)).getUTCDate(), row[0]])
    expect(sessions.filter(([, n]) => n !== 0)).toEqual([[2, 1]])
  })

  test('stays so when the clock that had gone ahead is put right', async () => {
    const w = await rolledUp(SHORT)
    w.nowMs = T('11-02T00:00:00')
    await w.restart()
    const before = w.kafka.committed(names.series).length
    await w.batch([event('late', T('11-01T20:00:00')), event('now', T('11-02T00:00:00'))])
    expect(keysFrom(w, before).toSorted()).toEqual(['11-01T00:00:00.000Z@1d', '11-02T00:00:00.000Z'])
  })

  test('is restored from hours and days whatever the order, with minutes whose withdrawal is gone', async () => {
    const w = await world()
    await w.batch([session('s1', 1, T('11-01T08:15:00')), event('e', T('11-01T09:15:00'))])
    await goTo(w, T('11-05T00:00:00'))
    await w.batch([])
    const records = w.kafka.committed(names.series).filter(({ value }) => value !== null)
    const held = () => {
      const cells: string[] = []
      w.state.cells.each(cell => cells.push(`${w.state.cells.seriesOf(cell)}/${w.state.cells.bucketOf(cell)}`))
      return cells.toSorted()
    }
    const before = held()
    await w.restart()
    const { state } = w
    for (const { value } of random(5).shuffle([...records])) state.restorePoint(decoder.decode(value as Buffer))
    state.restoredPoints()
    expect(held()).toEqual(before)
    expect(state.due).toBe(0)
  })
})

describe('sketches of hours and days', () => {
  test('are null where a minute of theirs has none, because its sessions are not remembered', async () => {
    const w = await world()
    await w.batch([session('s1', 1, T('11-01T08:15:00')), session('s2', 1, T('11-01T09:15:00'))])
    // The state topic is lost: what it said of one session.
    const lost = w.kafka.openWriter({ transactionalId: 'other' })
    await lost.fence()
    await lost.transact(async tx => {
      const records = [{ key: Buffer.from('v:a:s1'), value: null }]
      await tx.write([{ topic: names.aggregateState, partition: 0, records }])
    })
    await w.restart()
    await goTo(w, T('11-05T00:00:00'))
    await w.batch([])
    const newest = await w.newest()
    const users = (key: string) => newest.get(`v|a|bot-0|web|en@2026-11-01T${key}`)?.users_sketch
    expect([users('08:00:00.000Z@1h'), users('00:00:00.000Z@1d')]).toEqual([null, null])
    expect(users('09:00:00.000Z@1h')?.length).toBe(11)
  })

  test('follow a session that leaves one hour of a day for another', async () => {
    const w = await world()
    await w.batch([session('s1', 1, T('11-01T08:15:00')), session('s2', 1, T('11-01T08:20:00'), { user_id: 'other' })])
    await goTo(w, T('11-05T00:00:00'))
    await w.batch([session('s1', 2, T('11-01T09:15:00'))])
    const newest = await w.newest()
    const users = ['08:00:00.000Z@1h', '09:00:00.000Z@1h', '00:00:00.000Z@1d'].map(
      key => newest.get(`v|a|bot-0|web|en@2026-11-01T${key}`)?.users_sketch?.length,
    )
    expect(users).toEqual([11, 11, 19])
  })
})

test('what is counted between two minutes is the sum of the buckets that start there, whatever their tier', async () => {
  const w = await world()
  await w.batch([
    event('day', T('11-01T08:15:00')),
    event('hour', T('11-05T08:15:00')),
    event('minute', T('11-08T08:15:00')),
    tick(T('11-08T09:00:00')),
  ])
  w.nowMs = T('11-08T10:00:00')
  await w.batch([])
  const minute = (time: string) => T(time) / 60_000
  const count = (from: string, until: string) => w.state.count(0, COUNT.events, minute(from), minute(until))
  expect(count('11-01T00:00:00', '11-09T00:00:00')).toBe(4)
  expect([count('11-01T00:00:00', '11-01T00:01:00'), count('11-01T08:00:00', '11-01T09:00:00')]).toEqual([1, 0])
  expect([count('11-05T08:00:00', '11-05T08:01:00'), count('11-05T08:15:00', '11-05T09:00:00')]).toEqual([1, 0])
  expect([count('11-08T08:15:00', '11-08T08:16:00'), count('11-08T08:00:00', '11-08T08:15:00')]).toEqual([1, 0])
})

test('what comes in for a day that is not kept any more is late, and changes nothing', async () => {
  const w = await world()
  await w.batch([session('s1', 1, T('11-01T08:15:00'))])
  await goTo(w, T('11-20T00:00:00'))
  await w.batch([])
  w.state.setTime({ clockMs: w.nowMs, publishedMs: w.nowMs })
  apply(w.state, event('late', T('11-01T20:00:00'), { observed_at: w.nowMs }), w.nowMs)
  apply(w.state, session('s1', 2, T('11-02T20:00:00'), { observed_at: w.nowMs }), w.nowMs)
  expect([w.state.late, w.state.cells.dirty().length, w.state.sessions.size]).toEqual([2, 0, 0])
})
