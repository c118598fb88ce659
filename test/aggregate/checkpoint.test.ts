/** State on disk: a start from it has the state of the topics, or does not use it. */
import { copyFile, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { createCheckpoints, nullsLastMs } from '../../src/aggregate/checkpoint.ts'
import { createCounted } from '../../src/aggregate/counted.ts'
import type { Log } from '../../src/log.ts'
import { checkpointHistory, folder, type Folder, OWNER } from './checkpoint-history.ts'
import { contentOf, DAY_MS, event, goTo, HOUR_MS, names, session, SHORT, START, world, type World } from './world.ts'

const folders: Folder[] = []
afterEach(async () => {
  for (const each of folders.splice(0)) await each.remove()
})

async function start(): Promise<{ w: World; of: Folder }> {
  const of = await folder()
  folders.push(of)
  const w = await world()
  await w.batch([session('s1', 1, START), session('s2', 1, START + 60_000), event('e1', START)])
  return { w, of }
}

const later = async (w: World) => await w.batch([session('s1', 2, START + 300_000), event('e2', START + 400_000)])

describe('a history with restarts from files that are sound, damaged, lost, of others or too old', () => {
  test.each([1, 2])('has the state of the topics after each, and the series of a recount (seed %i)', async seed => {
    const { checkpoint, topics } = await checkpointHistory(seed, 25)
    expect(Math.min(checkpoint, topics)).toBeGreaterThan(0)
  })
})

test('a start reads only what was written behind the checkpoint', async () => {
  const { w, of } = await start()
  await later(w)
  await w.save(await of.checkpoint())
  await w.batch([session('s2', 2, START + 120_000), event('e3', START)])
  const reads = new Map<string, number>()
  const { readToEnd, tail } = w.kafka
  Object.assign(w.kafka, {
    readToEnd: (...[place, ...rest]: Parameters<typeof readToEnd>) => {
      reads.set(place.topic, place.from ?? 0)
      return readToEnd(place, ...rest)
    },
    tail: (...[places, ...rest]: Parameters<typeof tail>) => {
      for (const { topic, offset } of places) reads.set(topic, offset)
      return tail(places, ...rest)
    },
  })
  await w.restart(SHORT, { checkpoint: await of.checkpoint() })
  expect(w.from).toBe('checkpoint')
  const { series, state, at } = JSON.parse(JSON.stringify(await positionOf(of))) as Record<string, number>
  expect(reads.get(names.series)).toBe((series as number) + 1)
  expect(reads.get(names.aggregateState)).toBe((state as number) + 1)
  expect(reads.get(names.aggregateOffsets)).toBe(at)
  expect(contentOf(w.state)).toEqual(contentOf(await w.restored()))
})

/** The position in the header of the file. */
async function positionOf({ file }: Folder): Promise<object> {
  const bytes = await readFile(file)
  return JSON.parse(bytes.subarray(12, 12 + bytes.readUInt32LE(8)).toString()).position
}

describe('a file is left alone, and the log says why,', () => {
  /** What the state was restored from, and what the log said. */
  const restarted = async (w: World, of: Folder, ...how: Parameters<Folder['checkpoint']>) => {
    of.said()
    await w.restart(SHORT, { checkpoint: await of.checkpoint(...how) })
    expect(contentOf(w.state)).toEqual(contentOf(await w.restored()))
    return [w.from, ...of.said()]
  }

  test('when there is none', async () => {
    const { w, of } = await start()
    expect(await restarted(w, of)).toEqual(['topics', expect.stringMatching(/no checkpoint/)])
  })

  test.each([
    ['cluster', { cluster: 'another' }],
    ['group', { groupId: 'another' }],
    ['retention', { retention: { ...SHORT, daysMs: SHORT.daysMs + DAY_MS } }],
    ['retention of the series topic', { seriesRetentionMs: 100 * DAY_MS }],
  ])('when it is of another %s', async (_, owner) => {
    const { w, of } = await start()
    await w.save(await of.checkpoint())
    expect(await restarted(w, of, owner)).toEqual(['topics', expect.stringMatching(/another cluster, topic prefix or group/)])
  })

  test('when it is of another partition number', async () => {
    const { w, of } = await start()
    await w.save(await of.checkpoint({}, 0))
    await copyFile(of.file, of.file.replace('0.checkpoint', '1.checkpoint'))
    expect(await restarted(w, of, {}, 1)).toEqual(['topics', expect.stringMatching(/another partition number/)])
  })

  test.each([
    ['is cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 9)],
    ['has a bit changed in its columns', (bytes: Buffer) => flipped(bytes, bytes.length - 40)],
    ['has a bit changed in its header', (bytes: Buffer) => flipped(bytes, 40)],
    ['is empty', () => Buffer.alloc(0)],
    ['is something else', () => Buffer.from('x'.repeat(1_000))],
  ])('when it %s', async (_, damage) => {
    const { w, of } = await start()
    await w.save(await of.checkpoint())
    await writeFile(of.file, damage(await readFile(of.file)))
    expect(await restarted(w, of)).toEqual(['topics', expect.stringMatching(/STATE_DAMAGED/)])
  })

  test('when the partition number has been counted again since', async () => {
    const { w, of } = await start()
    await w.save(await of.checkpoint())
    const fresh = await world()
    await fresh.batch([session('s1', 1, START), session('s2', 1, START + 60_000), event('e1', START)])
    expect(await restarted(fresh, of)).toEqual(['topics', expect.stringMatching(/counted again/)])
  })

  test('when the record at its position is another, as after an unclean election', async () => {
    const { w, of } = await start()
    await w.save(await of.checkpoint())
    const { readToEnd } = w.kafka
    Object.assign(w.kafka, {
      readToEnd: (...[place, take]: Parameters<typeof readToEnd>) =>
        readToEnd(place, record => {
          if (place.topic !== names.aggregateOffsets) return take(record)
          const other = { ...(JSON.parse(String(record.value)) as object), time: START + 1 }
          take({ ...record, value: Buffer.from(JSON.stringify(other)) })
        }),
    })
    expect(await restarted(w, of)).toEqual(['topics', expect.stringMatching(/not those of the checkpoint/)])
  })

  test('when it is newer than the topics', async () => {
    const { w, of } = await start()
    await later(w)
    await w.save(await of.checkpoint())
    const { readToEnd } = w.kafka
    const records = w.kafka.committed(names.aggregateOffsets)
    // The last transaction is lost, as after an unclean election.
    Object.assign(w.kafka, {
      readToEnd: async (...[place, take]: Parameters<typeof readToEnd>) => {
        if (place.topic !== names.aggregateOffsets) return readToEnd(place, take)
        for (const record of records.slice(0, -1)) if (record.offset >= (place.from ?? 0)) take(record)
        return records.at(-1)?.offset ?? 0
      },
    })
    of.said()
    await w.restart(SHORT, { checkpoint: await of.checkpoint() })
    expect([w.from, of.said()]).toEqual(['topics', [expect.stringMatching(/newer than the topics/)]])
  })

  test.each([
    ['series', names.series],
    ['contributions', names.aggregateState],
  ])('when the topic of %s begins behind it', async (_, topic) => {
    const { w, of } = await start()
    await w.save(await of.checkpoint())
    await later(w)
    const { watermarks } = w.kafka
    const end = w.kafka.committed(topic).at(-1)?.offset ?? 0
    Object.assign(w.kafka, {
      watermarks: async (places: Parameters<typeof watermarks>[0]) =>
        (await watermarks(places)).map(place => (place.topic === topic ? { ...place, low: end } : place)),
    })
    expect(await restarted(w, of)).toEqual(['topics', expect.stringMatching(/do not hold all/)])
  })

  test('when withdrawals since may be gone from their topics: after 20 hours', async () => {
    const { w, of } = await start()
    await w.batch([session('s3', 1, START)])
    await w.save(await of.checkpoint())
    await w.batch([{ kind: 'withdrawal', key: 'v:a:s3' }])
    w.nowMs += 19 * HOUR_MS
    await w.restart(SHORT, { checkpoint: await of.checkpoint(), isCompacted: true })
    expect(w.from).toBe('checkpoint')
    w.nowMs += 9 * HOUR_MS
    of.said()
    await w.restart(SHORT, { checkpoint: await of.checkpoint(), isCompacted: true })
    expect([w.from, of.said()]).toEqual(['topics', [expect.stringMatching(/older than 20 h/)]])
    expect(contentOf(w.state)).toEqual(contentOf(await w.restored()))
  })

  test('when nulls stay on the topics for less than it is old', async () => {
    const { w, of } = await start()
    await w.save(await of.checkpoint())
    w.nowMs += 6 * HOUR_MS
    const validMs = nullsLastMs(6 * HOUR_MS)
    expect(await restarted(w, of, {}, 0, validMs)).toEqual(['topics', expect.stringMatching(/older than 5 h/)])
    expect([nullsLastMs(Infinity), nullsLastMs(DAY_MS)]).toEqual([20 * HOUR_MS, 20 * HOUR_MS])
  })

  test('when it was written by a clock that was ahead', async () => {
    const { w, of } = await start()
    await w.save(await of.checkpoint())
    w.nowMs -= 2 * HOUR_MS
    expect(await restarted(w, of)).toEqual(['topics', expect.stringMatching(/of the future/)])
  })
})

const flipped = (bytes: Buffer, at: number): Buffer => {
  bytes[at] = (bytes[at] as number) ^ 4
  return bytes
}

test('a checkpoint is still used when another has counted since, rolled days up and withdrawn sessions', async () => {
  const { w, of } = await start()
  await w.save(await of.checkpoint())
  await w.restart()
  await w.batch([{ kind: 'withdrawal', key: 'v:a:s2' }, session('s1', 2, START + 300_000)])
  await goTo(w, START + 3 * HOUR_MS)
  await w.restart(SHORT, { checkpoint: await of.checkpoint() })
  expect(w.from).toBe('checkpoint')
  expect(contentOf(w.state)).toEqual(contentOf(await w.restored()))
})

test('a bucket that was withdrawn and came again counts with its new revision, whatever compaction left of it', async () => {
  const { w, of } = await start()
  for (let n = 0; n < 5; n++) await w.batch([event(`x${n}`, START)])
  await w.save(await of.checkpoint())
  const point = [...(await w.newest()).values()].find(each => each !== null && each.bucket_start <= START && each.revision >= 5)
  const state = await w.restored()
  expect(point?.revision).toBeGreaterThanOrEqual(5)
  state.restoreNewerPoint({ ...point!, revision: 1, events: 42 })
  const counts = Object.values(contentOf(state)).filter(each => Array.isArray(each) && each[0] === 1)
  expect(counts).toContainEqual(expect.arrayContaining([1, 42]))
})

test('a folder that cannot be written to costs nothing but the next start', async () => {
  const { w, of } = await start()
  await writeFile(`${of.path}/file`, '')
  const clock = { now: () => START, sleep: async () => {} }
  const codes: unknown[] = []
  const log = { debug() {}, warn: (fields: Record<string, unknown>) => void codes.push(fields['code']) } as Partial<Log> as Log
  const checkpoint = (await createCheckpoints(`${of.path}/file`, OWNER, clock, log)).of(0)
  expect(codes).toEqual(['STATE_UNWRITABLE'])
  const position = { inputs: new Map(), series: 1, state: 1, timeMs: null, groupId: 'g', history: 'h', at: 1, next: 2 }
  expect(await checkpoint.write(w.state, position, START)).toBe(false)
  expect(codes).toEqual(['STATE_UNWRITABLE', 'STATE_UNWRITABLE'])
})

test('files that a killed process left are removed once they are an hour old', async () => {
  const { w, of } = await start()
  await w.save(await of.checkpoint())
  const [old, young] = [`${of.file}.aaaa.tmp`, `${of.file}.bbbb.tmp`]
  for (const path of [old, young]) await writeFile(path, 'half')
  await utimes(old, new Date(Date.now() - 2 * HOUR_MS), new Date(Date.now() - 2 * HOUR_MS))
  await w.save(await of.checkpoint())
  expect((await readdir(`${of.path}/tiers`)).toSorted()).toEqual(['0.checkpoint', '0.checkpoint.bbbb.tmp'])
})

test('counted keys of a file take over chunks that were filled, added and forgotten since', async () => {
  const source = createCounted()
  const add = (from: number, until: number) => {
    for (let n = from; n < until; n++) source.add(`k${n}`, 'message', n)
  }
  add(0, 600)
  source.clean()
  const { firstChunk, rows, columns } = source.columns()
  const saved = columns.map(column => column.slice())
  add(600, 1_500)
  source.forgetBefore(300)
  const target = createCounted()
  await target.adopt(firstChunk, rows, async column => column.set(saved.shift() as Int32Array))
  for (const { number, value } of source.changedChunks()) target.restoreChunk(number, value)
  target.restored()
  const content = (of: typeof source) => [of.size, of.columns().firstChunk, ...of.columns().columns.map(column => column.join())]
  expect(content(target)).toEqual(content(source))
  expect([target.add('k10', 'message', 1), target.add('k300', 'message', 1)]).toEqual([true, false])
})
