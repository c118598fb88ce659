/**
 * Malformed answers of a vendor, through the whole ingest: real connector and client, a simulator behind the suite's proxy, topics in memory, a clock that jumps.
 * What a fault becomes, what stands on the topics while it lasts, and what stands there when the vendor has mended itself.
 */
import { expect } from 'vitest'
import type { Bench } from '../../src/conformance/bench.ts'
import { rowsIn } from '../../src/conformance/checks-drift.ts'
import { type Line, liveStill, NAMES, stillLine } from '../../src/conformance/pipeline.ts'
import type { Answer, Spoil } from '../../src/conformance/proxy.ts'
import type { BaseConfig } from '../../src/source/config.ts'
import { assertSound, newest, type Read, said, type Topics } from '../../src/conformance/topics.ts'
import { ERRORS, type ErrorCode } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'

/** In pages that are no answers; must be in no log line, no error and no state. */
export const MARK = 'Mendizabal Oyarzun'
/** No wait is longer without a probe. */
const LONGEST_WAIT_MS = 3_600_000
/** The vendor mends itself when each source partition has failed so often. */
const FAILURES = 2
const FAILED = 'source partition failed, starts again'

export interface AnswerFault {
  readonly name: string
  /** The code that log and state show, or one of several; `good`: the answer is read all the same. */
  readonly becomes: 'good' | readonly ErrorCode[]
  spoil(nth: number): Spoil
  /** Only these requests are spoiled, from the first one on. */
  readonly at?: RegExp
  /** How long a request may take, real milliseconds. */
  readonly timeoutMs?: number
}

interface LogLine {
  readonly level: string
  readonly msg: string
  readonly code?: ErrorCode
  readonly error?: string
  readonly againInMs?: number
  readonly waitMs?: number
  readonly [field: string]: unknown
}

export interface Reference {
  readonly records: ReadonlyMap<string, string>
  readonly texts: readonly string[]
  readonly told: ReadonlyMap<string, readonly string[]>
}

/** What stands on the topics, by key. */
function recordsOf({ sessions, messages, events }: Topics): Map<string, string> {
  const found = new Map<string, string>()
  for (const each of newest(sessions, ({ session_key }) => session_key)) found.set(`session ${each.session_key}`, said(each))
  for (const each of newest(messages, ({ message_key }) => message_key)) found.set(`message ${each.message_key}`, said(each))
  for (const each of newest(events, ({ event_key }) => event_key)) found.set(`event ${each.event_key}`, said(each))
  return found
}

/** The stream read whole from a vendor in health. */
export async function referenceOf(bench: Bench, stream: string, base = {}): Promise<Reference> {
  const line = stillLine(bench, { base: { streams: [stream], ...base } })
  await liveStill(line, bench)
  const topics = await line.topics()
  assertSound(topics)
  expect(topics.rejects).toEqual([])
  const records = recordsOf(topics)
  expect(records.size).toBeGreaterThan(0)
  const texts = topics.messages.flatMap(({ value }) => ((value?.text ?? '').length >= 12 ? [value?.text ?? ''] : []))
  return { records, texts, told: line.watch.keysByRow }
}

/** Requests that pass before the fault begins: 0 to 2, by the name of the fault. */
function passedBefore(name: string): number {
  let sum = 0
  for (const letter of name) sum += letter.charCodeAt(0)
  return sum % 3
}

export interface Options {
  /** Requests that are never spoiled. */
  readonly spare?: RegExp
  /** Requests that pass before the fault begins. Default: 0 to 2. */
  readonly after?: number
}

