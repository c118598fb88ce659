import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, inject, test } from 'vitest'
import type { Harness, Item } from '../aggregate/harness.ts'
import { harness } from '../aggregate/harness.ts'
import { child as aChild, killAll } from '../aggregate/lives.ts'
import type { AggregatorParts } from '../../src/aggregate/run.ts'
import { compared, createSeriesReader } from '../aggregate/series-reader.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from '../aggregate/make.ts'

const opened: Harness[] = []

afterEach(async () => {
  await killAll()
  await Promise.all(opened.splice(0).map(h => h.close()))
})

const child = (h: Harness, more: Partial<AggregatorParts['options']> = {}) => aChild(h, inject('stack'), more)

/** Keys of messages and events are those of their feed. */
let feeds = 0

/** Two hours of records. */
const early = () => ({ fromMs: Date.parse('2026-11-01T00:00:00Z'), spanMs: 7_200_000 })

/** Feeds until stopped, so that there is input whenever a process dies. @param when Says in which time the next transaction's records happened. */
function feeding(h: Harness, r: Random, when: () => { fromMs: number; spanMs: number } = early): { stop(): Promise<void> } {
  const feed = ++feeds
  const stopping = new AbortController()
  const revisions = new Map<string, number>()
  const before: Item[] = []
  async function run(): Promise<void> {
    for (let i = 0; !stopping.signal.aborted; i++) {
      const { fromMs: at, spanMs } = when()
      const items: Item[] = Array.from({ length: 1 + r.int(60) }, (_, j) => {
        const id = `s${r.int(3_000)}`
        const revision = (revisions.get(id) ?? 0) + 1
        if (j % 3 === 1) return { kind: 'message', record: makeMessage(r, `${feed}-${i}-${j}`, at, spanMs) }
        if (j % 3 === 2) return { kind: 'event', record: makeEvent(r, `${feed}-${i}-${j}`, at, spanMs) }
        // Now and then the numbering of a session begins anew.
        revisions.set(id, r.chance(0.1) ? 0 : revision)
        return { kind: r.chance(0.05) ? 'withdrawal' : 'session', record: makeSession(r, id, revision, at, spanMs) }
      })
      const counting = items.filter(({ kind }) => kind === 'message' || kind === 'event')
      await h.feed([...items, ...counting.flatMap(() => (before.length > 0 && r.chance(0.3) ? [r.pick(before)] : []))])
      before.push(...counting.slice(0, 5))
      await sleep(5)
    }
  }
  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

async function start(): Promise<Harness> {
  const made = await harness(inject('stack'))
  opened.push(made)
  return made
}

describe('killed with SIGKILL', () => {
  test('at random times while records come in, nothing is lost and nothing counted twice', async () => {
    const h = await start()
    const feed = feeding(h, random(21))
    for (let life = 0; life < 8; life++) {
      const running = child(h)
      // Some die while they restore, some after a few transactions, at no moment of ours.
      if (life % 3 > 0) await running.transactions(randomInt(1, 12))
      await sleep(randomInt(0, life % 3 > 0 ? 60 : 1_200))
      await running.kill()
    }
    await feed.stop()
    child(h)
    await h.caughtUp()
    expect(await h.table()).toEqual(h.expected())
  }, 180_000)

  test('one of two, the other takes its partitions over and the series are those of a recount', async () => {
    const h = await start()
    const feed = feeding(h, random(22))
    const first = child(h)
    await first.transactions(3)
    const second = child(h)
    await Promise.all([second.transactions(3), first.transactions(3)]) // both have a share
    await first.kill()
    await second.transactions(10)
    await feed.stop()
    await h.caughtUp()
    expect(await h.table()).toEqual(h.expected())
  }, 120_000)

  test('around roll-ups, every minute, hour and day is that of a recount, and each instant is in one of them', async () => {
    const h = await start()
    const r = random(23)
    const DAY_MS = 24 * 3_600_000
    const nowMs = Date.now()
    const today = Math.floor(nowMs / DAY_MS) * DAY_MS
    const retention = { minutesMs: DAY_MS, hoursMs: 3 * DAY_MS, daysMs: 30 * DAY_MS }
    const options = { retention, rollUpCells: 100 }
    // Six days come in as minutes, one after the other, while time stands still.
    let days = 6
    const filling = feeding(h, r, () => ({ fromMs: today - days-- * DAY_MS, spanMs: DAY_MS }))
    await expect.poll(() => days, { timeout: 60_000 }).toBeLessThan(3)
    await filling.stop()
    const filler = child(h, { ...options, retention: { minutesMs: 30 * DAY_MS, hoursMs: 30 * DAY_MS, daysMs: 30 * DAY_MS } })
    await h.caughtUp()
    await filler.kill()
    const rolledUp = async () => (await h.records()).filter(({ key, point }) => point === null && key.endsWith('Z')).length
    expect(await rolledUp()).toBe(0)

    // Then it is today, with late revisions of all those days.
    const feed = feeding(h, r, () =>
      r.chance(0.5) ? { fromMs: nowMs - 3_600_000, spanMs: 3_600_000 } : { fromMs: today - 6 * DAY_MS, spanMs: 6 * DAY_MS },
    )
    const seen: number[] = []
    for (let life = 0; life < 6; life++) {
      const running = child(h, options)
      await running.transactions(1)
      await sleep(randomInt(0, 400))
      await running.kill()
      seen.push(await rolledUp())
    }
    await feed.stop()
    child(h, options)
    await h.caughtUp()
    const horizons = { '1m': today - DAY_MS, '1h': today - 3 * DAY_MS, '1d': today - 30 * DAY_MS }
    const left = async () =>
      [...new Map((await h.records()).map(({ key, point }) => [key, point]))].filter(
        ([, point]) => point !== null && point.bucket_start < horizons[point.bucket as '1m'],
      ).length
    await expect.poll(left, { timeout: 60_000 }).toBe(0)
    expect(seen[0], 'the first was killed in the middle of rolling up').toBeLessThan(seen.at(-1) ?? 0)

    const reader = createSeriesReader()
    for (const { key, point } of await h.records()) reader.apply(key, point)
    expect(reader.disagreements()).toEqual([])
    const { shown, should } = compared(reader, h.expected(), 0)
    expect(shown).toEqual(should)
    expect(new Set([...shown.values()].map(({ form }) => form))).toEqual(new Set(['minutes', 'hours', 'day']))
  }, 600_000)
})
