import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import wolkvox from '../../connectors/wolkvox/index.ts'
import { gathered } from '../../connectors/wolkvox/rows.ts'
import { momentOf, reportedTimeOf, zoneNamed } from '../../connectors/wolkvox/wall.ts'
import { type Derived, DerivedSessions } from '../../src/ingest/derived.ts'
import type { Event, Message, Session } from '../../src/records.ts'
import { type Derive, type Draft, type RowContext, rowContext, type SessionRef, type Stream } from '../../src/source/index.ts'

const T = Date.parse
const iso = (ms: number | null | undefined) => (ms === null || ms === undefined ? ms : new Date(ms).toISOString())

function ctxOf(config: Record<string, unknown> = {}, derived: SessionRef | null = null): RowContext {
  const ctx = rowContext<unknown>({
    vendor: 'wolkvox',
    account: 'acme',
    connector: 'x',
    config: wolkvox.config.parse({ token: 'a-token', server: '0010', ...config }),
    scope: { name: 'acme', botId: null },
    observedAtMs: T('2026-12-03T00:00:00Z'),
    lookbackMs: 7_200_000,
  })
  return { ...ctx, derived }
}

const streamOf = (name: string) => wolkvox.streams[name] as Stream

/** The records of a row of the vendor. */
function told(name: string, row: unknown, config: Record<string, unknown> = {}, derived: SessionRef | null = null) {
  const stream = streamOf(name)
  const drafts = stream.normalise(stream.row.parse(row) as never, ctxOf(config, derived))
  const of = (kind: Draft['kind']) => drafts.filter(draft => draft.kind === kind).map(draft => draft.record)
  return { sessions: of('session') as Session[], messages: of('message') as Message[], events: of('event') as Event[] }
}

const idOf = (name: string, row: unknown) => streamOf(name).identify(streamOf(name).row.parse(row) as never)
const faultsOf = (name: string, row: unknown) =>
  streamOf(name)
    .row.safeParse(row)
    .error?.issues.map(({ path, message }) => [path.join('.'), message])

/** The documented form with its values inferred, as the notes on the API have it. */
const DIAGRAM_9 = `{"code":200,"error":null,"msg":"2 records were found","data":[
 {"session_id":"573001112233.1040.2985","channel":"whatsapp official direct","rp_id":"4471","date":"2025-03-02 09:15:20","customer_name":"Ana","customer_email":"","customer_phone":"573001112233","customer_query":"hola","routing_answer":"Bienvenida, elige una opcion","customer_id":"","conn_id":"0"},
 {"session_id":"573001112233.1040.2985","channel":"whatsapp official direct","rp_id":"4471","date":"2025-03-02 09:15:41","customer_name":"Ana","customer_email":"","customer_phone":"573001112233","customer_query":"2","routing_answer":"transfer_skill","customer_id":"","conn_id":"186067617"}]}`
const [GREETING, HAND_OVER] = (JSON.parse(DIAGRAM_9) as { data: [Record<string, string>, Record<string, string>] }).data

