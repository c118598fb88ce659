import { describe, expect, test } from 'vitest'
import chatlayer, { sessionIdOf, threadKey } from '../../connectors/chatlayer/index.ts'
import { askAll } from '../../connectors/chatlayer/series.ts'
import type { Event } from '../../src/records.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { contentId, FlowError, type Http, rowContext, type Scope, type Stream } from '../../src/source/index.ts'

/** The vendor's rows as records: the samples of its documents word for word, and the forms that they leave open. */
const T = Date.parse
const NOW = T('2025-03-05T00:00:00Z')
const DAY = 86_400_000

interface How {
  readonly scope?: string
  readonly settings?: Readonly<Record<string, unknown>>
}

function contextOf(name: string, { scope = 'm98j39nl@LIVE', settings = {} }: How = {}) {
  const flat = {
    'connector.class': 'chatlayer',
    'base.url': 'http://127.0.0.1:9',
    'token.id': 'tid',
    'token.secret': 'secret',
    'bot.ids': 'm98j39nl',
    'bot.version': 'LIVE,DRAFT',
    'team.ids': 'team-1',
    ...settings,
  }
  const parsed = parseConnectorConfig('acme', flat, chatlayer)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const stream = chatlayer.streams[name] as Stream
  const of = stream.scopes?.(parsed.config as never, 'acme').find(each => each.name === scope) as Scope
  const ctx = rowContext<unknown>({
    vendor: 'chatlayer',
    account: 'acme',
    connector: 'acme',
    config: parsed.config,
    scope: of,
    observedAtMs: NOW,
    lookbackMs: DAY,
  })
  return { stream, ctx, config: parsed.config as never }
}

/** The records of one row, in a session of that id where one is told. */
function told(name: string, raw: unknown, how: How & { readonly sessionId?: string } = {}): Event[] {
  const { stream, ctx, config } = contextOf(name, how)
  const row = stream.row.parse(raw) as never
  const turn = stream.derive?.(config)?.turn(row, ctx) ?? null
  const derived =
    turn === null || how.sessionId === undefined
      ? null
      : ctx.session({ botId: turn.botId, sessionId: how.sessionId, channel: turn.channel })
  return stream.normalise(row, { ...ctx, derived }).map(({ record }) => record as Event)
}

function only(records: readonly Event[]): Event {
  expect(records.length).toBe(1)
  return records[0] as Event
}

const EVENTS = JSON.parse(
  `{"events":[{"id":"e-1","event":"step_reached","bot_id":"m98j39nl","version":"LIVE","user_id":"u-1","channel_id":"690a...","channel_type":"whatsapp","conversation_id":"c-1","attributes":{"flow":"payments","step_name":"amount"},"timestamp":"2025-03-02T10:00:02Z"}],"next_page_token":"opaque"}`,
) as { events: [Record<string, unknown>] }
const [SAMPLE] = EVENTS.events

