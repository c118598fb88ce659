import { describe, expect, test } from 'vitest'
import botmaker from '../../connectors/botmaker/index.ts'
import { parseBotRules } from '../../connectors/botmaker/bots.ts'
import { channelWord } from '../../connectors/botmaker/channel.ts'
import type { Event, Message, Session } from '../../src/records.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { type Draft, rowContext, type Stream } from '../../src/source/index.ts'

const stream = botmaker.streams['sessions'] as Stream
const T = Date.parse
const HOUR = 3_600_000

interface Seen {
  readonly at?: string
  readonly lookbackMs?: number
  readonly config?: Record<string, unknown>
}

function ctxOf({ at = '2021-01-21T00:00:00Z', lookbackMs = 48 * HOUR, config = {} }: Seen = {}) {
  const parsed = botmaker.config.parse({ accessToken: 'a-token', ...config })
  const [scope = { name: 'acme', botId: null }] = stream.scopes?.(parsed as never, 'acme') ?? []
  return rowContext<unknown>({
    vendor: 'botmaker',
    account: 'acme',
    connector: 'x',
    config: parsed,
    scope,
    observedAtMs: T(at),
    lookbackMs,
  })
}

/** The records of a row of the vendor. */
function told(row: unknown, seen?: Seen): { session: Session; messages: Message[]; events: Event[]; fingerprint: unknown } {
  const ctx = ctxOf(seen)
  const parsed = stream.row.parse(row) as never
  const drafts = stream.normalise(parsed, ctx)
  const of = (kind: Draft['kind']) => drafts.filter(draft => draft.kind === kind).map(draft => draft.record)
  return {
    session: of('session')[0] as Session,
    messages: of('message') as Message[],
    events: of('event') as Event[],
    fingerprint: stream.fingerprint?.(parsed, ctx),
  }
}

const faultsOf = (row: unknown) => stream.row.safeParse(row).error?.issues.map(({ path, message }) => [path.join('.'), message])

/** The vendor's own sample of a v1 session, with its nesting restored. */
const v1 = () => ({
  sessionId: 'YPU6L8F1SA7Y8SHSVH17_2021-01-20T13:56:59.184Z',
  sessionDate: '2021-01-20T13:56:59.184Z',
  customerId: 'YPU6L8F1SA7Y8SHSVH17',
  platformContactId: 'SBBZ2F73DL-5572714M6YG3Y5V2S0DO1L3QZMD',
  channelId: 'testbot-webchat-null-SBBZ2F73DL',
  userCreationTime: '2021-01-01T00:00:00.001Z',
  userHasTalked: 'true',
  botMessages: 23,
  userMessages: 23,
  operatorMessages: 2,
  sessionMessagesQty: 46,
  sessionStartingCause: 'Organic',
  conversation: 'https://go.botmaker.com/#/chats/YPU6L8F1SA7Y8SHSVH17',
  variables: ['botmakerenvironment:DEVELOPMENT'] as unknown,
  topics: ['Identity'] as unknown,
  sessionMessages: [
    {
      creationTime: '2021-01-20T15:03:30.535Z',
      messageId: '83T21XKVJGQ1EZ1L1NCH',
      messageType: 'Text',
      message: 'test',
      msgFrom: 'user',
      imagesUrls: 'null',
      audiosUrls: 'null',
      videosUrls: 'null',
      filesUrls: 'null',
      ruleName: 'Compras a domicilio',
      operator: 'Nicolás V.',
      queue: 'Test_Botmaker',
    },
  ] as Record<string, unknown>[],
  events: [
    {
      eventName: 'put-var',
      eventCreationTime: '2021-01-20T14:49:09.701Z',
      info: [{ name: 'key', value: 'test@botmaker.io-1498255647287' }],
    },
  ] as Record<string, unknown>[],
})

const v2 = () => ({
  id: 'DN5SFU5TP46YHJXVAX3F_2021-01-20T10:00:00.000Z',
  creationTime: '2021-01-20T10:00:00.000Z',
  startingCause: 'WhatsAppTemplate',
  chat: {
    chat: { chatId: 'DN5SFU5TP46YHJXVAX3F', channelId: 'acme-shop-whatsapp-573001112233-X1Y2', contactId: '573009998877' },
    creationTime: '2020-12-01T00:00:00.000Z',
    lastSessionCreationTime: '2021-01-20T10:00:00.000Z',
    firstName: 'Ana',
    email: '-',
    country: 'CO',
    variables: { plan: 'gold', empty: '' },
    tags: ['vip', 'null'],
    queueId: 'q-now',
    agentId: 'a-now',
    isTester: true,
    isBanned: false,
  } as Record<string, unknown>,
  messages: [
    { id: 'm1', creationTime: '2021-01-20T10:00:01.000Z', from: 'user', content: { type: 'text', text: 'Hi' } },
    {
      id: 'm2',
      creationTime: '2021-01-20T10:00:03.000Z',
      from: 'bot',
      content: { type: 'buttons', text: 'Which?', buttons: [{ id: 1 }], whatsAppTemplateName: 'welcome' },
    },
    {
      id: 'm3',
      creationTime: '2021-01-20T10:05:00.000Z',
      from: 'agent',
      agentId: 'agent-7',
      queueId: 'q-sales',
      content: { type: 'image', media: { type: 'image', url: 'https://storage.botmaker.com/i.png', caption: 'see', sha: 'x' } },
      encryptionParams: { iv: 'i' },
    },
  ] as Record<string, unknown>[],
  events: [
    {
      name: 'find-intent',
      creationTime: '2021-01-20T10:00:02.000Z',
      info: { intentId: 'i1', intentName: 'Buy', isFallback: false },
    },
    { name: 'queue-set', creationTime: '2021-01-20T10:03:00.000Z', info: { queue: 'Sales' } },
    { name: 'assigned-to-agent', creationTime: '2021-01-20T10:04:00.000Z', info: { agentName: 'Nora B.' } },
    { name: 'conversation-close', creationTime: '2021-01-20T10:30:00.000Z', info: { typification: 'sold' } },
  ] as Record<string, unknown>[],
})

/** A v2 session with only what is given. */
const bare = (more: object = {}) => ({ id: 'S', creationTime: '2021-01-20T10:00:00.000Z', ...more })
const at = (time: string) => `2021-01-20T${time}Z`
const says = (from: string, time: string, more: object = {}) => ({
  id: `${from}@${time}`,
  creationTime: at(time),
  from,
  content: { type: 'text', text: 'x' },
  ...more,
})
const happens = (name: string, time: string, info?: unknown) => ({
  name,
  creationTime: at(time),
  ...(info === undefined ? {} : { info }),
})

