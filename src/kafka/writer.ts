/**
 * The transactional producer, on kafkajs's connections but without its producer, which cannot be trusted with exactly-once: it claims its id only with the
 * first transaction, is dead after a failed commit, waits 300 ms where 2 would do, and partitions again on a retry.
 *
 * Steps of a transaction: partitions are added at the coordinator, batches go to their leaders with sequence numbers (a batch that is sent twice is written
 * once), EndTxn ends it. Any failure after a record may have been written makes the writer unusable.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import {
  backoffMs,
  codeOf,
  isConnectionFailure,
  isCoordinatorMoved,
  isFenced,
  isProduceRetriable,
  isStale,
  kafkaError,
  refused,
} from './failures.ts'
import { type Broker, type Cluster, hangUp, type ProducerIdentity, sendFramed } from './kafkajs.ts'
import type { GroupOffset, PartitionBatch, TopicPartition, Transaction, Writer, WrittenRange } from './port.ts'
import { mostBatchBytes } from './room.ts'
import {
  BATCH_OVERHEAD,
  decodeProduced,
  decodeTransactionState,
  describeTransactionRequest,
  type ProducedPartition,
  produceRequest,
  type RecordBatch,
  sizeOfRecord,
} from './wire.ts'

/** Largest Produce request: well below socket.request.max.bytes (100 MiB), and small enough to hold twice. */
const REQUEST_BYTES = 8 * 1024 * 1024
/** Most records of one batch; more gain nothing. */
const BATCH_RECORDS = 10_000

export const TRANSACTION_TIMEOUT_MS = 30_000
/** How long a leader may wait for its followers. */
const PRODUCE_TIMEOUT_MS = 7_000
/** Deadline of an answer; then the batch is sent again, to the leader of that moment. */
const PRODUCE_DEADLINE_MS = 8_000
/**
 * How long a write may be retried before its transaction is given up. A cluster takes 9 s (`broker.session.timeout.ms`) to move the partitions of a hanging
 * broker, and the transaction itself ends after `transactionTimeoutMs`.
 */
const WRITE_PATIENCE_MS = 20_000
/** How long we wait for the answer to a commit: as long, and longer than a transaction coordinator takes to move. */
const COMMIT_PATIENCE_MS = 20_000
/** Time reserved for the abort when a transaction is given up because of a quota. */
const ABORT_MARGIN_MS = 2_000
/** How long waiting for a quota may continue after `close`. */
const SPARE_STEP_MS = 200
const FENCE_PATIENCE_MS = 30_000
/** How long `close` waits for an open transaction to be aborted. */
const CLOSE_PATIENCE_MS = 3_000

const DESCRIBE_TIMEOUT_MS = 5_000

const REQUEST_TIMED_OUT = 7
const MESSAGE_TOO_LARGE = 10
const CONCURRENT_TRANSACTIONS = 51
/** In addition to the codes of moving coordinators: the previous transaction is not finished yet, a topic is very new, another partition's error. */
const ADD_RETRIABLE = new Set([CONCURRENT_TRANSACTIONS, 3, 55])
const MAX_SEQUENCE = 2 ** 31

export interface WriterParts {
  /** Used by this writer only. */
  readonly cluster: Cluster
  readonly log: Log
  readonly maxMessageBytes: (topics: readonly string[]) => Promise<ReadonlyMap<string, number>>
  /** The producer quota does not let its data through within the transaction timeout: the next writer of the id needs a longer one. */
  readonly onTooSlow: (transactionalId: string) => void
  /** A broker rejected a batch as too large: the limits must be read again. */
  readonly onTooLarge: (topic: string) => void
  readonly onClose: () => void
}

export interface WriterOptions {
  readonly transactionalId: string
  readonly transactionTimeoutMs?: number
  readonly mayClaim?: () => Promise<void>
}

