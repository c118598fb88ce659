import { describe, expect, test } from 'vitest'
import type { Progress, TopicOffset } from '../src/records.ts'
import { asPublished, covers, createWatermarks, untoldOf } from '../src/watermark.ts'
import { progressOf } from './support/progress.ts'

const ALL = (topic: string) => topic === 'sessions' || topic === 'messages'

function progress(of: Partial<Progress> = {}): Progress {
  return progressOf({ connector: 'acme', scope: 'bot-1', ...of })
}

const at = (topic: string, partition: number, offset: number): TopicOffset => ({ topic, partition, offset })

test('a kind of record is complete as far as the streams that give it', () => {
  const marks = createWatermarks(ALL)
  marks.apply(progress({ stream: 'sessions', complete_until: 300, feeds: ['session', 'message'] }))
  marks.apply(progress({ stream: 'metrics', complete_until: 100, feeds: ['event'] }))
  expect(['session', 'message', 'event', undefined].map(feeds => marks.completeUntil({ feeds }))).toEqual([300, 300, 100, 100])
  marks.apply(progress({ stream: 'other', complete_until: 50 }))
  expect(marks.completeUntil({ feeds: 'session' }), 'a stream that does not say may give anything').toBe(50)
  expect(marks.completeUntil({ feeds: 'transfer' })).toBe(50)
})

test('transfers are known where a stream gives sessions, unless it says that it cannot know them', () => {
  const marks = createWatermarks(() => true)
  const connectors = (feeds: string) => marks.streams({ feeds }).map(({ connector }) => connector)
  marks.apply(progress({ connector: 'old', feeds: ['session', 'message', 'event'] }))
  marks.apply(progress({ connector: 'older', feeds: [] }))
  marks.apply(progress({ connector: 'knows', feeds: ['session', 'transfer'] }))
  marks.apply(progress({ connector: 'cannot', feeds: ['session', 'event', 'no_transfer'] }))
  marks.apply(progress({ connector: 'messages', feeds: ['message'] }))
  expect(connectors('transfer')).toEqual(['old', 'older', 'knows'])
  expect(connectors('session')).toEqual(['old', 'older', 'knows', 'cannot'])
  // The rules were set: the next Progress says so.
  marks.apply(progress({ connector: 'cannot', feeds: ['session', 'event', 'transfer'] }))
  expect(connectors('transfer')).toContain('cannot')
})

test('transfers of a bot cannot be known where its sessions are read and no stream gives them, also while streams are missing', () => {
  const marks = createWatermarks(() => true)
  const untold = () => untoldOf(marks.streams({ feeds: 'session' }), marks.streams({ feeds: 'transfer' }))
  const bot = (bot_id: string) => ({ vendor: progress({}).vendor, account: progress({}).account, bot_id })
  expect([untold().of(bot('b1')), untold().hasAny]).toEqual([false, false])
  marks.apply(progress({ stream: 'sessions', bot_id: null, feeds: ['session', 'no_transfer'], source_partitions: 2 }))
  expect([untold().of(bot('b1')), untold().hasAny]).toEqual([true, true])
  marks.apply(progress({ stream: 'desk', bot_id: 'b1', feeds: ['session', 'transfer'], source_partitions: 2 }))
  expect([untold().of(bot('b1')), untold().of(bot('b2'))]).toEqual([false, true])
  expect(untold().of({ ...bot('b1'), account: 'another' })).toBe(false)
})

test('nothing of a connector is complete until as many source partitions are known as it has', () => {
  const marks = createWatermarks(() => true)
  const complete = (of: Partial<Progress>) => progress({ complete_until: 100, covered: [{ from: 0, until: 100 }], ...of })
  marks.apply(complete({ stream: 'chats', feeds: ['session'], source_partitions: 2 }))
  marks.apply(complete({ stream: 'chats', connector: 'other', account: 'b', source_partitions: 1 }))
  const answers = () => ({
    account: marks.completeUntil({ account: ['a'] }),
    event: marks.streams({ account: ['a'], feeds: 'event' }).map(({ completeUntil }) => completeUntil),
    covered: marks.covered({ account: ['a'] }),
    other: marks.completeUntil({ account: ['b'] }),
  })
  expect(answers()).toEqual({ account: null, event: [null], covered: [], other: 100 })
  marks.apply(complete({ stream: 'flows', feeds: ['event'], complete_until: 50, source_partitions: 2 }))
  expect(answers()).toEqual({ account: 50, event: [50], covered: [{ from: 0, until: 100 }], other: 100 })

  // The config was changed: the newest commit knows how many there are now.
  marks.apply(complete({ stream: 'flows', feeds: ['event'], committed_at: 7, source_partitions: 3 }))
  expect(answers().account).toBeNull()
  marks.apply(complete({ stream: 'chats', feeds: ['session'], committed_at: 8, source_partitions: 1 }))
  expect(answers().account).toBe(100)
  marks.forget({ connector: 'acme', stream: 'flows', scope: 'bot-1' })
  expect(answers()).toEqual({ account: 100, event: [], covered: [{ from: 0, until: 100 }], other: 100 })
})

