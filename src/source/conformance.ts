/**
 * What every connector must keep, as named checks that any test runner can run: one file per connector calls `conformanceChecks` with a vendor
 * to read from, a simulator in most cases. A check passes when `run` resolves; it says what is wrong by the error it throws.
 *
 * Faults come from a server of our own that stands where the vendor's API stood, so no simulator needs to know them.
 */
import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { asFlowError, type ErrorCode, FlowError } from '../errors.ts'
import { silentLog } from '../log.ts'
import type { Event, Message, Session } from '../records.ts'
import { type BaseConfig, dotted, isSecret, parseConnectorConfig } from './config.ts'
import type { Connector, Draft, HttpSpec, Json, Page, Scope, Stream, Window, WindowSpec } from './contract.ts'
import { createHttp } from './http.ts'
import { createQuota } from './quota.ts'
import { type RowContext, rowContext } from './records.ts'
import { checked } from './registry.ts'
import { split } from './windows.ts'

export interface Subject {
  readonly connector: Connector
  /** A vendor with rows of every stream in `window`, started for each check anew. Where the check asks for no habit, it limits no rates and nothing else goes wrong. */
  start(how: Start): Promise<Vendor>
  /** Checks that this connector need not pass, and why. */
  readonly waivers?: readonly Waiver[]
}

/**
 * What a vendor may do beside answering. A habit that the vendor cannot have (its listing has no pages, say) is waived.
 *
 * late: some rows show later than their time by more than the stream's lag, within its lookback. changing: rows change after they were first
 * shown. tied: more rows than fit a page have one and the same time. edges_inclusive, edges_exclusive: a row exactly at the beginning or the
 * end of the asked range shows, or does not. grows, shrinks: a row is added to a listing, or is missing from it for once, between two of its
 * pages. ignores_token: whatever page is asked for, the first comes. clock_ahead, clock_behind: the vendor's clock, and with it what it shows,
 * is two minutes off. quota: the vendor refuses what exceeds its documented limits, and counts.
 */
export const HABITS = [
  'late',
  'changing',
  'tied',
  'edges_inclusive',
  'edges_exclusive',
  'grows',
  'shrinks',
  'ignores_token',
  'clock_ahead',
  'clock_behind',
  'quota',
] as const
export type Habit = (typeof HABITS)[number]

export interface Start {
  /** null: none. */
  readonly habit: Habit | null
  /** The time that the vendor lives in, epoch milliseconds. It may be moved by the check. */
  readonly now: () => number
}

export interface Waiver {
  /** Name of the check, or its beginning. */
  readonly check: string
  readonly reason: string
  /** The waiver does not hold from this day on, `2027-05-31`; a day more than a year ahead is refused. */
  readonly until: string
}

export interface Vendor {
  /** Flat map with dotted keys, without `connector.class`. Streams that need a permission are checked when `streams` names them. */
  readonly config: Readonly<Record<string, unknown>>
  /** Read whole, in one piece or in pieces no longer than the stream's longest. */
  readonly window: Window
  /** The time at which it is read; default: the end of the window. */
  readonly nowMs?: number
  /** What must stand on the topics when everything up to `nowMs` was read; without it the checks that need it fail. */
  truth?(nowMs: number): Truth
  /** What the vendor counted of requests that it had to refuse for its limits: quota must keep this at zero. */
  refusedForQuota?(): number
  stop(): Promise<void>
}

/**
 * Records as they must be, told by some of their fields: all entries of a list name the same ones, and what is on the topics is compared by those,
 * each entry once. Of sessions the newest revision that is not withdrawn.
 */
export interface Truth {
  readonly sessions: readonly Partial<Session>[]
  readonly messages: readonly Partial<Message>[]
  readonly events: readonly Partial<Event>[]
}

export interface Check {
  readonly name: string
  run(): Promise<void>
}

const ACCOUNT = 'conformance'
/** Rows that are normalised and expanded in a check: enough to meet most forms, few enough to be quick. */
const MOST_ROWS = 200
/** Pages from which reading is resumed in a check. */
const MOST_RESUMES = 5

