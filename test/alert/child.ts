/** An alerter in a process of its own, to be killed: `node child.ts '{"brokers":…,"registry":…,"names":…,"partitions":…,"options":…}'`. */
import { createJudge } from '../../src/alert/judge.ts'
import { type AlerterOptions, startAlerter } from '../../src/alert/run.ts'
import { systemClock } from '../../src/clock.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import { createLog } from '../../src/log.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import type { TopicNames } from '../../src/topics.ts'

const { brokers, registry, names, partitions, options } = JSON.parse(process.argv[2] ?? '') as {
  brokers: string
  registry: string
  names: TopicNames
  partitions: number
  options: Pick<AlerterOptions, 'groupId' | 'sessionTimeoutMs'>
}
const log = createLog(process.env['COLLOQUY_TEST_LOG'] === undefined ? 'silent' : 'debug')
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
// Nobody is left who could end this one.
process.stdin.on('close', () => process.exit(1)).resume()

const kafka = connectKafka({ brokers: [brokers], clientId: 'alerter', log })
const alerter = startAlerter({
  kafka,
  registry: connectRegistry({ url: registry, log }),
  names,
  partitions,
  options: { ...options, rules: [DEFAULT_RULE], zoneOf: () => 'UTC' },
  // What became known before we were there is judged too, as a backtest judges it.
  createJudge: options => createJudge({ ...options, lateMs: 6 * 3_600_000 }),
  clock: systemClock,
  log,
  signal: stop.signal,
})
const told = setInterval(() => process.stdout.write(`${JSON.stringify(alerter.ready())}\n`), 100)
await alerter.done
clearInterval(told)
await kafka.close()
process.exit(0)
