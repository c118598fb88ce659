/** A connector with its vendor, as a task holds them, and common operations of the checks. */
import assert from 'node:assert/strict'
import { silentLog } from '../log.ts'
import type { Clock } from '../clock.ts'
import { decode, type Row } from '../ingest/rows.ts'
import { type BaseConfig, parseConnectorConfig } from '../source/config.ts'
import type { Connector, HttpSpec, Json, Page, Scope, Stream, Window, WindowSpec } from '../source/contract.ts'
import { createHttp } from '../source/http.ts'
import { createQuota } from '../source/quota.ts'
import { type RowContext, rowContext } from '../source/records.ts'
import { split } from '../source/windows.ts'
import { type Proxy, startProxy } from './proxy.ts'
import type { Quirk, Subject, Vendor } from './subject.ts'

export const ACCOUNT = 'conformance'

export interface Bench {
  readonly connector: Connector
  readonly vendor: Vendor
  readonly flat: Readonly<Record<string, unknown>>
  readonly base: BaseConfig
  readonly config: never
  readonly secrets: readonly string[]
  readonly nowMs: number
  /** Between connector and vendor. */
  readonly proxy: Proxy
  /** Sets the vendor's time from now on. */
  setTime(now: () => number): void
}

export async function withBench<T>(subject: Subject, quirk: Quirk | null, run: (bench: Bench) => Promise<T> | T): Promise<T> {
  const { connector } = subject
  let now: () => number = Date.now
  const vendor = await subject.start({ quirk, habit: quirk, now: () => now() })
  const nowMs = vendor.nowMs ?? vendor.window.untilMs
  now = () => nowMs
  const proxy = await startProxy(originsOf(vendor.config))
  try {
    const given = JSON.parse(proxy.ours(JSON.stringify(vendor.config))) as Record<string, unknown>
    const flat = { account: ACCOUNT, ...given, 'connector.class': connector.manifest.id }
    const parsed = parseConnectorConfig('conformance', flat, connector)
    assert(parsed.ok, `the vendor's config is rejected: ${JSON.stringify(parsed.ok ? [] : parsed.faults)}`)
    const { base, secrets } = parsed
    const config = parsed.config as never
    return await run({ connector, vendor, flat, base, config, secrets, nowMs, proxy, setTime: next => (now = next) })
  } finally {
    await proxy.close()
    await vendor.stop()
  }
}

/** Of all addresses in the config, token endpoints among them. */
function originsOf(config: Readonly<Record<string, unknown>>): string[] {
  const found = JSON.stringify(config).match(/http:\/\/[^/"?#\s,]+/g) ?? []
  return [...new Set(found)]
}

/** Whether the vendor's config reads the stream; only one that needs a permission may be left out. */
export function isRead({ base, connector }: Bench, name: string): boolean {
  const read = base.streams.includes(name)
  assert(read || connector.manifest.optionalStreams?.includes(name) === true, `the config leaves ${name} out: nothing is checked`)
  return read
}

/** A row that fits its schema, with the context it was decoded in. */
export interface ReadRow extends Row {
  readonly ctx: RowContext
}

export async function readAll(bench: Bench, name: string): Promise<ReadRow[]> {
  const rows: ReadRow[] = []
  for (const scope of scopesOf(bench, stream(bench, name))) {
    const met = new Set<string>()
    for (const window of piecesOf(bench, name)) {
      for (const row of rowsOf(bench, name, scope, await readPages(bench, name, scope, window, null))) {
        // A vendor may show a row twice, in two pages or at the edges of two windows: deduplication drops the second.
        if (!met.has(row.id)) rows.push(row)
        met.add(row.id)
      }
    }
  }
  return rows
}

/** Rows that fit the stream's schema; the others become dead letters. */
export function rowsOf(bench: Bench, name: string, scope: Scope, pages: readonly Page[]): ReadRow[] {
  const definition = stream(bench, name)
  const ctx = rowContext({
    vendor: bench.connector.manifest.id,
    account: bench.base.account,
    connector: 'conformance',
    config: bench.config,
    scope,
    observedAtMs: bench.nowMs,
    transfers: bench.base.transfers,
    lookbackMs: bench.base.lookbackMs ?? windowOf(definition, bench.config).lookbackMs,
  })
  const { rows, rejects } = decode(
    definition,
    pages.flatMap(page => page.rows),
    ctx,
  )
  assert(!rejects.some(reject => reject.path === 'id'), 'a row has no id')
  return rows.map(row => ({ ...row, ctx }))
}

export async function readPages(
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

/** A client of the vendor, or of the server at `host` instead. Waits are skipped, so that nothing here takes time. */
export function open(bench: Bench, host?: string, signal: AbortSignal = new AbortController().signal) {
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

export function stream({ connector }: Bench, name: string): Stream {
  const definition = connector.streams[name]
  assert(definition !== undefined, `there is no stream ${name}`)
  return definition
}

export function scopesOf({ config, base }: Bench, definition: Stream): readonly Scope[] {
  return definition.scopes?.(config, base.account) ?? [{ name: base.account, botId: null }]
}

export function windowOf(definition: Stream, config: never): WindowSpec {
  return typeof definition.window === 'function' ? definition.window(config) : definition.window
}

export function piecesOf(bench: Bench, name: string): Window[] {
  const { longestMs } = windowOf(stream(bench, name), bench.config)
  return split(bench.vendor.window, longestMs)
}
