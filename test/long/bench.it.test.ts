/** `npm run bench` with little to do: every line is measured, and profiles are taken. How fast it was says nothing here. */
import { execFile } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, inject, onTestFinished, test } from 'vitest'

const file = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))

/** What it prints, and the lines of its table, cell by cell. */
async function bench(...args: string[]) {
  const env = { ...process.env, COLLOQUY_STACK: JSON.stringify(inject('stack')) }
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args], { env, maxBuffer: 10 * 1024 * 1024 })
  const lines = stdout
    .split('\n')
    .filter(line => /^\| (ingest|aggregate|raw)/.test(line))
    .map(line => line.split('|').map(cell => cell.trim()))
    .map(([, what = '', count = '', ...figures]) => ({ what, count, figures }))
  return { stdout, lines }
}

/** Bytes, CPU, and how many a CPU second and a second. */
function expectFigures(lines: readonly { what: string; figures: readonly string[] }[]) {
  for (const { what, figures } of lines)
    for (const figure of figures.slice(0, 4)) expect(Number(figure.replaceAll(',', '')), what).toBeGreaterThan(0)
}

test('pages are read, read again, counted and sent raw; profiles say by file where the time went', async () => {
  const { stdout, lines } = await bench('--only', 'pages', '--rows', '60000', '--rounds', '1', '--profile')

  const files = [...stdout.matchAll(/busy for \d+\.\d s; (\S+\.cpuprofile)$/gm)].map(([, path = '']) => path)
  onTestFinished(() => {
    for (const path of files) rmSync(dirname(path), { recursive: true, force: true })
  })
  expect(files).toHaveLength(4)
  expect(files.filter(path => !existsSync(path))).toEqual([])
  expect(stdout).toMatch(/^ +\d+ +\d+\.\d % {2}src\/ingest\/rows\.ts$/m)
  expect(stdout).toMatch(/^ +\d+ +\d+\.\d % {2}src\/aggregate\/\S+\.ts$/m)

  expect(lines.map(({ what, count }) => `${what} ${count}`)).toEqual([
    'ingest: new rows, page to commit 60,000',
    'ingest: unchanged rows read again 60,000',
    'ingest: unchanged rows at the next poll 60,000',
    'aggregate: sessions to series 60,000',
    'raw: kafkajs as it is 60,000',
    'raw: through our writer 60,000',
  ])
  expectFigures(lines)
}, 600_000)

test('conversations are read, counted and sent raw', async () => {
  const { lines } = await bench('--only', 'messages', '--sessions', '1500', '--rounds', '1')
  expect(lines.map(({ what }) => what)).toEqual([
    'ingest: page to commit',
    'aggregate: topic to series',
    'raw: kafkajs as it is',
    'raw: through our writer',
  ])
  expectFigures(lines)
}, 600_000)