describe('a Progress is believed', () => {
  test('only when the last record it speaks of has been passed in every followed partition', () => {
    const marks = createWatermarks(ALL)
    marks.apply(progress({ complete_until: 100, through: [at('sessions', 0, 9), at('messages', 1, 4)] }))
    expect(marks.completeUntil()).toBeNull()
    marks.passed('sessions', 0, 10)
    marks.passed('messages', 1, 4) // the record at 4 is still to come
    expect(marks.completeUntil()).toBeNull()
    marks.passed('messages', 1, 5)
    expect(marks.completeUntil()).toBe(100)
  })

  test('whatever it wrote to partitions and topics that the reader does not follow', () => {
    const marks = createWatermarks((topic, partition) => topic === 'sessions' && partition === 2)
    marks.apply(progress({ complete_until: 100, through: [at('sessions', 0, 9), at('rejects', 2, 9)] }))
    expect(marks.completeUntil()).toBe(100)
  })

  test('at once when it was passed before it was read', () => {
    const marks = createWatermarks(ALL)
    marks.passed('sessions', 0, 10)
    marks.apply(progress({ complete_until: 100, through: [at('sessions', 0, 9)] }))
    expect(marks.completeUntil()).toBe(100)
  })

  test('not before an earlier one of the same source partition', () => {
    const marks = createWatermarks(ALL)
    marks.apply(progress({ complete_until: 100, through: [at('sessions', 0, 9)] }))
    marks.apply(progress({ complete_until: 200, through: [at('sessions', 1, 3)] }))
    marks.passed('sessions', 1, 4)
    expect(marks.completeUntil()).toBeNull()
    marks.passed('sessions', 0, 10)
    expect(marks.completeUntil()).toBe(200)
  })

  test('step by step as the reader comes along', () => {
    const marks = createWatermarks(ALL)
    for (let i = 1; i <= 5; i++) marks.apply(progress({ complete_until: i * 100, through: [at('sessions', 0, i * 10)] }))
    marks.passed('sessions', 0, 31)
    expect(marks.completeUntil()).toBe(300)
    expect(marks.streams()[0]?.pending).toBe(2)
  })

  test('only behind the ends given with it, when what came before it was compacted away', () => {
    const marks = createWatermarks(ALL)
    marks.apply(progress({ complete_until: 100, through: [at('sessions', 1, 3)] }), [at('sessions', 0, 50), at('rejects', 0, 7)])
    marks.passed('sessions', 1, 4)
    expect(marks.completeUntil()).toBeNull()
    marks.passed('sessions', 0, 51)
    expect(marks.completeUntil()).toBe(100)
  })

  test('never too early and with bounded memory, however many wait', () => {
    const marks = createWatermarks(ALL)
    // Each writes to a partition of its own, so that only the collapsed list knows all of them.
    for (let i = 1; i <= 1000; i++)
      marks.apply(progress({ complete_until: i, through: [at('sessions', i, i), at('messages', 0, i)] }))
    expect(marks.streams()[0]?.pending).toBeLessThanOrEqual(64)
    marks.passed('messages', 0, 5000)
    for (let i = 1; i <= 10; i++) marks.passed('sessions', i, 5000)
    expect(marks.completeUntil()).toBe(10)
    for (let i = 11; i <= 1000; i++) if (i !== 777) marks.passed('sessions', i, 5000)
    expect(marks.completeUntil()).toBeLessThan(777)
    marks.passed('sessions', 777, 778)
    expect(marks.completeUntil()).toBe(1000)
  })
})

describe('what has been read completely', () => {
  test('is the least of all matching streams', () => {
    const marks = createWatermarks(ALL)
    marks.apply(progress({ stream: 'sessions', complete_until: 300 }))
    marks.apply(progress({ stream: 'analytics', complete_until: 200 }))
    marks.apply(progress({ stream: 'sessions', account: 'b', connector: 'other', complete_until: 100 }))
    expect(marks.completeUntil({ account: ['a'] })).toBe(200)
    expect(marks.completeUntil({ connector: ['other'] })).toBe(100)
    expect(marks.completeUntil()).toBe(100)
  })

  test('is unknown without a stream, and while one stream has nothing believed', () => {
    const marks = createWatermarks(ALL)
    expect(marks.completeUntil()).toBeNull()
    expect(marks.covered()).toEqual([])
    marks.apply(progress({ stream: 'sessions', complete_until: 300, covered: [{ from: 0, until: 300 }] }))
    marks.apply(
      progress({ stream: 'analytics', complete_until: 300, through: [at('sessions', 0, 1)], covered: [{ from: 0, until: 300 }] }),
    )
    expect(marks.completeUntil()).toBeNull()
    expect(marks.covered()).toEqual([])
    marks.forget({ connector: 'acme', stream: 'analytics', scope: 'bot-1' })
    expect(marks.completeUntil()).toBe(300)
  })

  test('of a bot hangs on the streams of that bot and on those of all bots', () => {
    const marks = createWatermarks(ALL)
    marks.apply(progress({ scope: 'x', bot_id: 'x', complete_until: 300 }))
    marks.apply(progress({ scope: 'y', bot_id: 'y', complete_until: 200 }))
    expect(marks.completeUntil({ bot_id: ['x'] })).toBe(300)
    marks.apply(progress({ scope: 'all', bot_id: null, complete_until: 50 }))
    expect(marks.completeUntil({ bot_id: ['x'] })).toBe(50)
  })

  test('is the newest word, also when a cursor was set back', () => {
    const marks = createWatermarks(ALL)
    marks.apply(progress({ complete_until: 300 }))
    marks.apply(progress({ complete_until: 100 }))
    expect(marks.completeUntil()).toBe(100)
  })

  test('keeps the hole between a backfill and the live edge that runs ahead of it', () => {
    const marks = createWatermarks(ALL)
    marks.apply(
      progress({
        complete_until: 20,
        covered: [
          { from: 0, until: 20 },
          { from: 100, until: 130 },
        ],
      }),
    )
    marks.apply(
      progress({
        stream: 'b',
        complete_until: 110,
        covered: [
          { from: 10, until: 60 },
          { from: 60, until: 110 },
        ],
      }),
    )
    expect(marks.covered()).toEqual([
      { from: 10, until: 20 },
      { from: 100, until: 110 },
    ])
  })
})

