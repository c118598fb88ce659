/**
 * Checks for changes of shape in the vendor's rows: the proxy edits rows in the vendor's answers, each in one place, and the result is compared with that of
 * the same rows unedited. An edited row is published or rejected with its path; every other row is unaffected; nothing is lost silently.
 */
import assert from 'node:assert/strict'
import type { Stream } from '../source/contract.ts'
import { type Bench, isRead, stream } from './bench.ts'
import { type Line, liveStill, stillLine } from './pipeline.ts'
import { assertSound, newest, said, type Topics } from './topics.ts'

type JsonObject = Record<string, unknown>

export interface Drift {
  readonly name: string
  /** The edits to try on rows like this. */
  edits(row: JsonObject): readonly Edit[]
  /** The added value, if it must be found in the records. */
  readonly kept?: string
}

interface Edit {
  /** Names with dots, for people. */
  readonly path: string
  /** Changes the row in place. */
  apply(row: JsonObject): void
}

const WORD = 'conformance_word'
const FIELD = 'conformanceField'

export const DRIFTS: readonly Drift[] = [
  { name: 'a field added', kept: WORD, edits: () => [{ path: FIELD, apply: row => void (row[FIELD] = WORD) }] },
  {
    name: 'a field missing',
    edits: row => Object.keys(row).map(name => ({ path: name, apply: target => void Reflect.deleteProperty(target, name) })),
  },
  {
    name: 'a field of another type',
    edits: row =>
      Object.keys(row).flatMap(name => [
        { path: `${name} (an object)`, apply: target => void (target[name] = { [WORD]: 1 }) },
        { path: `${name} (${otherType(row[name])})`, apply: target => void (target[name] = otherType(target[name])) },
      ]),
  },
  {
    name: 'a word that is not known',
    edits: row => stringPaths(row).map(path => ({ path: path.join('.'), apply: target => putAt(target, path, WORD) })),
  },
]

function otherType(value: unknown): string | number {
  return typeof value === 'number' ? `n${value}` : 7
}

const DEEPEST = 4

/** Where the row has text: in a list, in its first element. */
function stringPaths(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value === 'string') return [path]
  if (typeof value !== 'object' || value === null || path.length >= DEEPEST) return []
  const entries = Array.isArray(value) ? Object.entries(value).slice(0, 1) : Object.entries(value)
  return entries.flatMap(([name, inner]) => stringPaths(inner, [...path, name]))
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, name) => (typeof inner === 'object' && inner !== null ? (inner as JsonObject)[name] : undefined),
    value,
  )
}

function putAt(row: JsonObject, path: readonly string[], word: unknown): void {
  const holder = valueAt(row, path.slice(0, -1))
  if (typeof holder === 'object' && holder !== null) (holder as JsonObject)[path.at(-1) ?? ''] = word
}

/** A row as found in an answer. */
interface Met {
  /** The operation that returned it: rows of the enrichment are not requested when the row of the listing is unknown. */
  readonly operation: string
  readonly json: string
  /** Whether the stream's schema accepts it: if not, the connector builds its rows from it, and one may become many. */
  readonly isRow: boolean
  /** Whether records were published from a row with its id: an auxiliary list, of names for example, may fit the schema too. */
  readonly isPublished: boolean
}

interface Assigned {
  readonly edit: Edit
  /** The row as JSON, before it is edited. */
  readonly row: string
  readonly isRow: boolean
}

interface Reading {
  readonly topics: Topics
  /** The rows found in the answers, in order. */
  readonly rows: readonly Met[]
  /** Contents of the records of each row, by the row's id. */
  readonly byRow: ReadonlyMap<string, string>
}

export async function survivesDrift(bench: Bench, name: string, drift: Drift): Promise<void> {
  if (!isRead(bench, name)) return
  const before = await reading(bench, name, [])
  assert(before.rows.length > 0, 'no answer has a list of rows')
  for (const edits of batches(before.rows, drift)) {
    const judge = (some: readonly Assigned[]) => faultOf(bench, name, drift, before, some)
    const fault = await judge(edits)
    if (fault === null) continue
    const culprit = await narrowed(edits, fault, judge)
    if (culprit === null) continue
    const [culprits, why] = culprit
    assert.fail(`${drift.name}: ${culprits.map(({ edit }) => edit.path).join(', ')}: ${why}`)
  }
}

