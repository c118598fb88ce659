/**
 * Dead letters put through the current mapping. For each source partition: claim it as its worker would, map its rows, and write what they gave and
 * what closes them in the source partition's own transactions. So a row is published exactly once, whatever is killed: a repeated redrive finds
 * its dead letters closed, and versions drop what was published meanwhile.
 *
 * A worker that reads the source partition is fenced by that, and claims it again at once: the last transaction says that it is free.
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Network } from '../dispatcher.ts'
import type { Log } from '../log.ts'
import { createHttp } from '../source/http.ts'
import { PRIORITY, type QuotaPool, quotaPool } from '../source/quota.ts'
import { type RowContext, rowContext } from '../source/records.ts'
import { watchedStream } from '../source/watchdog.ts'
import { toolTransactionalId } from '../topics.ts'
import { type Barrier, barrierOf } from './barrier.ts'
import { commit } from './commit.ts'
import { type Batch, Batches, firstRevisionOf } from './encode.ts'
import { type KnownCursor, nothingRead, type Piece, type PlanSpec, stillNeeded } from './plan.ts'
import type { Reject } from './reject.ts'
import { closing, type DeadLetter, type Ledger, ledgerOf, markText } from './rejects.ts'
import { restore } from './restore.ts'
import { decode, mapRows, type Row, type RowPath } from './rows.ts'
import { ownReads } from './shared-read.ts'
import type { Seal } from './seal.ts'
import {
  type ConnectorToRun,
  leaseOf,
  openShared,
  partitionsOf,
  partsOf,
  type Shared,
  type SharedOptions,
  type SourcePartition,
} from './source-partition.ts'
import type { Versions } from './versions.ts'

export interface RedriveOptions extends SharedOptions {
  readonly connectors: readonly ConnectorToRun[]
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  /** The way to the vendors. Default: directly. */
  readonly network?: Network
}

export interface Redriven {
  readonly id: string
  /** `mapped`: published, or found published already. `rejected`: the current mapping rejects it, too. `impossible`: it cannot be tried. */
  readonly outcome: 'mapped' | 'rejected' | 'impossible'
  readonly reason: string
  readonly path: string
  readonly message: string
}

/** Dead letters of one transaction. */
const AT_ONCE = 500

/** @throws FlowError of Kafka, of the registry, or of the vendor where rows are enriched; what was reported before is done. */
export async function* redrive(letters: readonly DeadLetter[], options: RedriveOptions): AsyncGenerator<Redriven> {
  if (letters.length === 0) return
  const shared = await openShared(options)
  const sources = options.connectors.flatMap(of =>
    partitionsOf(of.connector, of.base, of.config).map(partition => ({ of, partition })),
  )
  const groups = Map.groupBy(letters, ({ connector, stream, scope }) =>
    sources.find(
      ({ of, partition }) => of.name === connector && partition.streamName === stream && partition.scope.name === scope,
    ),
  )
  const barrier = barrierOf(options.kafka, toolTransactionalId(shared.prefix, `barrier-${randomUUID()}`))
  const means = { shared, pool: quotaPool(options.clock), barrier: barrier.ask }
  try {
    for (const [source, group] of groups) {
      if (source === undefined) {
        const message = 'the config has no such connector, stream and scope'
        for (const { id } of group) yield { id, outcome: 'impossible', reason: 'CFG_INVALID', path: '', message }
      } else yield* redriveOne(group, source.of, source.partition, means, options)
    }
  } finally {
    await barrier.close()
  }
}

/** What all source partitions of one redrive share, quotas among it. */
interface Means {
  readonly shared: Shared
  readonly pool: QuotaPool
  readonly barrier: Barrier
}

async function* redriveOne(
  letters: readonly DeadLetter[],
  of: ConnectorToRun,
  partition: SourcePartition,
  { shared, pool, barrier }: Means,
  options: RedriveOptions,
): AsyncGenerator<Redriven> {
  const { kafka, clock, log, signal, network } = options
  const parts = partsOf(shared, of, partition, 0)
  // A row that is rejected again stays where it is, whatever the connector tolerates.
  const to = { ...parts.to, tolerant: true }
  const { config, scope, spec } = parts
  const stream = watchedStream(parts.stream)
  const quota = leaseOf(pool, of, scope, { willRecall: true })
  const http = createHttp(of.connector.http(config as never), {
    quota: quota.gate,
    priority: PRIORITY.backfill,
    signal,
    clock,
    log,
    ...(network && { network }),
  })
  const writer = kafka.openWriter({ transactionalId: parts.transactionalId })
  try {
    await writer.fence()
    const reads = ownReads(kafka, signal, barrier)
    const restored = await restore({ ...parts, to, kafka, log, reads }, clock.now(), signal)
    const { cursor, versions, derived, spent } = restored
    quota.recall(spent)
    const { open, published } = await ledgersOf(letters, to.names.rejects, options)
    const batches = new Batches(to)
    for (let at = 0; at < letters.length; at += AT_ONCE) {
      const { vendor, account, connector, transfers } = to
      const observedAtMs = clock.now()
      const { lookbackMs } = spec
      const ctx = rowContext({ vendor, account, connector, config, scope, observedAtMs, lookbackMs, transfers })
      const batch = batches.open(nothingRead(cursor))
      const transferredAt = (rowId: string) => versions.transferredAt(rowId)
      const path = { stream, config, scope, http, clock, derived, door: to.door, transferredAt }
      const work = { path, ctx, cursor, spec, versions, batch, published }
      const outcomes: Redriven[] = []
      for (const letter of letters.slice(at, at + AT_ONCE)) {
        if (!open.has(letter.id)) continue
        const { mark, ...outcome } = await mapLetter(letter, work)
        if (outcome.outcome === 'mapped') batch.add(to.names.rejects, letter.partition, closing(letter, 'mapped', mark))
        outcomes.push(outcome)
      }
      if (derived !== null) batch.derived(derived.drain(ctx))
      const owner = { worker: 'redrive', released: true }
      await commit({ ...parts, to, writer, quota, fault: () => {}, owner }, batch, cursor, clock.now())
      batch.close()
      yield* outcomes
    }
  } finally {
    await writer.close()
    quota.end()
    await http.close()
  }
}