describe('every documented field has its place', () => {
  test('in v1, with the sample of the documents', () => {
    const { session, messages, events } = told(v1(), { config: { apiVersion: 'v1' } })
    expect(session).toEqual({
      session_key: 'botmaker:acme:YPU6L8F1SA7Y8SHSVH17_2021-01-20T13:56:59.184Z',
      vendor: 'botmaker',
      account: 'acme',
      bot_id: 'acme',
      session_id: 'YPU6L8F1SA7Y8SHSVH17_2021-01-20T13:56:59.184Z',
      connector: 'x',
      revision: 1,
      observed_at: T('2021-01-21T00:00:00Z'),
      started_at: T('2021-01-20T13:56:59.184Z'),
      ended_at: null,
      ended_at_estimated: false,
      status: 'OPEN',
      containment: 'AGENT',
      interactive: true,
      channel: 'web',
      channel_raw: 'webchat',
      language: null,
      languages: [],
      user_id: 'YPU6L8F1SA7Y8SHSVH17',
      channel_user_id: 'SBBZ2F73DL-5572714M6YG3Y5V2S0DO1L3QZMD',
      transferred_at: T('2021-01-20T15:03:30.535Z'),
      queue: 'Test_Botmaker',
      agent_id: null,
      agent_name: 'Nicolás V.',
      user_messages: 23,
      bot_messages: 23,
      agent_messages: 2,
      total_messages: 46,
      tasks: null,
      satisfaction: null,
      outcome: null,
      starting_cause: 'Organic',
      topics: ['Identity'],
      tags: [],
      variables: { botmakerenvironment: 'DEVELOPMENT' },
      is_test: null,
      link: 'https://go.botmaker.com/#/chats/YPU6L8F1SA7Y8SHSVH17',
      attributes: { channelId: 'testbot-webchat-null-SBBZ2F73DL', userCreationTime: '2021-01-01T00:00:00.001Z' },
    })
    expect(messages).toEqual([
      expect.objectContaining({
        message_id: '83T21XKVJGQ1EZ1L1NCH',
        sent_at: T('2021-01-20T15:03:30.535Z'),
        seq: 0,
        sender: 'USER',
        type: 'text',
        text: 'test',
        attachments: [],
        channel: 'web',
        intent: 'Compras a domicilio',
        agent_id: null,
        agent_name: 'Nicolás V.',
        queue: 'Test_Botmaker',
        attributes: {},
      }),
    ])
    expect(events).toEqual([
      expect.objectContaining({
        session_id: session.session_id,
        occurred_at: T('2021-01-20T14:49:09.701Z'),
        type: 'variable_set',
        name: 'put-var',
        user_id: 'YPU6L8F1SA7Y8SHSVH17',
        attributes: { key: 'test@botmaker.io-1498255647287' },
      }),
    ])
  })

  test('in v2', () => {
    const { session, messages, events } = told(v2())
    expect(session).toMatchObject({
      session_id: 'DN5SFU5TP46YHJXVAX3F_2021-01-20T10:00:00.000Z',
      started_at: T(at('10:00:00')),
      ended_at: T(at('10:30:00')),
      ended_at_estimated: false,
      status: 'CLOSED',
      containment: 'AGENT',
      interactive: true,
      channel: 'whatsapp',
      channel_raw: 'whatsapp',
      user_id: 'DN5SFU5TP46YHJXVAX3F',
      channel_user_id: '573009998877',
      transferred_at: T(at('10:03:00')),
      queue: 'Sales',
      agent_id: 'agent-7',
      agent_name: 'Nora B.',
      user_messages: 1,
      bot_messages: 1,
      agent_messages: 1,
      total_messages: 3,
      outcome: 'sold',
      starting_cause: 'WhatsAppTemplate',
      topics: [],
      tags: [{ name: 'vip', value: null, scope: 'chat' }],
      variables: { plan: 'gold', empty: '' },
      is_test: true,
      link: 'https://go.botmaker.com/#/chats/DN5SFU5TP46YHJXVAX3F',
    })
    expect(session.attributes).toEqual({
      channelId: 'acme-shop-whatsapp-573001112233-X1Y2',
      'chat.creationTime': '2020-12-01T00:00:00.000Z',
      'chat.lastSessionCreationTime': '2021-01-20T10:00:00.000Z',
      'chat.firstName': 'Ana',
      'chat.country': 'CO',
      'chat.isBanned': 'false',
      'chat.queueId': 'q-now',
      'chat.agentId': 'a-now',
    })
    expect(messages.map(({ message_id, sender, type, text, seq }) => [message_id, sender, type, text, seq])).toEqual([
      ['m1', 'USER', 'text', 'Hi', 0],
      ['m2', 'BOT', 'buttons', 'Which?', 1],
      ['m3', 'AGENT', 'image', null, 2],
    ])
    expect(messages[1]).toMatchObject({
      intent: 'Buy',
      attributes: { 'content.buttons': '[{"id":1}]', 'content.whatsAppTemplateName': 'welcome' },
    })
    expect(messages[2]).toMatchObject({
      agent_id: 'agent-7',
      agent_name: null,
      queue: 'q-sales',
      attachments: [{ kind: 'image', url: 'https://storage.botmaker.com/i.png', caption: 'see' }],
      attributes: { 'content.media': '{"sha":"x"}', encryptionParams: '{"iv":"i"}' },
    })
    expect(events.map(({ type, name, attributes }) => [type, name, attributes])).toEqual([
      ['intent_matched', 'find-intent', { intentId: 'i1', intentName: 'Buy', isFallback: 'false' }],
      ['agent_transfer_requested', 'queue-set', { queue: 'Sales' }],
      ['agent_transferred', 'assigned-to-agent', { agentName: 'Nora B.' }],
      ['session_ended', 'conversation-close', { typification: 'sold' }],
    ])
    expect(events.every(event => event.channel === 'whatsapp' && event.user_id === session.user_id)).toBe(true)
  })

  test('the bot is the one of the config, or the account', () => {
    expect(told(v2(), { config: { botId: 'shop' } }).events[0]?.bot_id).toBe('shop')
    expect(told(v2()).messages[0]?.bot_id).toBe('acme')
  })

  test('fields that nobody documented reach attributes', () => {
    const { session, messages, events } = told(
      bare({
        surprise: { a: 1 },
        messages: [says('user', '10:00:01', { mood: 'ok' })],
        events: [{ ...happens('x', '10:00:02'), by: 'system' }],
      }),
    )
    expect(session.attributes).toEqual({ surprise: '{"a":1}' })
    expect(messages[0]?.attributes).toEqual({ mood: 'ok' })
    expect(events[0]).toMatchObject({ type: 'other', name: 'x', attributes: { by: 'system' } })
  })
})