/**
 * Fewer edits that fail as well, and why: one, unless they fail only together. null: rows are missing only together with those of other edits. One dead letter
 * may cover all the rows of an element that is not a row itself, so that only each edit alone can decide.
 */
async function narrowed(
  edits: readonly Assigned[],
  fault: string,
  faultOf: (edits: readonly Assigned[]) => Promise<string | null>,
): Promise<[readonly Assigned[], string] | null> {
  if (edits.length < 2) return [edits, fault]
  const isUnclear = fault.startsWith(LOST) && edits.some(({ isRow }) => !isRow)
  const middle = Math.ceil(edits.length / 2)
  for (const half of [edits.slice(0, middle), edits.slice(middle)]) {
    const why = await faultOf(half)
    const culprit = why === null ? null : await narrowed(half, why, faultOf)
    if (culprit !== null) return culprit
  }
  return isUnclear ? null : [edits, fault]
}

/** Every edit once on the rows of each operation, each on a row of its own, as many in parallel as there are rows. */
function batches(rows: readonly Met[], drift: Drift): Assigned[][] {
  const all: Assigned[][] = []
  for (const operation of new Set(rows.map(row => row.operation))) {
    const open = new Map<string, Edit>()
    const holders = new Map<string, string[]>()
    const mine = rows.filter(row => row.operation === operation)
    const isRow = mine.every(row => row.isRow) && mine.some(row => row.isPublished)
    for (const { json } of mine) {
      for (const edit of drift.edits(JSON.parse(json) as JsonObject)) {
        if (!open.has(edit.path)) open.set(edit.path, edit)
        const held = holders.get(edit.path) ?? []
        if (held.length < MOST_HOLDERS) holders.set(edit.path, [...held, json])
      }
    }
    while (open.size > 0) {
      const used = new Set<string>()
      const batch: Assigned[] = []
      for (const [path, edit] of open) {
        const row = holders.get(path)?.find(each => !used.has(each))
        if (row === undefined) continue
        used.add(row)
        batch.push({ edit, row, isRow })
        open.delete(path)
      }
      all.push(batch)
    }
  }
  return all
}

const MOST_HOLDERS = 60

async function faultOf(
  bench: Bench,
  name: string,
  drift: Drift,
  before: Reading,
  edits: readonly Assigned[],
): Promise<string | null> {
  try {
    const after = await reading(bench, name, edits)
    const areRows = edits.every(({ isRow }) => isRow)
    compare(before, after, { count: edits.length, areRows }, stream(bench, name), bench)
    if (drift.kept !== undefined && areRows) keeps(after, drift.kept)
    return null
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown)
  }
}

const LOST = 'a row is neither published nor rejected'

/** @param edited If they are not rows, each may have become any number. */
function compare(
  before: Reading,
  after: Reading,
  edited: { readonly count: number; readonly areRows: boolean },
  definition: Stream,
  { config }: Bench,
): void {
  assertSound(after.topics)
  const gone = [...before.byRow].filter(([id]) => !after.byRow.has(id))
  const come = [...after.byRow].filter(([id]) => !before.byRow.has(id))
  const changed = [...before.byRow].filter(([id, content]) => after.byRow.has(id) && after.byRow.get(id) !== content)
  const { rejects } = after.topics
  // A derived session consists of many rows, and content of its first turn is in the keys of all of them.
  const most = edited.areRows ? edited.count : Infinity
  const ripples = (definition.derive?.(config) ?? null) === null ? 0 : Infinity
  assert(
    gone.length + changed.length <= most + ripples,
    `${edited.count} rows are other than they were, and ${gone.length + changed.length} come out otherwise: ${[...gone, ...changed].map(([id]) => id).join(', ')}`,
  )
  const accounted = come.length + rejects.length
  const isAccounted = edited.areRows || edited.count > 1 ? gone.length <= accounted : gone.length === 0 || accounted > 0
  assert(isAccounted, `${LOST}: ${gone.map(([id]) => id).join(', ')}`)
  for (const { path, message } of rejects) assert(path !== '', `a row is rejected without its place: ${message}`)
}

