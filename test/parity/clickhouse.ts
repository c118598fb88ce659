/** ClickHouse from PyPI (chDB), as a database inside one process. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Log } from '../../src/log.ts'
import { type Artifact, cacheFolder, fetchMissing } from '../../src/stack/artifacts.ts'
import { throwAwayFolder } from '../../src/stack/child.ts'

/** Of ClickHouse 26.9. */
const CHDB = 'chdb-core==26.9.0'

export interface ClickHouse {
  /** @throws Error with the database's own words */
  query(sql: string): Promise<Record<string, unknown>[]>
  stop(): Promise<void>
}

/** Downloads what is missing (533 MB unpacked, once) and starts an empty database. */
export async function startClickHouse(log: Log): Promise<ClickHouse> {
  const cache = cacheFolder(process.env)
  const chdb: Artifact = {
    name: 'ClickHouse (chDB)',
    path: join(cache, CHDB.replace('==', '-')),
    async fetch(into) {
      await promisify(execFile)('python3', ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', into, CHDB])
    },
  }
  await fetchMissing([chdb], { cache, env: process.env, log, signal: new AbortController().signal })
  const folder = throwAwayFolder(join(cache, `.clickhouse-${process.pid}`))
  const program = fileURLToPath(new URL('run_sql.py', import.meta.url))
  const child = spawn('python3', [program, join(folder.path, 'db')], {
    env: { ...process.env, PYTHONPATH: chdb.path },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const exited = once(child, 'exit')
  return {
    async query(sql) {
      child.stdin.write(`${JSON.stringify({ sql })}\n`)
      const { value: line, done } = await answers.next()
      if (done === true) throw new Error('ClickHouse has ended')
      const { out, error } = JSON.parse(line) as { out?: string; error?: string }
      if (out === undefined) throw new Error(error)
      return out
        .split('\n')
        .filter(row => row !== '')
        .map(row => JSON.parse(row) as Record<string, unknown>)
    },
    async stop() {
      child.kill('SIGKILL')
      await exited
      await folder.remove()
    },
  }
}
