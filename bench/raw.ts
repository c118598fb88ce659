/**
 * A child of the benchmark: sends bytes that are encoded already, in transactions of a given size, through kafkajs as it is (`plain`) or through our
 * writer (`edge`). What no pipeline on this client can be faster than. Prints CPU and records.
 *
 * Usage: raw.ts plain|edge BROKERS SOURCE_PREFIX TARGET_TOPIC RECORDS PER_TRANSACTION PARTITIONS
 */
import { createRequire } from 'node:module'
import type * as kafkajs from 'kafkajs'
import { silentLog } from '../src/log.ts'
import type { PartitionBatch, WriteRecord } from '../src/kafka/port.ts'

const [kind = '', brokers = '', sourcePrefix = '', target = '', total = '', per = '', count = ''] = process.argv.slice(2)
const wanted = Number(total)
const perTransaction = Number(per)
const partitions = Number(count)
/** Records of one request: more do not fit into a batch that the broker takes. */
const PER_SEND = 1000

/** The bytes that ingest wrote, in the mix in which it wrote them. */
async function readBytes(): Promise<WriteRecord[][]> {
  const { connectKafka } = await import('../src/kafka/client.ts')
  const kafka = connectKafka({ brokers: [brokers], clientId: 'bench', log: silentLog })
  const byPartition: WriteRecord[][] = Array.from({ length: partitions }, () => [])
  for (const topic of ['sessions', 'messages', 'events'])
    for (let partition = 0; partition < partitions; partition++)
      await kafka.readToEnd({ topic: `${sourcePrefix}.${topic}`, partition }, ({ key, value }) => {
        const list = byPartition[partition]
        if (list !== undefined && list.length < 20_000)
          list.push({ key: key && Buffer.from(key), value: value && Buffer.from(value) })
      })
  await kafka.close()
  return byPartition
}

/** The next so many records, partition by partition, over and over. */
function* batches(byPartition: readonly WriteRecord[][]): Generator<PartitionBatch[]> {
  const filled = byPartition.map((records, partition) => ({ records, partition })).filter(({ records }) => records.length > 0)
  const share = Math.ceil(perTransaction / filled.length)
  let at = 0
  for (let sent = 0; sent < wanted; sent += share * filled.length) {
    yield filled.map(({ records, partition }) => ({
      topic: target,
      partition,
      records: Array.from({ length: share }, (_, index) => records[(at + index) % records.length] as WriteRecord),
    }))
    at += share
  }
}

async function sendPlain(byPartition: readonly WriteRecord[][]): Promise<Cost> {
  const require = createRequire(import.meta.url)
  const { Kafka, Partitioners, logLevel } = require('kafkajs') as typeof kafkajs
  const retry = { initialRetryTime: 10, maxRetryTime: 1000, retries: 8 }
  const client = new Kafka({ clientId: 'bench-plain', brokers: [brokers], retry, logLevel: logLevel.NOTHING })
  const producer = client.producer({
    transactionalId: `bench-plain-${process.pid}`,
    idempotent: true,
    maxInFlightRequests: 1,
    retry,
    createPartitioner: Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  const cost = await measured(byPartition, async list => {
    const transaction = await producer.transaction()
    for (const { partition, records } of list)
      for (let at = 0; at < records.length; at += PER_SEND) {
        const messages = records.slice(at, at + PER_SEND).map(({ key, value }) => ({ key, value, partition }))
        await transaction.send({ topic: target, messages })
      }
    await transaction.commit()
  })
  await producer.disconnect()
  return cost
}

async function sendThroughEdge(byPartition: readonly WriteRecord[][]): Promise<Cost> {
  const { connectKafka } = await import('../src/kafka/client.ts')
  const kafka = connectKafka({ brokers: [brokers], clientId: 'bench-edge', log: silentLog })
  const writer = kafka.openWriter({ transactionalId: `bench-edge-${process.pid}` })
  await writer.fence()
  const cost = await measured(byPartition, list => writer.transact(tx => tx.write(list)))
  await writer.close()
  await kafka.close()
  return cost
}

interface Cost {
  readonly records: number
  readonly cpuUs: number
  readonly wallMs: number
}

/** The first tenth warms up and is not counted. */
async function measured(
  byPartition: readonly WriteRecord[][],
  send: (list: PartitionBatch[]) => Promise<unknown>,
): Promise<Cost> {
  let sent = 0
  let counted = 0
  let began: { cpu: NodeJS.CpuUsage; wall: number } | undefined
  for (const list of batches(byPartition)) {
    if (began === undefined && sent >= wanted / 10) began = { cpu: process.cpuUsage(), wall: performance.now() }
    const size = list.reduce((sum, { records }) => sum + records.length, 0)
    await send(list)
    sent += size
    if (began !== undefined) counted += size
  }
  const { user, system } = process.cpuUsage(began?.cpu)
  return { records: counted, cpuUs: user + system, wallMs: performance.now() - (began?.wall ?? 0) }
}

const bytes = await readBytes()
const cost = kind === 'plain' ? await sendPlain(bytes) : await sendThroughEdge(bytes)
process.stdout.write(`${JSON.stringify(cost)}\n`)
process.exit(0)
