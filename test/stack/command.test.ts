import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

function stack(args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'stack', ...args], { encoding: 'utf8' })
  return {
    status,
    stdout,
    lines: stderr
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as { code: string; msg: string }),
  }
}

test('a wrong call names every fault, starts nothing and exits with 2', () => {
  const { status, stdout, lines } = stack(['--kafka-port', 'x', '--registry-port', '70000', '--dta', 'd'])
  expect(status).toBe(2)
  expect(stdout).toBe('')
  expect(lines.map(({ msg }) => msg)).toEqual([
    '--kafka-port: takes a whole number from 0 to 65535, not "x"',
    '--registry-port: takes a whole number from 0 to 65535, not "70000"',
    expect.stringMatching(/^--dta: is not an option here/),
    expect.stringMatching(/^d: is not expected here/),
  ])
  expect(new Set(lines.map(({ code }) => code))).toEqual(new Set(['CALL_INVALID']))
})

test('Kafka and the registry cannot have one port', () => {
  const { status, lines } = stack(['--kafka-port', '9092', '--registry-port', '9092'])
  expect(status).toBe(2)
  expect(lines.map(({ msg }) => msg)).toEqual(['--registry-port: is the same as --kafka-port, 9092'])
})
