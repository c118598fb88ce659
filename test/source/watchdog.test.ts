import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import type { Http, Stream } from '../../src/source/contract.ts'
import { watchdog, watchedStream } from '../../src/source/watchdog.ts'

const MINUTE = 60_000
const never = () => new Promise<never>(() => {})

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

/** What becomes of a call: 'going', or its value, or the code of its error. */
function follow(call: Promise<unknown>) {
  const seen: { now: unknown } = { now: 'going' }
  void call.then(
    value => (seen.now = value),
    (error: unknown) => (seen.now = error instanceof FlowError ? error.code : error),
  )
  return seen
}

describe('a call of a connector', () => {
  test('that neither ends nor makes a request is ended after a minute', async () => {
    const call = follow(watchdog().watch('read', never))
    await vi.advanceTimersByTimeAsync(MINUTE - 1)
    expect(call.now).toBe('going')
    await vi.advanceTimersByTimeAsync(1)
    expect(call.now).toBe('PLUGIN_HUNG')
  })

  test('that waits inside our client is not, however long; the minute begins when that is over', async () => {
    const dog = watchdog()
    const answer = Promise.withResolvers<void>()
    const call = follow(
      dog.watch('read', async () => {
        await dog.busy(() => answer.promise)
        await never()
      }),
    )
    await vi.advanceTimersByTimeAsync(60 * MINUTE)
    expect(call.now).toBe('going')
    answer.resolve()
    await vi.advanceTimersByTimeAsync(MINUTE - 1)
    expect(call.now).toBe('going')
    await vi.advanceTimersByTimeAsync(1)
    expect(call.now).toBe('PLUGIN_HUNG')
  })

  test('with several parallel requests is busy until the last is over', async () => {
    const dog = watchdog()
    const [one, two] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const call = follow(dog.watch('read', () => Promise.all([dog.busy(() => one.promise), dog.busy(() => two.promise)])))
    one.resolve()
    await vi.advanceTimersByTimeAsync(10 * MINUTE)
    expect(call.now).toBe('going')
    two.resolve()
    await vi.advanceTimersByTimeAsync(0)
    expect(call.now).toEqual([undefined, undefined])
  })

  test('that ends is passed on as it ended, and leaves no timer', async () => {
    expect(await watchdog().watch('read', () => 17)).toBe(17)
    await expect(
      watchdog().watch('read', () => {
        throw new FlowError('SRC_REFUSED')
      }),
    ).rejects.toMatchObject({ code: 'SRC_REFUSED' })
    expect(vi.getTimerCount()).toBe(0)
  })

  test('that was ended gets nothing more from us', async () => {
    const dog = watchdog()
    follow(dog.watch('read', never))
    await vi.advanceTimersByTimeAsync(MINUTE)
    let asked = false
    await expect(dog.busy(async () => void (asked = true))).rejects.toMatchObject({ code: 'STOPPED' })
    expect(asked).toBe(false)
  })

  test('is not ended for a timer that the process was too late to serve', async () => {
    const dog = watchdog()
    const call = follow(dog.watch('read', never))
    const later = performance.now() + 10 * MINUTE
    const now = vi.spyOn(performance, 'now').mockReturnValue(later)
    await vi.advanceTimersByTimeAsync(MINUTE)
    expect(call.now).toBe('going')
    now.mockRestore()
  })
})

describe('a stream under watch', () => {
  const http: Http = { getJson: never, postJson: never }
  const row = { rows: [1], resume: null }
  const base = {
    window: { longestMs: 1, lagMs: 0, lookbackMs: 0, durableResume: true },
    row: null as never,
    identify: () => '',
    normalise: () => [],
  }
  const args = { config: null as never, scope: { name: 'a', botId: null }, nowMs: 0, http }
  const readArgs = { ...args, window: { fromMs: 0, untilMs: 1 }, resume: null }

  test('is ended in each of its calls if it hangs, with the name of the call', async () => {
    const hanging: Stream = {
      ...base,
      read: () => ({ [Symbol.asyncIterator]: () => ({ next: never }) }),
      enrich: never,
      follow: { isOpen: () => true, read: never, atOnce: 1, longestMs: 1 },
      changes: { read: never, lagMs: 0 },
    }
    const stream = watchedStream(hanging, 5)
    const calls = {
      read: stream.read(readArgs)[Symbol.asyncIterator]().next(),
      enrich: stream.enrich?.({ ...args, rows: [] }),
      'follow.read': stream.follow?.read({ ...args, ids: [] }),
      'changes.read': stream.changes?.read({ ...args, window: { fromMs: 0, untilMs: 1 } }),
    }
    const told = Object.entries(calls).map(([call, ending]) =>
      expect(ending).rejects.toMatchObject({ code: 'PLUGIN_HUNG', details: { call } }),
    )
    await vi.advanceTimersByTimeAsync(5)
    await Promise.all(told)
  })

  test('may wait for its vendor in each of them', async () => {
    const waiting: Stream = {
      ...base,
      async *read({ http }) {
        yield row
        await http.getJson('/', {}, null as never)
      },
      enrich: async ({ http }) => [await http.getJson('/', {}, null as never)],
      follow: {
        isOpen: () => true,
        read: async ({ http }) => [await http.postJson('/', {}, null as never)],
        atOnce: 1,
        longestMs: 1,
      },
    }
    const stream = watchedStream(waiting, 5)
    const pages = stream.read(readArgs)[Symbol.asyncIterator]()
    expect(await pages.next()).toEqual({ done: false, value: row })
    // Between two pages nobody waits for it.
    await vi.advanceTimersByTimeAsync(100)
    const calls = [pages.next(), stream.enrich?.({ ...args, rows: [] }), stream.follow?.read({ ...args, ids: [] })]
    const seen = calls.map(call => follow(call as Promise<unknown>))
    await vi.advanceTimersByTimeAsync(100)
    expect(seen.map(({ now }) => now)).toEqual(['going', 'going', 'going'])
  })

  test('is unchanged otherwise, also if it is frozen, inherits, or has private fields', () => {
    class Kept {
      readonly #id = 'kept'
      readonly window = base.window
      get row() {
        return base.row
      }
      read() {
        return (async function* () {})()
      }
      identify() {
        return this.#id
      }
      normalise() {
        return []
      }
    }
    const kept = Object.freeze(new Kept())
    const stream = watchedStream(kept)
    expect(stream.identify(null as never)).toBe('kept')
    expect(stream.window).toBe(base.window)
    for (const name of ['enrich', 'follow', 'derive'] as const) expect(stream[name]).toBeUndefined()
    expect(watchedStream(Object.create({ ...base, enrichRows: 7 }) as Stream).enrichRows).toBe(7)
  })

  test('is asked to abandon a listing, as without the watch', async () => {
    let isClosed = false
    const stream = watchedStream({
      ...base,
      async *read() {
        try {
          yield row
          yield row
        } finally {
          isClosed = true
        }
      },
    })
    for await (const page of stream.read(readArgs)) {
      expect(page).toBe(row)
      break
    }
    expect(isClosed).toBe(true)
  })
})
