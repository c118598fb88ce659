/** Chatlayer's transfers: events, event attributes and flow steps that rules match, and the sessions that become the agent's. */
import { describe, expect, test } from 'vitest'
import chatlayer from '../../connectors/chatlayer/index.ts'
import { TRANSFER_RULES } from '../../connectors/chatlayer/steps.ts'
import { DerivedSessions } from '../../src/ingest/derived.ts'
import { doorOf } from '../../src/ingest/door.ts'
import { maskFor } from '../../src/ingest/mask.ts'
import { factsOf } from '../../src/ingest/peek.ts'
import { decode, mapRows } from '../../src/ingest/rows.ts'
import { silentLog } from '../../src/log.ts'
import type { Event, Session } from '../../src/records.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { type Page, rowContext, type Scope, type Stream } from '../../src/source/index.ts'
import { parseTransferRules } from '../../src/source/transfers.ts'
import { handClock } from '../support/clock.ts'
import { httpFor } from '../support/http.ts'
import { scriptedVendor, type Step } from '../support/scripted-vendor.ts'

const MINUTE = 60_000
const T = Date.parse
const DAY = '2026-11-09'
const NOW = T(`${DAY}T12:00:00Z`)
const WINDOW = { fromMs: T(`${DAY}T09:00:00Z`), untilMs: NOW }
const LISTING = '/v1/bots/m98j39nl/events/stream'
const FLOW = '/v1/bots/m98j39nl/conversations/c-1/flow'

function parsed(settings: Readonly<Record<string, unknown>>) {
  const flat = {
    'connector.class': 'chatlayer',
    'base.url': 'http://127.0.0.1:9',
    'token.id': 'tid',
    'token.secret': 'secret',
    'bot.ids': 'm98j39nl',
    ...settings,
  }
  return parseConnectorConfig('acme', flat, chatlayer)
}

const faultsOf = (settings: Readonly<Record<string, unknown>>) => {
  const read = parsed(settings)
  return read.ok ? [] : read.faults
}

const tracked = (id: string, at: string, more: object = {}) => ({
  id,
  event: 'step_reached',
  user_id: 'u-1',
  channel_type: 'whatsapp',
  conversation_id: 'c-1',
  timestamp: `${DAY}T${at}Z`,
  ...more,
})
const reached = (id: string, at: string, step: string, from = 'menu') => ({
  id,
  from_step: { id: from, type: 'bot_dialog' },
  to_step: { id: step, type: 'bot_dialog' },
  depth: 2,
  timestamp: `${DAY}T${at}Z`,
})

interface Given {
  readonly settings?: Readonly<Record<string, unknown>>
  readonly events: readonly object[]
  /** Absent: the flow must not be asked for. */
  readonly flow?: readonly object[]
  /** In place of the flow's answer. */
  readonly answers?: readonly Partial<Step>[]
  readonly stream?: string
}

/** What the stream becomes of a vendor that answers so, through the whole row path. */
async function cameOf({ settings = {}, events, flow, answers, stream: name = 'events' }: Given) {
  const flows = answers ?? (flow === undefined ? [] : [{ body: { transitions: flow } }])
  const vendor = await scriptedVendor([{ path: LISTING, body: { events } }, ...flows.map(answer => ({ path: FLOW, ...answer }))])
  const read = parsed({ 'base.url': vendor.url, ...settings })
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  const { base } = read
  const config = read.config as never
  const { http, clock } = httpFor(chatlayer.http(config), NOW, vendor)
  const stream = chatlayer.streams[name] as Stream
  const scope = stream.scopes?.(config, 'acme')[0] as Scope
  const pages: Page[] = []
  for await (const page of stream.read({ config, scope, window: WINDOW, resume: null, nowMs: NOW, http })) pages.push(page)
  const ctx = rowContext<unknown>({
    vendor: 'chatlayer',
    account: 'acme',
    connector: 'acme',
    config,
    scope,
    observedAtMs: NOW,
    lookbackMs: 24 * 60 * MINUTE,
    transfers: base.transfers,
  })
  const derive = stream.derive?.(config) ?? null
  const derived = derive && new DerivedSessions(derive, { connector: 'acme', stream: name, scope: scope.name })
  derived?.settle(() => NOW)
  const path = { stream, config, scope, http, clock, derived, door: doorOf(maskFor(chatlayer, base)) }
  const { rows, rejects } = decode(
    stream,
    pages.flatMap(page => page.rows),
    ctx,
  )
  const told: Event[] = []
  for await (const some of mapRows(path, rows, ctx, () => true))
    for (const each of some) {
      if ('reject' in each) {
        rejects.push(each.reject)
        continue
      }
      told.push(...each.drafts.map(({ record }) => record as Event))
      if (each.home !== null && derived !== null)
        derived.count(each.home.session, each.home.turn, { isNew: true, firstRevision: 1, readUntilMs: NOW })
    }
  const sessions = (derived?.drain(ctx).sessions ?? []).flatMap(({ record }) => (record === null ? [] : [record]))
  return { sessions, rejects, events: told, transfers: told.filter(({ type }) => type.startsWith('agent_')) }
}

