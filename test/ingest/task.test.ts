import { describe, expect, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { FlowError } from '../../src/errors.ts'
import { beginCursor } from '../../src/ingest/plan.ts'
import { Reader } from '../../src/ingest/reader.ts'
import { planSpecOf } from '../../src/ingest/source-partition.ts'
import { createLog, silentLog } from '../../src/log.ts'
import type { Connector, Page, ReadArgs, Stream } from '../../src/source/contract.ts'
import { handClock } from '../support/clock.ts'
import { draw } from './random.ts'
import { rowAt, tinyConnector } from './tiny.ts'
import { base, startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')
/** Without a safety lag, so that nothing of live is due at first. */
const WINDOW = { longestMs: HOUR, lagMs: 0, lookbackMs: 0, pollIntervalMs: 5 * MINUTE }

type Read = (args: ReadArgs) => AsyncIterable<Page>

/** The tiny connector with another way to read, or to enrich. */
function connectorThat(of: { read: Read; durableResume?: boolean } & Partial<Pick<Stream, 'enrich'>>): Connector {
  const clock = handClock()
  const vendor = { sessions: [], clock, luck: draw(1), pageRows: 5, failing: 0, longestMs: Infinity, reads: 0 }
  const tiny = tinyConnector(vendor, { ...WINDOW, durableResume: of.durableResume ?? false })
  const { durableResume: _, ...other } = of
  return { ...tiny, streams: { sessions: { ...(tiny.streams['sessions'] as Stream), ...other } } }
}

const session = (id: string) => rowAt({ id, bot: 'b', startMs: NOON, messageTimes: [], closesMs: NOON, shownMs: 0 }, NOON)

/** Seconds from noon at which the connector was asked, over so many milliseconds of one life. */
async function attemptsOf(of: { read: Read; durableResume?: boolean }, lengthMs: number): Promise<number[]> {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
  const attempts: number[] = []
  const read: Read = args => {
    attempts.push(Math.round((clock.now() - NOON) / 1000))
    return of.read(args)
  }
  const life = startLife({
    kafka: memoryKafka(),
    connector: connectorThat({ ...of, read }),
    clock,
    base: { startAtMs: NOON - 10 * HOUR },
  })
  await clock.sleep(lengthMs)
  await life.stop()
  return attempts
}

const failure = () => new FlowError('SRC_SERVER_ERROR', { status: 500 })

describe('the pause between restarts doubles', () => {
  test('where the first pages of a window are read and committed again each time', async () => {
    const attempts = await attemptsOf(
      {
        async *read() {
          yield { rows: [session('a')], resume: 'one' }
          yield { rows: [session('b')], resume: 'two' }
          throw failure()
        },
      },
      70_000,
    )
    expect(attempts).toEqual([0, 1, 3, 7, 15, 31, 63])
  })

  test('where a window starts again because its place expires, whatever the places look like', async () => {
    let count = 0
    const attempts = await attemptsOf(
      {
        durableResume: true,
        async *read({ resume }) {
          if (resume !== null) throw new FlowError('SRC_RESUME_EXPIRED')
          yield { rows: [session(`s${count}`)], resume: `place ${count++}` }
          throw failure()
        },
      },
      70_000,
    )
    // Each restart asks twice: with the place, and without it. The first page ever was an advance.
    expect([...new Set(attempts)]).toEqual([0, 1, 3, 7, 15, 31, 63])
  })

  test('up to 5 min', async () => {
    const attempts = await attemptsOf(
      {
        // oxlint-disable-next-line require-yield -- it fails before
        async *read() {
          throw failure()
        },
      },
      30 * MINUTE,
    )
    const pauses = attempts.slice(1).map((at, i) => at - (attempts[i] as number))
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300])
  })

  test('and begins small again when the source partition got further', async () => {
    let windows = 0
    const attempts = await attemptsOf(
      {
        async *read({ window }) {
          if (window.fromMs < NOON - 5 * HOUR) {
            yield { rows: [], resume: null }
            return
          }
          windows++
          if (windows === 4) yield { rows: [], resume: null }
          else throw failure()
        },
      },
      20_000,
    )
    const pauses = attempts.slice(1).map((at, i) => at - (attempts[i] as number))
    // Three failures; the fourth try succeeds, so the next failure waits for one second again.
    expect(pauses.filter(pause => pause > 0).slice(0, 6)).toEqual([1, 2, 4, 1, 2, 4])
  })

  test('and a page that was never reached before is further, where places outlive a restart', async () => {
    let pages = 0
    const attempts = await attemptsOf(
      {
        durableResume: true,
        async *read() {
          yield { rows: [session(`s${pages}`)], resume: `place ${++pages}` }
          throw failure()
        },
      },
      5_500,
    )
    expect(attempts).toEqual([0, 1, 2, 3, 4, 5])
  })
})