describe('diagram_9', () => {
  const marksOf = (rows: readonly object[], config: Record<string, unknown> = {}) =>
    rows.map(row => streamOf('diagram_9').fingerprint?.(streamOf('diagram_9').row.parse(row) as never, ctxOf(config)))

  const derived = ctxOf().session({ botId: '4471', sessionId: 'derived', channel: 'whatsapp official direct' })

  test('a turn is the question and the answer, with every field in its place', () => {
    const { messages, events, sessions } = told('diagram_9', GREETING, {}, derived)
    expect([events, sessions]).toEqual([[], []])
    expect(messages.map(({ sender, text, seq, type }) => [sender, text, seq, type])).toEqual([
      ['USER', 'hola', 0, 'text'],
      ['BOT', 'Bienvenida, elige una opcion', 1, 'text'],
    ])
    for (const message of messages)
      expect(message).toMatchObject({
        session_id: 'derived',
        bot_id: '4471',
        channel: 'whatsapp',
        language: null,
        sent_at: T('2025-03-02T14:15:20Z'),
        sent_at_estimated: false,
        attributes: { session_id: '573001112233.1040.2985', customer_name: 'Ana', customer_phone: '573001112233' },
      })
    const full = { ...GREETING, customer_email: 'ana@example.com', customer_id: '31', conn_id: '5', more: { a: 1 } }
    expect(told('diagram_9', full).messages[0]).toMatchObject({
      session_id: '5',
      attributes: { customer_email: 'ana@example.com', customer_id: '31', conn_id: '5', more: '{"a":1}' },
    })
  })

  test('a hand-over is an event of the chat, and what led to it a message', () => {
    const { messages, events } = told('diagram_9', HAND_OVER)
    expect(messages.map(({ sender, text, session_id }) => [sender, text, session_id])).toEqual([['USER', '2', '186067617']])
    expect(events).toMatchObject([
      {
        type: 'agent_transfer_requested',
        name: 'transfer_skill',
        session_id: '186067617',
        bot_id: '4471',
        channel: 'whatsapp',
        user_id: '573001112233',
        occurred_at: T('2025-03-02T14:15:41Z'),
      },
    ])
  })

  test.each([
    'transfer_skill',
    'Transfer Skill',
    'TRANSFER TO SKILL',
    'Transferir a skill',
    'transfer_skill:12',
    'transfer_skill - Ventas',
    'transfer_skill_12',
    ' Transfer_Skill – Soporte técnico',
    'Transferencia a skill: Ventas',
    'transfer_skill 12',
    'transfer to skill (Ventas)',
  ])('%s is a hand-over', routing_answer => {
    expect(told('diagram_9', { ...HAND_OVER, routing_answer }).events[0]?.type).toBe('agent_transfer_requested')
  })

  test('the config names other words for a hand-over, and then these are what the bot said', () => {
    const config = { transferAnswers: ['pasar_agente'] }
    expect(told('diagram_9', { ...HAND_OVER, routing_answer: 'pasar_agente' }, config).events).toHaveLength(1)
    expect(told('diagram_9', HAND_OVER, config).messages.map(({ text }) => text)).toEqual(['2', 'transfer_skill'])
  })

  test('words that only begin so are what the bot said', () => {
    const said = { ...HAND_OVER, routing_answer: 'Transfer to skill is what happens next' }
    expect(told('diagram_9', said).messages.at(-1)).toMatchObject({ sender: 'BOT', text: said.routing_answer })
  })

  test('words that come masked in the place of the answer are what the customer said', () => {
    const masked = { ...HAND_OVER, customer_query: '', routing_answer: 'MaskedText: ****' }
    expect(told('diagram_9', masked).messages).toMatchObject([
      { sender: 'USER', text: 'MaskedText: ****', attributes: { masked: 'true' } },
    ])
    expect(told('diagram_9', { ...masked, customer_query: '1234' }).messages).toMatchObject([
      { sender: 'USER', text: '1234', attributes: { routing_answer: 'MaskedText: ****' } },
    ])
  })

  test('a turn without words is an event, so that it is not lost', () => {
    const empty = { ...HAND_OVER, customer_query: '-', routing_answer: '' }
    expect(told('diagram_9', empty)).toMatchObject({ messages: [], events: [{ type: 'other', name: 'a turn without words' }] })
  })

  test('a chat that is filled in later moves no turn to another session: beside chat_8 the row has not changed', () => {
    const [before, after] = marksOf([GREETING, { ...GREETING, conn_id: '186067617' }])
    expect(after).toEqual(before)
    const [alone, later] = marksOf([GREETING, { ...GREETING, conn_id: '186067617' }], { streams: 'diagram_9'.split(',') })
    expect(later).not.toEqual(alone)
  })

  test.each<[string, object]>([
    ['the channel', { channel: 'web' }],
    ['the customer', { customer_id: '31' }],
    ['a field that nobody knows', { more: 'a' }],
  ])('%s that the vendor mends or fills in later is a change of the row: it is published anew under the same id', (_, more) => {
    const [before, after] = marksOf([GREETING, { ...GREETING, ...more }])
    expect(after).not.toEqual(before)
    expect(idOf('diagram_9', { ...GREETING, ...more })).toBe(idOf('diagram_9', GREETING))
  })

  test.each(['conn_id', 'rp_id'])(
    'what cannot be an id in %s goes to rejects: a session or a partition made of it would stay',
    name => {
      for (const value of [
        [],
        [1],
        {},
        { $oid: 'a' },
        true,
        1.5,
        -1,
        'NaN',
        '9999-12-31T23:59:59Z',
        '0000-00-00 00:00:00',
        '\ud83d',
        'x'.repeat(200),
      ])
        expect(faultsOf('diagram_9', { ...GREETING, [name]: value })).toEqual([[name, 'is no id']])
      for (const value of [
        '186067617',
        4471,
        '6736.4628.1040.1768782812.1814',
        'conversations-voice-61083',
        'abc-1',
        '0',
        '-',
        '',
      ])
        expect(faultsOf('diagram_9', { ...GREETING, [name]: value })).toBeUndefined()
    },
  )

  test('the id stays when the chat, or who the customer is, is filled in later', () => {
    const later = { ...GREETING, conn_id: '186067617', customer_id: '31', customer_name: 'Ana M.' }
    expect(idOf('diagram_9', later)).toBe(idOf('diagram_9', GREETING))
    const others = [
      { date: '2025-03-02 09:15:21' },
      { customer_query: 'Hola' },
      { routing_answer: '' },
      { rp_id: '1' },
      { session_id: 'x' },
    ]
    expect(new Set([GREETING, ...others.map(other => ({ ...GREETING, ...other }))].map(row => idOf('diagram_9', row))).size).toBe(
      6,
    )
  })

  test('the id does not depend on how the vendor writes names, numbers and times', () => {
    const { session_id, rp_id: _, date: __, ...rest } = GREETING
    const other = { ...rest, ' Session_ID ': session_id, RP_ID: 4471, date: '2025/03/02T09:15:20' }
    expect(idOf('diagram_9', other)).toBe(idOf('diagram_9', GREETING))
  })

  test.each<[string, object, string[][]]>([
    ['no date', { date: '-' }, [['date', 'is missing']]],
    ['a date that is none', { date: '2025-02-30 10:00:00' }, [['date', 'is not a time']]],
    ['a date with the day first', { date: '03/02/2025 10:00:00' }, [['date', 'is not a time']]],
    ['nothing to belong to', { session_id: '', conn_id: '0' }, [['session_id', 'is missing, and there is no conn_id']]],
  ])('with %s goes to rejects', (_, more, faults) => {
    expect(faultsOf('diagram_9', { ...GREETING, ...more })).toEqual(faults)
  })

  test('in place of a row, anything else goes to rejects', () => {
    expect(faultsOf('diagram_9', 'x')).toEqual([['', 'is no object']])
  })

  test('a trial in Studio is told as a test', () => {
    const stream = streamOf('diagram_9')
    const row = stream.row.parse({ ...GREETING, channel: 'configurationbox' }) as never
    expect(stream.derive?.(ctxOf().config as never)?.turn(row, ctxOf())?.isTest).toBe(true)
  })
})

