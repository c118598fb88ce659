import { describe, expect, test } from 'vitest'
import { createQuota, PRIORITY, quotaDigest, type QuotaGate, type QuotaLease, quotaPool } from '../../src/source/quota.ts'
import { handClock } from '../support/clock.ts'

const going = new AbortController().signal

/** Asks for `count` turns at once, each over as soon as it starts, and gives the times they started. */
async function startTimes(gate: QuotaGate, clock: ReturnType<typeof handClock>, count: number): Promise<number[]> {
  const zeroMs = clock.now()
  const turn = async () => {
    const release = await gate.acquire(PRIORITY.live, going)
    release()
    return clock.now() - zeroMs
  }
  return Promise.all(Array.from({ length: count }, turn))
}

/** Most starts in any window `[t, t + lengthMs]`, both ends included. */
function mostWithin(times: readonly number[], lengthMs: number): number {
  return Math.max(...times.map(from => times.filter(at => at >= from && at <= from + lengthMs).length))
}

describe('counts hold over any rolling window', () => {
  test.each([
    ['second', { perSecond: 3 }, 1000, 3, 50],
    ['minute', { perMinute: 7 }, 60_000, 7, 50],
    ['hour', { perHour: 11 }, 3_600_000, 11, 50],
  ])('of a %s', async (_name, limits, lengthMs, most, count) => {
    const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
    const times = await startTimes(createQuota(limits, clock), clock, count)
    expect(mostWithin(times, lengthMs)).toBe(most)
    expect(times.at(-1)).toBeLessThan((count / most) * lengthMs * 1.05)
  })

  test('of all lengths together, where they are given together', async () => {
    const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
    const times = await startTimes(createQuota({ perSecond: 2, perMinute: 5, perHour: 20 }, clock), clock, 45)
    expect([mostWithin(times, 1000), mostWithin(times, 60_000), mostWithin(times, 3_600_000)]).toEqual([2, 5, 20])
  })

  test('also when starts come unevenly, so that a full pause earns no burst', async () => {
    const clock = handClock(0)
    const gate = createQuota({ perSecond: 2 }, clock)
    const times: number[] = []
    const ask = () => void gate.acquire(0, going).then(release => (times.push(clock.now()), release()))
    ask()
    await clock.advance(900)
    for (let i = 0; i < 4; i++) ask()
    await clock.advance(5000)
    expect(times).toHaveLength(5)
    expect(mostWithin(times, 1000)).toBe(2)
  })

  test('as the vendor counts them: a request that is long on its way may arrive as late as it is over', async () => {
    const clock = handClock(0)
    const gate = createQuota({ perSecond: 2 }, clock)
    const times: number[] = []
    const ask = (lengthMs: number) =>
      void gate.acquire(0, going).then(async release => {
        times.push(clock.now())
        await clock.sleep(lengthMs)
        release()
      })
    for (const lengthMs of [300, 300, 0, 0]) ask(lengthMs)
    await clock.advance(1290)
    expect(times).toHaveLength(2)
    await clock.advance(200)
    expect(times).toHaveLength(4)
  })

  test('and one whose answer takes long has arrived within a second', async () => {
    const clock = handClock(0)
    const gate = createQuota({ perSecond: 1 }, clock)
    void gate.acquire(0, going)
    let isStarted = false
    void gate.acquire(0, going).then(() => (isStarted = true))
    await clock.advance(1900)
    expect(isStarted).toBe(false)
    await clock.advance(200)
    expect(isStarted).toBe(true)
  })
})

test('without limits every request starts at once', async () => {
  const clock = handClock(0)
  expect(await startTimes(createQuota({ perSecond: 0, concurrency: 0 }, clock), clock, 1000)).toEqual(
    Array.from({ length: 1000 }, () => 0),
  )
})

test('the gap lies between the starts of two requests', async () => {
  const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
  const times = await startTimes(createQuota({ gapMs: 8000 }, clock), clock, 4)
  const gaps = times.slice(1).map((at, i) => at - (times[i] as number))
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(8000)
  expect(Math.max(...gaps)).toBeLessThan(8100)
})

