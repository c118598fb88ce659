/** Checks of one connector that need no topics: its shape, its config, and how each stream reads, resumes, fails and maps its rows. */
import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { asFlowError, type ErrorCode, FlowError } from '../errors.ts'
import { enrich } from '../ingest/rows.ts'
import { dotted, isSecret, parseConnectorConfig } from '../source/config.ts'
import type { Connector, Draft, Page } from '../source/contract.ts'
import type { RowContext } from '../source/records.ts'
import {
  type Bench,
  isRead,
  open,
  piecesOf,
  type ReadRow,
  readAll,
  readPages,
  rowsOf,
  scopesOf,
  stream,
  windowOf,
} from './bench.ts'

/** Rows that a check maps and enriches: enough to meet most forms, few enough to be quick. */
const MOST_ROWS = 200
/** Pages from which a check resumes. */
const MOST_RESUMES = 5

export function configIsDescribed({ config }: Connector): void {
  const undescribed = Object.entries(config.shape).filter(([, field]) => !isDescribed(field as z.core.$ZodType))
  assert.deepEqual(
    undescribed.map(([key]) => key),
    [],
    'config keys without a description',
  )
  const catchall = config._zod.def.catchall?._zod.def.type
  assert.equal(catchall, 'never', 'the config is not a strict object: a misspelt key would be dropped silently')
}

function isDescribed(field: z.core.$ZodType): boolean {
  for (let inner: z.core.$ZodType | undefined = field; inner !== undefined; ) {
    if (z.globalRegistry.get(inner)?.description) return true
    inner = (inner._zod.def as { innerType?: z.core.$ZodType }).innerType
  }
  return false
}

export function configIsRead({ connector, flat, config, secrets }: Bench): void {
  const asText = Object.fromEntries(
    Object.entries(flat).map(([key, value]) => [key, Array.isArray(value) ? value.join(',') : String(value)]),
  )
  const again = parseConnectorConfig('conformance', asText, connector)
  assert(again.ok, 'the config as text is rejected')
  assert.deepEqual(again.config, config, 'the config as text gives another result')

  for (const [key, field] of Object.entries(connector.config.shape)) {
    if (!isSecret(field as z.core.$ZodType) || flat[dotted(key)] === undefined) continue
    assert(secrets.includes(String(flat[dotted(key)])), `${dotted(key)} is not listed among the secrets`)
  }
  const refused = parseConnectorConfig('conformance', { ...flat, 'not.a.key': 1, 'tasks.max': 'x' }, connector)
  assert(!refused.ok && refused.faults.length === 2, 'an unknown key or a wrong value is not rejected')
  holdsNoSecret(JSON.stringify(refused.faults), secrets)
}

