/**
 * The server's folder: its series are written to a file now and then, and a start reads the file and then only what has come to the topic since.
 *
 * Nothing is read from the topic while the store is frozen, which takes well below a millisecond a series; from then on chunks that change are copied first, so the file is
 * written beside queries and reading, and holds the series exactly as they were at the offsets in its head.
 *
 * The topic stays the truth. A file is used only if reading the topic from its start would give the same: it is whole, of this cluster and of this very topic, the topic
 * still holds what comes after it and has lost nothing at its start, and it is so young that no null after it can have been compacted away.
 *
 * Servers may share a folder: a file has the name of its topic and cluster, each server writes beside it and renames, and what one wrote is right for all.
 */
import { mkdirSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import type { SeriesStart } from '../follow/follower.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Log } from '../log.ts'
import { createSlices } from '../slices.ts'
import { NULLS_KEPT, nullsSafeMs } from '../topics.ts'
import { PART, readSnapshot, type SnapshotHead, Unusable, writeSnapshot } from './snapshot-file.ts'
import type { SeriesStore } from './store.ts'

/** So many points are read from the topic again in about two seconds. */
const POINTS_A_SNAPSHOT = 200_000
/** Not more often: a roll-up changes everything within a minute. */
const SHORTEST_MS = 5 * 60_000
/** A file says that it is of a time not longer ago than this, if the server keeps up with the topic. */
const FRESH_MS = 60_000
/** However little has changed, so that it does not become too old. */
const LONGEST_MS = 4 * 3_600_000
/** Clocks may differ by so much. */
const CLOCKS_DIFFER_MS = 300_000
/** Nobody writes for so long. */
const LEFT_BEHIND_MS = 3_600_000

export interface SnapshotOptions {
  /** Is created. */
  readonly folder: string
  readonly kafka: Pick<Kafka, 'topicId' | 'topicSettings' | 'watermarks'>
  /** The series topic. */
  readonly topic: string
  readonly store: SeriesStore
  readonly log: Log
  readonly clock: Clock
  /** Points read from the topic after which a file is written. Default 200,000, and at most every 5 minutes. */
  readonly everyPoints?: number
}

export interface Snapshots {
  /** Fills the store. @returns by partition, from where to read on; null: from the start of the topic. */
  resume(start: SeriesStart): Promise<readonly number[] | null>
  /**
   * To be called when a batch has been taken in, and awaited before the next one is: begins to write where it is time to.
   *
   * @param next By partition, the next offset to read.
   * @param points That have been read since the start.
   */
  afterBatch(next: readonly number[], points: number): Promise<void>
  /** Writes what has changed since the last file. Nothing may be put into the store any more. */
  close(next: readonly number[], points: number): Promise<void>
}

/** @throws FlowError CFG_INVALID where the folder cannot be created */
export function openSnapshots(options: SnapshotOptions): Snapshots {
  const { folder, kafka, topic, store, log, clock } = options
  try {
    mkdirSync(folder, { recursive: true })
  } catch (error) {
    const hint = `the folder cannot be created: ${(error as Error).message}`
    throw new FlowError('CFG_INVALID', { path: 'state.dir', hint }, error)
  }
  const slices = createSlices()
  /** null: no file can be written, because the topic has no id or Kafka was not reached. */
  let of: (Pick<SnapshotHead, 'cluster' | 'topicId'> & { readonly path: string; readonly lows: readonly number[] }) | null = null
  /** Everything that was on the topic at this time has been read; null: not known yet. */
  let currentMs: number | null = null
  /** Becomes the time that is current when these ends have been passed. */
  let mark: { readonly ms: number; readonly ends: readonly number[] } | null = null
  /** Of the newest file: how many points had been read, of what time it is, and when it was written; null: there is none. */
  let newest: { readonly points: number; readonly takenMs: number; readonly writtenMs: number } | null = null
  let writing: Promise<void> | null = null

  function check(head: SnapshotHead, { clusterId, partitions }: SeriesStart, topicId: string, nullsMs: number): void {
    if (head.cluster !== clusterId || head.topic !== topic) throw new Unusable('it is of another cluster')
    if (head.topicId !== topicId) throw new Unusable('the topic was created again')
    if (head.partitions.length !== partitions.length) throw new Unusable('the topic has another number of partitions')
    const ageMs = clock.now() - head.takenMs
    if (ageMs < -CLOCKS_DIFFER_MS) throw new Unusable('it is of a time to come: a clock is wrong')
    if (ageMs > nullsSafeMs(nullsMs))
      throw new Unusable('it is so old that the topic may have removed points and their nulls since (delete.retention.ms)')
    for (const [partition, { low, high }] of partitions.entries()) {
      const then = head.partitions[partition] as SnapshotHead['partitions'][number]
      if (then.next > high) throw new Unusable(`it goes beyond the end of the topic (partition ${partition})`)
      if (then.low !== low) throw new Unusable(`the topic has lost its oldest records since (partition ${partition})`)
    }
  }

  function settle(next: readonly number[]): void {
    if (mark === null || !mark.ends.every((end, partition) => (next[partition] ?? 0) >= end)) return
    currentMs = mark.ms
    mark = null
  }

  /** Where the topic ends now; null: Kafka does not say. */
  async function endsNow(partitions: number): Promise<number[] | null> {
    const places = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
    return kafka.watermarks(places).then(
      found => found.map(({ high }) => high),
      () => null,
    )
  }

  function isDue(points: number): boolean {
    if (newest === null) return true
    const passedMs = clock.now() - newest.writtenMs
    const isMuch = points - newest.points >= (options.everyPoints ?? POINTS_A_SNAPSHOT)
    return passedMs >= LONGEST_MS || (isMuch && passedMs >= (options.everyPoints === undefined ? SHORTEST_MS : 0))
  }

  async function write(next: readonly number[], points: number): Promise<void> {
    if (of === null || currentMs === null) return
    const { path, lows, ...identity } = of
    const takenMs = currentMs
    const head = { ...identity, topic, takenMs, partitions: lows.map((low, at) => ({ low, next: next[at] ?? low })) }
    newest = { points, takenMs, writtenMs: clock.now() }
    const series = await slices.run(store.freeze())
    writing = (async () => {
      const beganMs = performance.now()
      try {
        const bytes = await writeSnapshot(path, head, series)
        log.info({ file: path, bytes, series: series.length, ms: Math.round(performance.now() - beganMs) }, 'snapshot written')
      } catch (error) {
        log.error({ file: path, reason: reasonOf(error) }, 'snapshot cannot be written; it is tried again later')
      }
      writing = null
    })()
  }

  return {
    async resume(start) {
      const topicId = await kafka.topicId(topic)
      if (topicId === null) {
        log.warn(
          { topic },
          'no snapshot is used or written: the brokers give topics no ids, so one that was created again would not be noticed',
        )
        return null
      }
      const settings = (await kafka.topicSettings([topic], [NULLS_KEPT])).get(topic)
      const nullsMs = Number(settings?.get(NULLS_KEPT) ?? 0)
      const path = join(folder, `${topic}@${encodeURIComponent(start.clusterId)}.snapshot`)
      mark = { ms: clock.now(), ends: start.partitions.map(({ high }) => high) }
      of = { path, cluster: start.clusterId, topicId, lows: start.partitions.map(({ low }) => low) }
      await removeLeftBehind(path, clock).catch(() => {})
      const beganMs = performance.now()
      try {
        const { head, series, bytes } = await readSnapshot(path, head => check(head, start, topicId, nullsMs))
        store.adopt(series)
        currentMs = head.takenMs
        newest = { points: 0, takenMs: head.takenMs, writtenMs: head.takenMs }
        const ms = Math.round(performance.now() - beganMs)
        log.info({ file: path, bytes, series: series.length, cells: store.cells, ms }, 'snapshot read')
        return head.partitions.map(({ next }) => next)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
          log.warn({ file: path, reason: reasonOf(error) }, 'snapshot is not used; the series are read from their topic')
        return null
      }
    },

    async afterBatch(next, points) {
      settle(next)
      if (of === null || writing !== null || !isDue(points)) return
      if (mark === null && clock.now() - (currentMs ?? 0) > FRESH_MS) {
        const nowMs = clock.now()
        const ends = await endsNow(next.length)
        if (ends === null) return
        mark = { ms: nowMs, ends }
        settle(next)
      }
      if (mark === null) await write(next, points)
    },

    async close(next, points) {
      await writing
      settle(next)
      if (newest === null || points > newest.points || (currentMs ?? 0) - newest.takenMs > FRESH_MS) await write(next, points)
      await writing
    },
  }
}

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Removes what servers were writing when they were killed. */
async function removeLeftBehind(path: string, clock: Clock): Promise<void> {
  const folder = dirname(path)
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.`) || !name.endsWith(PART)) continue
    const { mtimeMs } = await stat(join(folder, name))
    if (clock.now() - mtimeMs > LEFT_BEHIND_MS) await rm(join(folder, name), { force: true })
  }
}