/** Reads the stream from a vendor that answers with the fault until it has been noticed, and holds everything that must hold. */
export async function survivesAnswer(
  bench: Bench,
  stream: string,
  fault: AnswerFault,
  before: Reference,
  options: Options = {},
): Promise<void> {
  const { proxy } = bench
  const lines: string[] = []
  const failures: LogLine[] = []
  const seen = new Map<string, number>()
  const log = createLog('debug', line => {
    lines.push(line)
    const told = JSON.parse(line) as LogLine
    if (told.msg !== FAILED) return
    failures.push(told)
    seen.set(String(told['scope']), (seen.get(String(told['scope'])) ?? 0) + 1)
  })
  const line = stillLine(bench, {
    base: { streams: [stream] },
    ...(fault.timeoutMs === undefined ? {} : { timeoutMs: fault.timeoutMs }),
  })
  const passed = fault.at === undefined ? (options.after ?? passedBefore(fault.name)) : 0
  const isSpared = (target: string) => (fault.at === undefined ? options.spare?.test(target) === true : !fault.at.test(target))
  let asked = 0
  let spoiled = 0
  let mended = false
  let atMend: { ends: Map<string, number>; completeMs: number | null; errors: readonly string[] } | null = null
  proxy.spoil = (_nth, target) => {
    if (mended || isSpared(target) || asked++ < passed) return null
    const spoil = fault.spoil(spoiled + 1)
    if (spoil.kind !== 'change') {
      spoiled++
      return spoil
    }
    // What is no good answer in truth (404 for "no rows", say) stays what it is.
    const change = (answer: Answer) => {
      if (answer.status !== 200) return {}
      spoiled++
      return spoil.change(answer)
    }
    return { kind: 'change', change }
  }
  const mend = () => {
    mended = true
    const until = line.states.map(({ completeUntilMs }) => completeUntilMs)
    atMend = {
      ends: endsOf(line),
      completeMs: until.includes(null) ? null : Math.min(...(until as number[])),
      errors: line.states.flatMap(({ error }) => (error === null ? [] : [`${error.code}: ${error.message}`])),
    }
  }
  const { untilMs } = bench.vendor.window
  try {
    await liveStill(line, bench, {
      log,
      until: () => {
        const failed = line.states.filter(({ error }) => error !== null)
        if (!mended && failed.length > 0 && Math.max(0, ...seen.values()) >= FAILURES) mend()
        return line.isRead(untilMs)
      },
    })
  } finally {
    proxy.spoil = () => null
  }
  expect(spoiled, 'nothing was spoiled').toBeGreaterThan(0)

  const topics = await line.topics()
  if (fault.becomes === 'good') expect(failures, 'a good answer is taken for a fault').toEqual([])
  else {
    expect(failures.length, 'the fault was not noticed').toBeGreaterThanOrEqual(FAILURES)
    for (const failure of failures) expectClear(failure, fault.becomes, stream)
    const { errors } = atMend as unknown as { errors: readonly string[] }
    expect(errors.length, 'no state shows the error').toBeGreaterThan(0)
    passesNothing(topics, atMend as never)
  }
  expectClean(lines, before, bench)
  for (const each of lines) expectPatient(JSON.parse(each) as LogLine)
  holdsTheSame(topics, before)
}

/** The error says what, where, and what to do. */
function expectClear(failure: LogLine, codes: readonly ErrorCode[], stream: string): void {
  expect(codes, `${failure.error}`).toContain(failure.code)
  expect(failure).toMatchObject({ connector: 'conformance', stream, scope: expect.any(String), level: 'error' })
  expect(failure['cure']).toBe(ERRORS[failure.code as ErrorCode].cure)
  expect(failure.error).toContain(ERRORS[failure.code as ErrorCode].text)
  // Where: the call, or, where the answers do not fit together, what does not.
  expect(failure['path'] ?? failure['hint'], `${failure.error}`).toEqual(expect.any(String))
  expect(failure['stack']).toBeUndefined()
}

function expectPatient({ againInMs = 0, waitMs = 0 }: LogLine): void {
  expect(againInMs).toBeLessThanOrEqual(LONGEST_WAIT_MS)
  expect(waitMs).toBeLessThanOrEqual(LONGEST_WAIT_MS)
}

/** No secret, no text of a person, no stack and nothing without end in any line. */
function expectClean(lines: readonly string[], { texts }: Reference, { secrets }: Bench): void {
  const all = lines.join('')
  for (const secret of secrets) expect(all.includes(secret), 'a secret is in the log').toBe(false)
  expect(all).not.toContain(MARK)
  for (const text of texts) expect(all.includes(text), 'a message is in the log').toBe(false)
  expect(all).not.toMatch(/\\n +at /)
  for (const line of lines) expect(line.length).toBeLessThan(4_000)
}

const TOPICS = [NAMES.sessions, NAMES.messages, NAMES.events]

function endsOf({ kafka }: Line): Map<string, number> {
  const ends = new Map<string, number>()
  for (const topic of TOPICS)
    for (const { partition, offset } of kafka.committed(topic)) ends.set(`${topic}/${partition}`, offset + 1)
  return ends
}