/** Ids of those that nobody closed since the list was read (another redrive, or one before this that was killed), and what was published of others. */
async function ledgersOf(letters: readonly DeadLetter[], topic: string, { kafka, signal }: RedriveOptions) {
  const partitions = new Set(letters.map(letter => letter.partition))
  const ledgers = await Promise.all([...partitions].map(partition => ledgerOf(kafka, { topic, partition }, signal)))
  return {
    open: new Set(ledgers.flatMap(({ open }) => open.map(letter => letter.id))),
    published: new Map(ledgers.flatMap(({ published }) => [...published])),
  }
}

interface Work {
  readonly path: RowPath
  readonly ctx: RowContext
  readonly cursor: KnownCursor
  readonly spec: PlanSpec
  readonly versions: Versions
  readonly batch: Batch
  readonly published: Ledger['published']
}

/**
 * Whether the vendor has shown the row otherwise since it was rejected, and that was published: what the dead letter says of it is of the past. What was published of
 * an older dead letter is not.
 */
function isOutdated({ known, offset }: DeadLetter, row: Row, { versions, published }: Work): boolean {
  const stands = versions.get(row.id)?.fingerprint
  if (stands === undefined || stands === row.fingerprint || known === null || markText(stands) === known) return false
  return (published.get(markText(stands)) ?? Infinity) > offset
}

/** The row of a dead letter, through the one row path into the batch. */
async function mapLetter(letter: DeadLetter, work: Work): Promise<Redriven & { readonly mark?: string }> {
  const { path, ctx, cursor, spec, versions, batch, published } = work
  const { id } = letter
  const raw = rawOf(letter, path.door.seal)
  if (raw === undefined) {
    const message = 'the row was left out of its reject, or is sealed with another pii.key'
    return { id, outcome: 'impossible', reason: letter.reason, path: '', message }
  }
  const {
    rows: [one],
    rejects: [misfit],
  } = decode(path.stream, [raw], ctx)
  if (one === undefined) return rejected(letter, misfit as Reject)
  const piece = pieceOf(letter, cursor, spec)
  const { observedAtMs } = ctx
  // The rest of such a row was published, so versions know the row as it is: what was too large is tried all the same.
  const isPart = letter.reason === 'RECORD_TOO_LARGE'
  const isOld = isOutdated(letter, one, work)
  const done = { id, outcome: 'mapped', reason: '', path: '', message: '' } as const
  if (isOld && (!isPart || letter.path === 'session')) return done
  for await (const some of mapRows(path, [one], ctx, row => isPart || !versions.isUnchanged(row.id, row.fingerprint))) {
    for (const mapped of some) {
      if ('reject' in mapped) return rejected(letter, mapped.reject)
      const { row, drafts, home, isOpen } = mapped
      const isFirst = !versions.has(row.id)
      const refusedBefore = batch.refused
      const own = isOld ? drafts.filter(({ kind }) => kind === letter.path) : drafts
      const isAppended = batch.append(row, own, piece, observedAtMs, versions, () => letter.cursor ?? '', isOpen)
      if (isAppended && home !== null && path.derived !== null) {
        const { forgotten, window } = piece
        const how = {
          isNew: isFirst,
          forgotten,
          firstRevision: firstRevisionOf(piece, observedAtMs),
          readUntilMs: window.untilMs,
        }
        path.derived.count(home.session, home.turn, how)
      }
      // What did not fit its topic is a new dead letter, or the same as this one.
      if (!isAppended || batch.refused > refusedBefore) {
        const message = 'a record of the row is still more than its topic takes, or does not fit its schema'
        return { id, outcome: 'rejected', reason: 'RECORD_TOO_LARGE', path: letter.path, message }
      }
    }
  }
  const mark = markText(one.fingerprint)
  published.set(mark, letter.offset)
  return { ...done, mark }
}

function rejected({ id }: DeadLetter, { code, path, message }: Reject): Redriven {
  return { id, outcome: 'rejected', reason: code, path, message }
}

/** The vendor's row; undefined where the dead letter does not hold it. */
function rawOf({ row, sealed, isMasked }: DeadLetter, seal: Seal): unknown {
  const text = sealed !== null ? seal.open(sealed) : isMasked ? null : row
  if (text === null) return undefined
  const raw: unknown = JSON.parse(text)
  const isLeftOut = sealed === null && typeof raw === 'object' && raw !== null && Object.keys(raw)[0] === 'left_out'
  return isLeftOut ? undefined : raw
}

/** The window that the row was read in, as its page would be read again now. */
function pieceOf({ window }: DeadLetter, cursor: KnownCursor, spec: PlanSpec): Piece {
  const { fromMs, untilMs } = window ?? nothingRead(cursor).window
  return { lane: 'lookback', window: { fromMs, untilMs }, resume: null, forgotten: !stillNeeded(cursor, spec)(untilMs) }
}