test('a range covers only what lies wholly in it', () => {
  const ranges = [
    { from: 0, until: 20 },
    { from: 100, until: 130 },
  ]
  expect([
    covers(ranges, 0, 20),
    covers(ranges, 0, 21),
    covers(ranges, 99, 101),
    covers(ranges, 100, 130),
    covers(ranges, 130, 131),
    covers(ranges, -1, 5),
    covers([], 0, 1),
  ]).toEqual([true, false, false, true, false, false, false])
})

test('the version tells when an answer may have changed', () => {
  const marks = createWatermarks(ALL)
  marks.apply(progress({ complete_until: 100, through: [at('sessions', 0, 9)] }))
  const before = marks.version
  marks.passed('sessions', 0, 9)
  expect(marks.version).toBe(before)
  marks.passed('sessions', 0, 10)
  expect(marks.version).toBeGreaterThan(before)
})

describe('nobody has read the future:', () => {
  const NOW = Date.parse('2026-11-01T12:00:00Z')
  const MINUTE = 60_000
  const DAY = 86_400_000
  const told = (untilMs: number, committedMs: number = NOW) =>
    progress({ committed_at: committedMs, complete_until: untilMs, covered: [{ from: NOW - DAY, until: untilMs }] })

  test('a Progress that goes well past its commit is not believed, and what was believed before stands', () => {
    const marks = createWatermarks(ALL)
    marks.apply(told(NOW - MINUTE))
    marks.apply(told(NOW + DAY))
    expect(marks.completeUntil()).toBe(NOW - MINUTE)
    expect(marks.covered()).toEqual([{ from: NOW - DAY, until: NOW - MINUTE }])
    marks.apply(told(NOW + 2 * MINUTE, NOW + 2 * MINUTE))
    expect(marks.completeUntil(), 'credible again').toBe(NOW + 2 * MINUTE)
  })

  test('where there was none before, nothing is complete', () => {
    const marks = createWatermarks(ALL)
    marks.apply(told(NOW + 365 * DAY))
    expect([marks.completeUntil(), marks.covered(), marks.streams().map(stream => stream.completeUntil)]).toEqual([
      null,
      [],
      [null],
    ])
  })

  test('a covered range that goes past it counts as much as complete_until', () => {
    const marks = createWatermarks(ALL)
    marks.apply({ ...told(NOW), covered: [{ from: NOW, until: NOW + DAY }] })
    expect(marks.completeUntil()).toBeNull()
  })

  test('clocks may differ by a few minutes', () => {
    const marks = createWatermarks(ALL)
    marks.apply(told(NOW + 4 * MINUTE))
    expect(marks.completeUntil()).toBe(NOW + 4 * MINUTE)
  })

  test("a wrong clock of the worker is told by the record's own time", () => {
    const wrong = told(NOW + DAY, NOW + DAY)
    const marks = createWatermarks(ALL)
    marks.apply(wrong)
    expect(marks.completeUntil(), 'both by one clock').toBe(NOW + DAY)
    const other = createWatermarks(ALL)
    other.apply(asPublished(wrong, NOW))
    expect(other.completeUntil()).toBeNull()
    expect(asPublished(told(NOW), NOW + DAY).committed_at, 'never later').toBe(NOW)
  })

  test('what it wrote must be passed all the same before later Progress is believed', () => {
    const marks = createWatermarks(ALL)
    marks.apply({ ...told(NOW + DAY), through: [at('sessions', 0, 9)] })
    marks.apply(told(NOW))
    expect(marks.completeUntil()).toBeNull()
    marks.passed('sessions', 0, 10)
    expect(marks.completeUntil()).toBe(NOW)
  })
})
