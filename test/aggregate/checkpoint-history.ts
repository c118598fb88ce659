/** Random histories with restarts, from a file that may be anything, or gone. */
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type Checkpoint, createCheckpoints, type Owner } from '../../src/aggregate/checkpoint.ts'
import type { Log } from '../../src/log.ts'
import { random, type Random } from './make.ts'
import { compared } from './series-reader.ts'
import { contentOf, DAY_MS, expectedOf, HOUR_MS, randomStep, SHORT, START, type Step, tick, world } from './world.ts'

export const OWNER: Owner = {
  cluster: 'cluster-1',
  prefix: 'tiers',
  groupId: 'g',
  retention: SHORT,
  seriesRetentionMs: Infinity,
}

export interface Folder {
  readonly path: string
  readonly file: string
  /** What the log has said since it was last asked, by `why` or code. */
  said(): string[]
  checkpoint(owner?: Partial<Owner>, partition?: number, validMs?: number): Promise<Checkpoint>
  remove(): Promise<void>
}

export async function folder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'checkpoint-'))
  let lines: string[] = []
  const note = (fields: Record<string, unknown>) => void lines.push(String(fields['code'] ?? fields['why']))
  const log: Pick<Log, 'debug' | 'info' | 'warn'> = { debug() {}, info: note, warn: note }
  const clock = { now: () => START, sleep: async () => {} }
  return {
    path,
    file: join(path, 'tiers', '0.checkpoint'),
    said() {
      const all = lines
      lines = []
      return all
    },
    checkpoint: async (owner = {}, partition = 0, validMs?: number) =>
      (await createCheckpoints(path, { ...OWNER, ...owner }, clock, log as Log, validMs)).of(partition),
    remove: () => rm(path, { recursive: true, force: true }),
  }
}

/** Does something to the file that no start may fall for. @returns who asks for it then */
async function spoil(r: Random, of: Folder): Promise<Checkpoint> {
  const bytes = await readFile(of.file).catch(() => null)
  const kind = r.int(5)
  if (kind === 0 || bytes === null) await rm(of.file, { force: true })
  else if (kind === 1) await truncate(of.file, r.int(bytes.length))
  else if (kind === 2) {
    const at = r.int(bytes.length)
    bytes[at] = (bytes[at] as number) ^ (1 << r.int(8))
    await writeFile(of.file, bytes)
  } else if (kind === 3) await writeFile(of.file, Buffer.concat([bytes, bytes.subarray(0, 1 + r.int(99))]))
  else return await of.checkpoint(r.pick([{ cluster: 'cluster-2' }, { prefix: 'others' }, { groupId: 'h' }]))
  return await of.checkpoint()
}

/**
 * A history of late revisions, moves and withdrawals. After each restart the state is that of the topics alone, and in the end the series are those of a recount.
 *
 * @returns how often the state came from a file and from the topics.
 */
export async function checkpointHistory(seed: number, rounds: number): Promise<{ checkpoint: number; topics: number }> {
  const r = random(seed)
  const w = await world()
  const of = await folder()
  const restarts = { checkpoint: 0, topics: 0 }
  try {
    const steps: Step[] = []
    const revisions = new Map<string, number>()
    for (let round = 0; round < rounds; round++) {
      w.nowMs += r.pick([10 * 60_000, HOUR_MS, 7 * HOUR_MS, r.chance(0.3) ? 3 * DAY_MS : HOUR_MS])
      for (let n = r.int(25); n >= 0; n--) steps.push(randomStep(r, steps.length, w.nowMs, revisions))
      steps.push(tick(w.nowMs))
      const crashes = r.chance(0.25)
      if (crashes) w.kafka.nextCommits(r.pick(['lost', 'aborted']))
      const isCommitted = await w.batch(steps.slice(w.done), r.pick([0, 1, 200, Infinity])).then(
        () => true,
        () => false,
      )
      expect(isCommitted).toBe(!crashes)
      if (isCommitted && r.chance(0.4)) await w.save(await of.checkpoint())
      if (isCommitted && !r.chance(0.4)) continue
      const isSpoilt = r.chance(0.2)
      const checkpoint = isSpoilt ? await spoil(r, of) : await of.checkpoint()
      // Another counts in between now and then, and has no folder.
      await w.restart(SHORT, { checkpoint: r.chance(0.2) ? undefined : checkpoint, isCompacted: r.chance(0.5) })
      restarts[w.from]++
      if (isSpoilt) expect(w.from, 'from a file that is no good').toBe('topics')
      const whole = await w.restored()
      expect(contentOf(w.state)).toEqual(contentOf(whole))
      for (const state of [w.state, whole]) state.setTime({ clockMs: w.nowMs, publishedMs: w.nowMs })
      expect(contentOf(w.state), 'as time goes on').toEqual(contentOf(whole))
    }
    await w.batch(steps.slice(w.done))
    do await w.batch([])
    while (w.state.due > 0)
    await w.read()
    expect(w.reader.disagreements()).toEqual([])
    const firstDay = Math.floor((w.nowMs - SHORT.daysMs) / DAY_MS) * DAY_MS
    const { shown, should } = compared(w.reader, expectedOf(steps), firstDay)
    expect(shown).toEqual(should)
    return restarts
  } finally {
    await of.remove()
  }
}