describe('a TrackingEvent', () => {
  test('has each documented field in its place', () => {
    expect(only(told('events', SAMPLE, { sessionId: 's' }))).toEqual({
      event_key: 'chatlayer:acme:m98j39nl@LIVE/e-1@2025-03-02T10:00:02.000Z',
      session_key: 'chatlayer:acme:s',
      vendor: 'chatlayer',
      account: 'acme',
      bot_id: 'm98j39nl',
      session_id: 's',
      event_id: 'm98j39nl@LIVE/e-1@2025-03-02T10:00:02.000Z',
      connector: 'acme',
      revision: 1,
      observed_at: NOW,
      occurred_at: T('2025-03-02T10:00:02Z'),
      occurred_at_estimated: false,
      type: 'other',
      name: 'step_reached',
      channel: 'whatsapp',
      language: null,
      user_id: 'u-1',
      attributes: { conversation_id: 'c-1', channel_id: '690a...', bot_version: 'LIVE', flow: 'payments', step_name: 'amount' },
    })
  })

  test('of the draft has a key and a bot of its own', () => {
    const draft = { ...SAMPLE, version: 'DRAFT' }
    expect(only(told('events', draft, { scope: 'm98j39nl@DRAFT', sessionId: 's' }))).toMatchObject({
      event_key: 'chatlayer:acme:m98j39nl@DRAFT/e-1@2025-03-02T10:00:02.000Z',
      bot_id: 'm98j39nl@DRAFT',
      attributes: { bot_version: 'DRAFT' },
    })
  })

  test('without a conversation belongs to no session, and keeps its channel', () => {
    const { conversation_id: _, ...lone } = SAMPLE
    expect(only(told('events', lone, { sessionId: 's' }))).toMatchObject({
      session_key: null,
      session_id: null,
      channel: 'whatsapp',
    })
  })

  test('belongs to no session where the config makes none', () => {
    const { stream, config } = contextOf('events', { settings: { 'sessions.derive': 'false' } })
    expect(stream.derive?.(config)).toBeNull()
    expect(only(told('events', SAMPLE, { settings: { 'sessions.derive': false } }))).toMatchObject({ session_key: null })
  })

  test('tells its session: who, where, and whether it is a test', () => {
    const { stream, ctx, config } = contextOf('events', { scope: 'm98j39nl@DRAFT', settings: { 'session.gap.ms': 5000 } })
    const derive = stream.derive?.(config)
    expect([derive?.gapMs, derive?.publishes]).toEqual([5000, true])
    expect(derive?.turn(stream.row.parse(SAMPLE) as never, ctx)).toEqual({
      key: threadKey('m98j39nl', 'DRAFT', 'c-1'),
      atMs: T('2025-03-02T10:00:02Z'),
      botId: 'm98j39nl@DRAFT',
      channel: 'whatsapp',
      userId: 'u-1',
      isTest: true,
      transferred: false,
      attributes: { conversation_id: 'c-1', bot_version: 'DRAFT', derived_from: 'events', channel_id: '690a...' },
    })
  })

  test("gives its session an id that shows nothing of the conversation's, which may be a phone number", () => {
    const { stream, config } = contextOf('events')
    const key = threadKey('m98j39nl', 'LIVE', '491512345678')
    const id = stream.derive?.(config)?.sessionId?.({ key, firstAtMs: 5, part: null })
    expect(id).toBe(sessionIdOf('m98j39nl', 'LIVE', '491512345678', 5))
    expect(id).toMatch(/^[\w-]{22}$/)
    const others = [
      sessionIdOf('m98j39nl', 'DRAFT', '491512345678', 5),
      sessionIdOf('other', 'LIVE', '491512345678', 5),
      sessionIdOf('m98j39nl', 'LIVE', '491512345679', 5),
      sessionIdOf('m98j39nl', 'LIVE', '491512345678', 6),
    ]
    expect(new Set([id, ...others]).size).toBe(5)
  })

  test('has the type that the config gives its name', () => {
    const settings = { 'event.types': 'step_reached=flow_transition, handover=agent_transferred' }
    expect(only(told('events', SAMPLE, { settings })).type).toBe('flow_transition')
    const { stream, ctx, config } = contextOf('events', { settings })
    const handover = stream.row.parse({ ...SAMPLE, event: 'handover' }) as never
    expect(stream.derive?.(config)?.turn(handover, ctx)).toMatchObject({ transferred: true })
  })

  test('keeps fields that are not documented, and attributes that are named like ours', () => {
    const raw = {
      ...SAMPLE,
      campaign_id: 'c9',
      deep: { a: 1 },
      attributes: { flow: 'x', channel_id: 'builder', n: 3 },
      bot_id: 'other',
    }
    expect(only(told('events', raw)).attributes).toEqual({
      campaign_id: 'c9',
      deep: '{"a":1}',
      conversation_id: 'c-1',
      channel_id: '690a...',
      bot_version: 'LIVE',
      row_bot_id: 'other',
      flow: 'x',
      'attributes.channel_id': 'builder',
      n: '3',
    })
  })

  test.each<[string, unknown, Record<string, string>]>([
    ['a list of pairs', [{ key: 'flow', value: 'x' }], { flow: 'x' }],
    ['null', null, {}],
    ['an empty map', {}, {}],
    ['something else', ['x'], { attributes: '["x"]' }],
  ])('reads attributes that are %s', (_, attributes, expected) => {
    const { attributes: found } = only(told('events', { ...SAMPLE, attributes }))
    const { conversation_id: _c, channel_id: _i, bot_version: _v, ...given } = found
    expect(given).toEqual(expected)
  })

  test.each<[unknown, string]>([
    ['2025-03-02T10:00:02.123456789Z', '2025-03-02T10:00:02.123Z'],
    ['2025-03-02T11:00:02+01:00', '2025-03-02T10:00:02Z'],
    ['2025-03-02T10:00:02', '2025-03-02T10:00:02Z'],
    ['2025-03-02 10:00:02', '2025-03-02T10:00:02Z'],
    [1740909602, '2025-03-02T10:00:02Z'],
    ['1740909602000', '2025-03-02T10:00:02Z'],
  ])('reads the timestamp %j', (timestamp, expected) => {
    expect(only(told('events', { ...SAMPLE, timestamp })).occurred_at).toBe(T(expected))
  })

  test.each([undefined, null, '', 'yesterday', {}])('with the timestamp %j is rejected, by its path', timestamp => {
    const { stream } = contextOf('events')
    expect(stream.row.safeParse({ ...SAMPLE, timestamp }).error?.issues).toMatchObject([{ path: ['timestamp'] }])
  })

  test('without anything but a time is an event all the same', () => {
    expect(only(told('events', { timestamp: '2025-03-02T10:00:02Z' }))).toMatchObject({
      event_id: expect.stringMatching(/^m98j39nl@LIVE\/[\w-]{22}$/),
      session_key: null,
      type: 'other',
      name: 'other',
      channel: null,
      user_id: null,
      attributes: { bot_version: 'LIVE' },
    })
  })

  test('without an id has one of what it says, whatever the order of its fields', () => {
    const { id: _, ...nameless } = SAMPLE
    const turned = Object.fromEntries(Object.entries(nameless).toReversed())
    const { stream } = contextOf('events')
    const idOf = (raw: unknown) => stream.identify(stream.row.parse(raw) as never)
    expect(idOf(turned)).toBe(idOf(nameless))
    expect(idOf({ ...nameless, attributes: {} })).not.toBe(idOf(nameless))
  })

  test('with an id that was used at another time has another key, whichever is read first', () => {
    const keys = ['2025-03-02T10:00:02Z', '2025-03-02T10:00:02.001Z', '2025-03-02T11:00:02+01:00'].map(
      timestamp => only(told('events', { ...SAMPLE, timestamp })).event_key,
    )
    expect(keys[1]).not.toBe(keys[0])
    expect(keys[2]).toBe(keys[0])
  })

  test('has a key that tells its bot from its id, whatever letters they have', () => {
    const keyOf = (bot: string, id: string) =>
      only(told('events', { ...SAMPLE, id }, { scope: `${encodeURIComponent(bot)}@LIVE`, settings: { 'bot.ids': bot } }))
        .event_key
    expect(keyOf('a', 'b@LIVE/c')).not.toBe(keyOf('a@LIVE/b', 'c'))
  })

  test('with an id that was used at another time is another row', () => {
    const { stream } = contextOf('events')
    const idOf = (raw: unknown) => stream.identify(stream.row.parse(raw) as never)
    expect(idOf({ ...SAMPLE, timestamp: '2025-03-02T10:00:03Z' })).not.toBe(idOf(SAMPLE))
    expect(idOf({ ...SAMPLE, timestamp: '2025-03-02T10:00:02.000Z', event: 'x' })).toBe(idOf(SAMPLE))
  })
})