test('a request counts as under way until it is released, once', async () => {
  const clock = handClock(0)
  const gate = createQuota({ concurrency: 2 }, clock)
  const first = await gate.acquire(0, going)
  await gate.acquire(0, going)
  const started: string[] = []
  void gate.acquire(0, going).then(() => started.push('third'))
  void gate.acquire(0, going).then(() => started.push('fourth'))
  await clock.advance(10_000)
  expect(started).toEqual([])
  first()
  first()
  await clock.advance(0)
  expect(started).toEqual(['third'])
})

test('one request in five is for the longest waiting of lower priority, so that none waits for ever', async () => {
  const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
  const gate = createQuota({ perSecond: 1 }, clock)
  const order: string[] = []
  const ask = (name: string, priority: number): Promise<unknown> =>
    gate.acquire(priority, going).then(release => (order.push(name), release()))
  const busy = async (): Promise<void> => {
    for (let i = 0; i < 12; i++) await ask('live', PRIORITY.live)
  }
  await Promise.all([
    ask('first', PRIORITY.live),
    busy(),
    busy(),
    ask('backfill', PRIORITY.backfill),
    clock.sleep(1).then(() => ask('lookback', PRIORITY.lookback)),
  ])
  expect(order.indexOf('backfill')).toBeLessThanOrEqual(6)
  expect(order.indexOf('lookback')).toBeLessThanOrEqual(11)
  expect(order.slice(0, 4)).not.toContain('backfill')
})

test('a request that becomes urgent while it waits goes first', async () => {
  const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
  const gate = createQuota({ perSecond: 1 }, clock)
  ;(await gate.acquire(0, going))()
  const order: string[] = []
  const ask = (name: string, priority: number | (() => number)) =>
    gate.acquire(priority, going).then(release => (order.push(name), release()))
  await Promise.all([
    ask('lookback', PRIORITY.lookback),
    ask('backfill, late', () => (order.length === 0 ? PRIORITY.backfill : PRIORITY.live)),
    ask('live 1', PRIORITY.live),
    ask('live 2', PRIORITY.live),
  ])
  expect(order).toEqual(['live 1', 'backfill, late', 'live 2', 'lookback'])
})

test('those who wait go by priority, then in the order they came', async () => {
  const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
  const gate = createQuota({ perSecond: 1 }, clock)
  ;(await gate.acquire(0, going))()
  const order: string[] = []
  const ask = (name: string, priority: number) => gate.acquire(priority, going).then(release => (order.push(name), release()))
  await Promise.all([
    ask('backfill 1', PRIORITY.backfill),
    ask('lookback 1', PRIORITY.lookback),
    ask('backfill 2', PRIORITY.backfill),
    ask('live 1', PRIORITY.live),
    ask('lookback 2', PRIORITY.lookback),
    ask('live 2', PRIORITY.live),
  ])
  expect(order).toEqual(['live 1', 'live 2', 'lookback 1', 'lookback 2', 'backfill 1', 'backfill 2'])
})

test('a stop ends the wait at once, and takes no turn from the others', async () => {
  const clock = handClock(0)
  const gate = createQuota({ perMinute: 1 }, clock)
  ;(await gate.acquire(0, going))()
  const stopping = new AbortController()
  const stopped = gate.acquire(0, stopping.signal)
  let other = false
  void gate.acquire(2, going).then(() => (other = true))
  stopping.abort()
  await expect(stopped).rejects.toMatchObject({ code: 'STOPPED' })
  await expect(gate.acquire(0, stopping.signal)).rejects.toMatchObject({ code: 'STOPPED' })
  expect(other).toBe(false)
  await clock.advance(60_100)
  expect(other).toBe(true)
})

test('when the last who waits is stopped, nothing sleeps on', async () => {
  const clock = handClock(0)
  const gate = createQuota({ perMinute: 1 }, clock)
  ;(await gate.acquire(0, going))()
  const stopping = new AbortController()
  const stopped = gate.acquire(0, stopping.signal)
  expect(clock.sleeping).toBe(1)
  stopping.abort()
  await expect(stopped).rejects.toMatchObject({ code: 'STOPPED' })
  expect(clock.sleeping).toBe(0)
})

