import type { Log } from '../src/log.ts'
import { startStack } from '../src/stack/stack.ts'

/** @param given A stack that runs already: the line that `npm run stack` prints. Absent: one is started, and stopped by `stop`. */
export async function stackOf(given: string | undefined, log: Log) {
  if (given === undefined || given === '') {
    const own = await startStack({ profile: 'demo', log, env: process.env })
    return { brokers: own.brokers, registry: own.registry, kafkaVersion: own.info.kafkaVersion, stop: () => own.stop() }
  }
  const { brokers, registry } = JSON.parse(given) as { brokers: string; registry: string }
  return { brokers, registry, kafkaVersion: 'as it was there', stop: async () => {} }
}
