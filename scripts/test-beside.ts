/**
 * `node scripts/test-beside.ts PROJECT BESIDE…`: the tests of a project that has a Kafka, and those of others beside it. Tests on Kafka spend most of their time waiting,
 * one file after the other; the others run at a lower priority, so that they take what is left of the processor and nothing from what waits. Their output comes last,
 * in one piece. Exit code 1 when either fails.
 */
import { spawn } from 'node:child_process'
import { constants, setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'

/** Many tests start processes, which compile the same modules. */
const env = { NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'), ...process.env }

interface Ended {
  readonly code: number
  readonly output: string
}

/** @param isShown Whether the output is printed while it comes; else it is returned. */
function run(projects: readonly string[], args: readonly string[], isShown: boolean): Promise<Ended> {
  const options = [...projects.flatMap(project => ['--project', project]), ...args]
  const target = isShown ? 'inherit' : 'pipe'
  const child = spawn('vitest', ['run', ...options], { stdio: ['ignore', target, target], env })
  if (!isShown && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
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