describe('the end of a session', () => {
  const open = bare({ messages: [says('user', '10:00:01'), says('bot', '10:07:00')], events: [happens('put', '10:05:00')] })

  test('without a close it is open, then expired once older than the lookback, with its last activity as estimated end', () => {
    const start = T(at('10:00:00'))
    const before = told(open, { at: new Date(start + 48 * HOUR - 1).toISOString() })
    const after = told(open, { at: new Date(start + 48 * HOUR).toISOString() })
    expect(before.session).toMatchObject({ status: 'OPEN', ended_at: null, ended_at_estimated: false })
    expect(after.session).toMatchObject({ status: 'EXPIRED', ended_at: T(at('10:07:00')), ended_at_estimated: true })
    expect(after.fingerprint).not.toBe(before.fingerprint)
  })

  test('an expired session ends with its last event where that is later, and at its start where nothing was said', () => {
    const late = bare({ messages: [says('user', '10:00:01')], events: [happens('put', '10:05:00')] })
    expect(told(late, { lookbackMs: 0 }).session.ended_at).toBe(T(at('10:05:00')))
    expect(told(bare({ messages: [], events: [] }), { lookbackMs: 0 }).session.ended_at).toBe(T(at('10:00:00')))
    expect(told(bare({ events: [] }), { lookbackMs: 0 }).session).toMatchObject({
      status: 'EXPIRED',
      ended_at: null,
      ended_at_estimated: false,
    })
  })

  test('the last of several closes ends it, whatever their order in the row', () => {
    const events = [
      happens('conversation-close', '11:00:00', { typification: 'late' }),
      happens('conversation-close', '10:30:00', { typification: 'early' }),
    ]
    expect(told(bare({ events })).session).toMatchObject({ status: 'CLOSED', ended_at: T(at('11:00:00')), outcome: 'late' })
  })

  test('a close keeps an old session from expiring', () => {
    const { session } = told(bare({ events: [happens('conversation-close', '10:30:00')] }), { at: '2022-01-01T00:00:00Z' })
    expect(session).toMatchObject({ status: 'CLOSED', ended_at_estimated: false })
  })

  test('a close before the start, as whole seconds make it, ends the session at its start', () => {
    const { session } = told(bare({ creationTime: at('10:00:00.700'), events: [happens('conversation-close', '10:00:00')] }))
    expect(session).toMatchObject({ ended_at: T(at('10:00:00.700')), ended_at_estimated: true })
  })

  test('is unknown where events are not read', () => {
    const seen = { at: '2022-01-01T00:00:00Z', config: { includeEvents: false } }
    expect(told(bare(), seen).session).toMatchObject({ status: 'UNKNOWN', ended_at: null })
    expect(told(v1(), { at: '2022-01-01T00:00:00Z', config: { includeEvents: false, apiVersion: 'v1' } }).session.status).toBe(
      'EXPIRED',
    )
  })
})

describe('containment', () => {
  const closed = happens('conversation-close', '10:30:00')
  test.each<[string, object, string, string | null]>([
    ['closed, the user spoke, no agent', { messages: [says('user', '10:00:01')], events: [closed] }, 'SELF_SERVICE', null],
    ['closed, the user never spoke', { messages: [says('bot', '10:00:01')], events: [closed] }, 'UNKNOWN', null],
    ['not closed', { messages: [says('user', '10:00:01')], events: [] }, 'UNKNOWN', null],
    [
      'an agent wrote',
      { messages: [says('user', '10:00:01'), says('agent', '10:09:00')], events: [closed] },
      'AGENT',
      '10:09:00',
    ],
    [
      'put in a queue',
      { messages: [says('user', '10:00:01')], events: [closed, happens('queue-set', '10:04:00')] },
      'AGENT',
      '10:04:00',
    ],
    [
      'assigned after the queue, twice, events not in order',
      {
        events: [
          happens('assigned-to-agent', '10:20:00'),
          happens('queue-set', '10:04:00'),
          happens('assigned-to-agent', '10:06:00'),
        ],
      },
      'AGENT',
      '10:04:00',
    ],
    ['an agent did something', { events: [happens('agent-action', '10:08:00'), closed] }, 'AGENT', '10:08:00'],
    [
      'an agent wrote before anything says so',
      { messages: [says('agent', '10:02:00')], events: [happens('assigned-to-agent', '10:03:00')] },
      'AGENT',
      '10:02:00',
    ],
    ...['agentId', 'executingIntents'].map((name): [string, object, string, null] => [
      `closed by hand, which ${name} shows, when nothing tells since when`,
      {
        messages: [says('user', '10:00:01')],
        events: [happens('conversation-close', '10:30:00', { typification: 'x', [name]: name === 'agentId' ? 'a-1' : 'Menu' })],
      },
      'AGENT',
      null,
    ]),
    [
      'closed by hand with nothing to cut short',
      {
        messages: [says('user', '10:00:01')],
        events: [happens('conversation-close', '10:30:00', { executingIntents: [] })],
      },
      'AGENT',
      null,
    ],
    [
      'closed by hand, told in pairs',
      {
        messages: [says('user', '10:00:01')],
        events: [happens('conversation-close', '10:30:00', [{ name: 'agentId', value: 'a-1' }])],
      },
      'AGENT',
      null,
    ],
    [
      'closed by hand once, and by itself later',
      {
        messages: [says('user', '10:00:01')],
        events: [happens('conversation-close', '10:30:00', { agentId: 'a-1' }), happens('conversation-close', '10:50:00')],
      },
      'AGENT',
      null,
    ],
    [
      'closed, with fields that stand for nothing',
      {
        messages: [says('user', '10:00:01')],
        events: [happens('conversation-close', '10:30:00', { agentId: 'null', executingIntents: '' })],
      },
      'SELF_SERVICE',
      null,
    ],
    [
      'an agent joined a call',
      {
        messages: [
          says('user', '10:00:01'),
          says('bot', '10:05:00', { content: { type: 'call', call: { event: 'agent-joined' } } }),
        ],
      },
      'AGENT',
      '10:05:00',
    ],
    [
      'only the user joined a call',
      {
        messages: [says('user', '10:00:01', { content: { type: 'call', call: { event: 'user-joined' } } })],
        events: [closed],
      },
      'SELF_SERVICE',
      null,
    ],
  ])('%s', (_, row, containment, transferredAt) => {
    const { session } = told(bare(row))
    expect([session.containment, session.transferred_at]).toEqual([
      containment,
      transferredAt === null ? null : T(at(transferredAt)),
    ])
  })

  test('in v1 the counters speak too', () => {
    const row = { ...v1(), operatorMessages: '0', sessionMessages: [], events: [] as Record<string, unknown>[] }
    expect(told(row).session).toMatchObject({ containment: 'UNKNOWN', agent_messages: 0 })
    expect(told({ ...row, operatorMessages: '1' }).session).toMatchObject({ containment: 'AGENT', transferred_at: null })
    const close = { eventName: 'conversation-close', eventCreationTime: '2021-01-20T15:30:00.000Z' }
    expect(told({ ...row, events: [close] }).session).toMatchObject({ containment: 'SELF_SERVICE', status: 'CLOSED' })
  })

  test("the contact's chat is no witness: its agent and queue of now are not those of a session without one", () => {
    const row = { ...v2(), messages: [says('user', '10:00:01')], events: [closed] }
    expect(told(row).session).toMatchObject({ containment: 'SELF_SERVICE', agent_id: null, queue: null })
    const queued = { ...row, events: [happens('queue-set', '10:04:00'), closed] }
    expect(told(queued).session).toMatchObject({ containment: 'AGENT', agent_id: 'a-now', queue: 'q-now' })
  })
})