export function conformanceChecks(subject: Subject): Check[] {
  const { connector } = subject
  const check = (name: string, run: (bench: Bench) => Promise<void> | void): Check => ({
    name,
    run: () => withBench(subject, run),
  })
  return [
    { name: 'keeps the shape of a connector', run: async () => void checked(connector, connector.manifest.id) },
    { name: 'describes every config key, and takes no unknown one', run: async () => configIsDescribed(connector) },
    check('takes its config as text too, and no secret stands in what it refuses', configIsRead),
    check('names windows and scopes that can be planned with, the same at every call', plansAreSane),
    ...Object.keys(connector.streams).flatMap(stream => [
      check(`${stream}: gives rows with ids, the same at a second read`, bench => idsAreStable(bench, stream)),
      check(`${stream}: goes on from any page as if it had not stopped`, bench => resumes(bench, stream)),
      check(`${stream}: makes the same records of a row each time, and leaves the row alone`, bench =>
        normalisePure(bench, stream),
      ),
      ...FAULTS.map(fault => check(`${stream}: ${fault.name} ends in ${fault.code}`, bench => endsIn(bench, stream, fault))),
    ]),
  ]
}

/** A connector with its vendor, as a task holds them. */
interface Bench {
  readonly connector: Connector
  readonly vendor: Vendor
  readonly flat: Readonly<Record<string, unknown>>
  readonly base: BaseConfig
  readonly config: never
  readonly secrets: readonly string[]
  readonly nowMs: number
}

async function withBench(subject: Subject, run: (bench: Bench) => Promise<void> | void): Promise<void> {
  const { connector } = subject
  const vendor = await subject.start({ habit: null, now: Date.now })
  try {
    const flat = { account: ACCOUNT, ...vendor.config, 'connector.class': connector.manifest.id }
    const parsed = parseConnectorConfig('conformance', flat, connector)
    assert(parsed.ok, `the vendor's config is refused: ${JSON.stringify(parsed.ok ? [] : parsed.faults)}`)
    const { base, secrets } = parsed
    await run({
      connector,
      vendor,
      flat,
      base,
      config: parsed.config as never,
      secrets,
      nowMs: vendor.nowMs ?? vendor.window.untilMs,
    })
  } finally {
    await vendor.stop()
  }
}

function configIsDescribed({ config }: Connector): void {
  const undescribed = Object.entries(config.shape).filter(([, field]) => !isDescribed(field as z.core.$ZodType))
  assert.deepEqual(
    undescribed.map(([key]) => key),
    [],
    'config keys without a description',
  )
  const catchall = config._zod.def.catchall?._zod.def.type
  assert.equal(catchall, 'never', 'the config is no strict object: a misspelt key would be dropped in silence')
}

function isDescribed(field: z.core.$ZodType): boolean {
  for (let inner: z.core.$ZodType | undefined = field; inner !== undefined; ) {
    if (z.globalRegistry.get(inner)?.description) return true
    inner = (inner._zod.def as { innerType?: z.core.$ZodType }).innerType
  }
  return false
}

function configIsRead({ connector, flat, config, secrets }: Bench): void {
  const asText = Object.fromEntries(
    Object.entries(flat).map(([key, value]) => [key, Array.isArray(value) ? value.join(',') : String(value)]),
  )
  const again = parseConnectorConfig('conformance', asText, connector)
  assert(again.ok, 'the config as text is refused')
  assert.deepEqual(again.config, config, 'the config as text comes to something else')

  for (const [key, field] of Object.entries(connector.config.shape)) {
    if (!isSecret(field as z.core.$ZodType) || flat[dotted(key)] === undefined) continue
    assert(secrets.includes(String(flat[dotted(key)])), `${dotted(key)} is not told among the secrets`)
  }
  const refused = parseConnectorConfig('conformance', { ...flat, 'not.a.key': 1, 'tasks.max': 'x' }, connector)
  assert(!refused.ok && refused.faults.length === 2, 'an unknown key or a wrong value is not refused')
  holdsNoSecret(JSON.stringify(refused.faults), secrets)
}