describe('a FlowTransition', () => {
  const FLOW: unknown = JSON.parse(`{"bot_id":"m98j39nl","conversation_id":"c-1","user_id":"u-1","transitions":[
 {"id":"t-1","from_step":{"id":"intro","type":"bot_dialog"},"to_step":{"id":"menu","type":"bot_dialog"},"depth":"1","timestamp":"2025-03-02T10:00:01.120Z"}]}`)
  const thread = {
    conversationId: 'c-1',
    firstMs: T('2025-03-02T10:00:00Z'),
    lastMs: T('2025-03-02T10:05:00Z'),
    events: 2,
    userId: 'u-9',
    channelId: '690a...',
    channelType: 'whatsapp',
  }
  const flow = (more: Record<string, unknown>, how?: How) =>
    told('flow', { ...thread, flow: { transitions: [{ timestamp: '2025-03-02T10:00:01Z', ...more }] } }, how)

  test('has each documented field in its place', () => {
    expect(only(told('flow', { ...thread, flow: FLOW }))).toEqual({
      event_key: `chatlayer:acme:${contentId('m98j39nl', 'LIVE', 'c-1', 't-1', T('2025-03-02T10:00:01.120Z'))}`,
      session_key: null,
      vendor: 'chatlayer',
      account: 'acme',
      bot_id: 'm98j39nl',
      session_id: null,
      event_id: contentId('m98j39nl', 'LIVE', 'c-1', 't-1', T('2025-03-02T10:00:01.120Z')),
      connector: 'acme',
      revision: 1,
      observed_at: NOW,
      occurred_at: T('2025-03-02T10:00:01.120Z'),
      occurred_at_estimated: false,
      type: 'flow_transition',
      name: 'flow_transition',
      channel: 'whatsapp',
      language: null,
      user_id: 'u-1',
      attributes: {
        conversation_id: 'c-1',
        channel_id: '690a...',
        bot_version: 'LIVE',
        transition_id: 't-1',
        'from_step.id': 'intro',
        'from_step.type': 'bot_dialog',
        'to_step.id': 'menu',
        'to_step.type': 'bot_dialog',
        depth: '1',
      },
    })
  })

  test('has the same depth as number and as text', () => {
    expect([1, '1', '01', 'x', null].map(depth => only(flow({ depth })).attributes['depth'])).toEqual([
      '1',
      '1',
      '1',
      'x',
      undefined,
    ])
  })

  test('may come from nowhere, and may be a drop-off', () => {
    expect(only(flow({ id: 't', to_step: { id: 'DROPOFF', type: 'x' } })).attributes).toEqual({
      conversation_id: 'c-1',
      channel_id: '690a...',
      bot_version: 'LIVE',
      transition_id: 't',
      'to_step.id': 'DROPOFF',
      'to_step.type': 'x',
      drop_off: 'true',
    })
  })

  test('of an unknown user is of the user of its events; unknown fields are kept', () => {
    expect(only(flow({ id: 't', note: 'n' }))).toMatchObject({ user_id: 'u-9', attributes: { note: 'n' } })
  })

  test('without an id has one of what it says; equal ones are told apart', () => {
    const nameless = { from_step: { id: 'a' }, to_step: { id: 'b' }, depth: 2, timestamp: '2025-03-02T10:00:01Z' }
    const records = told('flow', { ...thread, flow: { transitions: [nameless, { ...nameless, depth: '3' }, nameless] } })
    const ids = records.map(({ event_id }) => event_id)
    expect(new Set(ids).size).toBe(3)
    expect(ids[1]).toBe(`${ids[0]}.1`)
  })

  test('that comes twice in a flow is one, and flow.ids: content looks past ids that change', () => {
    const step = { to_step: { id: 'b' }, depth: 2 }
    const both = {
      ...thread,
      flow: { transitions: ['t-1', 't-1'].map(id => ({ id, ...step, timestamp: '2025-03-02T10:00:01Z' })) },
    }
    expect(told('flow', both).length).toBe(1)
    const settings = { 'flow.ids': 'content' }
    const [first, second] = ['t-1', 't-2'].map(id => only(flow({ id, ...step }, { settings })))
    expect(second?.event_id).toBe(first?.event_id)
  })

  test('with an id that its thread has used before, at another time, is another one', () => {
    const ids = ['10:00:01', '10:30:00'].map(at => only(flow({ id: '1', timestamp: `2025-03-02T${at}Z` })).event_id)
    expect(new Set(ids).size).toBe(2)
  })

  test('of a flow that was refused is not known: the conversation is a reject', () => {
    const details: unknown = expect.objectContaining({ path: 'flow', status: 400 })
    expect(() => told('flow', { ...thread, flow: null, refused: 400 })).toThrow(
      expect.objectContaining({ code: 'ROW_UNMAPPABLE', details }),
    )
  })

  test('of another conversation, bot or version has another id', () => {
    const ids = [
      only(flow({ id: 't' })),
      only(flow({ id: 't' }, { scope: 'm98j39nl@DRAFT' })),
      only(
        told('flow', {
          ...thread,
          conversationId: 'c-2',
          flow: { transitions: [{ id: 't', timestamp: '2025-03-02T10:00:01Z' }] },
        }),
      ),
    ].map(({ event_key }) => event_key)
    expect(new Set(ids).size).toBe(3)
  })

  test('without a time makes its row a reject, by its path', () => {
    expect(() => flow({ id: 't', timestamp: null })).toThrow(FlowError)
    try {
      flow({ id: 't', timestamp: null })
    } catch (error) {
      expect(error).toMatchObject({ code: 'ROW_UNMAPPABLE', details: { path: 'flow.transitions.0.timestamp' } })
    }
  })

  test.each([null, {}, { transitions: null }, { transitions: [] }])('a flow %j has none', empty => {
    expect(told('flow', { ...thread, flow: empty })).toEqual([])
  })
})