/** What came after the vendor had mended itself is not of a time that was said to be complete before. */
function passesNothing(topics: Topics, { ends, completeMs }: { ends: Map<string, number>; completeMs: number | null }): void {
  if (completeMs === null) return
  const later = <T>(topic: string, records: readonly Read<T>[], timeOf: (record: T) => number) => {
    for (const { partition, offset, key, value } of records)
      if (value !== null && offset >= (ends.get(`${topic}/${partition}`) ?? 0))
        expect(timeOf(value), `${key} was unread, and its time was said to be complete`).toBeGreaterThanOrEqual(completeMs)
  }
  later(NAMES.sessions, topics.sessions, each => Math.max(each.started_at, each.ended_at ?? 0))
  later(NAMES.messages, topics.messages, each => each.sent_at)
  // A point of a statistic stands at the beginning of its bucket, and is read when that has ended.
  later(NAMES.events, topics.events, each => (each.type === 'metric_point' ? Infinity : each.occurred_at))
}

function holdsTheSame(topics: Topics, before: Reference): void {
  assertSound(topics)
  expect(topics.rejects).toEqual([])
  differ(recordsOf(topics), before.records)
}

function without(records: ReadonlyMap<string, string>, loose: RegExp | undefined): ReadonlyMap<string, string> {
  if (loose === undefined) return records
  const stripped = (content: string) => {
    const record = JSON.parse(content) as { attributes: Record<string, string> }
    for (const name of Object.keys(record.attributes)) if (loose.test(name)) Reflect.deleteProperty(record.attributes, name)
    return JSON.stringify(record)
  }
  return new Map([...records].map(([key, content]) => [key, stripped(content)]))
}

/** Shows only the first differences: all would be megabytes. */
function differ(
  found: ReadonlyMap<string, string>,
  expected: ReadonlyMap<string, string>,
  but: ReadonlySet<string> = new Set(),
): void {
  const missing = [...expected.keys()].filter(key => !found.has(key) && !but.has(key))
  expect(missing.slice(0, 3), `${missing.length} of ${expected.size} records are lost`).toEqual([])
  const extra = [...found.keys()].filter(key => !expected.has(key) && !but.has(key))
  expect(extra.slice(0, 3), `${extra.length} records are too many`).toEqual([])
  const other = [...expected].filter(([key, content]) => found.has(key) && found.get(key) !== content && !but.has(key))
  expect(other.slice(0, 1).map(([key, content]) => [content, found.get(key)])).toEqual([])
}

/** One edit of a row of an answer. A string `@@digits@@` is written without its quotes, so that numbers of any size can be sent. */
export interface RowFault {
  readonly name: string
  edit(row: Record<string, unknown>): unknown
  /** The row must be rejected, whatever the vendor. */
  readonly rejects?: true
}

export interface RowOptions {
  /** Which answers hold the rows: tested on the path of the request. */
  readonly at?: RegExp
  /** How many rows of the stream one element of an answer's list can be. Default: one. */
  readonly most?: (element: unknown) => number
  /** How many of those an edited element leaves out by intent, without a reject. Default: none. */
  readonly silent?: (edited: unknown) => number
  /** The elements are parts of rows, so that a value that is too deep is cut, and its row published. */
  readonly areParts?: true
  /** In place of `READ_AGAIN`. */
  readonly base?: Partial<BaseConfig>
  /** How long the vendor is read after it has mended its rows, milliseconds of its time. */
  readonly againMs?: number
  /** Names of attributes that may stay as the malformed answer had them: they are not what the row is about. */
  readonly loose?: RegExp
  /** Of those, requests whose query says so; others show rows only to look something up. */
  readonly query?: RegExp
}

const HOUR_MS = 3_600_000

/** A world that is over and read again every hour for good. */
export const READ_AGAIN = { lookbackMs: 90 * 24 * HOUR_MS, pollIntervalMs: HOUR_MS, lookbackIntervalMs: HOUR_MS }

/**
 * The stream read while every second row is malformed in one of the ways, and again when the vendor has mended its rows. Rows beside them stand on the topics all
 * the time; each malformed one is told or rejected with reason and place; in the end everything is there.
 */
