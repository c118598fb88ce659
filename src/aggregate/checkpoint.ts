/**
 * The state of a partition number in a local file, with the place in the topics that it is of, so that a start reads only what has been written to them since.
 *
 * The topics are the truth. A file is taken only where it is certain that what it holds and what the topics have behind it make the state that the topics make
 * alone; else the state is restored from the topics, and a line in the log says why. A file that cannot be written costs the next start its time, and nothing else.
 */
import { access, constants, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import { type Column, type ColumnFile, DamagedFile, openColumns, writeColumns } from './checkpoint-file.ts'
import { type Position, writeOffsets } from './offsets.ts'
import { nullsSafeMs } from '../topics.ts'
import type { PartitionState, Retention } from './state.ts'

/** Raised when the columns change, or what they mean. */
const VERSION = 1

/**
 * A null on a compacted topic stays there for `delete.retention.ms`, a day by default. Whoever was away for longer may have missed one.
 */
export const NULLS_LAST_MS = 20 * 3_600_000
/** Clocks of two machines may differ by this. */
const CLOCKS_DIFFER_MS = 3_600_000

/** Whose state it is. A file of any other is of no use. */
export interface Owner {
  /** Id of the Kafka cluster. */
  readonly cluster: string
  /** Of all topic names. */
  readonly prefix: string
  readonly groupId: string
  /** What is kept decides what has been forgotten. */
  readonly retention: Retention
  readonly seriesRetentionMs: number
}

/** How long nulls surely stay on a topic with this `delete.retention.ms`; no longer than is taken for granted. */
export function nullsLastMs(deleteRetentionMs: number): number {
  return Math.min(NULLS_LAST_MS, nullsSafeMs(deleteRetentionMs))
}

interface Header {
  readonly version: number
  readonly owner: string
  readonly partition: number
  readonly position: StoredPlace
  /** When it was committed, epoch milliseconds. */
  readonly committedMs: number
  /** Series keys, by id. */
  readonly series: readonly string[]
  readonly cells: number
  readonly sessions: number
  readonly keys: { readonly firstChunk: number; readonly rows: number }
}

type StoredPlace = Omit<Position, 'inputs' | 'next'> & { readonly inputs: readonly (readonly [string, number])[] }

/** What the topics have, to be held against a file. */
export interface Present {
  /** The newest offsets record, with its place. */
  readonly stored: Position
  /** When it was written, epoch milliseconds. */
  readonly writtenMs: number
  /** The offsets record at the place that was asked for; null: it is not there any more. */
  recordAt(offset: number): Buffer | null
  /** Offset of the first record that the topic still holds. */
  readonly seriesLow: number
  readonly stateLow: number
  readonly nowMs: number
}

export interface Checkpoints {
  of(partition: number): Checkpoint
}

export interface Checkpoint {
  /**
   * Opens the file as it is now.
   *
   * @returns null where there is none that can be read; the log says why.
   */
  open(): Promise<OpenCheckpoint | null>
  /** Writes the state. Nothing of it may change meanwhile. @returns whether it was written; the log says why not. */
  write(state: PartitionState, position: Position, committedMs: number): Promise<boolean>
}

export interface OpenCheckpoint {
  readonly position: Position
  /**
   * Fills an empty state, if the file may be used.
   *
   * @returns false where it may not, and the log says why; the state is of no use then.
   */
  load(state: PartitionState, present: Present): Promise<boolean>
  close(): Promise<void>
}

/**
 * @param folder Of the aggregator alone; made when it is not there.
 * @param validMs How long nulls surely stay on the topics of series and contributions: an older file is of no use.
 */
export async function createCheckpoints(
  folder: string,
  owner: Owner,
  clock: Clock,
  log: Log,
  validMs = NULLS_LAST_MS,
): Promise<Checkpoints> {
  const whose = JSON.stringify(owner)
  const home = join(folder, owner.prefix)
  try {
    await mkdir(home, { recursive: true })
    await access(home, constants.W_OK)
  } catch (cause) {
    warnUnwritable(home, cause, log)
  }
  return { of: partition => checkpointOf(join(home, `${partition}.checkpoint`), whose, validMs, partition, clock, log) }
}

function warnUnwritable(path: string, cause: unknown, log: Log): void {
  const error = new FlowError('STATE_UNWRITABLE', { path, hint: (cause as Error).message }, cause)
  log.warn(errorFields(error), 'state not written to disk; counting goes on')
}

function checkpointOf(path: string, whose: string, validMs: number, partition: number, clock: Clock, log: Log): Checkpoint {
  const refuse = (why: string) => log.info({ partition, path, why }, 'state is restored from the topics alone')

  function refuseDamaged(cause: unknown): void {
    const hint = cause instanceof DamagedFile ? cause.message : `it cannot be read: ${(cause as Error).message}`
    const error = new FlowError('STATE_DAMAGED', { path, partition, hint }, cause)
    log.warn(errorFields(error), 'state is restored from the topics alone')
  }

  return {
    async open() {
      let file: ColumnFile<Header> | null
      try {
        file = await openColumns<Header>(path)
      } catch (error) {
        refuseDamaged(error)
        return null
      }
      if (file === null) {
        refuse('there is no checkpoint')
        return null
      }
      const { header } = file
      const why = whyNotOurs(header, whose, partition)
      if (why !== null) {
        refuse(why)
        await file.close()
        return null
      }
      const position = { ...header.position, inputs: new Map(header.position.inputs), next: null }
      return {
        position,
        async load(state, present) {
          const outdated = whyNot(position, header.committedMs, validMs, present)
          if (outdated !== null) {
            refuse(outdated)
            return false
          }
          try {
            await loadInto(state, file)
            return true
          } catch (error) {
            refuseDamaged(error)
            return false
          }
        },
        close: () => file.close(),
      }
    },

    async write(state, position, committedMs) {
      const startedMs = clock.now()
      const { next: _, ...place } = position
      const [cells, sessions, keys] = [state.cells.columns(), state.sessions.columns(), state.counted.columns()]
      const header: Header = {
        version: VERSION,
        owner: whose,
        partition,
        position: { ...place, inputs: [...position.inputs] },
        committedMs,
        series: Array.from({ length: state.series.size }, (_, id) => state.series.get(id).key),
        cells: cells.rows,
        sessions: sessions.rows,
        keys: { firstChunk: keys.firstChunk, rows: keys.rows },
      }
      try {
        await writeColumns(path, header, [...cells.columns, ...sessions.columns, ...keys.columns])
      } catch (error) {
        warnUnwritable(path, error, log)
        return false
      }
      log.debug({ partition, path, ms: clock.now() - startedMs }, 'checkpoint written')
      return true
    },
  }
}

async function loadInto(state: PartitionState, file: ColumnFile<Header>): Promise<void> {
  const { header } = file
  const fill = (column: Column) => file.fill(column)
  for (const [id, key] of header.series.entries())
    if (state.series.idOfKey(key) !== id) throw new DamagedFile('it names a series twice')
  await state.cells.adopt(header.cells, fill)
  await state.sessions.adopt(header.sessions, fill)
  await state.counted.adopt(header.keys.firstChunk, header.keys.rows, fill)
  await file.verify()
  state.adopted()
}

/** Why a file is not of this partition number, or not in a form that this version reads; null: it is. */
function whyNotOurs({ version, owner, partition }: Header, whose: string, wanted: number): string | null {
  if (version !== VERSION) return 'the checkpoint was written by another version of Colloquy'
  if (partition !== wanted) return 'the checkpoint is of another partition number'
  if (owner !== whose) return 'the checkpoint is of another cluster, topic prefix or group, or was written with another retention'
  return null
}

/** Why what the topics have is not the continuation of the file; null: it is. */
function whyNot(position: Position, committedMs: number, validMs: number, present: Present): string | null {
  const { stored, writtenMs, nowMs } = present
  const [at, history] = [position.at ?? Infinity, position.history]
  if (history === null || stored.history !== history) return 'the partition number has been counted again since the checkpoint'
  const isBehind = (a: number | null, b: number | null) => (a ?? -1) < (b ?? -1)
  if (
    isBehind(stored.at, at) ||
    isBehind(stored.series, position.series) ||
    isBehind(stored.state, position.state) ||
    [...position.inputs].some(([topic, next]) => (stored.inputs.get(topic) ?? 0) < next)
  )
    return 'the checkpoint is newer than the topics'
  const record = present.recordAt(at)
  if (record !== null && !record.equals(writeOffsets(position))) return 'the topics are not those of the checkpoint'
  if (present.seriesLow > (position.series ?? -1) + 1 || present.stateLow > (position.state ?? -1) + 1)
    return 'the topics do not hold all that has been written since the checkpoint'
  if (nowMs - committedMs > validMs || nowMs - writtenMs > NULLS_LAST_MS)
    return `the checkpoint is older than ${Math.floor(validMs / 3_600_000)} h: withdrawals that were written since may be gone from their topics`
  if (committedMs - nowMs > CLOCKS_DIFFER_MS || (position.timeMs ?? 0) > nowMs)
    return 'the checkpoint is of the future: a clock was wrong'
  return null
}