describe("in v1, a user's message with an operator or a queue", () => {
  const turn = (time: string, more: object = {}) => ({
    messageId: time,
    creationTime: at(time),
    messageType: 'Text',
    message: 'x',
    msgFrom: 'user',
    operator: 'null',
    queue: null,
    ...more,
  })
  const row = (...sessionMessages: object[]) => ({ ...v1(), operatorMessages: 0, sessionMessages, events: [] as object[] })

  test.each<[string, object[], string, string | null]>([
    [
      'an operator',
      [turn('14:00:00'), turn('14:05:00', { operator: 'Nora' }), turn('14:09:00', { operator: 'Nora' })],
      'AGENT',
      '14:05:00',
    ],
    [
      'a queue',
      [turn('14:09:00', { queue: 'Sales' }), turn('14:00:00'), turn('14:05:00', { queue: 'Sales' })],
      'AGENT',
      '14:05:00',
    ],
    [
      'an operator who wrote before',
      [turn('14:05:00', { queue: 'Sales' }), turn('14:01:00', { msgFrom: 'agent' })],
      'AGENT',
      '14:01:00',
    ],
    ['neither', [turn('14:00:00'), turn('14:05:00', { operator: '-', queue: '' })], 'UNKNOWN', null],
    ['one on a message of the bot', [turn('14:00:00', { msgFrom: 'bot', queue: 'Sales' })], 'UNKNOWN', null],
  ])('%s', (_, messages, containment, transferredAt) => {
    const { session } = told(row(...messages))
    expect([session.containment, session.transferred_at]).toEqual([containment, transferredAt && T(at(transferredAt))])
  })

  test('is a hand-over from the first of all: an event may tell an earlier time', () => {
    const events = [{ eventName: 'queue-set', eventCreationTime: at('14:03:00'), info: [] }]
    const { session } = told({ ...row(turn('14:05:00', { operator: 'Nora' })), events })
    expect(session.transferred_at).toBe(T(at('14:03:00')))
  })

  test('in v2 the queue of a user is no hand-over: they may always be in one', () => {
    const messages = [says('user', '10:00:01', { queueId: 'q-default' })]
    expect(told(bare({ messages, events: [] })).session).toMatchObject({ containment: 'UNKNOWN', transferred_at: null })
  })
})

describe('the time of a transfer', () => {
  const messages = [
    says('user', '10:00:01'),
    says('bot', '10:02:00'),
    says('agent', '10:07:00', { agentId: 'a-1' }),
    says('user', '10:08:00'),
    says('agent', '10:20:00', { agentId: 'a-2' }),
  ]
  const events = [
    happens('find-intent', '10:01:00', { intentName: 'Human' }),
    happens('queue-set', '10:03:00', { queue: 'Sales' }),
    happens('assigned-to-agent', '10:06:00', { agentName: 'Nora' }),
    happens('agent-action', '10:07:00'),
    happens('queue-set', '10:15:00', { queue: 'Claims' }),
    happens('assigned-to-agent', '10:19:00', { agentName: 'Ida' }),
    happens('conversation-close', '10:30:00', { agentId: 'a-2', typification: 'sold' }),
  ]

  test.each([
    ['all of it', messages, events, '10:03:00'],
    ['no queue', messages, events.filter(({ name }) => name !== 'queue-set'), '10:06:00'],
    ['messages only', messages, [], '10:07:00'],
    ['events only', [], events, '10:03:00'],
  ])('is shown with the first sign of it, and does not move as the session grows: %s', (_, says, happened, expected) => {
    const revisions = [...says, ...happened].map(({ creationTime }) => creationTime).toSorted()
    const seen = revisions.map(until => {
      const isThere = ({ creationTime }: { creationTime: string }) => creationTime <= until
      return told(bare({ messages: says.filter(isThere), events: happened.filter(isThere) }))
    })
    for (const [place, { session, events: shown }] of seen.entries()) {
      const isHanded = (revisions[place] as string) >= at(expected)
      expect(session.transferred_at).toBe(isHanded ? T(at(expected)) : null)
      expect(session.containment).toBe(isHanded ? 'AGENT' : 'UNKNOWN')
      const before = seen[place - 1]?.events ?? []
      expect(shown.map(({ event_id, occurred_at }) => [event_id, occurred_at])).toEqual(
        expect.arrayContaining(before.map(({ event_id, occurred_at }) => [event_id, occurred_at])),
      )
    }
  })
})