/** One transaction from its beginning to its end. */
interface Open {
  /** When the coordinator learned of it, by our clock. */
  beganAtMs: number
  readonly partitions: Set<string>
  /** The coordinator knows something of this transaction. */
  ongoing: boolean
  over: boolean
  committing: boolean
  /** The first failed write; after it the transaction can only be aborted. */
  failure: FlowError | null
  /** The last requested write, settled without an error. */
  last: Promise<unknown>
}

type State = 'opened' | 'ready' | 'busy' | 'spent' | 'closed'

export function openWriter(parts: WriterParts, options: WriterOptions): Writer {
  const { cluster, log } = parts
  const { transactionalId, transactionTimeoutMs = TRANSACTION_TIMEOUT_MS, mayClaim } = options
  const about = { transactionalId }
  const sequences = new Map<string, number>()
  /** By broker, until when it accepts nothing from us (a quota). Epoch milliseconds. */
  const sparedUntilMs = new Map<number, number>()
  let state: State = 'opened'
  let producer: ProducerIdentity = { transactionalId, producerId: '-1', producerEpoch: -1 }
  let coordinator: Broker | null = null
  let open: Open | null = null

  /**
   * Asks the transaction coordinator; again when it has moved, did not answer, or returns one of the codes.
   *
   * @param onDoubt Called when a request was sent whose answer is not known.
   */
  async function ask(
    request: (broker: Broker) => Promise<unknown>,
    again: { codes: ReadonlySet<number>; patienceMs: number; onDoubt?: () => void },
  ): Promise<void> {
    const untilMs = Date.now() + again.patienceMs
    for (let count = 0; ; count++) {
      try {
        coordinator ??= await cluster.findGroupCoordinator({ groupId: transactionalId, coordinatorType: 1 })
      } catch (error) {
        if (Date.now() >= untilMs || state === 'closed') throw error
        if (!isConnectionFailure(error) && !isCoordinatorMoved(codeOf(error))) throw error
        await sleep(backoffMs(count + 4))
        continue
      }
      try {
        await request(coordinator)
        return
      } catch (error) {
        const code = codeOf(error)
        const unanswered = code === null && isConnectionFailure(error)
        // 14 to 16 may also be returned after the coordinator began to write it down.
        if (unanswered || isCoordinatorMoved(code)) {
          coordinator = null
          again.onDoubt?.()
        }
        const retriable = unanswered || isCoordinatorMoved(code) || (code !== null && again.codes.has(code))
        if (!retriable || Date.now() >= untilMs || state === 'closed') throw error
      }
      await sleep(backoffMs(count))
    }
  }

  async function fence(): Promise<void> {
    if (state !== 'opened')
      throw new FlowError('BUG', { hint: `a writer is fenced once, when new; this one is ${state}`, ...about })
    try {
      await cluster.connect()
      await ask(
        async broker => {
          await mayClaim?.()
          const { producerId, producerEpoch } = await broker.initProducerId({
            transactionalId,
            transactionTimeout: transactionTimeoutMs,
          })
          producer = { transactionalId, producerId, producerEpoch }
        },
        { codes: new Set([CONCURRENT_TRANSACTIONS]), patienceMs: FENCE_PATIENCE_MS },
      )
    } catch (error) {
      state = 'spent'
      throw codeOf(error) === CONCURRENT_TRANSACTIONS
        ? new FlowError(
            'KAFKA_UNREACHABLE',
            { hint: 'the transaction that an older owner left open does not end', ...about },
            error,
          )
        : kafkaError(error, about)
    }
    state = 'ready'
    log.debug({ ...about, producerId: producer.producerId, producerEpoch: producer.producerEpoch }, 'claimed transactional id')
  }

  async function transact<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    if (state !== 'ready') throw unusable()
    state = 'busy'
    const tx: Open = {
      beganAtMs: Date.now(),
      partitions: new Set(),
      ongoing: false,
      over: false,
      committing: false,
      failure: null,
      last: Promise.resolve(),
    }
    open = tx
    let result: T
    try {
      result = await work(transactionOf(tx))
      await tx.last
      if (tx.failure !== null) throw tx.failure
    } catch (error) {
      await giveUp(tx)
      throw tx.failure ?? error
    }
    await commit(tx)
    if (state === 'busy') state = 'ready'
    open = null
    return result
  }

  function unusable(): FlowError {
    const hint =
      state === 'spent' || state === 'closed'
        ? `the writer is ${state}: open another with the same id, fence, and read the cursor again`
        : `the writer is ${state}`
    return new FlowError(state === 'spent' ? 'KAFKA_ABORTED' : 'BUG', { hint, ...about })
  }

  /** Aborts; the writer can be used again only if nothing but the caller's own work failed. */
  async function giveUp(tx: Open): Promise<void> {
    await tx.last
    const aborted = tx.failure?.code === 'KAFKA_FENCED' ? false : await abort(tx)
    tx.over = true
    open = null
    if (state === 'busy') state = aborted && tx.failure === null ? 'ready' : 'spent'
  }

  async function abort(tx: Open): Promise<boolean> {
    if (tx.over) return false
    tx.over = true
    if (!tx.ongoing) return true
    try {
      await ask(broker => broker.endTxn({ ...producer, transactionResult: false }), {
        codes: new Set([CONCURRENT_TRANSACTIONS]),
        patienceMs: COMMIT_PATIENCE_MS,
      })
      return true
    } catch (error) {
      log.debug({ ...about, error: String(error) }, 'failed to abort transaction; the broker will abort it at its timeout')
      return false
    }
  }

  /**
   * The same EndTxn may be sent again: the coordinator confirms one that it has carried out already. So the outcome is unknown only when it becomes
   * unreachable, or rejects a request that may have been carried out before.
   */
  async function commit(tx: Open): Promise<void> {
    tx.committing = true
    let doubt = false
    try {
      if (!tx.ongoing) return
      await ask(broker => broker.endTxn({ ...producer, transactionResult: true }), {
        codes: new Set([CONCURRENT_TRANSACTIONS]),
        patienceMs: COMMIT_PATIENCE_MS,
        onDoubt: () => {
          doubt = true
        },
      })
    } catch (error) {
      if (state === 'busy') state = 'spent'
      const code = codeOf(error)
      if (!doubt && isFenced(code)) throw await ousted(tx, error)
      const { message } = kafkaError(error)
      throw new FlowError(
        'KAFKA_OUTCOME_UNKNOWN',
        { ...about, ...(code === null ? {} : { kafkaCode: code }), hint: message },
        error,
      )
    } finally {
      tx.over = true
    }
  }

  /**
   * The broker has a higher epoch: because another process has claimed the id, or because it timed out our transaction (this process was paused, for example).
   * The latter raises the epoch by one and leaves it there; a claim raises it again. If we cannot tell which, we treat it as fenced.
   */
  async function ousted(tx: Open, cause: unknown): Promise<FlowError> {
    const fenced = new FlowError('KAFKA_FENCED', { ...about }, cause)
    if (!tx.ongoing || Date.now() - tx.beganAtMs < transactionTimeoutMs) return fenced
    try {
      const broker = await cluster.findGroupCoordinator({ groupId: transactionalId, coordinatorType: 1 })
      const now = await sendFramed(
        broker,
        describeTransactionRequest(transactionalId),
        decodeTransactionState,
        DESCRIBE_TIMEOUT_MS,
      )
      const ours = now.errorCode === 0 && String(now.producerId) === producer.producerId
      if (!ours || now.producerEpoch !== producer.producerEpoch + 1 || !/^(Prepare|Complete)Abort$/.test(now.state)) return fenced
    } catch {
      return fenced
    }
    const hint = `it was open for longer than ${transactionTimeoutMs} ms, so the broker ended it`
    return new FlowError('KAFKA_ABORTED', { ...about, hint }, cause)
  }

  function transactionOf(tx: Open): Transaction {
    /** Writes of one transaction run one after the other, in the order in which they were requested. */
    const inOrder = <T>(step: () => Promise<T>): Promise<T> => {
      const run = tx.last.then(async () => {
        if (tx.over || tx.committing) throw new FlowError('BUG', { hint: 'the transaction has ended', ...about })
        if (tx.failure !== null) throw tx.failure
        return await step()
      })
      tx.last = run.catch(() => {})
      return run
    }
    /** After a failure here the transaction can only be aborted. */
    const fatally = async <T>(step: () => Promise<T>): Promise<T> => {
      try {
        return await step()
      } catch (error) {
        tx.failure ??= isFenced(codeOf(error)) ? await ousted(tx, error) : aborted(error)
        throw tx.failure
      }
    }
    return {
      write: batches =>
        inOrder(async () => {
          const filled = batches.filter(batch => batch.records.length > 0)
          if (filled.length === 0) return []
          const limits = await parts.maxMessageBytes([...new Set(filled.map(batch => batch.topic))])
          const queues = filled.map(batch => cut(batch, mostBatchBytes(limitOf(limits, batch.topic))))
          return await fatally(async () => {
            await addPartitions(tx, filled)
            return await send(tx, number(queues))
          })
        }),
      commitGroupOffsets: (groupId, offsets) => inOrder(() => fatally(() => commitGroupOffsets(tx, groupId, offsets))),
    }
  }

  function aborted(error: unknown): FlowError {
    const cause = kafkaError(error)
    if (cause.code === 'KAFKA_ABORTED') return cause
    return new FlowError('KAFKA_ABORTED', { ...about, hint: cause.message }, cause)
  }

  async function addPartitions(tx: Open, places: readonly TopicPartition[]): Promise<void> {
    const topics = new Map<string, Set<number>>()
    for (const { topic, partition } of places) {
      if (tx.partitions.has(placeKey(topic, partition))) continue
      const partitions = topics.get(topic) ?? new Set()
      topics.set(topic, partitions.add(partition))
    }
    if (topics.size === 0) return
    const request = { ...producer, topics: [...topics].map(([topic, partitions]) => ({ topic, partitions: [...partitions] })) }
    if (!tx.ongoing) {
      await spare(tx)
      tx.beganAtMs = Date.now()
    }
    tx.ongoing = true
    await ask(broker => broker.addPartitionsToTxn(request), { codes: ADD_RETRIABLE, patienceMs: WRITE_PATIENCE_MS })
    for (const { topic, partition } of places) tx.partitions.add(placeKey(topic, partition))
  }

  /** Waits for a quota before a transaction begins, so that no reader has to wait for it. */
  async function spare(tx: Open): Promise<void> {
    const untilMs = Math.max(0, ...sparedUntilMs.values())
    if (untilMs > Date.now()) log.debug({ ...about, waitMs: untilMs - Date.now() }, 'waiting for the producer quota')
    for (let leftMs = untilMs - Date.now(); leftMs > 0; leftMs = untilMs - Date.now()) {
      await sleep(Math.min(SPARE_STEP_MS, leftMs))
      if (tx.over || tx.failure !== null) break // closed meanwhile
    }
    if (tx.failure !== null) throw tx.failure
  }

  /** Assigns each batch the sequence number that the broker expects of this producer on the partition. */
  function number(queues: Batch[][]): RecordBatch[][] {
    return queues.map(queue =>
      queue.map(batch => {
        const key = placeKey(batch.topic, batch.partition)
        const sequence = sequences.get(key) ?? 0
        sequences.set(key, (sequence + batch.end - batch.start) % MAX_SEQUENCE)
        return { ...batch, sequence }
      }),
    )
  }

  /** Sends the queues of all partitions in parallel, one batch of each in a request. */
  async function send(tx: Open, queues: readonly RecordBatch[][]): Promise<WrittenRange[]> {
    const ranges = new Map<string, WrittenRange>()
    const rest = queues.map(queue => ({ queue, at: 0 }))
    for (;;) {
      const round: RecordBatch[] = []
      const taken = new Set<string>()
      let bytes = 0
      for (const line of rest) {
        const batch = line.queue[line.at]
        if (batch === undefined || (bytes > 0 && bytes + batch.bytes > REQUEST_BYTES)) continue
        const key = placeKey(batch.topic, batch.partition)
        if (taken.has(key)) continue
        taken.add(key)
        round.push(batch)
        bytes += batch.bytes
        line.at++
      }
      if (round.length === 0) return [...ranges.values()]
      await sendRound(tx, round, (batch, baseOffset) => {
        const key = placeKey(batch.topic, batch.partition)
        const firstOffset = ranges.get(key)?.firstOffset ?? baseOffset
        const lastOffset = baseOffset + batch.end - batch.start - 1
        ranges.set(key, { topic: batch.topic, partition: batch.partition, firstOffset, lastOffset })
      })
    }
  }

  async function sendRound(
    tx: Open,
    round: readonly RecordBatch[],
    onWritten: (batch: RecordBatch, baseOffset: number) => void,
  ): Promise<void> {
    const untilMs = Date.now() + WRITE_PATIENCE_MS
    let left = [...round]
    for (let count = 0; left.length > 0; count++) {
      if (count > 0) await sleep(backoffMs(count + 2))
      let problem: unknown = null
      const again: RecordBatch[] = []
      try {
        const byLeader = await leaders(left)
        const answers = (await Promise.all([...byLeader].map(([nodeId, batches]) => produce(tx, nodeId, batches)))).flat()
        for (const batch of left) {
          const answer = answers.find(({ topic, partition }) => topic === batch.topic && partition === batch.partition)
          const code = answer?.errorCode ?? REQUEST_TIMED_OUT
          if (answer !== undefined && code === 0) onWritten(batch, answer.baseOffset)
          else if (isFenced(code)) throw Object.assign(new Error('fenced by the leader'), { code })
          else {
            if (code === MESSAGE_TOO_LARGE) parts.onTooLarge(batch.topic)
            problem = refused(code, { topic: batch.topic, partition: batch.partition })
            if (!isProduceRetriable(code)) throw problem
            again.push(batch)
          }
        }
      } catch (error) {
        if (!isConnectionFailure(error) && !isStale(codeOf(error) ?? 0)) throw error
        // A new leader recognises what another one has written by its sequence numbers.
        problem = error
        again.splice(0, Infinity, ...left)
      }
      left = again
      if (left.length === 0) return
      if (Date.now() >= untilMs || state === 'closed' || tx.over) throw problem
      await cluster.refreshMetadata().catch(() => {})
    }
  }

  async function produce(tx: Open, nodeId: number, batches: readonly RecordBatch[]): Promise<readonly ProducedPartition[]> {
    const freeAtMs = sparedUntilMs.get(nodeId) ?? 0
    if (freeAtMs > tx.beganAtMs + transactionTimeoutMs - ABORT_MARGIN_MS) {
      parts.onTooSlow(transactionalId)
      throw new FlowError('KAFKA_ABORTED', {
        ...about,
        hint: `the broker's quota for producers (producer_byte_rate) makes it wait ${freeAtMs - Date.now()} ms, longer than the transaction may be open; retrying with more time; raise the quota to fix it`,
        throttleMs: freeAtMs - Date.now(),
      })
    }
    const broker = await cluster.findBroker({ nodeId })
    const request = produceRequest({
      transactionalId,
      producerId: BigInt(producer.producerId),
      producerEpoch: producer.producerEpoch,
      timeoutMs: PRODUCE_TIMEOUT_MS,
      timestamp: Date.now(),
      batches,
    })
    // Apart from requests to the coordinator: a commit need not wait until the broker accepts records again.
    const { throttleMs, partitions } = await sendFramed(broker, request, decodeProduced, PRODUCE_DEADLINE_MS, true)
    if (throttleMs > 0) sparedUntilMs.set(nodeId, Date.now() + throttleMs)
    return partitions
  }

  async function leaders(batches: readonly RecordBatch[]): Promise<Map<number, RecordBatch[]>> {
    await cluster.addMultipleTargetTopics([...new Set(batches.map(batch => batch.topic))])
    await cluster.refreshMetadataIfNecessary()
    const byLeader = new Map<number, RecordBatch[]>()
    for (const batch of batches) {
      const leader = cluster
        .findTopicPartitionMetadata(batch.topic)
        .find(metadata => metadata.partitionId === batch.partition)?.leader
      if (leader === undefined || leader < 0) throw Object.assign(new Error('no leader'), { code: leader === undefined ? 3 : 5 })
      const led = byLeader.get(leader)
      if (led === undefined) byLeader.set(leader, [batch])
      else led.push(batch)
    }
    return byLeader
  }

  async function commitGroupOffsets(tx: Open, groupId: string, offsets: readonly GroupOffset[]): Promise<void> {
    const topics = new Map<string, { partition: number; offset: string; metadata?: string }[]>()
    for (const { topic, partition, offset, metadata } of offsets) {
      const partitions = topics.get(topic) ?? []
      topics.set(topic, partitions)
      partitions.push({ partition, offset: String(offset), ...(metadata === undefined ? {} : { metadata }) })
    }
    if (topics.size === 0) return
    tx.ongoing = true
    await ask(broker => broker.addOffsetsToTxn({ ...producer, groupId }), { codes: ADD_RETRIABLE, patienceMs: WRITE_PATIENCE_MS })
    const request = { ...producer, groupId, topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })) }
    const untilMs = Date.now() + WRITE_PATIENCE_MS
    for (let count = 0; ; count++) {
      try {
        const broker = await cluster.findGroupCoordinator({ groupId, coordinatorType: 0 })
        await broker.txnOffsetCommit(request)
        return
      } catch (error) {
        const code = codeOf(error)
        const retriable = isConnectionFailure(error) || isCoordinatorMoved(code) || code === 3 || code === CONCURRENT_TRANSACTIONS
        if (!retriable || Date.now() >= untilMs) throw error
        await sleep(backoffMs(count))
      }
    }
  }

  async function close(): Promise<void> {
    if (state === 'closed') return
    const tx = open
    if (tx !== null && !tx.over) {
      tx.failure ??= new FlowError('STOPPED', { ...about })
      const ended = tx.committing ? waitUntil(() => tx.over) : tx.last.then(() => abort(tx))
      await Promise.race([ended, sleep(CLOSE_PATIENCE_MS, undefined, { ref: false })]).catch(() => {})
    }
    state = 'closed'
    parts.onClose()
    await hangUp(cluster)
  }

  return { transactionalId, fence, transact, close }
}