const time = (atMs: number | null) => (atMs === null ? null : new Date(atMs).toISOString().slice(11, 19))
const shown = (sessions: readonly Session[]) =>
  sessions.map(({ containment, transferred_at, ended_at }) => [containment, time(transferred_at), time(ended_at)])
const named = (events: readonly Event[]) => events.map(({ type, name, occurred_at }) => [type, name, time(occurred_at)])

describe('a tracking event', () => {
  test.each([
    ['Send to offload provider', 'AGENT'],
    ['send_to_offload_provider', 'AGENT'],
    ['Offloading opened', 'AGENT'],
    ['OFFLOADING OPEN', 'AGENT'],
    ['Offloading closed', 'UNKNOWN'],
    ['Offloading disabled', 'UNKNOWN'],
    ['offloading opening hours', 'UNKNOWN'],
    ['handover', 'UNKNOWN'],
  ])('named %s, without rules in the config, makes its session %s', async (event, containment) => {
    const { sessions, transfers } = await cameOf({
      settings: { streams: 'events' },
      events: [tracked('e-1', '10:00:00'), tracked('e-2', '10:05:00', { event })],
      flow: [],
    })
    const isAgent = containment === 'AGENT'
    expect(shown(sessions)).toEqual([[containment, isAgent ? '10:05:00' : null, '10:05:00']])
    expect(named(transfers)).toEqual(isAgent ? [['agent_transferred', event, '10:05:00']] : [])
    expect(transfers.every(({ session_key }) => session_key === sessions[0]?.session_key)).toBe(true)
  })

  test.each<[string, string, object]>([
    ['its name', 'event~^hand-?over$=agent_transferred', { event: 'HandOver' }],
    ['an attribute', 'attribute.queue~billing=agent_transferred', { attributes: { queue: 'Billing, first line' } }],
    ['the step of its attributes', 'step~talk to us=agent_transferred', { attributes: { step_name: 'Talk to us' } }],
    ['the flow of its attributes', 'flow~^live chat$=agent_transferred', { attributes: { subflow: 'Live chat' } }],
  ])("makes its session the agent's by %s", async (_, rule, more) => {
    const events = [tracked('e-1', '10:00:00'), tracked('e-2', '10:05:00', more)]
    const { sessions, transfers } = await cameOf({
      settings: { 'transfer.rules': rule },
      events,
      // Only a rule on steps is worth a request for the flow.
      ...(rule.startsWith('step') ? { flow: [] } : {}),
    })
    expect(shown(sessions)).toEqual([['AGENT', '10:05:00', '10:05:00']])
    expect(transfers.map(({ type, session_key }) => [type, session_key])).toEqual([
      ['agent_transferred', sessions[0]?.session_key],
    ])
  })

  test('that only asks for a person leaves its session as it is; rules of the config replace the own ones', async () => {
    const { sessions, transfers } = await cameOf({
      settings: { 'transfer.rules': 'event~handover requested=agent_transfer_requested' },
      events: [
        tracked('e-1', '10:00:00', { event: 'Handover requested' }),
        tracked('e-2', '10:01:00', { event: 'Offloading opened' }),
      ],
    })
    expect(named(transfers)).toEqual([['agent_transfer_requested', 'Handover requested', '10:00:00']])
    expect(shown(sessions)).toEqual([['UNKNOWN', null, '10:01:00']])
  })

  test('that event.types knows, whatever its case, is not told twice', async () => {
    const { sessions, transfers } = await cameOf({
      settings: { 'event.types': 'handover=agent_transferred', 'transfer.rules': 'event~handover=agent_transferred' },
      events: [tracked('e-1', '10:00:00', { event: 'Handover' })],
    })
    expect(named(transfers)).toEqual([['agent_transferred', 'Handover', '10:00:00']])
    expect(shown(sessions)).toEqual([['AGENT', '10:00:00', '10:00:00']])
  })
})