describe('a wait that the connector asks for', () => {
  const limited = (details: object) =>
    // oxlint-disable-next-line require-yield -- it fails before
    async function* () {
      throw new FlowError('SRC_RATE_LIMITED', { ...details })
    }

  test.each([
    ['57 years', { waitMs: 1.8e12 }, [0, 900, 1800]],
    ['for ever', { waitMs: Infinity }, [0, 900, 1800]],
    ['a day, as its allowance is spent', { waitMs: 24 * HOUR, allowance: 'day' }, [0, 3600]],
    ['ten seconds', { waitMs: 10_000 }, [0, 10, 20, 30, 40, 56, 88]],
    ['nothing', { waitMs: 0 }, [0, 1, 3, 7, 15, 31, 63]],
    ['less than nothing', { waitMs: -5 }, [0, 1, 3, 7, 15, 31, 63]],
    ['no number', { waitMs: NaN }, [0, 1, 3, 7, 15, 31, 63]],
  ] as const)('%s is bounded, and never makes a hot loop', async (_, details, expected) => {
    const lengthMs = ((expected.at(-1) ?? 0) + 10) * 1000
    expect(await attemptsOf({ read: limited(details) }, lengthMs)).toEqual(expected)
  })
})

describe('a connector that hangs', () => {
  const hang = () => new Promise<never>(() => {})

  test.each(['read', 'enrich'])('in %s is ended with a log line, and the task goes on', async call => {
    const clock = handClock(NOON)
    const kafka = memoryKafka()
    const lines: string[] = []
    let calls = 0
    const hangsFirst = async () => {
      if (calls++ === 0) await hang()
    }
    const connector = connectorThat({
      async *read() {
        if (call === 'read') await hangsFirst()
        yield { rows: [session('a')], resume: null }
      },
      enrich: async ({ rows }) => {
        if (call === 'enrich') await hangsFirst()
        return rows
      },
    })
    const log = createLog('debug', line => lines.push(line))
    const life = startLife({ kafka, connector, clock, log, base: { startAtMs: NOON - HOUR }, pluginPatienceMs: 20 })
    await clock.asleep(1)
    expect(life.health.states()).toMatchObject([{ state: 'failed', error: { code: 'PLUGIN_HUNG' } }])
    expect(lines.map(line => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({ level: 'error', code: 'PLUGIN_HUNG', call, againInMs: 1000 }),
    )
    await clock.advance(1000)
    await clock.asleep(1)
    expect(life.health.states()).toMatchObject([{ state: 'live', error: null }])
    expect((await topicsOf(kafka)).sessions.map(({ value }) => value.session_id)).toEqual(['a'])
    await life.stop()
  })

  test('does not keep its task from stopping', async () => {
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const begun = Promise.withResolvers<void>()
    const connector = connectorThat({
      // oxlint-disable-next-line require-yield -- it hangs before
      async *read() {
        begun.resolve()
        await hang()
      },
    })
    const life = startLife({ kafka: memoryKafka(), connector, clock, base: { startAtMs: NOON - HOUR } })
    await begun.promise
    const beganMs = clock.steady?.() ?? 0
    await life.stop()
    expect((clock.steady?.() ?? 0) - beganMs).toBeLessThanOrEqual(6_000)
  })
})

test('a source partition whose first Progress is not committed yet is not ready', async () => {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
  const commits = Promise.withResolvers<void>()
  const life = startLife({
    kafka: memoryKafka(),
    connector: connectorThat({ async *read() {} }),
    clock,
    base: { startAtMs: NOON - 10 * HOUR },
    fault: at => (at === 'progressed' ? commits.promise : undefined),
  })
  const isReady = () => life.health.states().map(({ restored }) => restored)
  await clock.sleep(HOUR)
  expect(isReady()).toEqual([false])
  commits.resolve()
  await clock.sleep(HOUR)
  expect(isReady()).toEqual([true])
  await life.stop()
})

test('after a clock that was ahead is set right, the live edge is due within its interval', async () => {
  const clock = handClock(NOON)
  const connector = connectorThat({
    async *read() {
      yield { rows: [], resume: null }
    },
  })
  const stream = connector.streams['sessions'] as Stream
  const spec = planSpecOf(connector, stream, { ...base, pollIntervalMs: 5 * MINUTE }, {})
  const scope = { name: 'acme', botId: null }
  const parts = {
    stream,
    config: {},
    scope,
    http: null as never,
    spec,
    clock,
    log: silentLog,
    openIds: () => [],
    timeOf: () => undefined,
  }
  const reader = new Reader(parts, beginCursor(spec, clock.now(), []))
  clock.jump(30 * 24 * HOUR)
  for (let step = await reader.next(); step !== null; step = await reader.next()) reader.accept(step)
  expect(reader.dueAt() - clock.now()).toBe(5 * MINUTE)
  clock.jump(-30 * 24 * HOUR)
  expect(reader.dueAt() - clock.now()).toBe(5 * MINUTE)
})
