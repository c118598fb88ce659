/**
 * An aggregator in a process of its own, to be killed: `node child.ts '{"brokers":…,"registry":…,"names":…,"options":…}'`. Tells on stdout, a JSON
 * line each, how many records every transaction counted in.
 */
import { startAggregator } from '../../src/aggregate/run.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import type { TopicNames } from '../../src/topics.ts'
import { testLog as log } from './harness.ts'

const { brokers, registry, names, options } = JSON.parse(process.argv[2] ?? '') as {
  brokers: string
  registry: string
  names: TopicNames
  options: Parameters<typeof startAggregator>[0]['options']
}
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
// Nobody is left who could end this one.
process.stdin.on('close', () => process.exit(1)).resume()

const kafka = connectKafka({ brokers: [brokers], clientId: 'aggregator', log })
await startAggregator({
  kafka,
  registry: connectRegistry({ url: registry, log }),
  names,
  options,
  log,
  signal: stop.signal,
  metrics: {
    records: (topic, n) => void process.stdout.write(`${JSON.stringify({ topic, n })}\n`),
    lag() {},
    restoreSeconds() {},
    firstSeen() {},
  },
}).done
await kafka.close()
process.exit(0)