describe("the contact's chat is as it is now", () => {
  const closed = happens('conversation-close', '10:30:00', {})
  const queued = happens('queue-set', '10:04:00')
  const queuedAt = (chat: object, more: object = {}) =>
    told({ ...v2(), chat: { ...v2().chat, ...chat }, messages: [says('user', '10:00:01')], events: [queued, closed], ...more })

  test("its agent and queue are the session's while no later one has begun", () => {
    expect(queuedAt({}).session).toMatchObject({ agent_id: 'a-now', queue: 'q-now' })
    expect(queuedAt({ lastSessionCreationTime: '2021-01-20T10:00:00Z' }).session).toMatchObject({ agent_id: 'a-now' })
    expect(queuedAt({ lastSessionCreationTime: null }).session).toMatchObject({ agent_id: 'a-now' })
    expect(queuedAt({ lastSessionCreationTime: '2021-01-21T09:00:00Z' }).session).toMatchObject({ agent_id: null, queue: null })
  })

  test.each([
    ['without events', { events: undefined }],
    ['with null for events', { events: null }],
  ])('they are not %s, also where an agent wrote: nobody knows whose they are', (_, more) => {
    const messages = [says('user', '10:00:01'), says('agent', '10:05:00')]
    const { session } = told({ ...v2(), messages, ...more }, { config: { includeEvents: false } })
    expect(session).toMatchObject({ containment: 'AGENT', status: 'UNKNOWN', agent_id: null, agent_name: null, queue: null })
  })

  test.each<[string, object, object, string | null]>([
    ['of a closed session', {}, {}, 'sold'],
    [
      'beside one of the close',
      {},
      { events: [queued, happens('conversation-close', '10:30:00', { typification: 'kept' })] },
      'kept',
    ],
    ['of an open session, which may be the one before', {}, { events: [queued] }, null],
    ['where nobody knows whether it is closed', {}, { events: undefined }, 'sold'],
    ['when the contact is back', { lastSessionCreationTime: '2021-01-21T09:00:00Z' }, {}, null],
    ['that is empty', { variables: { typification: '' } }, {}, null],
    [
      "that is the session's own, also when the contact is back",
      { lastSessionCreationTime: '2021-01-21T09:00:00Z' },
      { variables: { typification: 'own' } },
      'own',
    ],
  ])('typification in its variables is the outcome: %s', (_, chat, more, outcome) => {
    expect(queuedAt({ variables: { typification: 'sold' }, ...chat }, more).session.outcome).toBe(outcome)
  })

  test('in v1 it is a variable of the session', () => {
    const close = { eventName: 'conversation-close', eventCreationTime: '2021-01-20T15:30:00.000Z' }
    expect(told({ ...v1(), variables: ['typification:sold'], events: [close] }).session.outcome).toBe('sold')
    expect(told({ ...v1(), variables: ['typification:sold'], events: [] }).session.outcome).toBeNull()
  })
})

describe('a content', () => {
  const content = (of: object) => told(bare({ messages: [says('user', '10:00:01', { content: of })] })).messages[0] as Message

  test('that was transcribed has its sound as an attachment', () => {
    const url = 'https://storage.botmaker.com/a.ogg'
    const sound = { kind: 'audio', url, caption: null }
    expect(content({ type: 'text', text: 'I said', originalAudioUrl: url })).toMatchObject({
      type: 'text',
      text: 'I said',
      attachments: [sound],
      attributes: {},
    })
    expect(content({ type: 'audio', media: { url }, originalAudioUrl: url }).attachments).toEqual([sound])
    expect(content({ type: 'text', text: 'x', originalAudioUrl: 'null' }).attachments).toEqual([])
  })

  test('that was translated keeps the original beside the translation, and is the original where there is none', () => {
    expect(content({ type: 'text', text: 'Hello', originalText: 'Hola' })).toMatchObject({
      text: 'Hello',
      attributes: { 'content.originalText': 'Hola' },
    })
    expect(content({ type: 'text', originalText: 'Hola' })).toMatchObject({ type: 'text', text: 'Hola', attributes: {} })
  })

  test('with a place or a call is told as one', () => {
    const location = { latitude: '-34.6', longitude: '-58.4', name: 'Office', address: 'Street 1' }
    expect(content({ type: 'text', location })).toMatchObject({
      type: 'location',
      text: null,
      attributes: { 'content.location': JSON.stringify(location) },
    })
    expect(content({ location })).toMatchObject({ type: 'location' })
    expect(content({ type: 'text', text: 'Here', location })).toMatchObject({ type: 'text', text: 'Here' })
    const call = { event: 'user-joined' }
    expect(content({ call })).toMatchObject({ type: 'call', attributes: { 'content.call': JSON.stringify(call) } })
    expect(content({ type: 'call', call: { event: 'recording' } })).toMatchObject({ type: 'call', text: null })
  })
})

