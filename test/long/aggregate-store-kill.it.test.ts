/** An aggregator with a folder, killed at any moment: equal to a recount, whatever became of its files. */
import { randomInt } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, inject, test } from 'vitest'
import type { SeriesPoint } from '../../src/records.ts'
import { type Harness, harness, type Item } from '../aggregate/harness.ts'
import { child, killAll } from '../aggregate/lives.ts'
import { makeEvent, makeMessage, makeSession, random } from '../aggregate/make.ts'
import { tableOf } from '../aggregate/recount.ts'
import { progressOf } from '../support/progress.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await killAll()
  for (const end of ending.splice(0).toReversed()) await end()
})

const FIRST = Date.parse('2026-11-01T00:00:00Z')
const HOUR_MS = 3_600_000

/** Hours of records, one after the other: nothing of an hour comes in after its last transaction, whose Progress says that it was read completely. */
function hours(h: Harness, seed: number) {
  const r = random(seed)
  let hour = 0
  return async function feedHour(): Promise<void> {
    const fromMs = FIRST + hour++ * HOUR_MS
    // With their ends and transfers, all of it is within the hour.
    const item = (n: number): Item => {
      const id = `s${hour * 1_000 + r.int(30)}`
      if (n % 3 === 1) return { kind: 'message', record: makeMessage(r, `${hour}-${n}`, fromMs, 45 * 60_000) }
      if (n % 3 === 2) return { kind: 'event', record: makeEvent(r, `${hour}-${n}`, fromMs, 45 * 60_000) }
      const record = { ...makeSession(r, id, n + 1, fromMs, 45 * 60_000), observed_at: fromMs + HOUR_MS }
      return { kind: r.chance(0.05) ? 'withdrawal' : 'session', record }
    }
    const items = Array.from({ length: 90 }, (_, n) => item(n))
    for (const from of [0, 30]) await h.feed(items.slice(from, from + 30))
    await h.feed(items.slice(60), through =>
      progressOf({
        through: through.map(({ topic, partition, lastOffset }) => ({ topic, partition, offset: lastOffset })),
        committed_at: fromMs + HOUR_MS,
        complete_until: fromMs + HOUR_MS,
        covered: [{ from: FIRST - HOUR_MS, until: fromMs + HOUR_MS }],
      }),
    )
  }
}

/** Points that say that their minute is complete: each must be what its minute has in the end. */
async function claims(h: Harness): Promise<SeriesPoint[]> {
  return (await h.points()).filter(({ complete }) => complete)
}

async function files(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  return names.filter(name => name.endsWith('.checkpoint')).map(name => join(folder, name))
}

/** Something that disks, people and crashes do to files. */
async function spoil(folder: string): Promise<void> {
  const all = await files(folder)
  const path = all[randomInt(Math.max(1, all.length))]
  const kind = randomInt(4)
  if (path === undefined || kind === 0) await rm(folder, { recursive: true, force: true })
  else if (kind === 1) await truncate(path, randomInt((await stat(path)).size))
  else if (kind === 2) {
    const bytes = await readFile(path)
    const at = randomInt(bytes.length)
    bytes[at] = (bytes[at] as number) ^ 1
    await writeFile(path, bytes)
  } else await rm(path)
}

test('killed, stopped and moved at random, with files cut, damaged and lost, the series are those of a recount', async () => {
  const h = await harness(inject('stack'))
  ending.push(() => h.close())
  const folders = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'state-'))))
  for (const folder of folders) ending.push(() => rm(folder, { recursive: true, force: true }))
  const feedHour = hours(h, randomInt(1_000_000))
  const life = (stateDir: string | undefined) =>
    child(h, inject('stack'), { checkpointRecords: 40, ...(stateDir === undefined ? {} : { stateDir }) })

  let restored = 0
  for (let n = 0; n < 14; n++) {
    const feeding = feedHour()
    // Mostly the same machine; now and then another, or one without a folder.
    const folder = n % 5 === 3 ? folders[1] : n % 7 === 6 ? undefined : folders[0]
    if (folder !== undefined) restored += (await files(folder)).length
    const running = life(folder)
    // Or all that there are: a life that found little to do has fewer.
    if (n % 4 > 0) await Promise.race([running.transactions(randomInt(1, 8)), feeding.then(() => sleep(3_000))])
    await sleep(randomInt(0, n % 4 > 0 ? 150 : 1_500))
    await (n % 6 === 5 ? running.stop() : running.kill())
    await feeding
    if (folder !== undefined && n % 4 === 2) await spoil(folder)
  }
  expect(restored, 'files that lives found').toBeGreaterThan(0)
  life(folders[0])
  await expect
    .poll(
      async () => {
        await feedHour()
        await h.caughtUp()
        return (await claims(h)).length
      },
      { timeout: 300_000 },
    )
    .toBeGreaterThan(0)
  expect(await h.table()).toEqual(h.expected())
  const expected = h.expected()
  for (const claim of await claims(h)) {
    const [[at, row] = ['', null]] = Object.entries(tableOf([claim]))
    if (row !== null) expect(row, at).toEqual(expected[at])
  }
}, 900_000)