test('nothing starts while the vendor asks us to wait, and a shorter wait does not shorten it', async () => {
  const clock = handClock(1_000_000)
  const gate = createQuota({}, clock)
  gate.holdUntil(1_005_000)
  gate.holdUntil(1_002_000)
  let startedMs = 0
  void gate.acquire(0, going).then(() => (startedMs = clock.now()))
  await clock.advance(10_000)
  expect(startedMs).toBe(1_005_000)
})

test('the seconds waited are reported for requests that waited, not for others', async () => {
  const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
  const waits: number[] = []
  const gate = createQuota({ gapMs: 1000 }, clock, seconds => waits.push(seconds))
  await startTimes(gate, clock, 3)
  expect(waits).toEqual([1.02, 2.04])
})

describe('the pool', () => {
  test('counts those together that share a vendor and a value, and no others', async () => {
    const clock = handClock(0)
    const pool = quotaPool(clock)
    const limits = { perMinute: 1 }
    const started: string[] = []
    for (const [name, vendor, shared] of [
      ['one', 'acme', 'token-a'],
      ['two', 'acme', 'token-a'],
      ['other token', 'acme', 'token-b'],
      ['other vendor', 'best', 'token-a'],
    ] as const) {
      const { gate } = pool.lease({ vendor, shared, limits })
      void gate.acquire(0, going).then(release => {
        started.push(name)
        release()
      })
    }
    await clock.advance(0)
    expect(started.sort()).toEqual(['one', 'other token', 'other vendor'])
    await clock.advance(60_100)
    expect(started).toContain('two')
  })

  test('holds the strictest of the limits that are named for one account, until that lease ends', async () => {
    const clock = handClock(0)
    const pool = quotaPool(clock)
    const wide = pool.lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 100, gapMs: 0 } })
    const narrow = pool.lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 1 } })
    ;(await wide.gate.acquire(0, going))()
    let started = false
    void wide.gate.acquire(0, going).then(() => (started = true))
    await clock.advance(1000)
    expect(started).toBe(false)
    narrow.end()
    await clock.advance(0)
    expect(started).toBe(true)
  })

  test('of the next process counts the requests of this one, and those it may have made since it recorded them', async () => {
    const clock = handClock(0)
    const lease = () => quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 10 } })
    const first = lease()
    await startTimes(first.gate, clock, 3)
    expect(first.spent()).toEqual({ requests: [{ atMs: 0, count: 3 }], untold: 3 })
    await clock.advance(7_000)
    await startTimes(first.gate, clock, 2)
    await clock.advance(1_000)
    const spent = first.spent()
    expect(spent).toEqual({
      requests: [
        { atMs: 0, count: 3 },
        { atMs: 8_000, count: 2 },
      ],
      untold: 3,
    })
    await clock.advance(2_000)
    const second = lease()
    second.recall(spent)
    second.recall(spent)
    const starts: number[] = []
    for (let i = 0; i < 10; i++) void second.gate.acquire(0, going).then(release => (starts.push(clock.now()), release()))
    await clock.advance(120_000)
    // Two are left of ten; three at 0 end after a minute, two at 8 s, three that may have been just before 10 s; each on its way for a second.
    expect(starts.map(ms => Math.floor(ms / 1000))).toEqual([10, 10, 61, 61, 61, 69, 69, 71, 71, 71])
  })

  describe('of what a worker that was killed has not recorded', () => {
    const limits = { perSecond: 4, perMinute: 180 }
    /** What is asked at once, until a minute is used up: the rest of it is what was presumed. */
    const left = async (lease: QuotaLease, clock: ReturnType<typeof handClock>) => {
      let count = 0
      for (let i = 0; i < 180; i++) void lease.gate.acquire(0, going).then(release => (count++, release()))
      await clock.advance(1_000)
      return count
    }
    const many = { perSecond: 10_000, perMinute: 180 }
    const spent = { requests: [{ atMs: 100_000, count: 1 }], untold: 90 }

    test('presumes no more than the limit of a second allowed since the last request that is known', async () => {
      const clock = handClock(110_000)
      const lease = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits, by: 'a', willRecall: true })
      lease.recall(spent)
      // Ten seconds, two for clocks that differ, and one for how a second is cut.
      expect(lease.spent().requests).toEqual([
        { atMs: 100_000, count: 1 },
        { atMs: 110_000, count: 52 },
      ])
    })

    test('presumes that for all its source partitions together, and once more for what comes again', async () => {
      const clock = handClock(110_000)
      const pool = quotaPool(clock)
      const lease = (by: string) => pool.lease({ vendor: 'acme', shared: 'x', limits, by, willRecall: true })
      const presumedFor = (by: string) => {
        const mine = lease(by)
        mine.recall(spent)
        const { requests } = mine.spent()
        return requests.find(({ atMs }) => atMs > 100_000)?.count ?? 0
      }
      expect([presumedFor('a'), presumedFor('b'), presumedFor('a')]).toEqual([52, 0, 52])
      await clock.advance(5_000)
      expect(presumedFor('c')).toBe(20)
    })

    test('presumes all of it where no second is limited', async () => {
      const clock = handClock(110_000)
      const lease = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 180 }, by: 'a', willRecall: true })
      lease.recall(spent)
      expect(await left(lease, clock)).toBe(180 - 91)
      const fast = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: many, by: 'a', willRecall: true })
      fast.recall({ ...spent, requests: [{ atMs: clock.now(), count: 1 }] })
      expect(fast.spent().requests).toEqual([{ atMs: clock.now(), count: 91 }])
    })

    test('presumes no more than the gap between two requests allowed', () => {
      const clock = handClock(110_000)
      const slow = { perMinute: 180, gapMs: 250 }
      const lease = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: slow, by: 'a', willRecall: true })
      lease.recall(spent)
      expect(lease.spent().requests.at(-1)).toEqual({ atMs: 110_000, count: 49 })
    })
  })

  describe('a limit that a shorter one implies', () => {
    const begin = (limits: Parameters<ReturnType<typeof quotaPool>['lease']>[0]['limits']) => {
      const clock = handClock(110_000)
      const pool = quotaPool(clock)
      const lease = pool.lease({ vendor: 'acme', shared: 'x', limits, by: 'a', willRecall: true })
      lease.recall({ requests: [{ atMs: 109_000, count: 175 }], untold: 90 })
      return { clock, lease, starts: startTimes(lease.gate, clock, 6) }
    }

    test.each([
      ['a minute by a second', { perSecond: 3, perMinute: 180 }],
      ['an hour by a second', { perSecond: 2, perHour: 7_200 }],
      ['an hour by a minute, and that by a second', { perSecond: 2, perMinute: 120, perHour: 7_200 }],
      ['a minute by the gap', { gapMs: 500, perMinute: 123 }],
    ])('%s: what was asked before is not remembered, and nobody waits for it', async (_name, limits) => {
      const { clock, lease, starts } = begin(limits)
      await clock.advance(6_000)
      expect(Math.max(...(await starts))).toBeLessThan(5_000)
      expect(lease.spent()).toEqual({ requests: [], untold: 0 })
    })

    test.each([
      ['more in a second than a minute allows', { perSecond: 4, perMinute: 180 }],
      ['more in a minute than an hour allows', { perMinute: 180, perHour: 7_200 }],
      ['too short a gap', { gapMs: 300, perMinute: 180 }],
      ['a gap that requests may arrive within', { gapMs: 500, perMinute: 120 }],
    ])('but not with %s', async (_name, limits) => {
      const { clock, lease, starts } = begin(limits)
      await clock.advance(120_000)
      expect(Math.max(...(await starts))).toBeGreaterThan(50_000)
      expect(lease.spent().requests).not.toEqual([])
    })
  })

  test('assumes nothing when this one was stopped, and recorded it', async () => {
    const clock = handClock(0)
    const first = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 12 } })
    await startTimes(first.gate, clock, 3)
    expect(first.spent().untold).toBe(3)
    expect(first.isDue()).toBe(false)
    first.settle()
    expect(first.isDue()).toBe(true)
    const spent = first.spent()
    expect(spent).toEqual({ requests: [{ atMs: 0, count: 3 }], untold: 0 })
    expect(first.isDue()).toBe(false)
    const second = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 12 }, willRecall: true })
    second.recall(spent)
    let count = 0
    for (let i = 0; i < 12; i++) void second.gate.acquire(0, going).then(release => (count++, release()))
    await clock.advance(0)
    expect(count).toBe(9)
  })

  test('has nothing to record if only seconds are limited', async () => {
    const clock = handClock(0)
    const lease = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: { perSecond: 5 } })
    await startTimes(lease.gate, clock, 3)
    lease.spent()
    lease.settle()
    expect(lease.isDue()).toBe(false)
  })

  test('recalls nothing after its first request, and records nothing if only seconds are limited', async () => {
    const clock = handClock(0)
    const pool = quotaPool(clock)
    const late = pool.lease({ vendor: 'acme', shared: 'x', limits: { perHour: 2 } })
    await startTimes(late.gate, clock, 1)
    late.recall({ requests: [{ atMs: 0, count: 2 }], untold: 0 })
    await startTimes(late.gate, clock, 1)
    expect(late.spent().requests).toEqual([{ atMs: 0, count: 2 }])
    const brief = pool.lease({ vendor: 'acme', shared: 'y', limits: { perSecond: 5 } })
    await startTimes(brief.gate, clock, 3)
    expect(brief.spent()).toEqual({ requests: [], untold: 0 })
  })

  test('waits until all who share it have recalled, ten seconds at most, and not so long where only seconds are limited', async () => {
    const clock = handClock(0)
    const pool = quotaPool(clock)
    const of = (shared: string, limits: { perMinute?: number; perSecond?: number }) =>
      pool.lease({ vendor: 'acme', shared, limits, willRecall: true })
    const started: string[] = []
    const ask = (name: string, { gate }: { gate: QuotaGate }) =>
      void gate.acquire(0, going).then(release => (started.push(`${name} ${clock.now()}`), release()))
    const nothing = { requests: [], untold: 0 }
    const [one, two] = [of('x', { perMinute: 2 }), of('x', { perMinute: 2 })]
    one.recall(nothing)
    ask('one', one)
    await clock.advance(100)
    two.recall({ requests: [{ atMs: 0, count: 1 }], untold: 0 })
    await clock.advance(0)
    const [quick, lost] = [of('y', { perMinute: 2 }), of('y', { perMinute: 2 })]
    quick.recall(nothing)
    ask('quick', quick)
    ask('brief', of('z', { perSecond: 1 }))
    const [last, ended] = [of('u', { perMinute: 2 }), of('u', { perMinute: 2 })]
    last.recall(nothing)
    ask('last', last)
    await clock.advance(50)
    ended.end()
    await clock.advance(20_000)
    expect(started).toEqual(['one 100', 'last 150', 'brief 1120', 'quick 10100'])
    lost.end()
  })

  test('a clock that was ahead makes nobody wait beyond the limit', async () => {
    const clock = handClock(0)
    const lease = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 1 } })
    lease.recall({ requests: [{ atMs: 3_600_000, count: 1 }], untold: 0 })
    let started = false
    void lease.gate.acquire(0, going).then(() => (started = true))
    await clock.advance(61_100)
    expect(started).toBe(true)
  })
})