function plansAreSane(bench: Bench): void {
  for (const [name, stream] of Object.entries(bench.connector.streams)) {
    const spec = windowOf(stream, bench.config)
    assert(
      spec.longestMs > 0 && (spec.smallestMs ?? 1000) <= spec.longestMs,
      `${name}: the smallest window is longer than the longest`,
    )
    assert(spec.lagMs >= 0 && spec.lookbackMs >= 0, `${name}: lag and lookback are below zero`)
    const scopes = scopesOf(bench, stream)
    assert(scopes.length > 0, `${name}: has no scope`)
    assert.equal(new Set(scopes.map(scope => scope.name)).size, scopes.length, `${name}: two scopes have one name`)
    for (const scope of scopes) assert.match(scope.name, /^[^/\s]+$/, `${name}: a scope's name has a slash or a blank`)
    assert.deepEqual(scopesOf(bench, stream), scopes, `${name}: scopes differ from call to call`)
  }
}

/** Whether the vendor's config has the stream read; only one that needs a permission may be left out. */
function isRead({ base, connector }: Bench, name: string): boolean {
  const read = base.streams.includes(name)
  assert(read || connector.manifest.optionalStreams?.includes(name) === true, `the config leaves ${name} out: nothing is checked`)
  return read
}

async function idsAreStable(bench: Bench, name: string): Promise<void> {
  if (!isRead(bench, name)) return
  const first = await readAll(bench, name)
  const second = await readAll(bench, name)
  assert(first.length > 0, 'no row was read: the window has none, and nothing is checked')
  const marks = (rows: readonly ReadRow[]) => [...new Set(rows.map(({ id, mark }) => `${id} ${mark}`))].sort()
  assert.deepEqual([...new Set(second.map(row => row.id))].sort(), [...new Set(first.map(row => row.id))].sort(), 'ids differ')
  assert.deepEqual(marks(second), marks(first), 'rows of a vendor that stands still count as changed')
}

async function resumes(bench: Bench, name: string): Promise<void> {
  if (!isRead(bench, name)) return
  for (const scope of scopesOf(bench, stream(bench, name))) {
    for (const window of piecesOf(bench, name)) {
      const pages = await readPages(bench, name, scope, window, null)
      for (const [i, page] of pages.entries()) {
        if (i === pages.length - 1) assert.equal(page.resume, null, 'the last page has a resume')
        else if (i < MOST_RESUMES) {
          assert.deepEqual(JSON.parse(JSON.stringify(page.resume)), page.resume, 'a resume is no plain JSON')
          const rest = await readPages(bench, name, scope, window, page.resume).catch(expired)
          const ids = (of: readonly Page[]) => rowsOf(bench, name, scope, of).map(row => row.id)
          if (rest !== null) assert.deepEqual(ids(rest), ids(pages.slice(i + 1)), `after page ${i + 1} other rows follow`)
        }
      }
    }
  }
}

/** null for the answer that the vendor no longer knows the place, which a connector may always give. */
function expired(thrown: unknown): null {
  if (thrown instanceof FlowError && thrown.code === 'SRC_RESUME_EXPIRED') return null
  throw thrown
}

async function normalisePure(bench: Bench, name: string): Promise<void> {
  if (!isRead(bench, name)) return
  const of = stream(bench, name)
  const rows = (await readAll(bench, name)).slice(0, MOST_ROWS)
  assert(rows.length > 0, 'no row was read: the window has none, and nothing is checked')
  const seen = new Set<string>()
  for (const { row, ctx, id } of await expanded(bench, name, rows)) {
    const before = structuredClone(row)
    const drafts = of.normalise(row as never, ctx)
    const again = of.normalise(row as never, ctx)
    assert.deepEqual(again, drafts, `row ${id} gives other records the second time`)
    assert(isDeepStrictEqual(row, before), `row ${id} was changed`)
    for (const draft of drafts) isSound(bench, name, draft, seen)
  }
}