describe('a step of a flow', () => {
  const events = [tracked('e-1', '10:00:00'), tracked('e-2', '10:05:00')]

  test("that is not tracked makes the session the agent's, at its own time, and the session lasts until then", async () => {
    const { sessions, transfers } = await cameOf({
      events,
      flow: [
        reached('t-1', '10:00:00', 'menu'),
        reached('t-2', '10:09:00', 'Send to offload provider'),
        reached('t-3', '10:09:00', 'Offloading opened', 'Send to offload provider'),
      ],
    })
    expect(shown(sessions)).toEqual([['AGENT', '10:09:00', '10:09:00']])
    expect(named(transfers)).toEqual([
      ['agent_transferred', 'Send to offload provider', '10:09:00'],
      ['agent_transferred', 'Offloading opened', '10:09:00'],
    ])
    expect(transfers[0]).toMatchObject({
      session_key: sessions[0]?.session_key,
      channel: 'whatsapp',
      user_id: 'u-1',
      attributes: {
        conversation_id: 'c-1',
        'to_step.id': 'Send to offload provider',
        'from_step.id': 'menu',
        transition_id: 't-2',
      },
    })
  })

  test.each(['Offloading closed', 'Offloading disabled', 'menu'])('"%s" is no transfer', async step => {
    const { sessions, transfers } = await cameOf({ events, flow: [reached('t-1', '10:04:00', step)] })
    expect([shown(sessions), transfers]).toEqual([[['UNKNOWN', null, '10:05:00']], []])
  })

  test('of a thread belongs to the session that was held then, not to others of the same thread', async () => {
    const { sessions, transfers } = await cameOf({
      events: [...events, tracked('e-3', '11:00:00')],
      answers: [
        { body: { transitions: [reached('t-1', '10:06:00', 'Offloading open'), reached('t-2', '11:00:00', 'menu')] } },
        { body: { transitions: [reached('t-1', '10:06:00', 'Offloading open'), reached('t-2', '11:00:00', 'menu')] } },
      ],
    })
    expect(shown(sessions)).toEqual([
      ['AGENT', '10:06:00', '10:06:00'],
      ['UNKNOWN', null, '11:00:00'],
    ])
    expect(transfers.map(({ session_key }) => session_key)).toEqual([sessions[0]?.session_key])
  })

  test('of which one has no time does not hide the others', async () => {
    const { sessions } = await cameOf({
      events,
      flow: [{ to_step: { id: 'x' } }, null as never, reached('t-1', '10:04:00', 'Offloading opened')],
    })
    expect(shown(sessions)).toEqual([['AGENT', '10:04:00', '10:05:00']])
  })

  test('is not known where the flow is refused: a reject, beside the session and its events', async () => {
    const { sessions, rejects, events: told } = await cameOf({ events, answers: [{ status: 410, body: {} }] })
    expect(rejects).toMatchObject([{ code: 'ROW_UNMAPPABLE', path: 'flow' }])
    expect([shown(sessions), told.length]).toEqual([[['UNKNOWN', null, '10:05:00']], 2])
  })

  test('is not asked for where no rule looks at steps, or no session is made', async () => {
    const settings = [{ 'transfer.rules': 'event~x=agent_transferred' }, { 'transfer.rules': [] }, { 'sessions.derive': false }]
    for (const each of settings) expect((await cameOf({ events, settings: each })).events).toHaveLength(2)
  })

  test('is told by the stream flow alone where that is read without events', async () => {
    const transitions = [reached('t-1', '10:04:00', 'Offloading opened')]
    const alone = await cameOf({ settings: { streams: 'flow' }, stream: 'flow', events, flow: transitions })
    expect(named(alone.transfers)).toEqual([['agent_transferred', 'step', '10:04:00']])
    const beside = await cameOf({ stream: 'flow', events, flow: transitions })
    expect([beside.events.length, beside.transfers.length]).toEqual([1, 0])
  })

  test('is asked for again with each new event, at growing pauses after the last, and not any more when the session is over', () => {
    const read = parsed({})
    const stream = chatlayer.streams['events'] as Stream
    const config = (read.ok ? read.config : {}) as never
    const scope = stream.scopes?.(config, 'acme')[0] as Scope
    const markAt = (lastMs: number, nowMs: number) => {
      const of = { vendor: 'chatlayer', account: 'acme', connector: 'acme', config, scope, lookbackMs: 1 }
      const row = stream.row.parse({ watched: { ...thread, lastMs } }) as never
      return JSON.stringify(stream.fingerprint?.(row, rowContext({ ...of, observedAtMs: nowMs })))
    }
    const thread = {
      conversationId: 'c-1',
      firstMs: NOW,
      lastMs: NOW,
      events: 1,
      userId: null,
      channelId: null,
      channelType: null,
      flow: null,
    }
    const marks = Array.from({ length: 24 * 60 }, (_, minute) => markAt(NOW, NOW + minute * MINUTE))
    const asked = marks.flatMap((mark, minute) => (mark === marks[minute - 1] ? [] : [minute]))
    expect(asked).toEqual([0, 1, 2, 4, 8, 16])
    const idAt = (lastMs: number) => {
      const row = stream.row.parse({ watched: { ...thread, lastMs } }) as never
      return [stream.identify(row), stream.sharedId?.(row)]
    }
    const [[before, shared], [after, sharedAfter]] = [idAt(NOW), idAt(NOW + MINUTE)]
    expect(before).not.toBe(after)
    expect([shared, sharedAfter]).toEqual(['flow c-1', 'flow c-1'])
  })
})

