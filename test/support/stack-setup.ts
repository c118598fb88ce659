/**
 * One real Kafka and one real registry for all integration tests.
 *
 * Local processes first, then containers where an engine answers; with neither the run fails, it never passes without a stack.
 * `COLLOQUY_STACK='{"brokers":"…","registry":"…"}'` uses one that runs already (`npm run stack`), handy while developing.
 * `COLLOQUY_SKIP_STACK=1` is how a person skips these tests, and the only way.
 */
import type { TestProject } from 'vitest/node'
import { asFlowError } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    stack: { brokers: string; registry: string }
  }
}

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { COLLOQUY_SKIP_STACK: skip, COLLOQUY_STACK: given } = process.env
  if (skip === '1') {
    say('none, COLLOQUY_SKIP_STACK=1: every integration test is skipped because a person asked for it')
    project.provide('stack', { brokers: '127.0.0.1:1', registry: 'http://127.0.0.1:1' })
    // No name matches, so tests and their hooks are skipped, and are shown as skipped.
    project.config.testNamePattern = /^\b$/
    return undefined
  }
  if (given !== undefined && given !== '') {
    const { brokers, registry } = JSON.parse(given) as { brokers: string; registry: string }
    say(`the one that runs already, ${brokers} and ${registry}`)
    project.provide('stack', { brokers, registry })
    return undefined
  }
  const stack = await anyStack()
  const { kafkaVersion, registryVersion, java, how } = stack.info
  say(
    `${how}, Kafka ${kafkaVersion}, registry ${registryVersion}${java === null ? '' : `, Java ${java}`}, ${stack.brokers} and ${stack.registry}`,
  )
  project.provide('stack', { brokers: stack.brokers, registry: stack.registry })
  return () => stack.stop()
}

async function anyStack(): Promise<Stack> {
  const reasons: string[] = []
  const noted = (thrown: unknown) => {
    reasons.push(asFlowError(thrown).message)
    return null
  }
  const stack =
    (await startStack({ profile: 'test', log: createLog('info'), env: process.env }).catch(noted)) ??
    (await import('./stack-containers.ts').then(({ startContainers }) => startContainers()).catch(noted))
  if (stack !== null) return stack
  const [local, containers] = reasons
  throw new Error(
    `The integration tests need a real Kafka and registry, and neither could be started.\n  here: ${local}\n  containers: ${containers}\n` +
      'Install Java 17 or newer and Maven, or Docker. To leave these tests out on purpose, set COLLOQUY_SKIP_STACK=1.',
  )
}

/** The first line of a run says what it ran on. */
function say(which: string): void {
  process.stderr.write(`stack: ${which}\n`)
}