function isSound({ connector, base }: Bench, name: string, draft: Draft, seen: Set<string>): void {
  const { kind, record } = draft
  assert.equal(record.vendor, connector.manifest.id)
  assert.equal(record.account, base.account)
  assert.equal(record.revision, 1)
  if (kind === 'session') {
    assert.equal(connector.manifest.sessionStream, name, 'a stream other than the sessionStream of the manifest gives sessions')
    assert(record.ended_at === null || record.ended_at >= record.started_at, `session ${record.session_id} ends before it starts`)
  }
  const key = `${kind} ${draft.kind === 'session' ? draft.record.session_key : draft.kind === 'message' ? draft.record.message_key : draft.record.event_key}`
  assert(!seen.has(key), `two records have the key of one ${key}`)
  seen.add(key)
}

/** The rows after the dearer second call, where the stream has one. */
async function expanded(bench: Bench, name: string, rows: readonly ReadRow[]): Promise<readonly ReadRow[]> {
  const of = stream(bench, name)
  if (of.expand === undefined) return rows
  const out: ReadRow[] = []
  for (const scope of scopesOf(bench, of)) {
    const mine = rows.filter(row => row.ctx.scope.name === scope.name)
    if (mine.length === 0) continue
    const { http, close } = open(bench)
    try {
      const richer = await of.expand({ config: bench.config, scope, rows: mine.map(({ row }) => row as never), http })
      assert.deepEqual(
        richer.map(row => of.identify(row as never)),
        mine.map(row => row.id),
        'expand gives other rows, or another order',
      )
      out.push(...mine.map((row, i) => ({ ...row, row: richer[i] })))
    } finally {
      await close()
    }
  }
  return out
}

interface Fault {
  readonly name: string
  readonly code: ErrorCode
  answer(response: ServerResponse): void
  /** Stop as soon as the request has come. */
  readonly stops?: true
}

const json = { 'content-type': 'application/json' }

const FAULTS: readonly Fault[] = [
  { name: 'a refused credential', code: 'SRC_UNAUTHORISED', answer: response => response.writeHead(401, json).end('{}') },
  {
    name: 'a wish to wait',
    code: 'SRC_RATE_LIMITED',
    answer: response => response.writeHead(429, { ...json, 'retry-after': '30' }).end('{}'),
  },
  { name: 'a failing vendor', code: 'SRC_SERVER_ERROR', answer: response => response.writeHead(500, json).end('{}') },
  {
    name: 'an answer that breaks off',
    code: 'SRC_TRUNCATED',
    answer: response => response.writeHead(200, { ...json, 'content-length': '100' }).write('{"', () => response.destroy()),
  },
  { name: 'an answer that is no JSON', code: 'SRC_MALFORMED', answer: response => response.writeHead(200).end('<html>') },
  { name: 'a stop', code: 'STOPPED', answer: () => {}, stops: true },
]

