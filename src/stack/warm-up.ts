/**
 * Run as a worker thread: waits until Kafka answers, then sends a throw-away transaction and a throw-away group through it, so that the
 * internal topics, which Kafka makes on first use, do not slow the first real one. Leaves no topic and no group behind.
 *
 * A thread of its own, because kafkajs warns on stderr, spins a timer per connection, and is patched by `src/kafka` before its first
 * import: none of that may meet ours.
 */
import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { Kafka, logLevel, Partitioners } from 'kafkajs'

const { brokers } = workerData as { brokers: string }
// In both places: kafkajs has other defaults for producers, and others again under NODE_ENV=test.
const retry = { initialRetryTime: 20, maxRetryTime: 300, retries: 200 }
const name = `colloquy-warm-up-${randomBytes(6).toString('hex')}`
const kafka = new Kafka({ clientId: name, brokers: [brokers], logLevel: logLevel.NOTHING, connectionTimeout: 1_000, retry })

const admin = kafka.admin({ retry })
await admin.connect()
await admin.createTopics({ waitForLeaders: true, topics: [{ topic: name, numPartitions: 1, replicationFactor: 1 }] })

const producer = kafka.producer({
  retry,
  idempotent: true,
  maxInFlightRequests: 1,
  transactionalId: name,
  allowAutoTopicCreation: false,
  createPartitioner: Partitioners.DefaultPartitioner,
})
await producer.connect()
const transaction = await producer.transaction()
await transaction.send({ topic: name, messages: [{ key: 'warm', value: 'up' }] })
await transaction.commit()
await producer.disconnect()

const consumer = kafka.consumer({ groupId: name, retry, maxWaitTimeInMs: 100, allowAutoTopicCreation: false })
await consumer.connect()
await consumer.subscribe({ topics: [name], fromBeginning: true })
await new Promise<void>((resolve, reject) => {
  consumer.on('consumer.crash', event => reject(event.payload.error))
  consumer.run({ eachMessage: async () => resolve() }).catch(reject)
})
await consumer.disconnect()

await admin.deleteGroups([name])
await admin.deleteTopics({ topics: [name] })
await admin.disconnect()
parentPort?.postMessage('warm')