describe('config', () => {
  test("the vendor's own definition is in force until the config has rules", () => {
    const texts = (settings: Readonly<Record<string, unknown>>) => {
      const read = parsed(settings)
      return read.ok ? read.base.transfers.texts : null
    }
    expect(texts({})).toEqual(TRANSFER_RULES)
    expect(texts({ 'transfer.rules': 'event~a,b=agent_transferred; step~c=agent_transfer_requested' })).toEqual([
      'event~a,b=agent_transferred',
      'step~c=agent_transfer_requested',
    ])
    expect(texts({ 'transfer.rules': [] })).toEqual([])
  })

  test.each([
    [{ 'transfer.rules': 'event~x=agent_transfered' }, 'transfer.rules', /ends in no type/],
    [{ 'event.types': 'handover=agent_transfered' }, 'event.types', /ends in no type of an event.*agent_transferred/],
    [{ 'event.types': 'ok=other,handover=constructor' }, 'event.types', /ends in no type/],
    [{ 'event.types': 'handover' }, 'event.types', /takes name=type/],
  ])('%j is a fault', (settings, path, message) => {
    const faults = faultsOf(settings)
    expect(faults).toHaveLength(1)
    expect(faults[0]?.path).toMatch(`connectors.acme.${path}`)
    expect(faults[0]?.message).toMatch(message)
  })

  test.each<[object, string, boolean]>([
    [{}, TRANSFER_RULES.join(';'), true],
    [{}, 'attribute.queue~x=agent_transferred', true],
    [{}, 'event~x=agent_transfer_requested', false],
    [{}, 'message.text~x=agent_transferred', false],
    [{}, '', false],
    [{ 'event.types': 'x=agent_transferred' }, '', true],
    [{ 'sessions.derive': false }, 'event~x=agent_transferred', false],
    [{ streams: 'series,flow' }, 'event~x=agent_transferred', false],
  ])('with %j and the rules "%s" transfers are told: %s', (settings, rules, isTold) => {
    const read = parsed({ ...settings, 'transfer.rules': rules === '' ? [] : rules })
    if (!read.ok) throw new Error(JSON.stringify(read.faults))
    const { transfers } = parseTransferRules(rules.split(';'))
    expect(chatlayer.detectsTransfers?.(read.config as never, transfers)).toBe(isTold)
  })
})

describe('check', () => {
  const path = '/v1/bots/m98j39nl/events/definitions'
  const factsFrom = async (answers: readonly Partial<Step>[], settings: object = {}) => {
    const vendor = await scriptedVendor(answers.map(answer => ({ path, ...answer })))
    const read = parsed({ 'base.url': vendor.url, ...settings })
    if (!read.ok) throw new Error(JSON.stringify(read.faults))
    const { signal } = new AbortController()
    const clock = handClock(NOW)
    return factsOf({ connector: chatlayer, base: read.base, config: read.config, clock, log: silentLog, signal })
  }

  test('lists the names of events beside the rules that match them', async () => {
    const facts = await factsFrom(
      [
        {
          query: { page_size: '100' },
          body: {
            event_definitions: [
              { event: 'Handover', volume_30_day: 312, last_seen_at: '2026-11-08T09:00:00Z' },
              { event: 'order_placed' },
              { description: 'no name' },
              null,
            ],
            next_page_token: 'T2',
          },
        },
        { query: { page_size: '100', page_token: 'T2' }, body: { event_definitions: [{ event: 'rating', volume_30_day: '7' }] } },
      ],
      { 'transfer.rules': 'event~hand=agent_transferred', 'event.types': 'rating=satisfaction' },
    )
    expect(facts).toEqual([
      'event "Handover" of bot m98j39nl: 312 in 30 days, last seen 2026-11-08T09:00:00Z, agent_transferred',
      'event "order_placed" of bot m98j39nl: matched by no rule',
      'event "rating" of bot m98j39nl: 7 in 30 days, satisfaction',
      'transfer.rules in force: event~hand=agent_transferred',
    ])
  })

  test.each<[string, Partial<Step>[], string]>([
    ['is not there', [{ status: 404, body: {} }], 'the vendor does not list the events of bot m98j39nl'],
    ['is not allowed', [{ status: 403, body: {} }], 'the vendor does not list the events of bot m98j39nl'],
    ['is empty', [{ body: { event_definitions: [] } }], 'bot m98j39nl defines no events'],
  ])('says so where the list %s', async (_, answers, line) => {
    expect(await factsFrom(answers, { 'transfer.rules': [] })).toEqual([line, 'there are no transfer.rules'])
  })
})