describe('sessions of turns', () => {
  const place = { connector: 'x', stream: 'diagram_9', scope: 'acme' }

  /** Each turn's session as `normalise` finds it, all of them read together. */
  function refer(rows: readonly object[], config: Record<string, unknown>) {
    const stream = streamOf('diagram_9')
    const ctx = ctxOf(config)
    const derive = stream.derive?.(ctx.config as never) as Derive
    const derived = new DerivedSessions(derive, place)
    const turns = rows.map(row => derive.turn(stream.row.parse(row) as never, ctx)).filter(turn => turn !== null)
    const found = derived.assign(turns)
    for (const [n, turn] of turns.entries())
      derived.count(found[n] as Derived, turn, { isNew: true, firstRevision: 1, readUntilMs: ctx.observedAtMs })
    const ids = turns.map((turn, n) => derived.refer(found[n] as Derived, turn, ctx).sessionId)
    return { ids, sessions: derived.drain(ctx).sessions.map(({ record }) => record) }
  }

  const at = (time: string, more: object = {}) => ({ ...GREETING, date: `2025-03-02 ${time}`, ...more })

  test('without chat_8, a silence of an hour or another chat begins a new one; the same session_id does not hold them together', () => {
    const rows = [
      at('09:00:00'),
      at('09:50:00'),
      at('10:50:01'),
      at('10:51:00', { conn_id: '7' }),
      at('10:52:00', { conn_id: '8' }),
    ]
    const { ids, sessions } = refer(rows, { streams: ['diagram_9'] })
    expect(ids.map(id => ids.indexOf(id))).toEqual([0, 0, 2, 2, 4])
    expect(sessions).toHaveLength(3)
    expect(sessions[0]).toMatchObject({
      bot_id: '4471',
      channel: 'whatsapp',
      user_id: '573001112233',
      user_messages: 2,
      bot_messages: 2,
      started_at: T('2025-03-02T14:00:00Z'),
      attributes: { session_id: '573001112233.1040.2985', customer_name: 'Ana' },
    })
    expect(sessions[1]?.attributes['conn_id']).toBe('7')
  })

  test('the gap is a setting', () => {
    const { ids } = refer([at('09:00:00'), at('09:50:00')], { streams: ['diagram_9'], sessionGapMs: 600_000 })
    expect(new Set(ids).size).toBe(2)
  })

  test('bots are kept apart', () => {
    expect(new Set(refer([at('09:00:00'), at('09:00:10', { rp_id: '1' })], { streams: ['diagram_9'] }).ids).size).toBe(2)
  })

  test('a hand-over makes it one of an agent', () => {
    expect(refer([GREETING, HAND_OVER], { streams: ['diagram_9'] }).sessions[0]).toMatchObject({
      containment: 'AGENT',
      transferred_at: T('2025-03-02T14:15:41Z'),
      user_messages: 2,
      bot_messages: 1,
    })
  })

  test('with chat_8 they are not published, and a turn goes to the chat that another turn of its session names', () => {
    const { ids, sessions } = refer([GREETING, HAND_OVER], {})
    expect([ids, sessions]).toEqual([['186067617', '186067617'], []])
  })
})

const CHAT_8 = {
  conn_id: '186067617',
  session_id: '573001112233.1040.2985',
  times_chatted: '12',
  start_date: '2025-03-02 09:15:20',
  end_date: '2025-03-02 09:45:20',
  time_on_chatbot: '00:00:21',
  rp_id: '4471',
  channel: 'whatsapp',
  go_to_agent: 'yes',
  customer_phone: '573001112233',
  customer_name: 'Ana',
  agent_id: '44710',
  agent_name: 'Robin',
  time_with_agent: '00:28:00',
  total_time: '00:30:00',
  customer_chars: '120',
  agent_chars: '300',
  total_chars: '600',
  asa: '00:01:39',
  last_sender: 'agent',
  customer_id: '31',
  customer_email: 'ana@example.com',
}

describe('a turn that asks for a person, in the place of a chat that is open', () => {
  const asked = (more: object = {}, first = 'w1740906920000') =>
    told('chat_8', { ...HAND_OVER, 'colloquy:first': first, ...more })

  test('is an open session of an agent, with every field in its place', () => {
    expect(asked({ routing_answer: 'transfer_skill - Ventas' }).sessions).toMatchObject([
      {
        session_key: 'wolkvox:acme:186067617',
        bot_id: '4471',
        started_at: T('2025-03-02T14:15:20Z'),
        ended_at: null,
        status: 'OPEN',
        containment: 'AGENT',
        transferred_at: T('2025-03-02T14:15:41Z'),
        queue: 'Ventas',
        channel: 'whatsapp',
        user_id: '573001112233',
        agent_id: null,
        attributes: { session_id: '573001112233.1040.2985', transferred_at: 'a turn of diagram_9' },
      },
    ])
  })

  test('has the id and the mark of its chat, whatever it says: what comes of the chat later is a change of it', () => {
    const stream = streamOf('chat_8')
    const [one, other, closed] = [
      { ...HAND_OVER, 'colloquy:first': 'w1740906920000' },
      { ...HAND_OVER, date: '2025-03-02 09:20:00', 'colloquy:first': 'w1740906930000' },
      CHAT_8,
    ].map(row => stream.row.parse(row) as never)
    const markOf = (row: unknown) => stream.fingerprint?.(row as never, ctxOf())
    expect([stream.identify(one as never), stream.identify(other as never)]).toEqual(['186067617', '186067617'])
    expect(stream.identify(closed as never)).toBe('186067617')
    expect(markOf(other)).toEqual(markOf(one))
    expect(markOf(closed)).not.toEqual(markOf(one))
  })
})

