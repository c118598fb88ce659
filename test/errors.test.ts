import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { failed } from '../src/cli/io.ts'
import { asFlowError, type ErrorCode, ERRORS, FlowError, RETRIES } from '../src/errors.ts'
import { createLog } from '../src/log.ts'

const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')

test('the page has a row for each code with what happens and what to do, and no other', () => {
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| (.+?) \| \[(\w+)\]\(#what-happens\) \| (.+) \|$/gm)]
  expect(Object.fromEntries(rows.map(([, code, text, retry, cure]) => [code, { text, retry, cure }]))).toEqual(
    Object.fromEntries(Object.entries(ERRORS).map(([code, { text, retry, cure }]) => [code, { text, retry, cure }])),
  )
})

test('every way to go on is explained, and used by a code', () => {
  const used = new Set<string>(Object.values(ERRORS).map(({ retry }) => retry))
  expect([...used].toSorted()).toEqual(Object.keys(RETRIES).toSorted())
  for (const [retry, meaning] of Object.entries(RETRIES)) expect(page).toContain(`| \`${retry}\` | ${meaning} |`)
})

test('every cure is a sentence', () => {
  for (const [code, { cure }] of Object.entries(ERRORS)) expect(cure, code).toMatch(/^[`A-Z].{10,}\.$/s)
})

test('a command ends with the exit code of the table, and its line has code and cure, but no stack unless it is a fault of ours', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const lines: string[] = []
    const log = createLog('info', line => lines.push(line))
    const exit = { CFG_INVALID: 2, CALL_INVALID: 2, PLUGIN_UNKNOWN: 2, PLUGIN_INVALID: 2, STOPPED: 0 }[code as string] ?? 1
    expect(failed(log, new FlowError(code, { hint: 'x' })), code).toBe(exit)
    expect(lines.length).toBe(code === 'STOPPED' ? 0 : 1)
    if (code !== 'STOPPED') expect(JSON.parse(lines[0] ?? '')).toMatchObject({ code, cure: ERRORS[code].cure })
    expect(lines.join('')).not.toContain('    at ')
  }
  expect(asFlowError(new TypeError('oh'))).toMatchObject({ code: 'BUG', retry: 'restart' })
})