describe('a clock that is set', () => {
  test.each([-3_600_000, 3_600_000])('by %i ms frees no turn early, and keeps nobody waiting', async jumpMs => {
    const clock = handClock(0)
    const gate = createQuota({ perMinute: 1 }, clock)
    ;(await gate.acquire(0, going))()
    let started = false
    void gate.acquire(0, going).then(() => (started = true))
    clock.jump(jumpMs)
    await clock.advance(59_000)
    expect(started).toBe(false)
    await clock.advance(2_000)
    expect(started).toBe(true)
  })

  test('ends no hold early, and makes none longer', async () => {
    const clock = handClock(0)
    const gate = createQuota({}, clock)
    gate.holdUntil(clock.now() + 60_000)
    clock.jump(7_200_000)
    let started = false
    void gate.acquire(0, going).then(() => (started = true))
    await clock.advance(59_999)
    expect(started).toBe(false)
    clock.jump(-14_400_000)
    await clock.advance(1)
    expect(started).toBe(true)
  })

  test('does not change what is recorded for the next process, by the clock of that moment', async () => {
    const clock = handClock(0)
    const lease = quotaPool(clock).lease({ vendor: 'acme', shared: 'x', limits: { perMinute: 60 } })
    ;(await lease.gate.acquire(0, going))()
    clock.jump(86_400_000)
    await clock.advance(10_000)
    expect(lease.spent().requests).toEqual([{ atMs: 86_400_000, count: 1 }])
  })
})