describe('chat_8', () => {
  test('a chat without an id is a session: named by routing point, session_id and start', () => {
    const unnamed = (more: object = {}) => told('chat_8', { ...CHAT_8, conn_id: '-', ...more }).sessions[0] as Session
    expect(unnamed()).toMatchObject({
      status: 'CLOSED',
      containment: 'AGENT',
      attributes: { session_id: '573001112233.1040.2985' },
    })
    expect(unnamed({ end_date: '2025-03-02 10:00:00', customer_id: '7' }).session_key).toBe(unnamed().session_key)
    const others = [{ rp_id: '1' }, { session_id: 'x.1' }, { start_date: '2025-03-02 09:15:21' }]
    expect(new Set([{}, ...others].map(more => unnamed(more).session_key)).size).toBe(4)
  })

  const session = (more: object = {}) => told('chat_8', { ...CHAT_8, ...more }).sessions[0] as Session

  test('a chat is a session, with every field in its place', () => {
    expect(session()).toMatchObject({
      session_key: 'wolkvox:acme:186067617',
      session_id: '186067617',
      bot_id: '4471',
      started_at: T('2025-03-02T14:15:20Z'),
      ended_at: T('2025-03-02T14:45:20Z'),
      ended_at_estimated: false,
      status: 'CLOSED',
      containment: 'AGENT',
      interactive: true,
      channel: 'whatsapp',
      channel_raw: 'whatsapp',
      language: null,
      user_id: '31',
      channel_user_id: '573001112233',
      transferred_at: T('2025-03-02T14:15:41Z'),
      agent_id: '44710',
      agent_name: 'Robin',
      total_messages: 12,
      user_messages: null,
      is_test: null,
      attributes: {
        session_id: '573001112233.1040.2985',
        time_on_chatbot: '00:00:21',
        time_with_agent: '00:28:00',
        total_time: '00:30:00',
        customer_chars: '120',
        agent_chars: '300',
        total_chars: '600',
        asa: '00:01:39',
        last_sender: 'agent',
        go_to_agent: 'yes',
        customer_phone: '573001112233',
        customer_name: 'Ana',
        customer_id: '31',
        customer_email: 'ana@example.com',
        transferred_at: 'start_date + time_on_chatbot',
      },
    })
  })

  test.each<[string, object, object]>([
    ['stayed with the bot', { go_to_agent: 'no' }, { containment: 'SELF_SERVICE', transferred_at: null }],
    [
      'stayed with the bot, and the customer said nothing',
      { go_to_agent: 'NO', customer_chars: '0' },
      { containment: 'UNKNOWN', interactive: false },
    ],
    ['is not closed', { go_to_agent: 'no', end_date: '-' }, { containment: 'UNKNOWN', status: 'OPEN', ended_at: null }],
    ['has no end, as databases write it', { end_date: '0000-00-00 00:00:00' }, { status: 'OPEN', ended_at: null }],
    ['has an agent, and no word on the hand-over', { go_to_agent: '' }, { containment: 'AGENT' }],
    ['has neither', { go_to_agent: '', agent_id: '0', time_with_agent: '00:00:00' }, { containment: 'UNKNOWN', agent_id: null }],
    ['tells durations in seconds', { time_on_chatbot: '21' }, { transferred_at: T('2025-03-02T14:15:41Z') }],
    ['does not tell how long the bot had it', { time_on_chatbot: '-' }, { containment: 'AGENT', transferred_at: null }],
    ['ends before the bot has had it', { time_on_chatbot: '20:00:00' }, { transferred_at: T('2025-03-02T14:45:20Z') }],
    [
      'ends before it begins',
      { end_date: '2025-03-02 09:00:00' },
      { ended_at: T('2025-03-02T14:15:20Z'), ended_at_estimated: true },
    ],
    ['has a number for its id', { conn_id: 186067617, times_chatted: 12 }, { session_id: '186067617', total_messages: 12 }],
    ['has a count that is none', { times_chatted: 'many' }, { total_messages: null, attributes: { times_chatted: 'many' } }],
    ['names no bot', { rp_id: '-' }, { bot_id: 'acme' }],
    [
      'knows no customer',
      { customer_id: '-', customer_phone: '' },
      { user_id: CHAT_8.session_id, channel_user_id: CHAT_8.session_id },
    ],
    [
      'is a trial in Studio',
      { channel: 'configurationbox' },
      { is_test: true, channel: 'other', channel_raw: 'configurationbox' },
    ],
    ['has another field', { extra_field: 'x' }, { attributes: { extra_field: 'x' } }],
  ])('a chat that %s', (_, more, record) => {
    expect(session(more)).toMatchObject(record)
  })

  test.each<[string, string]>([
    ['facebook', 'messenger'],
    ['instagram', 'instagram'],
    ['telegram', 'telegram'],
    ['web', 'web'],
    ['whatsapp official direct', 'whatsapp'],
    ['facebook_page', 'messenger'],
    ['chat-web', 'web'],
    ['crm+webhook', 'other'],
  ])('channel %s is %s', (channel, normalised) => {
    expect(session({ channel }).channel).toBe(normalised)
  })

  test('misspelt names are read', () => {
    const { channel: _, agent_name: __, ...rest } = CHAT_8
    const row = { ...rest, chanel: 'telegram', 'agent_name ': 'Robin', ' Agent_Anwers ': '4' }
    expect(told('chat_8', row).sessions[0]).toMatchObject({
      channel: 'telegram',
      agent_name: 'Robin',
      attributes: { agent_answers: '4' },
    })
  })

  test('the bot of records that name none is a setting', () => {
    expect(told('chat_8', { ...CHAT_8, rp_id: '' }, { botId: 'the-bot' }).sessions[0]?.bot_id).toBe('the-bot')
  })

  test('without an id or a start goes to rejects', () => {
    expect(faultsOf('chat_8', { ...CHAT_8, conn_id: '0', session_id: '-', start_date: null })).toEqual([
      ['start_date', 'is missing'],
      ['conn_id', 'is missing, and there is no session_id'],
    ])
  })
})

const bytesOf = (type: string, bytes: string) => ({
  kind: /^(image|audio|video)/.exec(type)?.[0] ?? 'file',
  url: `data:${type};size=${bytes.length};sha256=${createHash('sha256').update(bytes).digest('hex')},`,
  caption: null,
})