describe('the bot of a session, by rules', () => {
  const botOf = (row: object, botRules: unknown, more: object = {}) => {
    const { session, messages, events } = told(row, { config: { botRules, ...more } })
    expect(new Set([...messages, ...events].map(({ bot_id }) => bot_id).concat(session.bot_id)).size).toBe(1)
    return session.bot_id
  }

  test.each<[string, unknown, string]>([
    ['a part of the channel id', 'channel~573001112233=sales', 'sales'],
    ['the platform', ['channel~^whatsapp$=wa'], 'wa'],
    ['the channel as we call it', 'channel~^whatsapp$=wa', 'wa'],
    ['in any case', 'channel~ACME-SHOP=shop', 'shop'],
    ['a variable of the chat', 'variable.plan~gold=vip', 'vip'],
    ['a group of the pattern', 'variable.plan~^(g)(.+)$=$2-$1', 'old-g'],
    ['the first that matches', 'channel~web=web; channel~whats=wa; variable.plan~.*=vip', 'wa'],
    ['none that matches', 'channel~telegram=tg', 'acme'],
    ['a pattern with a comma and an equals sign', ['channel~a{1,2}c=x', 'channel~=1=y'], 'x'],
  ])('%s', (_, rules, bot) => {
    expect(botOf(v2(), rules)).toBe(bot)
  })

  test('bot.id is the bot of what no rule names', () => {
    expect(botOf(v2(), 'channel~telegram=tg', { botId: 'rest' })).toBe('rest')
    expect(botOf(bare({ messages: [], events: [] }), 'channel~.*=x', { botId: 'rest' })).toBe('rest')
  })

  test("the channel as we call it counts, also where the vendor's word is another", () => {
    expect(botOf(v1(), 'channel~^web$=site', { apiVersion: 'v1' })).toBe('site')
    expect(botOf(v1(), 'variable.botmakerenvironment~DEV=dev', { apiVersion: 'v1' })).toBe('dev')
  })

  test("what the session itself set comes before the contact's variable of now", () => {
    const events = [
      happens('set-variable', '10:00:05', { variableName: 'plan', variableValue: 'silver' }),
      happens('set-variable', '10:20:05', { variableName: 'plan', variableValue: 'gold' }),
    ]
    expect(botOf({ ...v2(), events }, 'variable.plan~(.+)=$1')).toBe('silver')
  })

  test('the scope stands for no one bot then', () => {
    const scopes = (config: object) => stream.scopes?.(botmaker.config.parse({ accessToken: 't', ...config }) as never, 'acme')
    expect(scopes({ botRules: 'channel~x=y', botId: 'b' })).toEqual([{ name: 'acme', botId: null }])
    expect(scopes({ botId: 'b' })).toEqual([{ name: 'acme', botId: 'b' }])
  })

  test.each<[string, RegExp]>([
    ['channel', /is no rule; it takes SOURCE~REGEX=BOT/],
    ['channel~x', /is no rule/],
    ['tag~x=y', /looks at "tag"; a rule takes channel or variable.NAME/],
    ['variable.~x=y', /looks at "variable."/],
    ['channel~=y', /has no pattern/],
    ['channel~x=', /names no bot/],
    ['channel~(=y', /has a pattern that cannot be used/],
    ['channel~(?=x)=y', /has a pattern that cannot be used/],
    ['channel~x=$1', /uses \$1, which its pattern does not have/],
  ])('%s is a fault of the config', (botRules, words) => {
    const flat = { 'connector.class': 'botmaker', 'access.token': 'secret-token', 'bot.rules': botRules }
    const parsed = parseConnectorConfig('b', flat, botmaker)
    expect(parsed.ok ? [] : parsed.faults).toEqual([
      { path: 'connectors.b.bot.rules', message: expect.stringMatching(words) as string },
    ])
  })

  test('are read from a list, and from text with semicolons', () => {
    for (const rules of ['channel~a{1,2}=x;variable.b~c=d', ['channel~a{1,2}=x', 'variable.b~c=d']]) {
      const parsed = parseConnectorConfig(
        'b',
        { 'connector.class': 'botmaker', 'access.token': 't', 'bot.rules': rules },
        botmaker,
      )
      expect(parsed.ok && parseBotRules((parsed.config as { botRules: string }).botRules)).toMatchObject({
        rules: [{ bot: 'x' }, { bot: 'd', variable: 'b' }],
        faults: [],
      })
    }
  })
})

describe('what counts as a change', () => {
  test('the chat of the contact does not', () => {
    const later = v2()
    Object.assign(later.chat, {
      tags: ['other'],
      variables: {},
      queueId: null,
      agentId: 'b',
      isTester: false,
      lastSessionCreationTime: 'x',
      firstName: 'B',
    })
    expect(told(later).fingerprint).toBe(told(v2()).fingerprint)
  })

  test('the order of events and of fields does not', () => {
    const row = v2()
    row.events.reverse()
    const turned = Object.fromEntries(Object.entries({ ...row, b: 1, a: 2 }).reverse())
    expect(told(turned).fingerprint).toBe(told({ ...v2(), a: 2, b: 1 }).fingerprint)
  })

  test.each<[string, (row: ReturnType<typeof v2>) => void]>([
    ['one more message', row => void row.messages.push(says('bot', '10:31:00'))],
    ['a message with other words', row => void (row.messages[0] = { ...row.messages[0], content: { type: 'text', text: 'Ho' } })],
    ['one event less', row => void row.events.pop()],
    ['an event told twice', row => void row.events.push({ ...row.events[0] })],
  ])('%s does', (_, change) => {
    const row = v2()
    change(row)
    expect(told(row).fingerprint).not.toBe(told(v2()).fingerprint)
  })

  test('in v1 the variables of the session do', () => {
    expect(told({ ...v1(), variables: ['a:b'] }).fingerprint).not.toBe(told(v1()).fingerprint)
  })
})

describe('ids', () => {
  test('a session without an id is named by chat and start, as the vendor names it', () => {
    expect(told({ ...v2(), id: null }).session.session_id).toBe('DN5SFU5TP46YHJXVAX3F_2021-01-20T10:00:00.000Z')
    expect(told({ ...v1(), sessionId: '' }).session.session_id).toBe('YPU6L8F1SA7Y8SHSVH17_2021-01-20T13:56:59.184Z')
  })

  test('events have ids of their content: the same in any order, and different for equal events', () => {
    const events = [
      happens('a', '10:00:01', { x: 1, y: 2 }),
      happens('a', '10:00:01', { y: 2, x: 1 }),
      happens('a', '10:00:01', { x: 2 }),
      happens('b', '10:00:01'),
    ]
    const ids = told(bare({ events })).events.map(event => event.event_id)
    const turned = told(bare({ events: events.toReversed() })).events.map(event => event.event_id)
    expect(new Set(ids).size).toBe(4)
    expect(turned.toSorted()).toEqual(ids.toSorted())
    expect(told(bare({ id: 'T', events })).events.map(event => event.event_id)).not.toContain(ids[0])
  })

  test('one more event leaves the ids of the others as they were', () => {
    const events = [happens('a', '10:00:05'), happens('a', '10:00:05')]
    const ids = told(bare({ events })).events.map(event => event.event_id)
    const more = told(bare({ events: [happens('0', '10:00:01'), ...events] })).events.map(event => event.event_id)
    expect(more).toEqual([expect.anything(), ...ids])
  })

  test('messages without an id get one of their content, in any order', () => {
    const messages = [1, 1, 2].map(second => ({ ...says('user', `10:00:0${second}`), id: undefined }))
    const ids = told(bare({ messages })).messages.map(message => message.message_id)
    expect(new Set(ids).size).toBe(3)
    expect(told(bare({ messages: messages.toReversed() })).messages.map(message => message.message_id)).toEqual(ids)
  })

  test('of two messages with one id the later copy stands', () => {
    const messages = [says('user', '10:00:01', { id: 'm' }), says('user', '10:00:02', { id: 'm' }), says('bot', '10:00:03')]
    const { session, messages: kept } = told(bare({ messages }))
    expect(kept.map(message => message.sent_at)).toEqual([T(at('10:00:02')), T(at('10:00:03'))])
    expect(session.total_messages).toBe(2)
  })
})

