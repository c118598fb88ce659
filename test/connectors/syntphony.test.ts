import { describe, expect, onTestFinished, test } from 'vitest'
import syntphony from '../../connectors/syntphony/index.ts'
import { type Quirks, startSyntphonySimulator } from '../../connectors/syntphony/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { conformanceChecks, type Truth } from '../../src/source/conformance.ts'
import { createHttp } from '../../src/source/http.ts'
import {
  type Draft,
  FlowError,
  type HttpSpec,
  type Json,
  type Page,
  rowContext,
  type Stream,
  split,
} from '../../src/source/index.ts'
import { createQuota } from '../../src/source/quota.ts'
import { createLog } from '../../src/log.ts'
import { handClock } from '../support/clock.ts'
import { type ScriptedVendor, type Step, scriptedVendor } from '../support/scripted-vendor.ts'
import { subject } from '../support/subjects/syntphony.ts'
import { truthOf } from '../support/truth/syntphony.ts'

const stream = syntphony.streams['conversations'] as Stream
const T = Date.parse
const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = T('2026-11-20T12:00:00Z')

describe('conformance', () => {
  test.each(conformanceChecks(subject).map(check => [check.name, check] as const))('%s', async (_, check) => {
    await expect(check.run()).resolves.toBeUndefined()
  })
})

describe("the world's conversations are read whole, whatever the vendor's habits", () => {
  const window = { fromMs: NOW - 60 * HOUR, untilMs: NOW - 2 * HOUR }
  const world = createWorld({ seed: 31, sessions: 60, ...window })

  test.each<[string, Partial<Quirks>, Record<string, string>]>([
    ['as documented', {}, {}],
    ['times that count', { timePart: 'literal' }, { timezone: 'America/Bogota' }],
    ['days of a zone', {}, { timezone: '+09:30' }],
    ['numbers as text, lists null, times with an offset', { numbers: 'text', emptyLists: 'null', times: 'offset' }, {}],
    [
      'lists absent, times without a zone, details without a code',
      { emptyLists: 'absent', times: 'bare', detailsCode: false },
      {},
    ],
    ['times as numbers, confidence as a share', { times: 'epoch', confidence: 'share' }, {}],
    ['a bare envelope, and no search', { envelope: 'bare', search: 'ignored' }, {}],
    ['a row that shows between two pages', { betweenPages: 'row_shows' }, {}],
    ['the same with a bare envelope', { betweenPages: 'row_shows', envelope: 'bare' }, {}],
    ['newest first, whatever is asked for', { order: 'ignored' }, {}],
    ['pages from 0', { pageBase: 0 }, { 'page.base': '0' }],
    ['page 0 is page 1', {}, { 'page.base': '0' }],
    ['fewer rows a page than asked for', { mostRows: 3 }, {}],
    ['many at one time', { startStepMs: 6 * HOUR }, {}],
  ])('%s', async (_, quirks, config) => {
    const simulator = await startSyntphonySimulator({ world, now: () => NOW, pageSize: 7, quirks })
    onTestFinished(() => simulator.stop())
    const flat = { 'connector.class': 'syntphony', account: 'conformance', ...simulator.config, ...config }
    expectTruth(await readWorld(flat, window), truthOf(simulator, NOW))
  })
})

/** Everything that the connector makes of the window, as a task would have it at `NOW`. */
async function readWorld(flat: Record<string, unknown>, window: { fromMs: number; untilMs: number }): Promise<Draft[]> {
  const parsed = parseConnectorConfig('s', flat, syntphony)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const config = parsed.config as never
  const { http } = httpOf(syntphony.http(config))
  const drafts = new Map<string, Draft>()
  for (const scope of stream.scopes?.(config, 'conformance') ?? []) {
    const of = { vendor: 'syntphony', account: 'conformance', connector: 's', config, scope }
    const ctx = rowContext<unknown>({ ...of, observedAtMs: NOW, lookbackMs: 48 * HOUR })
    for (const piece of split({ fromMs: window.fromMs - DAY, untilMs: window.untilMs + HOUR }, DAY)) {
      const rows: unknown[] = []
      for await (const page of stream.read({ config, scope, window: piece, resume: null, nowMs: NOW, http }))
        rows.push(...page.rows)
      const told = rows.map(row => stream.row.parse(row) as never)
      for (const row of (await stream.expand?.({ config, scope, rows: told, http })) ?? [])
        for (const draft of stream.normalise(row as never, ctx)) drafts.set(keyOf(draft), draft)
    }
  }
  return [...drafts.values()]
}

function keyOf({ kind, record }: Draft): string {
  if (kind === 'session') return `session ${record.session_key}`
  return kind === 'message' ? `message ${record.message_key}` : `event ${record.event_key}`
}

function expectTruth(drafts: readonly Draft[], truth: Truth) {
  for (const [kind, expected] of [
    ['session', truth.sessions],
    ['message', truth.messages],
    ['event', truth.events],
  ] as const) {
    const names = Object.keys(expected[0] ?? {}).toSorted()
    const told = (record: object) => JSON.stringify(names.map(name => (record as Record<string, unknown>)[name]))
    expect(names.length).toBeGreaterThan(0)
    expect(
      drafts
        .filter(draft => draft.kind === kind)
        .map(draft => told(draft.record))
        .toSorted(),
    ).toEqual(expected.map(told).toSorted())
  }
}

function httpOf(spec: HttpSpec, busy: () => boolean = () => false) {
  const clock = handClock(NOW, { autoAdvance: { quietMs: 3, busy } })
  const lines: string[] = []
  const http = createHttp(spec, {
    quota: createQuota({}, clock),
    priority: 0,
    signal: new AbortController().signal,
    clock,
    log: createLog('debug', line => lines.push(line)),
    random: () => 1,
  })
  onTestFinished(() => http.close())
  return { http, lines, clock }
}
export { type Json, type Page, FlowError, scriptedVendor, type ScriptedVendor, type Step }