const line = (time: string, from: string, from_name: string, to_name: string | undefined, text: string) => ({
  channel: 'whatsapp',
  from,
  from_name,
  to_name,
  date: `2025-03-02 ${time}`,
  message: text,
  customer_id: '31',
  customer_phone: '573001112233',
})
const CHAT_2 = {
  conn_id: '186067617',
  agent_name: 'Robin',
  customer_name: 'Ana',
  conversation: [
    line('09:15:19', 'CUSTOMER', 'Ana', 'chat_bot', 'hola'),
    line('09:15:20', 'AGENT', 'chat_bot', 'Ana', 'Bienvenida'),
    line('09:15:41', 'CUSTOMER', 'Ana', 'chat bot', '2'),
    line('09:17:00', 'AGENT', 'Robin', 'Ana', 'Buenos dias'),
    line('09:17:30', 'CUSTOMER', 'Ana', 'Robin', 'hola'),
  ],
}

describe('chat_2', () => {
  const texts = (row: unknown, config = {}) => told('chat_2', row, config).messages.map(({ sender, text }) => `${sender} ${text}`)

  test('tells the part with the agent where diagram_9 tells the bot part, and all of it where it does not', () => {
    expect(texts(CHAT_2)).toEqual(['AGENT Buenos dias', 'USER hola'])
    expect(texts(CHAT_2, { streams: ['chat_2'] })).toEqual([
      'USER hola',
      'BOT Bienvenida',
      'USER 2',
      'AGENT Buenos dias',
      'USER hola',
    ])
  })

  test('has every field in its place', () => {
    expect(told('chat_2', CHAT_2).messages[0]).toMatchObject({
      session_id: '186067617',
      bot_id: 'acme',
      channel: 'whatsapp',
      sent_at: T('2025-03-02T14:17:00Z'),
      seq: 3,
      type: 'text',
      agent_name: 'Robin',
      attributes: {
        agent_name: 'Robin',
        customer_name: 'Ana',
        from_name: 'Robin',
        to_name: 'Ana',
        customer_id: '31',
        customer_phone: '573001112233',
      },
    })
  })

  test('is of the bot that chat_8 told', () => {
    expect(told('chat_2', { ...CHAT_2, 'colloquy:rp_id': '4471' }).messages[0]?.bot_id).toBe('4471')
  })

  test('where nobody is named, a customer speaks to who spoke last, and to the bot before anybody spoke', () => {
    const conversation = CHAT_2.conversation.map(each => ({ ...each, to_name: undefined }))
    expect(texts({ ...CHAT_2, conversation })).toEqual(['AGENT Buenos dias', 'USER hola'])
  })

  test('is put in order of time, and ids do not depend on the order', () => {
    const all = { streams: ['chat_2'] }
    const ids = (row: unknown) => told('chat_2', row, all).messages.map(({ message_id }) => message_id)
    expect(ids({ ...CHAT_2, conversation: CHAT_2.conversation.toReversed() })).toEqual(ids(CHAT_2))
  })

  test('keeps two messages apart that say the same in one second', () => {
    const twice = { ...CHAT_2, conversation: [CHAT_2.conversation[3], CHAT_2.conversation[3]] }
    const { messages } = told('chat_2', twice)
    expect(new Set(messages.map(({ message_id }) => message_id)).size).toBe(2)
  })

  test.each<[string, string, object]>([
    [
      'a link',
      '<a href="https://files.example.com/a.jpg?x=1&amp;y=2" target="_blank">a <b>picture</b></a>',
      { kind: 'image', url: 'https://files.example.com/a.jpg?x=1&y=2', caption: 'a picture' },
    ],
    [
      'a link without words',
      "<a href='https://files.example.com/a.pdf'></a>",
      { kind: 'file', url: 'https://files.example.com/a.pdf', caption: null },
    ],
    ['bytes', 'QUJD'.repeat(300), bytesOf('application/octet-stream', 'ABC'.repeat(300))],
    [
      'bytes in lines',
      `${'QUJD'.repeat(300)}\r\n${'QUJD'.repeat(19)}\r\nQUI=`,
      bytesOf('application/octet-stream', `${'ABC'.repeat(319)}AB`),
    ],
    ['bytes with their kind', 'data:image/png;base64,QUJD', bytesOf('image/png', 'ABC')],
    ['bytes with parameters', 'data:audio/ogg; codecs=opus;base64,QUJD', bytesOf('audio/ogg', 'ABC')],
    ['an image', '<img src="data:image/jpeg;base64,QUJD">', bytesOf('image/jpeg', 'ABC')],
    [
      'an image in a paragraph',
      "<p><img alt='x' src='data:image/jpeg;base64,QUJD' width=20 /></p>",
      bytesOf('image/jpeg', 'ABC'),
    ],
    ['an image that breaks off', '<img src="data:image/jpeg;base64,QUJD', bytesOf('image/jpeg', 'ABC')],
    [
      'a voice message',
      '<audio controls><source src="data:audio/ogg; codecs=opus;base64,QUJD" type="audio/ogg"></audio>',
      bytesOf('audio/ogg', 'ABC'),
    ],
  ])('a file that comes as %s is an attachment', (_, text, attachment) => {
    const { messages } = told('chat_2', { ...CHAT_2, conversation: [line('09:17:00', 'AGENT', 'Robin', 'Ana', text)] })
    expect(messages[0]).toMatchObject({ type: (attachment as { kind: string }).kind, text: null, attachments: [attachment] })
  })

  test.each<[string, string, string, object[]]>([
    ['bytes', 'look: data:image/png;base64,QUJD and tell me', 'look: and tell me', [bytesOf('image/png', 'ABC')]],
    ['an image', 'before <img src="data:image/png;base64,QUJD"> after', 'before after', [bytesOf('image/png', 'ABC')]],
    [
      'a link',
      'the bill is <a href="https://files.example.com/bill.pdf">here</a>, thanks',
      'the bill is here , thanks',
      [{ kind: 'file', url: 'https://files.example.com/bill.pdf', caption: 'here' }],
    ],
    [
      'two files',
      '<img src="data:image/png;base64,QUJD"><br>both<br>data:application/pdf;base64,QUI=',
      '<br>both<br>',
      [bytesOf('image/png', 'ABC'), bytesOf('application/pdf', 'AB')],
    ],
    [
      'a bare link, which stays among the words',
      'see https://files.example.com/a.jpg?x=1',
      'see https://files.example.com/a.jpg?x=1',
      [{ kind: 'image', url: 'https://files.example.com/a.jpg?x=1', caption: null }],
    ],
  ])('words around %s are words, and the file is an attachment', (_, message, words, attachments) => {
    const { messages } = told('chat_2', { ...CHAT_2, conversation: [line('09:17:00', 'AGENT', 'Robin', 'Ana', message)] })
    expect(messages[0]).toMatchObject({ type: 'text', text: words, attachments })
    const turn = told('diagram_9', { ...HAND_OVER, customer_query: message }).messages[0]
    expect(turn, 'of a turn, too').toMatchObject({ sender: 'USER', text: words, attachments })
  })

  test('bytes of any size are read in little time, and no text of them is passed on', () => {
    const bytes = 'QUJD'.repeat(2_000_000)
    const message = `<a `.repeat(2000) + `look <img src="data:image/png;base64,${bytes}"> there`
    const { messages } = told('chat_2', { ...CHAT_2, conversation: [line('09:17:00', 'CUSTOMER', 'Ana', 'Robin', message)] })
    expect(messages[0]?.attachments[0]?.url).toMatch(/^data:image\/png;size=6000000;sha256=[0-9a-f]{64},$/)
    expect(JSON.stringify(messages).length).toBeLessThan(20_000)
  })

  test('words that only look like a file stay words', () => {
    for (const words of [
      'data: see below',
      'the data:, and so on',
      'my data:image is broken',
      '<a name="x">here</a>',
      '<a href="#top">up</a>',
    ])
      expect(texts({ ...CHAT_2, conversation: [line('09:17:00', 'AGENT', 'Robin', 'Ana', words)] })).toEqual([`AGENT ${words}`])
  })

  test('keeps words as they were said', () => {
    for (const words of ['-', 'null', ' see <a href="x">this</a>', 'a&amp;b'])
      expect(texts({ ...CHAT_2, conversation: [line('09:17:00', 'AGENT', 'Robin', 'Ana', words)] })).toEqual([`AGENT ${words}`])
  })

  test('reads fields of older versions and a sender that is new', () => {
    const conversation = [{ ...line('09:17:00', 'SUPERVISOR', 'Kim', 'Robin', 'x'), chat_id: '9', feeling: 'neutral' }]
    expect(told('chat_2', { ...CHAT_2, conversation }).messages[0]).toMatchObject({
      sender: 'UNKNOWN',
      attributes: { sender_raw: 'SUPERVISOR', chat_id: '9', feeling: 'neutral' },
    })
  })

  test.each([[[]], [null], [''], [{}]])('a chat with %j for its messages has none', conversation => {
    expect(told('chat_2', { ...CHAT_2, conversation }).messages).toEqual([])
  })

  test('without its messages goes to rejects', () => {
    const { conversation: _, ...rest } = CHAT_2
    expect(faultsOf('chat_2', rest)).toEqual([['conversation', 'is missing']])
  })

  test('of the older form, in which the messages name the chat, is read', () => {
    const { conn_id: _, ...chat } = CHAT_2
    const conversation = CHAT_2.conversation.map(each => ({ ...each, chat_id: '186067617', feeling: 'neutral' }))
    expect(told('chat_2', { ...chat, conversation }).messages.map(({ session_id }) => session_id)).toEqual(
      told('chat_2', CHAT_2).messages.map(({ session_id }) => session_id),
    )
    expect(told('chat_2', { ...chat, chat_id: '186067617' }).messages[0]?.session_id).toBe('186067617')
    const [row] = gathered(conversation.map(each => ({ ...chat, ...each })))
    expect(told('chat_2', row).messages[0]?.session_id).toBe('186067617')
    const two = [...conversation, { ...conversation[0], chat_id: '9' }]
    expect(faultsOf('chat_2', { ...chat, conversation: two }), 'two chats in one').toEqual([['conn_id', 'is missing']])
  })

  test('that came one message a row has every field in the same place', () => {
    const { conversation, ...chat } = CHAT_2
    const [row] = gathered(conversation.map(each => ({ ...chat, ...each })))
    expect(told('chat_2', row)).toEqual(told('chat_2', CHAT_2))
  })

  test('knows the sender by the words of neighbouring reports, and their name by the one in the table of fields', () => {
    const conversation = [line('09:17:00', 'agente', '', 'Ana', 'x'), line('09:17:01', 'Cliente', 'Ana', 'Robin', 'y')].map(
      ({ from_name, ...each }) => ({ ...each, 'from_name phone': from_name || 'Robin' }),
    )
    expect(told('chat_2', { ...CHAT_2, conversation }).messages).toMatchObject([
      { sender: 'AGENT', agent_name: 'Robin' },
      { sender: 'USER', attributes: { from_name: 'Ana' } },
    ])
  })

  test('with a message without a time goes to rejects whole', () => {
    const conversation = [CHAT_2.conversation[3], { ...CHAT_2.conversation[4], date: '' }, 'x']
    expect(faultsOf('chat_2', { ...CHAT_2, conversation })).toEqual([
      ['conversation.1.date', 'is missing'],
      ['conversation.2', 'is no object'],
    ])
  })
})