describe('read liberally', () => {
  test.each<[string, unknown, Record<string, string>]>([
    ['strings, split at the first colon', ['link:https://x', 'flag'], { link: 'https://x', flag: '' }],
    ['one-key objects', [{ a: 'b' }, { c: 'd' }], { a: 'b', c: 'd' }],
    [
      'pairs',
      [
        { varKey: 'a', varValue: 'b' },
        { name: 'c', value: 'd' },
      ],
      { a: 'b', c: 'd' },
    ],
    ['an object', { name: 'n', value: 'v' }, { name: 'n', value: 'v' }],
    ['nothing', null, {}],
  ])('v1 variables as %s', (_, variables, expected) => {
    expect(told({ ...v1(), variables }).session.variables).toEqual(expected)
  })

  test.each<[unknown, string[]]>([
    [
      ['A', 'B', 'A'],
      ['A', 'B'],
    ],
    [
      [{ topicKey: 'A' }, { other: 'B' }],
      ['A', 'B'],
    ],
    ['null', []],
    [{ topicKey: 'A' }, ['A']],
    [{ topicKey: ['A', 'B', 'A'] }, ['A', 'B']],
    [{ A: true, B: 1, C: false, D: 0, E: null }, ['A', 'B', 'E']],
    [{ A: 'yes', B: '2021-01-20T14:00:00Z', C: { times: 2 } }, ['A', 'B', 'C']],
    [{ 0: 'A', 1: { topicKey: 'B' } }, ['A', 'B']],
    [{ topic1: 'A', topic2: 'B' }, ['A', 'B']],
    [{}, []],
  ])('v1 topics as %j', (topics, expected) => {
    expect(told({ ...v1(), topics }).session.topics).toEqual(expected)
  })

  test('what a map of topics says beside their names is kept', () => {
    expect(told({ ...v1(), topics: { A: 3 } }).session.attributes['topics']).toBe('{"A":3}')
    expect(told({ ...v1(), topics: { A: true } }).session.attributes).not.toHaveProperty('topics')
  })

  test.each<[unknown, string[]]>([
    [null, []],
    ['null', []],
    ['', []],
    ['https://s/1.png', ['https://s/1.png']],
    ['https://s/1.png,https://s/2.png', ['https://s/1.png', 'https://s/2.png']],
    ['["https://s/1.png"]', ['https://s/1.png']],
    [['https://s/1.png', 'null'], ['https://s/1.png']],
  ])('v1 image addresses as %j', (imagesUrls, expected) => {
    const row = { ...v1(), sessionMessages: [{ ...v1().sessionMessages[0], imagesUrls }] }
    expect(told(row).messages[0]?.attachments).toEqual(expected.map(url => ({ kind: 'image', url, caption: null })))
  })

  test.each<[string, string | null, string, Record<string, string>]>([
    ['user', null, 'USER', {}],
    ['me', null, 'USER', {}],
    ['Bot', null, 'BOT', {}],
    ['bot', 'Nora', 'BOT', {}],
    ['agent', null, 'AGENT', {}],
    ['customer', null, 'USER', {}],
    ['human', null, 'AGENT', {}],
    ['clerk', 'Nora', 'AGENT', { msgFrom: 'clerk' }],
    ['clerk', 'null', 'UNKNOWN', { sender_raw: 'clerk' }],
  ])('v1 sender %s with operator %s is %s', (msgFrom, operator, sender, attributes) => {
    const row = { ...v1(), sessionMessages: [{ ...v1().sessionMessages[0], msgFrom, operator }] }
    expect(told(row).messages[0]).toMatchObject({ sender, attributes })
  })

  test('words that stand for nothing are nothing, but not in what people said', () => {
    const messages = ['null', '-'].map((text, i) => says('user', `10:00:0${i}`, { content: { type: 'text', text } }))
    const { session, messages: read } = told(
      bare({ startingCause: 'null', chat: { chat: { chatId: '-' }, email: '-' }, messages }),
    )
    expect(session).toMatchObject({ starting_cause: null, user_id: null, link: null, attributes: {} })
    expect(read.map(message => message.text)).toEqual(['null', '-'])
    const image = { ...v1().sessionMessages[0], messageType: 'Image', message: 'null' }
    expect(told({ ...v1(), sessionMessages: [image] }).messages[0]).toMatchObject({ type: 'image', text: null })
  })

  test('numbers in text, booleans in text and NUL characters', () => {
    const { session } = told({ ...v1(), botMessages: '7', userHasTalked: 'false', sessionMessagesQty: '-' })
    expect(session).toMatchObject({ bot_messages: 7, interactive: false, total_messages: null })
    const { session: v2Session, messages } = told(
      bare({
        chat: { isTester: 'true', variables: { a: 'b\0c' } },
        messages: [says('user', '10:00:01', { content: { type: 'text', text: 'a\0b' } })],
        aiAnalysis: { summary: 'x\0y' },
      }),
    )
    expect(v2Session).toMatchObject({ is_test: true, variables: { a: 'bc' }, attributes: { 'aiAnalysis.summary': 'xy' } })
    expect(messages[0]?.text).toBe('ab')
  })

  test.each<[unknown, Record<string, string>]>([
    [{}, {}],
    [{ doesNotMeetCriteria: true }, { 'aiAnalysis.doesNotMeetCriteria': 'true' }],
    [{ aspectScores: { kind: 4 } }, { 'aiAnalysis.aspectScores': '{"kind":4}' }],
    [{ aspectScores: { kind: { result: 4, weight: 1 } } }, { 'aiAnalysis.aspectScores': '{"kind":{"result":4,"weight":1}}' }],
  ])('aiAnalysis as %j', (aiAnalysis, attributes) => {
    expect(told(bare({ aiAnalysis })).session.attributes).toEqual(attributes)
  })

  test('event info as an object, as pairs with a name met twice, as a word, or not at all', () => {
    const infos = [
      { a: 1, b: null },
      [
        { name: 'a', value: 'x' },
        { name: 'a', value: 'y' },
      ],
      'word',
      undefined,
    ]
    const events = infos.map((info, i) => happens('x', `10:00:0${i}`, info))
    expect(told(bare({ events })).events.map(event => event.attributes)).toEqual([
      { a: '1' },
      { a: '["x","y"]' },
      { info: 'word' },
      {},
    ])
  })

  test('times without a zone are UTC', () => {
    expect(told(bare({ creationTime: '2021-01-20T10:00:00' })).session.started_at).toBe(T(at('10:00:00')))
    expect(told(bare({ creationTime: '2021-01-20T05:00:00-05:00' })).session.started_at).toBe(T(at('10:00:00')))
  })

  test('messages out of order are put in order, and keep theirs within one second', () => {
    const messages = [
      says('bot', '10:00:05', { id: 'b' }),
      says('user', '10:00:05', { id: 'a' }),
      says('user', '10:00:01', { id: 'c' }),
    ]
    expect(told(bare({ messages })).messages.map(({ message_id, seq }) => [message_id, seq])).toEqual([
      ['c', 0],
      ['b', 1],
      ['a', 2],
    ])
  })

  test('counts and interaction are not known where messages are not read', () => {
    expect(told(bare({ events: [] })).session).toMatchObject({ interactive: null, user_messages: null, total_messages: null })
    expect(told(bare({ messages: [] })).session).toMatchObject({ interactive: false, user_messages: 0, total_messages: 0 })
  })

  test('a content without a type is text where it has one, and a message without content is still one', () => {
    const { messages } = told(
      bare({ messages: [says('user', '10:00:01', { content: { text: 'x' } }), says('bot', '10:00:02', { content: null })] }),
    )
    expect(messages.map(({ type, text }) => [type, text])).toEqual([
      ['text', 'x'],
      ['other', null],
    ])
  })

  test('in v2 the ids of a chat are found in the row, and what a content holds in the message, where there is neither', () => {
    const message = {
      id: 'm',
      creationTime: at('10:00:01.000'),
      from: 'bot',
      type: 'image',
      text: 'see',
      media: { url: 'https://x/i.png' },
    }
    const ids = { chatId: 'C', channelId: 'a-whatsapp-549-x', contactId: '549' }
    const { session, messages } = told(bare({ ...ids, variables: { plan: 'gold' }, messages: [message] }))
    expect(session).toMatchObject({ user_id: 'C', channel_user_id: '549', channel: 'whatsapp', variables: { plan: 'gold' } })
    expect(session.attributes).toEqual({ channelId: 'a-whatsapp-549-x' })
    const attachments = [{ kind: 'image', url: 'https://x/i.png', caption: null }]
    expect(messages[0]).toMatchObject({ type: 'image', text: 'see', attachments, attributes: {} })
  })

  test('messages and events are read by their own fields, also where these are those of the other version', () => {
    const { sessionMessages, events } = v1()
    const mixed = told(bare({ messages: sessionMessages, events }))
    const old = told(v1())
    expect(mixed.messages.map(({ message_id, text, sender }) => [message_id, text, sender])).toEqual(
      old.messages.map(({ message_id, text, sender }) => [message_id, text, sender]),
    )
    expect(mixed.events.map(({ name, occurred_at }) => [name, occurred_at])).toEqual(
      old.events.map(({ name, occurred_at }) => [name, occurred_at]),
    )
    const newer = { ...v1(), sessionMessages: v2().messages, events: v2().events }
    expect(told(newer).messages.map(({ text }) => text)).toEqual(told(v2()).messages.map(({ text }) => text))
    expect(told(newer).events.map(({ name }) => name)).toEqual(told(v2()).events.map(({ name }) => name))
    const named = { messageId: 'm-1', creationTime: at('10:00:01.000'), from: 'user', content: { type: 'text', text: 'x' } }
    expect(told(bare({ messages: [named] })).messages[0]).toMatchObject({ message_id: 'm-1', text: 'x', attributes: {} })
  })
})

