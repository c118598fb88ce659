/** A reject says which rule of which field failed, also where one word of a row is wrong: with the real schemas and rows of every vendor. */
import { describe, expect, test } from 'vitest'
import { withBench, readPages, scopesOf, stream } from '../../src/conformance/bench.ts'
import { decode } from '../../src/ingest/rows.ts'
import { rowContext } from '../../src/source/records.ts'
import { SUBJECT_FILES, subjectsOf } from '../support/all-subjects.ts'
import { found, marked } from './marks.ts'

const { said } = marked(1)

/** Vendor, stream, where the row is wrong, how the reject says it. */
const WRONG: readonly (readonly [
  title: string,
  stream: string,
  path: string,
  at: readonly (string | number)[],
  words: RegExp,
])[] = [
  ['Botmaker', 'sessions', 'creationTime', ['creationTime'], /^creationTime: is not a time/],
  [
    'Botmaker',
    'sessions',
    'messages.0.creationTime',
    ['messages', 0, 'creationTime'],
    /^messages\.0\.creationTime: is not a time/,
  ],
  ['Botmaker', 'sessions', 'messages', ['messages'], /^messages: invalid_type \(array expected\)/],
  ['Botmaker', 'sessions', 'events.0.creationTime', ['events', 0, 'creationTime'], /^events\.0\.creationTime: is not a time/],
  ['Kore.ai', 'sessions', 'start_time', ['start_time'], /^start_time: is not a time/],
  [
    'Syntphony Conversational AI',
    'conversations',
    'conversationStartedAt',
    ['conversationStartedAt'],
    /^conversationStartedAt: is not a time/,
  ],
  ['wolkvox Manager', 'diagram_9', 'date', ['date'], /^date: is not a time/],
  ['wolkvox Manager', 'chat_8', 'end_date', ['end_date'], /^end_date: is not a time/],
  ['wolkvox Manager', 'chat_2', 'conversation.0.date', ['conversation', 0, 'date'], /^conversation\.0\.date: is not a time/],
  ['Sinch Chatlayer', 'events', 'timestamp', ['timestamp'], /^timestamp: is not a time/],
]

const subjects = new Map((await Promise.all(SUBJECT_FILES.map(subjectsOf))).flat())

describe.each(WRONG)('%s, %s: %s', (title, name, path, at, words) => {
  test('is told by its place and its rule, without its value', async () => {
    const subject = subjects.get(title)
    if (subject === undefined) throw new Error(`there is no subject ${title}`)
    await withBench(subject, null, async bench => {
      const of = stream(bench, name)
      const [scope] = scopesOf(bench, of)
      if (scope === undefined) throw new Error('no scope')
      const pages = await readPages(bench, name, scope, bench.vendor.window, null)
      const ctx = rowContext({
        vendor: bench.connector.manifest.id,
        account: 'conformance',
        connector: 'conformance',
        config: bench.config,
        scope,
        observedAtMs: bench.nowMs,
        lookbackMs: 0,
      })
      const good = pages.flatMap(({ rows }) => rows).find(row => hasAt(row, at))
      const row = structuredClone(good)
      putAt(row, at, said)
      const { rejects } = decode(of, [row], ctx)
      expect(rejects).toMatchObject([{ code: 'ROW_INVALID', path, message: expect.stringMatching(words) as string }])
      expect(found(JSON.stringify({ ...rejects[0], raw: null }))).toEqual([])
    })
  })
})

function hasAt(row: unknown, at: readonly (string | number)[]): boolean {
  let value = row
  for (const part of at) {
    if (typeof value !== 'object' || value === null || !(part in value)) return false
    value = (value as Record<string | number, unknown>)[part]
  }
  return value !== null && value !== ''
}

function putAt(row: unknown, at: readonly (string | number)[], value: unknown): void {
  const inner = at.slice(0, -1).reduce<unknown>((of, part) => (of as Record<string | number, unknown>)[part], row)
  ;(inner as Record<string | number, unknown>)[at.at(-1) as string | number] = value
}