export function plansAreSane(bench: Bench): void {
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

export async function idsAreStable(bench: Bench, name: string): Promise<void> {
  if (!isRead(bench, name)) return
  const first = await readAll(bench, name)
  const second = await readAll(bench, name)
  assert(first.length > 0, 'no row was read: the window is empty, and nothing is checked')
  const marks = (rows: readonly ReadRow[]) => [...new Set(rows.map(({ id, fingerprint }) => `${id} ${fingerprint}`))].sort()
  assert.deepEqual([...new Set(second.map(row => row.id))].sort(), [...new Set(first.map(row => row.id))].sort(), 'ids differ')
  assert.deepEqual(marks(second), marks(first), 'unchanged rows count as changed')
}

export async function resumes(bench: Bench, name: string): Promise<void> {
  if (!isRead(bench, name)) return
  for (const scope of scopesOf(bench, stream(bench, name))) {
    for (const window of piecesOf(bench, name)) {
      const pages = await readPages(bench, name, scope, window, null)
      for (const [i, page] of pages.entries()) {
        if (i === pages.length - 1) assert.equal(page.resume, null, 'the last page has a resume')
        else if (i < MOST_RESUMES) {
          assert.deepEqual(JSON.parse(JSON.stringify(page.resume)), page.resume, 'a resume is not plain JSON')
          const rest = await readPages(bench, name, scope, window, page.resume).catch(expired)
          const ids = (read: readonly Page[]) => rowsOf(bench, name, scope, read).map(row => row.id)
          if (rest !== null) assert.deepEqual(ids(rest), ids(pages.slice(i + 1)), `after page ${i + 1} other rows follow`)
        }
      }
    }
  }
}

/** null for the answer that the vendor no longer knows the position, which a connector may always return. */
function expired(thrown: unknown): null {
  if (thrown instanceof FlowError && thrown.code === 'SRC_RESUME_EXPIRED') return null
  throw thrown
}

export async function normalisePure(bench: Bench, name: string): Promise<void> {
  if (!isRead(bench, name)) return
  const definition = stream(bench, name)
  const rows = (await readAll(bench, name)).slice(0, MOST_ROWS)
  assert(rows.length > 0, 'no row was read: the window is empty, and nothing is checked')
  const seen = new Set<string>()
  for (const { row, ctx: bare, id } of await enriched(bench, name, rows)) {
    const before = structuredClone(row)
    const ctx = derivedContext(bench, name, row, bare)
    const drafts = definition.normalise(row as never, ctx)
    const again = definition.normalise(row as never, ctx)
    assert.deepEqual(again, drafts, `row ${id} gives different records the second time`)
    assert(isDeepStrictEqual(row, before), `row ${id} was changed`)
    for (const draft of drafts) isSound(bench, name, draft, seen)
  }
}

/** With a session as the framework would have derived it, if the stream has turns. */
function derivedContext(bench: Bench, name: string, row: unknown, ctx: RowContext): RowContext {
  const derive = stream(bench, name).derive?.(bench.config) ?? null
  if (derive === null) return ctx
  const turn = derive.turn(row as never, ctx)
  assert.deepEqual(derive.turn(row as never, ctx), turn, 'turn returns a different result for a row the second time')
  if (turn === null) return ctx
  const { botId, key, part, channel, language } = turn
  return { ...ctx, derived: ctx.session({ botId, sessionId: `${key}/${part ?? ''}`, channel, language }) }
}

function isSound({ connector, base }: Bench, name: string, draft: Draft, seen: Set<string>): void {
  const { kind, record } = draft
  assert.equal(record.vendor, connector.manifest.id)
  assert.equal(record.account, base.account)
  assert.equal(record.revision, 1)
  if (kind === 'session') {
    assert.equal(
      connector.manifest.sessionStream,
      name,
      'a stream other than the sessionStream of the manifest publishes sessions',
    )
    assert(record.ended_at === null || record.ended_at >= record.started_at, `session ${record.session_id} ends before it starts`)
  }
  const key = `${kind} ${draft.kind === 'session' ? draft.record.session_key : draft.kind === 'message' ? draft.record.message_key : draft.record.event_key}`
  assert(!seen.has(key), `two records have the key of one ${key}`)
  seen.add(key)
}

/** The enriched rows, if the stream enriches them. */
async function enriched(bench: Bench, name: string, rows: readonly ReadRow[]): Promise<readonly ReadRow[]> {
  const definition = stream(bench, name)
  if (definition.enrich === undefined) return rows
  const out: ReadRow[] = []
  for (const scope of scopesOf(bench, definition)) {
    const mine = rows.filter(row => row.ctx.scope.name === scope.name)
    if (mine.length === 0) continue
    const { http, close } = open(bench)
    try {
      const clock = { now: () => bench.nowMs }
      const richer = await enrich({ stream: definition, config: bench.config, scope, http, clock }, mine)
      assert.deepEqual(
        richer.map(({ row }) => definition.identify(row as never)),
        mine.map(row => row.id),
        'enrich returns other rows, or another order',
      )
      out.push(...mine.map((row, i) => ({ ...row, row: richer[i]?.row })))
    } finally {
      await close()
    }
  }
  return out
}

export interface Fault {
  readonly name: string
  readonly code: ErrorCode
  answer(response: ServerResponse): void
  /** Stop as soon as the request has arrived. */
  readonly stops?: true
}

const json = { 'content-type': 'application/json' }

export const FAULTS: readonly Fault[] = [
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

export async function endsIn(bench: Bench, name: string, fault: Fault): Promise<void> {
  if (!isRead(bench, name)) return
  const stopping = new AbortController()
  const server = createServer((_asked, response) => {
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
    }).then(() => assert.fail('reading ended without an error'), asFlowError)
    assert.equal(error.code, fault.code, `it ended in ${error.code}: ${error.message}`)
    assert.equal(yielded, 0, 'a page was returned that was never read')
    holdsNoSecret(`${error.message} ${JSON.stringify(error.details)}`, bench.secrets)
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

function holdsNoSecret(words: string, secrets: readonly string[]): void {
  for (const secret of secrets) assert(!words.includes(secret), 'an error contains a secret')
}
