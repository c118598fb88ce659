/**
 * `npm run test:long`: what takes too long for `npm test`. Tests that need Kafka spend much of their time waiting for it, so those that need none run beside them, in
 * one worker and at a lower priority. Their output comes last.
 */
import { spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'

interface Ended {
  readonly code: number
  readonly output: string
}

/** @param isShown Whether the output is printed while it comes; else it is returned. */
function run(project: string, args: readonly string[], isShown: boolean): Promise<Ended> {
  const child = spawn('vitest', ['run', '--project', project, ...args], { stdio: ['ignore', isShown ? 'inherit' : 'pipe', isShown ? 'inherit' : 'pipe'] })
  if (!isShown && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (output += data.toString()))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve({ code: code ?? 1, output }))
  })
}

const [long, slow] = await Promise.all([run('long', [], true), run('slow', ['--maxWorkers=1'], false)])
process.stdout.write(slow.output)
process.exit(long.code === 0 && slow.code === 0 ? 0 : 1)