async function endsIn(bench: Bench, name: string, fault: Fault): Promise<void> {
  if (!isRead(bench, name)) return
  const stopping = new AbortController()
  const server = createServer((_, response) => {
    if (fault.stops) setImmediate(() => stopping.abort())
    fault.answer(response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    const [scope] = scopesOf(bench, stream(bench, name))
    const [window] = piecesOf(bench, name)
    assert(scope !== undefined && window !== undefined, 'there is nothing to read')
    let yielded = 0
    const error = await readPages(bench, name, scope, window, null, {
      host,
      signal: stopping.signal,
      onPage: () => yielded++,
    }).then(() => assert.fail('reading ended as if nothing had happened'), asFlowError)
    assert.equal(error.code, fault.code, `it ended in ${error.code}: ${error.message}`)
    assert.equal(yielded, 0, 'a page was given that was never read')
    holdsNoSecret(`${error.message} ${JSON.stringify(error.details)}`, bench.secrets)
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

function holdsNoSecret(words: string, secrets: readonly string[]): void {
  for (const secret of secrets) assert(!words.includes(secret), 'a secret stands in an error')
}

interface ReadRow {
  readonly id: string
  readonly row: unknown
  readonly ctx: RowContext
  /** What counts as a change of it. */
  readonly mark: string
}

async function readAll(bench: Bench, name: string): Promise<ReadRow[]> {
  const rows: ReadRow[] = []
  for (const scope of scopesOf(bench, stream(bench, name))) {
    const met = new Set<string>()
    for (const window of piecesOf(bench, name)) {
      for (const row of rowsOf(bench, name, scope, await readPages(bench, name, scope, window, null))) {
        // A vendor may show a row twice, in two pages or at the edges of two windows: versions drop the second.
        if (!met.has(row.id)) rows.push(row)
        met.add(row.id)
      }
    }
  }
  return rows
}

/** Rows that fit the stream's schema; the others are for rejects. */
function rowsOf(bench: Bench, name: string, scope: Scope, pages: readonly Page[]): ReadRow[] {
  const of = stream(bench, name)
  const ctx = rowContext({
    vendor: bench.connector.manifest.id,
    account: bench.base.account,
    connector: 'conformance',
    config: bench.config,
    scope,
    observedAtMs: bench.nowMs,
    lookbackMs: bench.base.lookbackMs ?? windowOf(of, bench.config).lookbackMs,
  })
  return pages.flatMap(page =>
    page.rows.flatMap(raw => {
      const parsed = of.row.safeParse(raw)
      if (!parsed.success) return []
      const id: unknown = of.identify(parsed.data as never)
      assert(typeof id === 'string' && id !== '', 'a row has no id')
      const mark = JSON.stringify(of.fingerprint === undefined ? parsed.data : of.fingerprint(parsed.data as never, ctx))
      return [{ id, row: parsed.data, ctx, mark }]
    }),
  )
}

async function readPages(
  bench: Bench,
  name: string,
  scope: Scope,
  window: Window,
  resume: Json,
  over: { host?: string; signal?: AbortSignal; onPage?: () => void } = {},
): Promise<Page[]> {
  const { http, close } = open(bench, over.host, over.signal)
  try {
    const pages: Page[] = []
    for await (const page of stream(bench, name).read({
      config: bench.config,
      scope,
      window,
      resume,
      nowMs: bench.nowMs,
      http,
    })) {
      over.onPage?.()
      pages.push(page)
    }
    return pages
  } finally {
    await close()
  }
}

/** A client of the vendor, or of what stands at `host` in its place. Waits are skipped, so that nothing here takes time. */
function open(bench: Bench, host?: string, signal: AbortSignal = new AbortController().signal) {
  const spec: HttpSpec = bench.connector.http(bench.config)
  const base = new URL(spec.baseUrl)
  if (host !== undefined) {
    base.protocol = 'http:'
    base.host = host
  }
  const clock = skippingClock(bench.nowMs)
  const quota = createQuota({}, clock)
  const http = createHttp({ ...spec, baseUrl: base.href }, { quota, priority: 0, signal, clock, log: silentLog })
  return { http, close: () => http.close() }
}

function skippingClock(startMs: number): Clock {
  let nowMs = startMs
  return {
    now: () => nowMs,
    sleep: async ms => {
      nowMs += Math.max(0, ms)
      await new Promise(resolve => setImmediate(resolve))
    },
  }
}

function stream({ connector }: Bench, name: string): Stream {
  const of = connector.streams[name]
  assert(of !== undefined, `there is no stream ${name}`)
  return of
}

function scopesOf({ config, base }: Bench, of: Stream): readonly Scope[] {
  return of.scopes?.(config, base.account) ?? [{ name: base.account, botId: null }]
}

function windowOf(of: Stream, config: never): WindowSpec {
  return typeof of.window === 'function' ? of.window(config) : of.window
}

function piecesOf(bench: Bench, name: string): Window[] {
  const { longestMs } = windowOf(stream(bench, name), bench.config)
  return split(bench.vendor.window, longestMs)
}
