import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { anchorsIn, faultsOf, misspellingsOf, wordsOf } from '../scripts/docs-lint.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

test('all documents: links and anchors lead somewhere, and no banned phrase is used', () => {
  expect(faultsOf(ROOT).map(({ file, line, what }) => `${file}:${line} ${what}`)).toEqual([])
})

test('all documents: every word is in a dictionary or in docs/words.txt', async () => {
  expect((await misspellingsOf(ROOT)).map(({ file, line, what }) => `${file}:${line} ${what}`)).toEqual([])
}, 120_000)

test('docs/words.txt is sorted, and has only words that documents use and no dictionary knows', async () => {
  const words = wordsOf(ROOT)
  expect(words).toEqual([...new Set(words)].toSorted((a, b) => a.toLowerCase().localeCompare(b.toLowerCase())))
  const unknown = new Set((await misspellingsOf(ROOT, [])).map(({ what }) => /^"([^"]+?)(?:'s)?"/.exec(what)?.[1]?.toLowerCase()))
  expect(words.filter(word => !unknown.has(word.toLowerCase()))).toEqual([])
}, 120_000)

describe('the checker of documents', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'docs-lint-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  function write(files: Record<string, string>): string[] {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    return faultsOf(folder).map(({ file, line, what }) => `${file}:${line} ${what}`)
  }

  test('finds a link to a missing file, from the folder of its page', () => {
    expect(write({ 'docs/a.md': '# A\n\n[b](b.md) [c](../c.md)\n', 'c.md': '# C\n' })).toEqual([
      'docs/a.md:3 b.md leads to no file',
    ])
  })

  test('finds an anchor without a heading, in its own page and in another', () => {
    expect(write({ 'a.md': '# A\n[x](#a) [y](#b) [z](b.md#b) [w](b.md#c)\n', 'b.md': '## B\n' })).toEqual([
      'a.md:2 #b leads to no heading of a.md',
      'a.md:2 b.md#c leads to no heading of b.md',
    ])
  })

  test('finds a banned phrase, but not in code, in addresses, in the changelog or in pages made from code', () => {
    const text = 'The log tells it.\n\n`tells` [log](https://example.com/tells)\n\n```sh\ntells\n```\n'
    expect(write({ 'docs/a.md': text, 'CHANGELOG.md': text, 'docs/errors.md': text })).toEqual([
      expect.stringContaining('docs/a.md:1 "tells": write '),
    ])
  })

  test('finds a word that no dictionary has, where it is, but not in code, in addresses, or among the words of the project', async () => {
    const text =
      '# A\n\n```sh\nwrogn\n```\nSo `wrogn` [colour](wrogn.md) behavior https://example.com/wrogn Acmeo.\n\nA wrogn word.\n'
    write({ 'docs/a.md': text, 'connectors/acme/README.md': 'wrogn', 'bench/notes.md': 'wrogn', 'docs/words.txt': 'Acmeo\n' })
    const found = (await misspellingsOf(folder)).map(({ file, line, what }) => `${file}:${line} ${what.split(' ')[0]}`)
    expect(found).toEqual(['connectors/acme/README.md:1 "wrogn"', 'docs/a.md:8 "wrogn"'])
  })

  test('leaves addresses of other sites alone', () => {
    expect(write({ 'a.md': '[x](https://example.com/none#none) [y](mailto:a@example.com)\n' })).toEqual([])
  })

  test('makes the anchors that GitHub makes', () => {
    const headings = [
      '# `users_sketch`: 2^14 registers',
      '## From [A](a.md) to B',
      '## Same',
      '## Same',
      '```sh',
      '# no heading',
      '```',
      '## What else?',
    ]
    expect([...anchorsIn(headings.join('\n'))]).toEqual([
      'users_sketch-214-registers',
      'from-a-to-b',
      'same',
      'same-1',
      'what-else',
    ])
  })
})

test('the page for the person on call has every alert of the Prometheus rules, with its severity', () => {
  const page = read('docs/alerts.md')
  const { groups } = parse(read('deploy/prometheus/rules/colloquy.yml')) as {
    groups: { rules: { alert?: string; labels?: { severity: string } }[] }[]
  }
  const alerts = groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined)
  expect(alerts.length).toBeGreaterThan(10)
  for (const { alert, labels } of alerts) expect(page).toContain(`| \`${alert}\` | ${labels?.severity} |`)
  const named = [...page.matchAll(/^\| `(Colloquy\w+)` \|/gm)].map(([, name]) => name)
  expect(new Set(named)).toEqual(new Set(alerts.map(({ alert }) => alert)))
})

test.each([
  ['What happens to a row with a bad field?', 'docs/operating.md#rejects'],
  ['Where does a config key go?', 'docs/operating.md#the-config-file'],
  ['How do I add a vendor?', 'docs/writing-a-connector.md'],
  ['What pages at night?', 'docs/alerts.md#what-pages'],
])('the README says where to find: %s', (question, place) => {
  expect(read('README.md')).toMatch(new RegExp(`\\| ${question.replace('?', '\\?')} \\| \\[[^\\]]+\\]\\(${place}\\)`))
})