async function waitUntil(done: () => boolean): Promise<void> {
  while (!done()) await sleep(10)
}

type Batch = Omit<RecordBatch, 'sequence'>

/** Splits what one partition gets into batches that its topic accepts. @throws FlowError RECORD_TOO_LARGE before anything is sent */
export function cut(batch: PartitionBatch, limitBytes: number): Batch[] {
  const { topic, partition, records } = batch
  const batches: Batch[] = []
  let start = 0
  let bytes = BATCH_OVERHEAD
  for (let at = 0; at < records.length; at++) {
    const record = records[at]
    if (record === undefined) break
    let size = sizeOfRecord(record, at - start)
    if (at > start && (bytes + size > limitBytes || at - start >= BATCH_RECORDS)) {
      batches.push({ topic, partition, records, start, end: at, bytes })
      start = at
      bytes = BATCH_OVERHEAD
      size = sizeOfRecord(record, 0)
    }
    if (bytes + size > limitBytes) {
      throw new FlowError('RECORD_TOO_LARGE', {
        hint: `a record takes ${size} bytes, and ${topic} takes ${limitBytes - BATCH_OVERHEAD}`,
        topic,
        partition,
        recordBytes: size,
        limitBytes: limitBytes - BATCH_OVERHEAD,
        index: at,
      })
    }
    bytes += size
  }
  if (start < records.length) batches.push({ topic, partition, records, start, end: records.length, bytes })
  return batches
}

function limitOf(limits: ReadonlyMap<string, number>, topic: string): number {
  const limit = limits.get(topic)
  if (limit === undefined) throw new FlowError('BUG', { hint: 'a topic whose limit was not read', topic })
  return limit
}

function placeKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}