test('no hold is longer than an hour, whatever the vendor asks for', async () => {
  const clock = handClock(0)
  const gate = createQuota({}, clock)
  gate.holdUntil(Number.MAX_SAFE_INTEGER)
  gate.holdUntil(Number.NaN)
  let started = false
  void gate.acquire(0, going).then(() => (started = true))
  await clock.advance(3_599_999)
  expect(started).toBe(false)
  await clock.advance(1)
  expect(started).toBe(true)
})

describe('a quota that other processes use, too', () => {
  const LEASE = { vendor: 'v', shared: 'token' }
  const digest = quotaDigest('v', 'token')

  test('is used to the part that was given, in whole requests, from the moment it is given', async () => {
    const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
    const pool = quotaPool(clock)
    pool.divide(new Map([[digest, 0.3]]))
    const { gate } = pool.lease({ ...LEASE, limits: { perSecond: 10, perMinute: 100 } })
    const times = await startTimes(gate, clock, 70)
    expect([mostWithin(times, 1000), mostWithin(times, 60_000)]).toEqual([3, 30])
    pool.divide(new Map())
    const more = await startTimes(gate, clock, 250)
    expect([mostWithin(more, 1000), mostWithin(more, 60_000)]).toEqual([10, 100])
  })

  test('is not used at all with a part of 0, until there is one', async () => {
    const clock = handClock(0)
    const pool = quotaPool(clock)
    pool.divide(new Map([[digest, 0]]))
    const { gate } = pool.lease({ ...LEASE, limits: { perSecond: 10 } })
    let hasStarted = false
    void gate.acquire(PRIORITY.live, going).then(() => (hasStarted = true))
    await clock.advance(3_600_000)
    expect(hasStarted).toBe(false)
    pool.divide(new Map([[digest, 0.5]]))
    await clock.advance(1_019)
    expect(hasStarted).toBe(false)
    await clock.advance(1)
    expect(hasStarted).toBe(true)
  })

  test('is not used at once where the part grows: others have just used the rest; and at once where it shrinks', async () => {
    const clock = handClock(0)
    const pool = quotaPool(clock)
    pool.divide(new Map([[digest, 0.5]]))
    const { gate } = pool.lease({ ...LEASE, limits: { perSecond: 4 } })
    const starts: number[] = []
    const ask = () => void gate.acquire(PRIORITY.live, going).then(release => (starts.push(clock.now()), release()))
    pool.divide(new Map([[digest, 1]]))
    ask()
    await clock.advance(1_019)
    expect(starts).toEqual([])
    await clock.advance(1)
    expect(starts).toEqual([1_020])
    await clock.advance(10_000)
    pool.divide(new Map([[digest, 0.25]]))
    ask()
    await clock.advance(0)
    expect(starts).toEqual([1_020, 11_020])
  })

  test('what others had asked before is counted against the part', async () => {
    const clock = handClock(3_600_000)
    const pool = quotaPool(clock)
    pool.divide(new Map([[digest, 0.5]]))
    const { gate } = pool.lease({ ...LEASE, limits: { perMinute: 20 } })
    pool.recallFor({
      quota: digest,
      by: 'acme/sessions/b',
      spent: { requests: [{ atMs: clock.now() - 10_000, count: 7 }], untold: 0 },
    })
    pool.recallFor({
      quota: quotaDigest('v', 'other'),
      by: 'x',
      spent: { requests: [{ atMs: clock.now(), count: 9 }], untold: 0 },
    })
    let count = 0
    for (let i = 0; i < 10; i++) void gate.acquire(PRIORITY.live, going).then(release => (count++, release()))
    await clock.advance(0)
    expect(count).toBe(3)
    await clock.advance(52_000)
    expect(count).toBe(10)
  })

  test('another quota is not touched', async () => {
    const clock = handClock(0, { autoAdvance: { quietMs: 1 } })
    const pool = quotaPool(clock)
    pool.divide(new Map([[digest, 0.1]]))
    const { gate } = pool.lease({ ...LEASE, shared: 'another', limits: { perSecond: 10 } })
    expect(mostWithin(await startTimes(gate, clock, 50), 1000)).toBe(10)
  })
})