function keeps({ topics }: Reading, word: string): void {
  const records = [...topics.sessions, ...topics.messages, ...topics.events]
  const kept = records.some(({ value }) => Object.values(value?.attributes ?? {}).some(text => text.includes(word)))
  assert(kept, 'it is in no attributes of any record: lost silently')
}

/** Reads the world that is over completely, with some rows edited. */
async function reading(bench: Bench, name: string, edits: readonly Assigned[]): Promise<Reading> {
  const { proxy } = bench
  const rows = new Map<string, Met>()
  const left = new Map(edits.map(({ row, edit }) => [row, edit]))
  const applied = new Set<string>()
  proxy.edit = (body, path) => {
    const operation = path.replaceAll(/[^/]*\d[^/]*/g, '*')
    let touched = false
    const found = rowsIn(body, stream(bench, name))
    const { list } = found
    const areRows = found.areRows && bench.vendor.partsAt?.test(path) !== true
    for (const row of list) {
      const text = JSON.stringify(row)
      rows.set(text, { operation, json: text, isRow: areRows, isPublished: false })
      const edit = left.get(text)
      if (edit === undefined) continue
      edit.apply(row)
      applied.add(text)
      touched = true
    }
    return touched
  }
  const line = stillLine(bench, { base: { streams: [name] } })
  try {
    await liveStill(line, bench)
  } finally {
    proxy.edit = null
  }
  assert.equal(applied.size, left.size, 'a row that was returned before is missing now')
  const topics = await line.topics()
  const byRow = contentsByRow(line, topics, bench, name)
  const keys = [...byRow.keys()]
  const isPublished = (met: Met) => {
    const id = idOf(met, stream(bench, name))
    return id !== null && keys.some(key => key.endsWith(` ${id}`))
  }
  const told = [...rows.values()].map(met => ({ ...met, isPublished: isPublished(met) }))
  return { topics, rows: told, byRow }
}

function idOf({ json }: Met, definition: Stream): string | null {
  const parsed = definition.row.safeParse(JSON.parse(json))
  return parsed.success ? definition.identify(parsed.data as never) : null
}

function contentsByRow(line: Line, topics: Topics, bench: Bench, name: string): Map<string, string> {
  const derived = (stream(bench, name).derive?.(bench.config) ?? null) !== null
  const contents = new Map<string, string>()
  const put = (key: string, record: object) => {
    const { session_key: _, session_id: __, message_key: ___, ...loose } = record as JsonObject
    contents.set(key, said(derived ? loose : record))
  }
  for (const record of newest(topics.sessions, each => each.session_key)) put(record.session_key, record)
  for (const record of newest(topics.messages, each => each.message_key)) put(record.message_key, record)
  for (const record of newest(topics.events, each => each.event_key)) put(record.event_key, record)
  const byRow = new Map<string, string>()
  for (const [row, keys] of line.watch.keysByRow) byRow.set(row, keys.map(key => contents.get(key) ?? 'not published').join('\n'))
  return byRow
}

/**
 * The list of rows in an answer: of the least nested lists of objects, the largest whose elements mostly fit the stream's schema; if none fits (a connector
 * that builds its rows from several answers), the largest.
 */
export function rowsIn(body: unknown, { row }: Stream): { list: JsonObject[]; areRows: boolean } {
  for (let level: unknown[] = [body], deep = 0; level.length > 0 && deep < 8; deep++) {
    const lists = level.filter(isListOfObjects)
    const taken = lists.filter(list => list.filter(each => row.safeParse(each).success).length * 2 >= list.length)
    const best = (taken.length > 0 ? taken : lists).toSorted((a, b) => b.length - a.length)[0]
    if (best !== undefined) return { list: best, areRows: taken.length > 0 }
    level = level.flatMap(value => (typeof value === 'object' && value !== null ? Object.values(value) : []))
  }
  return { list: [], areRows: false }
}

function isListOfObjects(value: unknown): value is JsonObject[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every(each => typeof each === 'object' && each !== null && !Array.isArray(each))
  )
}
