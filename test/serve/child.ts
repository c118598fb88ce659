/**
 * A server in a process of its own, to be killed: `node child.ts '{"brokers":…,"registry":…,"names":…,"partitions":…,"stateDir":…,"snapshotEveryPoints":…}'`. Writes its log to
 * stderr and, on stdout, the address that it listens on.
 */
import { systemClock } from '../../src/clock.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import { createLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { startHttp } from '../../src/serve/http.ts'
import { startServer } from '../../src/serve/run.ts'
import type { TopicNames } from '../../src/topics.ts'

interface Given {
  readonly brokers: string
  readonly registry: string
  readonly names: TopicNames
  readonly partitions: number
  readonly stateDir: string
  readonly snapshotEveryPoints: number
}

const { brokers, registry, ...given } = JSON.parse(process.argv[2] ?? '') as Given
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
// Nobody is left who could end this one.
process.stdin.on('close', () => process.exit(1)).resume()

const common = { log: createLog('info'), metrics: createMetrics({ processMetrics: false }), clock: systemClock }
const kafka = connectKafka({ brokers: brokers.split(','), clientId: 'server', log: common.log })
const server = startServer({
  ...common,
  ...given,
  kafka,
  registry: connectRegistry({ url: registry, log: common.log }),
  signal: stop.signal,
})
const http = await startHttp({
  ...common,
  host: '127.0.0.1',
  port: 0,
  version: '0.0.0',
  health: () => [server.health()],
  serve: server.serve,
})
process.stdout.write(`${http.url}\n`)
await server.done
await http.close()
await kafka.close()
process.exit(0)