test('a task that comes again recalls its requests, which replace what is known of it, so that none counts twice', async () => {
  const clock = handClock(0)
  const pool = quotaPool(clock)
  const of = { vendor: 'v', shared: 'token', limits: { perHour: 20 }, by: 'acme/sessions/acme' }
  const other = pool.lease({ ...of, by: 'acme/events/acme' })
  const ask = async (gate: QuotaGate, count: number) => {
    for (let i = 0; i < count; i++) (await gate.acquire(PRIORITY.live, going))()
  }
  const first = pool.lease(of)
  await ask(first.gate, 8)
  await clock.advance(60_000)
  const spent = { ...first.spent(), untold: 0 }
  first.end()
  const again = pool.lease(of)
  again.recall(spent)
  let count = 0
  const asking = (async () => {
    for (;;) {
      await ask(other.gate, 1)
      count++
    }
  })()
  void asking.catch(() => {})
  await clock.advance(0)
  for (let i = 0; i < 20; i++) await clock.advance(1)
  expect(count).toBe(12)
})

describe('a task that others may have had until now', () => {
  const asked = async (limits: Parameters<typeof createQuota>[0], spent: Parameters<QuotaLease['recall']>[0]) => {
    const clock = handClock(0)
    const lease = quotaPool(clock).lease({ vendor: 'v', shared: 'token', limits, willRecall: true })
    const starts: number[] = []
    void lease.gate.acquire(PRIORITY.live, going).then(release => (starts.push(clock.now()), release()))
    lease.recall(spent)
    await clock.advance(60_000)
    return starts
  }
  const NOTHING = { requests: [], untold: 0 }

  test.each([
    [{ perSecond: 5 }, 1_020],
    [{ gapMs: 2_000 }, 2_020],
    [{ perSecond: 1, gapMs: 500 }, 1_020],
  ])('sends nothing for as long as their last, unrecorded requests count: %j', async (limits, atMs) => {
    expect(await asked(limits, NOTHING)).toEqual([atMs])
  })

  test('sends at once if nothing is counted by seconds', async () => {
    expect(await asked({ perMinute: 60, concurrency: 1 }, NOTHING)).toEqual([0])
  })

  test('sends at once if nobody had it', async () => {
    expect(await asked({ perSecond: 1, gapMs: 2_000, perMinute: 60 }, null)).toEqual([0])
  })
})

test('nothing is sent while others may own the tasks of this process, and sending continues when that is settled', async () => {
  const clock = handClock(0)
  let sinceMs = Infinity
  const { gate } = quotaPool(clock, () => sinceMs).lease({ vendor: 'v', shared: 'token', limits: {} })
  let hasStarted = false
  void gate.acquire(PRIORITY.live, going).then(() => (hasStarted = true))
  await clock.advance(30_000)
  expect(hasStarted).toBe(false)
  sinceMs = 20_000
  await clock.advance(100)
  expect(hasStarted).toBe(true)
})

test('what was begun before a standstill may be sent only after it, so it counts from then on', async () => {
  const clock = handClock(0)
  let sinceMs = -Infinity
  const { gate } = quotaPool(clock, () => sinceMs).lease({ vendor: 'v', shared: 'token', limits: { gapMs: 2_000 } })
  ;(await gate.acquire(PRIORITY.live, going))()
  await clock.advance(20_000)
  sinceMs = 19_500
  const starts: number[] = []
  void gate.acquire(PRIORITY.live, going).then(() => starts.push(clock.now()))
  await clock.advance(5_000)
  expect(starts).toEqual([21_520])
})