const DIAGRAM_13 = {
  rp_id: '4471',
  conn_id: '186067617',
  customer_id: '31',
  channel: 'chat-whatsapp',
  telephone: '573001112233',
  attempt: '1',
  date: '2025-03-02 09:15:41',
  second_event: '21',
  cod_opc_menu: '2',
}

describe('diagram_13', () => {
  test('a menu option is an event, with every field in its place', () => {
    expect(told('diagram_13', DIAGRAM_13).events).toMatchObject([
      {
        type: 'menu_option',
        name: '2',
        session_id: '186067617',
        bot_id: '4471',
        channel: 'whatsapp',
        user_id: '31',
        occurred_at: T('2025-03-02T14:15:41Z'),
        attributes: {
          attempt: '1',
          second_event: '21',
          cod_opc_menu: '2',
          telephone: '573001112233',
          customer_id: '31',
          channel: 'chat-whatsapp',
        },
      },
    ])
  })

  test.each([
    ['voice', 'voice'],
    ['chat-web', 'web'],
    ['chat-facebook', 'messenger'],
    ['chat-telegram', 'telegram'],
  ])('of %s is one of channel %s', (channel, normalised) => {
    expect(told('diagram_13', { ...DIAGRAM_13, channel }).events[0]?.channel).toBe(normalised)
  })

  test('without a chat is an event without a session', () => {
    expect(told('diagram_13', { ...DIAGRAM_13, conn_id: '0' }).events[0]).toMatchObject({
      session_key: null,
      bot_id: '4471',
      channel: 'whatsapp',
    })
  })

  test('is another one by its second, its attempt or its option', () => {
    const rows = [{}, { second_event: '22' }, { attempt: '2' }, { cod_opc_menu: '3' }].map(more => ({ ...DIAGRAM_13, ...more }))
    expect(new Set(rows.map(row => idOf('diagram_13', row))).size).toBe(4)
  })
})