describe('intents in v2', () => {
  const found = (name: string, time: string, isFallback: unknown = false) =>
    happens('find-intent', time, { intentName: name, isFallback })

  test('belong to the message just after', () => {
    const messages = [
      says('user', '10:00:01'),
      says('bot', '10:00:03'),
      says('bot', '10:00:04'),
      says('user', '10:00:09'),
      says('bot', '10:00:10'),
    ]
    const events = [found('Late', '10:00:09'), found('First', '10:00:02'), found('Second', '10:00:02.500')]
    expect(told(bare({ messages, events })).messages.map(message => message.intent)).toEqual([null, 'Second', null, null, 'Late'])
  })

  test('a fallback is an intent that was missed', () => {
    const { events } = told(
      bare({ events: [found('F', '10:00:01', true), found('F', '10:00:02', 'true'), found('F', '10:00:03', 'false')] }),
    )
    expect(events.map(event => event.type)).toEqual(['intent_missed', 'intent_missed', 'intent_matched'])
  })
})

test.each<[string, unknown, string[][]]>([
  ['no object', 'x', [['', expect.anything() as string]]],
  ['no start', { id: 'x' }, [['creationTime', 'is missing']]],
  ['a start that is no time', { sessionId: 'x', sessionDate: 'soon' }, [['sessionDate', 'is not a time']]],
  [
    'no id, and nothing to build one from',
    { creationTime: at('10:00:00') },
    [['id', 'is missing, and there is nothing to build it from']],
  ],
  [
    'a message without a time',
    bare({ messages: [says('user', '10:00:01'), { id: 'm', from: 'bot' }] }),
    [['messages.1.creationTime', 'is missing']],
  ],
  [
    'a v1 message without a time',
    { ...v1(), sessionMessages: [{ messageId: 'm' }] },
    [['sessionMessages.0.creationTime', 'is missing']],
  ],
  ['an event without a time', bare({ events: [{ name: 'x' }] }), [['events.0.creationTime', 'is missing']]],
  ['messages that are no list', bare({ messages: 'many' }), [['messages', expect.anything() as string]]],
])('a row with %s is refused, naming the place', (_, row, faults) => {
  expect(faultsOf(row)).toEqual(faults)
})

test('what a refused row says stands in none of its faults', () => {
  const faults = faultsOf(bare({ creationTime: 'Ana 573009998877', messages: [{ creationTime: 'secret words' }] }))
  expect(faults).toHaveLength(2)
  expect(JSON.stringify(faults)).not.toMatch(/Ana|5730|secret/)
})

test.each<[string | null, string | null]>([
  ['testbot-webchat-null-SBBZ2F73DL', 'webchat'],
  ['acme-shop-whatsapp-573001112233-X1', 'whatsapp'],
  ['whatsapp-store-webchat-null-X1', 'webchat'],
  ['my-api-skype-null-X1', 'skype'],
  ['acme-telegram-12-34-X1', 'telegram'],
  ['acme-messenger', 'messenger'],
  ['acme-facebook-page-with-words', 'facebook'],
  ['opaque', 'opaque'],
  ['acme-null-null-X1', 'acme-null-null-X1'],
  [null, null],
])('the platform of channel %s is %s', (channelId, platform) => {
  expect(channelWord(channelId)).toBe(platform)
})