export async function survivesRows(
  bench: Bench,
  stream: string,
  faults: readonly RowFault[],
  before: Reference,
  {
    at = /./,
    query = /^/,
    most = () => 1,
    silent = () => 0,
    areParts,
    base = READ_AGAIN,
    againMs: longMs = 4 * HOUR_MS,
    loose,
  }: RowOptions = {},
): Promise<number> {
  const { proxy } = bench
  const of = bench.connector.streams[stream]
  const lines: string[] = []
  const failures: LogLine[] = []
  const log = createLog('debug', line => {
    lines.push(line)
    if (line.includes(FAILED)) failures.push(JSON.parse(line) as LogLine)
  })
  const line = stillLine(bench, { base: { streams: [stream], ...base } })
  const met = new Map<string, number>()
  const edited = new Map<string, RowFault>()
  const leftOut = new Map<string, number>()
  let mended = false
  proxy.spoil = (_nth, target) => {
    const [path = '', asked = ''] = target.split('?')
    if (mended || !at.test(path) || !query.test(asked)) return null
    return { kind: 'change', change: answer => editRows(answer) }
  }
  const editRows = (answer: Answer): Partial<Answer> => {
    if (answer.status !== 200 || answer.body.length === 0) return {}
    const body = JSON.parse(answer.body.toString()) as unknown
    const { list } = rowsIn(body, of as never)
    for (const [place, row] of list.entries()) {
      const text = JSON.stringify(row)
      const nth = met.get(text) ?? met.size
      met.set(text, nth)
      const fault = nth % 2 === 0 ? undefined : faults[(nth - 1) / 2]
      if (fault === undefined) continue
      edited.set(text, fault)
      list[place] = fault.edit(row) as never
      leftOut.set(text, silent(list[place]))
    }
    return { body: Buffer.from(JSON.stringify(body).replaceAll(/"@@(.*?)@@"/g, '$1')) }
  }
  const { untilMs } = bench.vendor.window
  let bad: Awaited<ReturnType<Line['topics']>> | null = null
  let toldBad: ReadonlyMap<string, readonly string[]> = new Map()
  try {
    await liveStill(line, bench, { log })
    bad = await line.topics()
    toldBad = new Map(line.watch.keysByRow)
    mended = true
    const againMs = line.clock.now() + longMs
    await liveStill(line, bench, { log, until: () => line.clock.now() > againMs && line.isRead(untilMs) })
  } finally {
    proxy.spoil = () => null
  }
  expect(edited.size, 'no row was edited').toBeGreaterThan(0)
  expect(
    failures.map(({ error }) => error),
    'a row stopped the stream',
  ).toEqual([])
  const rejects = line.kafka.committed(NAMES.rejects).filter(({ value }) => value !== null)
  const firstBad = bad.rejects
  const must = [...edited.values()].filter(
    ({ rejects, name }) => rejects === true && !(areParts && name.includes('levels')),
  ).length
  expect(firstBad.length, `must: ${[...edited.values()].map(each => each.name).join(', ')}`).toBeGreaterThanOrEqual(must)
  for (const { reason, message, path } of firstBad) {
    expect(Object.keys(ERRORS)).toContain(reason)
    expect(message).not.toBe('')
    expect(message.length + path.length).toBeLessThan(4_000)
    expect(message).not.toMatch(/\n +at /)
    expect(message).not.toContain(MARK)
    // A row that is no object has no place but itself.
    if (path === '') expect(message).toMatch(/object/)
  }
  for (const { value } of rejects) expect((value as Buffer).length).toBeGreaterThan(0)
  // Told under its own or another id, or rejected: never neither.
  const gone = [...before.told.keys()].filter(row => !toldBad.has(row))
  const come = [...toldBad.keys()].filter(row => !before.told.has(row))
  const touched = [...edited.keys()].reduce((sum, text) => sum + most(JSON.parse(text)), 0)
  expect(gone.length, `rows beside the bad ones are gone: ${gone.slice(0, 3).join(', ')}`).toBeLessThanOrEqual(touched)
  // Elements that are several rows are edited one at a time.
  const shown = come.length + firstBad.length
  const accounted = touched === edited.size || shown === 0 ? shown + [...leftOut.values()].reduce((a, b) => a + b, 0) : touched
  expect(gone.length, `rows are neither told nor rejected: ${gone.slice(0, 3).join(', ')}`).toBeLessThanOrEqual(accounted)
  const changed = new Set<string>()
  const while_ = recordsOf(bad)
  const untouched = [...before.told].filter(([row]) => toldBad.has(row))
  expect(untouched.length, 'no good row beside the bad ones').toBeGreaterThan(0)
  expectClean(lines, before, bench)
  assertSound(await line.topics())
  const after = recordsOf(await line.topics())
  // What a malformed row was told as under another key stays; everything that is true is there, as it is true.
  for (const key of after.keys()) if (!before.records.has(key)) changed.add(key)
  expect(while_.size).toBeGreaterThan(0)
  differ(without(after, loose), without(before.records, loose), changed)
  return edited.size
}