const CHAT_11 = {
  conn_id: '186067617',
  transfer_agent_id: '44710',
  transfer_agent_name: 'Robin',
  transfer_agent_dni: 'D1',
  receiver_agent_id: '44711',
  receiver_agent_name: 'Kim',
  receiver_agent_dni: 'D2',
  channel: 'whatsapp',
  date: '2025-03-02 09:20:00',
}

describe('chat_11', () => {
  const eventsOf = (more: object = {}) =>
    told('chat_11', { ...CHAT_11, ...more }).events.map(({ type, name }) => `${type}: ${name}`)

  test('from agent to agent it is one more request of the chat, with every field in its place', () => {
    const { conn_id: _, date: __, ...attributes } = CHAT_11
    expect(told('chat_11', CHAT_11).events).toMatchObject([
      {
        type: 'agent_transfer_requested',
        name: 'chat transferred',
        session_id: '186067617',
        bot_id: 'acme',
        channel: 'whatsapp',
        occurred_at: T('2025-03-02T14:20:00Z'),
        attributes,
      },
    ])
  })

  test.each<[string, object, string]>([
    [
      'to a skill',
      { receiver_agent_id: '12', receiver_agent_name: 'SKILL', receiver_agent_dni: '-' },
      'agent_transfer_requested: chat transferred',
    ],
    [
      'to a routing point that the operation is known to have',
      { receiver_agent_id: '4471', receiver_agent_name: 'Ventas', receiver_agent_dni: '', 'colloquy:routing_point': true },
      'flow_transition: chat returned to the bot',
    ],
    [
      'to one by its name',
      { receiver_agent_id: '4471', receiver_agent_name: 'Routing Point 4471', receiver_agent_dni: '' },
      'flow_transition: chat returned to the bot',
    ],
    ['to the bot by its name', { receiver_agent_name: 'chat_bot' }, 'flow_transition: chat returned to the bot'],
    [
      'from nobody, which no document has: an agent has it for the first time',
      { transfer_agent_id: '0', transfer_agent_name: 'SKILL', transfer_agent_dni: '-' },
      'agent_transferred: chat transferred',
    ],
  ])('%s', (_, more, event) => {
    expect(eventsOf(more)).toEqual([event])
  })

  test('is another one by any of its fields', () => {
    const rows = [{}, ...Object.keys(CHAT_11).map(name => ({ [name]: name === 'date' ? '2025-03-02 09:20:01' : 'x' }))]
    expect(new Set(rows.map(more => idOf('chat_11', { ...CHAT_11, ...more }))).size).toBe(10)
  })
})

describe('local time', () => {
  const madrid = zoneNamed('Europe/Madrid')
  const at = (raw: string) => {
    const told = reportedTimeOf(raw)
    const { atMs, estimated } = told === null ? { atMs: null, estimated: null } : momentOf(told, madrid)
    return [iso(atMs), estimated]
  }

  test.each([
    '2026-07-01 10:00:05',
    '2026-07-01T10:00:05',
    '2026-07-01-10:00:05',
    '2026/07/01 10:00:05',
    '2026-7-1 10:00:05',
    '20260701100005',
    '2026-07-01T08:00:05Z',
    '2026-07-01 10:00:05+02:00',
  ])('%s is read', raw => {
    expect(at(raw)).toEqual(['2026-07-01T08:00:05.000Z', false])
  })

  test('of an hour that comes twice is its first, and marked', () => {
    expect(at('2026-10-25 02:30:00')).toEqual(['2026-10-25T00:30:00.000Z', true])
    const row = { ...GREETING, conn_id: '5', date: '2026-10-25 02:30:00' }
    expect(told('diagram_9', row, { timezone: 'Europe/Madrid' }).messages[0]?.sent_at_estimated).toBe(true)
  })

  test('of an hour that is left out is read by the clock before, and marked', () => {
    expect(at('2026-03-29 02:30:00')).toEqual(['2026-03-29T01:30:00.000Z', true])
  })
})