describe('a point', () => {
  const SERIES: unknown =
    JSON.parse(`{"data":{"series":[{"values":[12,7,0],"mean":6,"max":12,"min":0,"sum":19,"labels":{"channel_type":"web"}},
 {"values":[3,4,1],"mean":2,"max":4,"min":1,"sum":8,"labels":{"channel_type":"whatsapp"}}],
 "series_labels":["channel_type"],"x_values":["2025-03-02T00:00:00Z","2025-03-03T00:00:00Z","2025-03-04T00:00:00Z"]}}`)
  const window = { fromMs: T('2025-03-02T00:00:00Z'), untilMs: T('2025-03-05T00:00:00Z') }
  const range = { fromMs: T('2025-03-01T00:00:00Z'), untilMs: window.untilMs }

  /** The rows that an answer is read into. */
  async function rowsOf(body: unknown, of: { bucket?: '1h' | '1d' | null; groupBy?: readonly string[]; stat?: string } = {}) {
    const { bucket = '1d', groupBy = ['channel_type'], stat = null } = of
    const http = {
      getJson: async (_path: string, _query: object, page: { parse(raw: unknown): unknown }) => page.parse(body),
    } as unknown as Http
    const question = {
      key: 'q',
      endpoint: 'conversations',
      path: '/',
      bucket,
      groupBy,
      stat,
      range: bucket === null ? window : range,
    }
    const rows: unknown[] = []
    for await (const page of askAll([question], { window, resume: null, http })) rows.push(...page.rows)
    return rows
  }

  test('has each documented field of its series in its place', async () => {
    const rows = await rowsOf(SERIES)
    const records = rows.map(raw => only(told('series', raw)))
    expect(records.map(({ channel, occurred_at, attributes }) => [channel, occurred_at, attributes['value']])).toEqual([
      ['web', T('2025-03-02T00:00:00Z'), '12'],
      ['web', T('2025-03-03T00:00:00Z'), '7'],
      ['web', T('2025-03-04T00:00:00Z'), '0'],
      ['whatsapp', T('2025-03-02T00:00:00Z'), '3'],
      ['whatsapp', T('2025-03-03T00:00:00Z'), '4'],
      ['whatsapp', T('2025-03-04T00:00:00Z'), '1'],
    ])
    expect(records[0]).toMatchObject({
      session_key: null,
      bot_id: 'm98j39nl',
      type: 'metric_point',
      name: 'conversations',
      occurred_at_estimated: false,
      language: null,
      attributes: {
        bot_version: 'LIVE',
        endpoint: 'conversations',
        value: '12',
        x_value: '2025-03-02T00:00:00Z',
        bucket: '1d',
        group_by: 'channel_type',
        labels: '{"channel_type":"web"}',
        'series.mean': '6',
        'series.max': '12',
        'series.min': '0',
        'series.sum': '19',
        range_start: '2025-03-01T00:00:00.000Z',
        range_end: '2025-03-05T00:00:00.000Z',
      },
    })
  })

  test('keeps its id when its value changes, and is a change then; nothing else is', async () => {
    const { stream, ctx } = contextOf('series')
    const [raw] = (await rowsOf(SERIES)) as [Record<string, unknown>]
    const marks = [raw, { ...raw, value: '12' }, { ...raw, value: 13 }, { ...raw, series: {}, fromMs: 0 }].map(each => {
      const row = stream.row.parse(each) as never
      return [stream.identify(row), JSON.stringify(stream.fingerprint?.(row, ctx))]
    })
    expect(new Set(marks.map(([id]) => id)).size).toBe(1)
    expect(marks.map(([, mark]) => mark)).toEqual(['12', '12', '13', '12'])
  })

  test('of a series whose other fields are mended is a change, so that neither a fault nor a reject stays for good', async () => {
    const { stream, ctx } = contextOf('series')
    const [raw] = (await rowsOf(SERIES)) as [Record<string, unknown>]
    const markOf = (series: object) => JSON.stringify(stream.fingerprint?.(stream.row.parse({ ...raw, series }) as never, ctx))
    expect(markOf({ mean: 6, sum: '19' })).toBe('12')
    expect(markOf({ mean: 'NaN' })).not.toBe('12')
    expect(markOf({ more: 'x'.repeat(3_000_000) })).not.toBe('12')
    expect(markOf({ more: 'a', unit: 'b' })).toBe(markOf({ unit: 'b', more: 'a' }))
  })

  test('of another scope, endpoint, bucket, group, statistic, label or x has another id', async () => {
    const [raw] = (await rowsOf(SERIES)) as [Record<string, unknown>]
    const changes = [
      {},
      { endpoint: 'x' },
      { bucket: '1h' },
      { groupBy: 'language' },
      { stat: 's' },
      { labels: {} },
      { x: '2025-03-03T00:00:00Z' },
    ]
    const ids = changes.map(change => only(told('series', { ...raw, ...change })).event_key)
    expect(new Set([...ids, only(told('series', raw, { scope: 'm98j39nl@DRAFT' })).event_key]).size).toBe(changes.length + 1)
    expect(only(told('series', { ...raw, x: '2025-03-02' })).event_key).toBe(ids[0])
    expect(only(told('series', { ...raw, labels: { b: '2', a: '1' } })).event_key).toBe(
      only(told('series', { ...raw, labels: { a: '1', b: '2' } })).event_key,
    )
  })

  const answer = (data: object) => ({ data: { x_values: ['2025-03-02T00:00:00Z'], ...data } })
  const labelsOf = (rows: readonly unknown[]) => rows.map(each => (each as { labels: unknown }).labels)

  test('without labels is named by series_labels, where there is one for each series', async () => {
    const series = [{ values: [1] }, { values: [2], labels: {} }]
    expect(labelsOf(await rowsOf(answer({ series, series_labels: ['web', 'whatsapp'] })))).toEqual([
      { channel_type: 'web' },
      { channel_type: 'whatsapp' },
    ])
    expect(labelsOf(await rowsOf(answer({ series, series_labels: ['a', 'b'] }), { groupBy: [] }))).toEqual([
      { series: 'a' },
      { series: 'b' },
    ])
    expect(labelsOf(await rowsOf(answer({ series: [{ values: [1] }], series_labels: ['channel_type'] })))).toEqual([{}])
  })

  test('may be text; one that is null is none, one that is no number is a reject, and so is one without an x', async () => {
    const { stream } = contextOf('series')
    const rows = await rowsOf(
      answer({ series: [{ values: ['7', null, 3], labels: { channel_type: 'web' } }, { values: ['many'] }] }),
    )
    const fits = rows.map(each => stream.row.safeParse(each))
    expect(fits.map(({ success }) => success)).toEqual([true, false, false])
    expect(only(told('series', rows[0])).attributes['value']).toBe('7')
    expect(fits.map(({ error }) => error?.issues[0]?.path)).toEqual([undefined, ['x'], ['value']])
  })

  const faultsOf = async (data: object) =>
    (await rowsOf(answer(data))).map(row => {
      const { error } = contextOf('series').stream.row.safeParse(row)
      return error?.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('; ')
    })

  test.each<[string, unknown]>([
    ['are missing', { labels: { channel_type: 'b' } }],
    ['are null', { values: null, labels: { channel_type: 'b' } }],
    ['are none', { values: [], labels: { channel_type: 'b' } }],
    ['are of another type', { values: { '0': 1 }, labels: { channel_type: 'b' } }],
    ['are missing because it is no series', 7],
  ])("whose series' values %s is a reject, with the place of the series", async (_, series) => {
    const whole = { values: [1], labels: { channel_type: 'a' } }
    expect(await faultsOf({ series: [whole, series] })).toEqual([undefined, 'data.series.1.values is not a list of values'])
  })

  test('of a series with fewer values than x_values is told, and the missing ones are a reject', async () => {
    const x_values = ['2025-03-02T00:00:00Z', '2025-03-03T00:00:00Z']
    expect(await faultsOf({ series: [{ values: [1] }], x_values })).toEqual([undefined, 'data.series.0.values has 1 of 2 values'])
  })

  test('of a series that is named like another one of its answer is a reject: the two would have one key', async () => {
    const series = [{ values: [1] }, { values: [2], labels: { channel_type: 'web' } }, { values: [3], labels: {} }]
    const why = 'labels is the same as of another series'
    expect(await faultsOf({ series, series_labels: ['one'] })).toEqual([
      `data.series.0.${why}`,
      undefined,
      `data.series.2.${why}`,
    ])
  })

  test.each<[string, object]>([
    ['no series', { series: [] }],
    ['series without values where there is no x', { series: [{ labels: {} }, { values: [] }], x_values: [] }],
  ])('%s: none, and no reject', async (_, data) => {
    expect(await faultsOf(data)).toEqual([])
  })

  test('of another type than a list is a reject where there is no x either', async () => {
    expect(await faultsOf({ series: [{ values: 'x' }], x_values: null })).toEqual([
      'data.series.0.values is not a list of values',
    ])
  })

  test('of a bin that is no time stands at the beginning of its day, and is another one the next day', async () => {
    const body = { data: { series: [{ values: [4, 2], mean: 3 }], x_values: ['60', '300'] } }
    const [raw, other] = (await rowsOf(body, { bucket: null, groupBy: [], stat: 'duration_seconds' })) as [
      Record<string, unknown>,
      unknown,
    ]
    expect(only(told('series', raw))).toMatchObject({
      occurred_at: window.fromMs,
      occurred_at_estimated: true,
      attributes: { x_value: '60', stat: 'duration_seconds', value: '4', 'series.mean': '3' },
    })
    const keys = [raw, other, { ...raw, fromMs: window.fromMs + DAY }].map(each => only(told('series', each)).event_key)
    expect(new Set(keys).size).toBe(3)
  })

  test('of a statistic that is one number without an x stands at the beginning of its day', async () => {
    const day = { bucket: null, groupBy: [], stat: 'num_messages' } as const
    for (const x of [{ x_values: [] }, { x_values: null }, {}]) {
      const [raw] = (await rowsOf({ data: { series: [{ values: ['4'], sum: 4 }], ...x } }, day)) as [Record<string, unknown>]
      const point = only(told('series', raw))
      expect(point).toMatchObject({ occurred_at: window.fromMs, occurred_at_estimated: true, attributes: { value: '4' } })
      expect(point.attributes).not.toHaveProperty('x_value')
      expect(only(told('series', { ...raw, fromMs: window.fromMs + DAY })).event_key).not.toBe(point.event_key)
    }
  })

  test('of several numbers of a day without x is told apart by its place', async () => {
    const rows = await rowsOf(
      { data: { series: [{ values: [40, 7, 40] }] } },
      { bucket: null, groupBy: [], stat: 'num_messages' },
    )
    const records = rows.map(raw => only(told('series', raw)))
    expect(records.map(({ attributes }) => [attributes['value'], attributes['x_value'], attributes['x_place']])).toEqual([
      ['40', undefined, '0'],
      ['7', undefined, '1'],
      ['40', undefined, '2'],
    ])
    expect(new Set(records.map(({ event_id }) => event_id)).size).toBe(3)
  })

  test('of a series that sums up what it does not tell is a reject', async () => {
    const { stream } = contextOf('series')
    const [raw, ...more] = await rowsOf({ data: { series: [{ values: [], sum: 9 }] } }, { bucket: null, groupBy: [] })
    expect(more).toEqual([])
    expect(stream.row.safeParse(raw).error?.issues).toMatchObject([{ path: ['data', 'series', 0, 'values'] }])
    expect(await rowsOf({ data: { series: [{ values: [], sum: 0 }] } })).toEqual([])
  })

  test('of several groups without labels has those that its name tells', async () => {
    const groupBy = ['bot_id', 'bot_version', 'channel_type']
    const labelsOf = async (name: string) => {
      const body = { data: { series: [{ values: [1] }], series_labels: [name], x_values: ['2025-03-03'] } }
      return ((await rowsOf(body, { groupBy })) as { labels: object }[]).map(({ labels }) => labels)
    }
    expect(await labelsOf('m98j39nl, DRAFT, web')).toEqual([{ bot_id: 'm98j39nl', bot_version: 'DRAFT', channel_type: 'web' }])
    expect(await labelsOf('all of them')).toEqual([{ series: 'all of them' }])
    expect(await labelsOf(groupBy.join(','))).toEqual([{}])
  })

  test('of a bucket whose beginning cannot be read is kept, at the beginning of the range', async () => {
    const rows = await rowsOf({ data: { series: [{ values: [4] }], x_values: ['week 9'] } })
    expect(only(told('series', rows[0]))).toMatchObject({
      occurred_at: range.fromMs,
      occurred_at_estimated: true,
      attributes: { x_value: 'week 9' },
    })
  })

  test.each<[string, string, string | null]>([
    ['2025-03-02T00:00:00+01:00', '2025-03-01T23:00:00Z', null],
    ['2025-03-02', '2025-03-02T00:00:00Z', null],
    ['2025-03-02T07', '2025-03-02T07:00:00Z', null],
    ['2025-03', '2025-03-01T00:00:00Z', null],
    ['2025-03-02 07:00:00 UTC', '2025-03-02T07:00:00Z', null],
    ['2025-03-02 07:00:00 +0000 UTC', '2025-03-02T07:00:00Z', null],
    ['1740873600', '2025-03-02T00:00:00Z', null],
    ['1740873600000', '2025-03-02T00:00:00Z', null],
  ])('at %s stands where that is', (x, expected) => {
    const raw = {
      endpoint: 'e',
      bucket: '1d',
      groupBy: null,
      stat: null,
      labels: {},
      seriesLabel: null,
      series: {},
      x,
      value: 1,
      fromMs: 0,
      untilMs: 1,
    }
    expect(only(told('series', raw))).toMatchObject({ occurred_at: T(expected), occurred_at_estimated: false })
  })

  test.each<[Readonly<Record<string, string>>, string, string | null]>([
    [{ bot_id: 'm98j39nl', bot_version: 'LIVE', channel_type: 'facebook' }, 'm98j39nl', 'messenger'],
    [{ bot_id: 'm98j39nl', bot_version: 'DRAFT' }, 'm98j39nl@DRAFT', null],
    [{ bot_version: 'DRAFT', channel_type: '' }, 'team-1', null],
    [{ campaign_id: 'k' }, 'team-1', null],
    [{}, 'team-1', null],
  ])('of a team with the labels %j is of bot %s', (labels, bot, channel) => {
    const raw = {
      endpoint: 'teams/conversations',
      bucket: '1d',
      groupBy: 'x',
      stat: null,
      labels,
      seriesLabel: null,
      series: {},
      x: '2025-03-02',
      value: 1,
      fromMs: 0,
      untilMs: 1,
    }
    const record = only(told('team-usage', raw, { scope: 'team-1' }))
    expect(record).toMatchObject({
      bot_id: bot,
      channel,
      type: 'metric_point',
      name: 'teams/conversations',
      attributes: { team_id: 'team-1' },
    })
  })

  test('has the language of its label, and keeps fields of its series that are not documented', async () => {
    const body = answer({ series: [{ values: [1], labels: { language: 'nl' }, median: 1 }] })
    const [raw] = await rowsOf(body, { groupBy: ['language'] })
    expect(only(told('series', raw))).toMatchObject({ language: 'nl', channel: null, attributes: { 'series.median': '1' } })
  })
})
