/**
 * `node scripts/test-beside.ts PROJECT BESIDE…`: the tests of a project that has a Kafka, and those of others beside it. Tests on Kafka wait for much of their time,
 * one file after the other; the others run at a lower priority and take what is left of the processor, so they must not fail by being slow. Their output comes last,
 * in one piece. Exit code 1 when either fails.
 */
import { spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'

interface Ended {
  readonly code: number
  readonly output: string
}

/** @param isShown Whether the output is printed while it comes; else it is returned. */
function run(projects: readonly string[], args: readonly string[], isShown: boolean): Promise<Ended> {
  const options = [...projects.flatMap(project => ['--project', project]), ...args]
  const target = isShown ? 'inherit' : 'pipe'
  const child = spawn('vitest', ['run', ...options], { stdio: ['ignore', target, target] })
  if (!isShown && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve({ code: code ?? 1, output }))
  })
}

const [onKafka = '', ...others] = process.argv.slice(2)
const [first, beside] = await Promise.all([run([onKafka], [], true), run(others, ['--maxWorkers=3'], false)])
process.stdout.write(beside.output, () => process.exit(first.code === 0 && beside.code === 0 ? 0 : 1))
