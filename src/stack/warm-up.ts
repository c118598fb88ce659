/**
 * Runs as a worker thread: waits until Kafka answers, then sends a temporary transaction and a temporary group through it, so that the internal topics, which
 * Kafka creates on first use, do not slow the first real one. Leaves no topic and no group behind.
 *
 * Retries each step until it succeeds: it has no deadline of its own, the thread's owner ends it. Posts `{ trouble }` for each failed try and `{ warm: true }`
 * at the end.
 *
 * A thread of its own, because kafkajs warns on stderr, spins a timer per connection, and is patched by `src/kafka` before its first import: none of that may
 * affect ours.
 */
import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { systemClock } from '../clock.ts'

export type WarmUpMessage = { readonly trouble: string } | { readonly warm: true }

const { brokers } = workerData as { brokers: string }
// In both places: kafkajs has other defaults for producers, and others again under NODE_ENV=test.
const retry = { initialRetryTime: 20, maxRetryTime: 200, retries: 5 }
const name = `colloquy-warm-up-${randomBytes(6).toString('hex')}`
const kafka = new Kafka({ clientId: name, brokers: [brokers], logLevel: logLevel.NOTHING, connectionTimeout: 1_000, retry })
const admin = kafka.admin({ retry })

await untilDone(() => admin.connect())
await untilDone(() =>
  admin.createTopics({ waitForLeaders: true, topics: [{ topic: name, numPartitions: 1, replicationFactor: 1 }] }),
)
await untilDone(sendTransaction)
await untilDone(joinGroup)
await untilDone(() => admin.deleteGroups([name]))
await untilDone(() => admin.deleteTopics({ topics: [name] }))
await admin.disconnect()
post({ warm: true })

async function sendTransaction(): Promise<void> {
  const producer = kafka.producer({
    retry,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionalId: name,
    allowAutoTopicCreation: false,
    createPartitioner: Partitioners.DefaultPartitioner,
  })
  try {
    await producer.connect()
    const transaction = await producer.transaction()
    await transaction.send({ topic: name, messages: [{ key: 'warm', value: 'up' }] })
    await transaction.commit()
  } finally {
    await producer.disconnect()
  }
}

/** Joined when the group delivers the record. A coordinator that is still loading crashes the consumer, which counts as one failed try. */
async function joinGroup(): Promise<void> {
  const consumer = kafka.consumer({
    groupId: name,
    retry: { ...retry, restartOnFailure: () => Promise.resolve(false) },
    maxWaitTimeInMs: 100,
    allowAutoTopicCreation: false,
  })
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [name], fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer.on('consumer.crash', event => reject(event.payload.error))
      consumer.run({ eachMessage: () => Promise.resolve(resolve()) }).catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
}

async function untilDone(step: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await step()
      return
    } catch (error) {
      post({ trouble: String(error) })
      await systemClock.sleep(50)
    }
  }
}

/** A worker's port takes no target origin, unlike a window. */
function post(message: WarmUpMessage): void {
  parentPort?.postMessage(message)
}