describe('diagram_11', () => {
  const CALL = {
    conn_id: '900',
    time_on_rp: '00:01:00',
    end_date_rp: '2025-03-02 09:16:00',
    rp_id: '4480',
    ani: '573001112233',
    customer_id: '31',
    time_on_skill: '00:00:20',
    skill_id: '12',
    skill_result: 'ANSWER',
    go_to_agent: 'yes',
    agent_id: '44710',
    agent_name: 'Robin',
    time_with_agent: '00:05:00',
    cod_act: '3',
    cod_act_2: '-',
    type_interaction: 'inbound',
    total_time: '00:06:20',
  }
  const call = (more: object = {}, config: Record<string, unknown> = {}) =>
    told('diagram_11', { ...CALL, ...more }, config).sessions[0]

  test('a call is a session, with every field in its place', () => {
    expect(call()).toMatchObject({
      session_id: '900',
      bot_id: '4480',
      channel: 'voice',
      started_at: T('2025-03-02T14:15:00Z'),
      transferred_at: T('2025-03-02T14:16:00Z'),
      ended_at: T('2025-03-02T14:21:20Z'),
      containment: 'AGENT',
      queue: '12',
      agent_id: '44710',
      agent_name: 'Robin',
      outcome: '3',
      user_id: '31',
      channel_user_id: '573001112233',
      attributes: { type_interaction: 'inbound', skill_result: 'ANSWER', time_on_skill: '00:00:20' },
    })
  })

  test('that stayed with the bot, says nothing of it, or is dated by its start', () => {
    expect(call({ go_to_agent: 'no', skill_id: '-' })).toMatchObject({
      containment: 'SELF_SERVICE',
      transferred_at: null,
      queue: null,
    })
    expect(call({ go_to_agent: '' })).toMatchObject({ containment: 'UNKNOWN', transferred_at: null })
    expect(call({}, { ivrDate: 'start' })).toMatchObject({
      started_at: T('2025-03-02T14:16:00Z'),
      transferred_at: T('2025-03-02T14:17:00Z'),
    })
    expect(faultsOf('diagram_11', { ...CALL, conn_id: '-' })).toEqual([['conn_id', 'is missing']])
  })
})

test('diagram_15: a conversation with a voice bot, in the form of the sample, is a session; beside diagram_11 an event of one', () => {
  const row = {
    conversational_id: 'conversations-voice-61083',
    connect_id: '6736.4628.1040.1768782812.1814',
    date: '2026-01-18 19:34:31',
    ivr_time: '00:01:41',
    nlp_credits: '2.887',
    asr_time: '00:00:24',
    tts_credits: '1856',
  }
  expect(told('diagram_15', row).sessions).toMatchObject([
    {
      session_id: '6736.4628.1040.1768782812.1814',
      bot_id: 'conversations-voice-61083',
      channel: 'voice',
      started_at: T('2026-01-19T00:32:50Z'),
      ended_at: T('2026-01-19T00:34:31Z'),
      containment: 'UNKNOWN',
      attributes: { nlp_credits: '2.887', asr_time: '00:00:24', tts_credits: '1856' },
    },
  ])
  const beside = told('diagram_15', row, { streams: ['diagram_11', 'diagram_15'] })
  expect(beside).toMatchObject({
    sessions: [],
    events: [{ type: 'other', name: 'voice conversation', session_id: row.connect_id }],
  })
})

test('chat_1: what an agent noted of a chat is a tag of it, when it had closed', () => {
  const row = {
    conn_id: '186067617',
    channel: 'whatsapp',
    date: '2025-03-02 09:15:20',
    chat_duration: '1800',
    agent_id: '44710',
    cod_act: 'TIMEOUTCHAT',
    description_cod_act: 'Cierre',
    skill_id: '12',
    feeling: 'very negative',
    customer_id: '31',
    'agent_anwers ': '4',
  }
  expect(told('chat_1', row).events).toMatchObject([
    {
      type: 'tag_applied',
      name: 'TIMEOUTCHAT',
      session_id: '186067617',
      occurred_at: T('2025-03-02T14:45:20Z'),
      occurred_at_estimated: true,
      user_id: '31',
      attributes: { description_cod_act: 'Cierre', skill_id: '12', feeling: 'very negative', agent_answers: '4' },
    },
  ])
  expect(told('chat_1', { ...row, date_close: '2025-03-02 09:40:00', cod_act: '-' }).events).toMatchObject([
    { type: 'other', name: 'chat handled', occurred_at: T('2025-03-02T14:40:00Z'), occurred_at_estimated: false },
  ])
  expect(idOf('chat_1', { ...row, cod_act: 'later' }), 'typed late').toBe(idOf('chat_1', row))
})

test('chat_4: a case of mail or a social network is a session with what was written and the answer', () => {
  const row = {
    channel: 'Email',
    agent_name: 'Robin',
    skill_id: '12',
    case_id: '77',
    subject: 'Factura',
    from: 'ana@example.com',
    to: 'ayuda@example.com',
    body: 'No llega',
    answer: 'Va en camino',
    date_creation: '2025-03-02 09:15:20',
    close_date: '2025-03-02 10:15:20',
    evaluation_survey: '4',
    cod_act: '3',
    comments: '',
    attachments: ['https://files.example.com/a.pdf'],
    status: 'close',
  }
  const { sessions, messages } = told('chat_4', row)
  expect(sessions).toMatchObject([
    {
      session_id: 'case-77',
      channel: 'email',
      status: 'CLOSED',
      containment: 'AGENT',
      started_at: T('2025-03-02T14:15:20Z'),
      ended_at: T('2025-03-02T15:15:20Z'),
      queue: '12',
      agent_name: 'Robin',
      satisfaction: 4,
      outcome: '3',
      user_id: 'ana@example.com',
      attributes: {
        subject: 'Factura',
        to: 'ayuda@example.com',
        status: 'close',
        attachments: '["https://files.example.com/a.pdf"]',
      },
    },
  ])
  expect(messages.map(({ sender, text, sent_at, sent_at_estimated }) => [sender, text, sent_at, sent_at_estimated])).toEqual([
    ['USER', 'No llega', T('2025-03-02T14:15:20Z'), false],
    ['AGENT', 'Va en camino', T('2025-03-02T15:15:20Z'), true],
  ])
  expect(told('chat_4', { ...row, status: 'open', close_date: '-', answer: '-', agent_name: '' })).toMatchObject({
    sessions: [{ status: 'OPEN', ended_at: null, containment: 'UNKNOWN' }],
    messages: [{ sender: 'USER' }],
  })
})
