import { describe, expect, test } from 'vitest'
import syntphony from '../../connectors/syntphony/index.ts'
import { type FieldNames, USUAL } from '../../connectors/syntphony/fields.ts'
import { Details, detailsSchema, ListPage } from '../../connectors/syntphony/rows.ts'
import { applyTransfers } from '../../src/ingest/transfer-rules.ts'
import type { Event, Message, Session } from '../../src/records.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { type Draft, rowContext, type Stream } from '../../src/source/index.ts'
import { parseTransferRules } from '../../src/source/transfers.ts'

const stream = syntphony.streams['conversations'] as Stream
const T = Date.parse
const HOUR = 3_600_000
const CONFIG = {
  baseUrl: 'https://api.example.com',
  tokenUrl: 'https://keycloak.example.com/auth/realms/acme/protocol/openid-connect/token',
  username: 'reader',
  password: 'the-password',
  orgUuid: 'org-1',
  envUuid: 'env-1',
  botUuids: ['b74f'],
}

interface Seen {
  readonly at?: string
  readonly lookbackMs?: number
  readonly config?: Record<string, unknown>
  /** `transfer.rules`. */
  readonly rules?: readonly string[]
  /** What `conversations/details` answered; absent: the conversation is gone. */
  readonly details?: unknown
  /** Rows of `messages/list`; null: it was refused. Absent: none. */
  readonly delivered?: readonly Record<string, unknown>[] | null
  readonly publishedTransferMs?: number
}

function ctxOf({ at = '2025-03-03T00:00:00Z', lookbackMs = 48 * HOUR, config = {}, rules = [] }: Seen) {
  const parsed = syntphony.config.parse({ ...CONFIG, ...config })
  const scope = { name: 'b74f', botId: 'b74f' }
  return rowContext<unknown>({
    vendor: 'syntphony',
    account: 'acme',
    connector: 's',
    config: parsed,
    scope,
    observedAtMs: T(at),
    lookbackMs,
    transfers: parseTransferRules(rules).transfers,
  })
}

/** The records of a list row with its content, and what counts as a change of it. */
function told(row: unknown, seen: Seen = {}) {
  const ctx = ctxOf(seen)
  const names = ctx.config as FieldNames
  const parsed = stream.rowFor?.(ctx.config as never).parse(row) as Record<string, unknown>
  const details = seen.details === undefined ? null : detailsSchema(names).parse(seen.details)
  const { publishedTransferMs = null } = seen
  const content = { details, delivered: seen.delivered === undefined ? [] : seen.delivered, publishedTransferMs }
  const drafts = applyTransfers(stream.normalise({ ...parsed, content } as never, ctx), ctx.transfers, id => id)
  const of = (kind: Draft['kind']) => drafts.filter(draft => draft.kind === kind).map(draft => draft.record)
  return {
    session: of('session')[0] as Session,
    messages: of('message') as Message[],
    events: of('event') as Event[],
    fingerprint: stream.fingerprint?.(parsed as never, ctx),
  }
}

const faultsOf = (row: unknown) => stream.row.safeParse(row).error?.issues.map(({ path, message }) => [path.join('.'), message])

/** The dossier's sample page of `conversations/list`, as it stands there. */
const listed = () =>
  JSON.parse(`{"content":[{"sessionCode":"0f8d3a52-0001-4c1e-9a53-7a2f4c8f0001","conversationStartedAt":"2025-03-02T14:05:11.000Z",
 "durationInSeconds":184,"userMessages":4,"flowsTravelled":2,"flowsTravelledNames":["Welcome","Card Block"],"satisfaction":null,
 "tags":[{"uuid":"7d0c...","name":"cards"}],"channel":{"uuid":"cd0a...","name":"Web","botUuid":"b74f..."}}],
 "number":0,"size":20,"numberOfElements":1,"totalElements":1,"totalPages":1,"first":true,"last":true,"empty":false}`) as {
    content: Record<string, unknown>[]
  }

/** Its sample of `conversations/details`. */
const detailed = () =>
  JSON.parse(`{"sessionCode":"0f8d3a52-0001-4c1e-9a53-7a2f4c8f0001","channel":{"botUuid":"b74f...","name":"Web","description":"site"},
 "messages":[{"messageId":"m-1","type":"USER_INPUT","content":"hi","intent":"GREETING","isNe":false,
 "nlpResponses":[{"responseType":"INTENT","responseName":"GREETING"}]},{"messageId":"m-2","type":"TEXT","content":"Hello!","intent":null,"isNe":false,"nlpResponses":[]}]}`) as {
    messages: Record<string, unknown>[]
  }

const row = (over: Record<string, unknown> = {}) => ({ ...listed().content[0], ...over })
const message = (over: Record<string, unknown> = {}) => ({
  sessionCode: 'x',
  messages: [{ messageId: 'm-1', type: 'USER_INPUT', content: 'hi', ...over }],
})
const STARTED = T('2025-03-02T14:05:11Z')

/** A row of `messages/list` under the proposed names. */
const delivered = (over: Record<string, unknown> = {}) => ({
  sessionCode: '0f8d3a52-0001-4c1e-9a53-7a2f4c8f0001',
  businessKey: 'customer-7',
  deliveredAt: '2025-03-02T14:05:30.250Z',
  userMessage: 'hi',
  confidence: 87.5,
  nlpResponse: 'GREETING',
  answer: 'Hello!',
  answerNames: ['Greeting answer'],
  channel: 'Web',
  tags: [{ name: 'cards' }],
  translation: 'hello',
  language: 'en',
  ...over,
})

describe("the dossier's samples", () => {
  test('a list row and its details become a session with every field in its place', () => {
    const { session } = told(row(), { details: detailed(), delivered: [delivered()] })
    expect(session).toEqual({
      session_key: 'syntphony:acme:0f8d3a52-0001-4c1e-9a53-7a2f4c8f0001',
      vendor: 'syntphony',
      account: 'acme',
      bot_id: 'b74f',
      session_id: '0f8d3a52-0001-4c1e-9a53-7a2f4c8f0001',
      connector: 's',
      revision: 1,
      observed_at: T('2025-03-03T00:00:00Z'),
      started_at: STARTED,
      ended_at: STARTED + 184_000,
      ended_at_estimated: true,
      status: 'CLOSED',
      containment: 'UNKNOWN',
      interactive: true,
      channel: 'web',
      channel_raw: 'Web',
      language: 'en',
      languages: ['en'],
      user_id: 'customer-7',
      channel_user_id: null,
      transferred_at: null,
      queue: null,
      agent_id: null,
      agent_name: null,
      user_messages: 4,
      bot_messages: 1,
      agent_messages: null,
      total_messages: 5,
      tasks: null,
      satisfaction: null,
      outcome: null,
      starting_cause: null,
      topics: [],
      tags: [{ name: 'cards', value: null, scope: null }],
      variables: {},
      is_test: null,
      link: null,
      attributes: {
        'org.uuid': 'org-1',
        'env.uuid': 'env-1',
        'channel.botUuid': 'b74f...',
        'channel.description': 'site',
        'channel.uuid': 'cd0a...',
        flowsTravelled: '2',
        flowsTravelledNames: '["Welcome","Card Block"]',
      },
    })
  })

  test('messages come in their order, those of the user with what the message list tells', () => {
    const { messages } = told(row(), { details: detailed(), delivered: [delivered()] })
    expect(messages).toMatchObject([
      {
        message_id: 'm-1',
        sender: 'USER',
        type: 'user_input',
        text: 'hi',
        seq: 0,
        sent_at: T('2025-03-02T14:05:30.250Z'),
        sent_at_estimated: false,
        intent: 'GREETING',
        confidence: 0.875,
        channel: 'web',
        language: 'en',
        attributes: {
          isNe: 'false',
          nlpResponse: 'GREETING',
          answer: 'Hello!',
          answerNames: '["Greeting answer"]',
          tags: '[{"name":"cards"}]',
          translation: 'hello',
        },
      },
      {
        message_id: 'm-2',
        sender: 'BOT',
        type: 'text',
        text: 'Hello!',
        seq: 1,
        sent_at: STARTED,
        sent_at_estimated: true,
        intent: null,
        confidence: null,
        channel: 'web',
        language: 'en',
        attributes: { isNe: 'false' },
      },
    ])
  })

  test('flows, tags and what the engine found become events', () => {
    const { events } = told(row({ satisfaction: 4 }), { details: detailed() })
    expect(
      events.map(({ type, name, occurred_at_estimated: estimated, attributes }) => [type, name, estimated, attributes]),
    ).toEqual([
      ['intent_matched', 'GREETING', true, { responseType: 'INTENT', messageId: 'm-1' }],
      ['flow_transition', 'Welcome', true, { place: '0' }],
      ['flow_transition', 'Card Block', true, { place: '1' }],
      ['tag_applied', 'cards', true, { uuid: '7d0c...' }],
      ['satisfaction', 'satisfaction', true, { value: '4' }],
    ])
    expect(new Set(events.map(event => event.event_key)).size).toBe(events.length)
    expect(events.every(event => event.occurred_at === STARTED && event.channel === 'web')).toBe(true)
  })

  test('the sample page is a last page of one row', () => {
    expect(ListPage.parse(listed())).toMatchObject({ last: true, total: 1, pages: 1, content: [{ satisfaction: null }] })
  })
})

describe('the end of a conversation', () => {
  const at = (afterEndMs: number) => new Date(STARTED + 184_000 + afterEndMs).toISOString()

  test.each([
    [HOUR - 1, {}, 'OPEN', null],
    [HOUR, {}, 'CLOSED', STARTED + 184_000],
    [60_000, { sessionTimeoutMs: 60_000 }, 'CLOSED', STARTED + 184_000],
  ])('%d ms after the last message, with %j, it is %s', (ms, config, status, endedAt) => {
    const { session } = told(row(), { at: at(ms), config, details: detailed() })
    expect([session.status, session.ended_at, session.ended_at_estimated]).toEqual([status, endedAt, endedAt !== null])
  })

  test('is a change of the row, though the vendor shows it as before', () => {
    const before = told(row(), { at: at(HOUR - 1) }).fingerprint
    expect(told(row(), { at: at(0) }).fingerprint).toBe(before)
    expect(told(row(), { at: at(HOUR) }).fingerprint).not.toBe(before)
  })

  test('without a duration it expires with the lookback, and nobody knows when it ended', () => {
    const open = row({ durationInSeconds: null })
    expect(told(open, { at: at(5 * HOUR) }).session).toMatchObject({ status: 'OPEN', ended_at: null })
    expect(told(open, { at: at(50 * HOUR) }).session).toMatchObject({
      status: 'EXPIRED',
      ended_at: null,
      ended_at_estimated: false,
    })
  })
})

const USER = { messageId: 'm-1', type: 'USER_INPUT', content: 'hi' }
const ASKS = { messageId: 'm-3', type: 'USER_INPUT', content: 'a person please' }
const HANDOVER = { type: 'handover', handover: 'PORTAL', exit_command: 'exit', action: 'connect' }
const answer = (technicalText: unknown, more: object = {}) => ({
  messageId: 'm-4',
  type: 'TEXT',
  content: 'One moment',
  technicalText,
  ...more,
})
const ASKED_AT = '2025-03-02T14:47:30.250Z'
/** The user says hi, and 42 minutes later asks for a person. */
const talk = (...answers: object[]) => ({
  messages: [USER, { messageId: 'm-2', type: 'TEXT', content: 'Hello!' }, ASKS, ...answers],
})
const list = (more: object = {}) => [
  delivered(),
  delivered({
    userMessage: 'a person please',
    deliveredAt: ASKED_AT,
    answer: 'One moment',
    answerNames: ['Agent handover'],
    ...more,
  }),
]
const transfersIn = (events: readonly Event[]) =>
  events
    .filter(({ type }) => type === 'agent_transferred' || type === 'agent_transfer_requested')
    .map(({ type, name, occurred_at, occurred_at_estimated }) => [
      type,
      name,
      new Date(occurred_at).toISOString(),
      occurred_at_estimated,
    ])

describe('an answer that the message broker takes for a hand-over', () => {
  test.each<[string, object]>([
    ['as an object', answer(HANDOVER)],
    ['as text', answer(JSON.stringify(HANDOVER))],
    ['in capitals', answer({ ...HANDOVER, type: 'HANDOVER', action: 'Connect' })],
    ['in a list', answer([{ type: 'image' }, HANDOVER])],
    ['in what was said', answer(undefined, { content: { content: 'One moment', technicalText: HANDOVER } })],
    [
      'in a list of answers',
      answer(undefined, { answers: [{ content: 'One moment', technicalText: JSON.stringify(HANDOVER) }] }),
    ],
  ])('%s transfers the conversation without a rule, when the user asked', (_, said) => {
    const { session, events } = told(row(), { details: talk(said), delivered: list() })
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', T(ASKED_AT)])
    expect(transfersIn(events)).toEqual([['agent_transferred', 'handover', ASKED_AT, true]])
    expect(events.find(({ type }) => type === 'agent_transferred')?.attributes).toEqual({ messageId: 'm-4', handover: 'PORTAL' })
  })

  test.each<[string, object]>([
    ['back to the bot', answer({ ...HANDOVER, action: 'disconnect' })],
    ['without an action', answer({ ...HANDOVER, action: undefined })],
    ['of another kind', answer({ type: 'image', action: 'connect' })],
    ['that is no JSON', answer('{"type":"handover","action":"connect"')],
    ['that the user wrote', answer(HANDOVER, { type: 'USER_INPUT' })],
    ['in the words of the answer', answer(null, { content: JSON.stringify(HANDOVER) })],
  ])('%s is none', (_, said) => {
    const { session, events } = told(row(), { details: talk(said), delivered: list() })
    expect([session.containment, session.transferred_at, transfersIn(events)]).toEqual(['UNKNOWN', null, []])
  })

  test('is at its own time where it has one', () => {
    const details = talk(answer(HANDOVER, { createdAt: '2025-03-02T14:47:31.000Z' }))
    const { session, events } = told(row(), { details, delivered: list() })
    expect(session.transferred_at).toBe(T('2025-03-02T14:47:31Z'))
    expect(transfersIn(events)).toEqual([['agent_transferred', 'handover', '2025-03-02T14:47:31.000Z', false]])
  })

  test('has no time while the list does not show what it answers, and never the time of what was said before', () => {
    const { session, events } = told(row(), { details: talk(answer(HANDOVER)), delivered: [delivered()] })
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', null])
    expect(transfersIn(events), 'its event waits, because it must not move').toEqual([])
    const again = told(row(), { details: talk(answer(HANDOVER)), delivered: list() })
    expect(transfersIn(again.events)).toEqual([['agent_transferred', 'handover', ASKED_AT, true]])
  })

  test('is at the start of the conversation where no list is read that could show a time', () => {
    const { session, events } = told(row(), { details: talk(answer(HANDOVER)), config: { includeMessageList: false } })
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', null])
    expect(transfersIn(events)).toEqual([['agent_transferred', 'handover', '2025-03-02T14:05:11.000Z', true]])
  })

  test.each<[string, Seen]>([
    ['the list is refused', { details: talk(answer(HANDOVER)), delivered: null }],
    ['the conversation is gone', {}],
    ['the list lacks the message', { details: talk(answer(HANDOVER)), delivered: [delivered()] }],
    [
      'the list shows another time',
      { details: talk(answer(HANDOVER)), delivered: list({ deliveredAt: '2025-03-02T14:48:00Z' }) },
    ],
  ])('keeps the time that was published where %s', (_, seen) => {
    const { session } = told(row(), { ...seen, publishedTransferMs: T(ASKED_AT) })
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', T(ASKED_AT)])
  })

  test('is no transfer any more where what was read shows none', () => {
    const { session } = told(row(), { details: talk(), delivered: list(), publishedTransferMs: T(ASKED_AT) })
    expect([session.containment, session.transferred_at]).toEqual(['UNKNOWN', null])
  })

  test('answers what was said before a picture, which the list never shows', () => {
    const picture = { messageId: 'p', type: 'USER_INPUT', content: 'https://files.example.com/a.jpg' }
    const { session } = told(row(), { details: talk(picture, answer(HANDOVER)), delivered: list() })
    expect(session.transferred_at).toBe(T(ASKED_AT))
  })

  test('does not move when the conversation goes on, or hands over again', () => {
    const more = [{ messageId: 'm-5', type: 'USER_INPUT', content: 'again' }, answer(HANDOVER, { messageId: 'm-6' })]
    const later = delivered({ userMessage: 'again', deliveredAt: '2025-03-02T15:00:00.000Z' })
    const { session, events } = told(row(), { details: talk(answer(HANDOVER), ...more), delivered: [...list(), later] })
    expect(session.transferred_at).toBe(T(ASKED_AT))
    expect(transfersIn(events).map(([, , at]) => at)).toEqual([ASKED_AT, '2025-03-02T15:00:00.000Z'])
  })

  test('is told once where a rule finds it, too', () => {
    const rules = ['answer~^agent handover$=agent_transferred']
    const { session, events } = told(row(), { details: talk(answer(HANDOVER)), delivered: list(), rules })
    expect(session.transferred_at).toBe(T(ASKED_AT))
    expect(transfersIn(events)).toEqual([['agent_transferred', 'handover', ASKED_AT, true]])
  })
})

describe('transfer.rules', () => {
  test.each<[string, string, string, boolean]>([
    ['answer~^agent handover$=agent_transferred', 'answer', ASKED_AT, false],
    ['answer~one moment=agent_transferred', '', '', false],
    ['intent~^talk_to_agent$=agent_transferred', 'intent', ASKED_AT, false],
    ['message.text~a person=agent_transferred', 'message.text', ASKED_AT, false],
    ['message.text~^one moment=agent_transferred', 'message.text', ASKED_AT, true],
    ['event~^TALK_TO_AGENT$=agent_transferred', 'TALK_TO_AGENT', ASKED_AT, false],
    ['attribute.technicalText~portal=agent_transferred', 'attribute.technicalText', ASKED_AT, true],
  ])('%s finds it at the message that matched', (rule, name, at, estimated) => {
    const nlpResponses = [{ responseType: 'INTENT', responseName: 'TALK_TO_AGENT' }]
    const messages = talk(answer({ type: 'PORTAL' })).messages.map(each =>
      each === ASKS ? { ...each, intent: 'TALK_TO_AGENT', nlpResponses } : each,
    )
    const { session, events } = told(row(), { details: { messages }, delivered: list(), rules: [rule] })
    if (name === '') {
      expect([session.containment, transfersIn(events)]).toEqual(['SELF_SERVICE', []])
      return
    }
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', T(at)])
    expect(transfersIn(events)).toEqual([['agent_transferred', name, at, estimated]])
  })

  test.each([
    ['intent~^talk_to_agent$=agent_transferred'],
    ['message.text~a person=agent_transferred'],
    ['event~^TALK_TO_AGENT$=agent_transferred'],
  ])('%s makes no event while the list does not show when', rule => {
    const nlpResponses = [{ responseType: 'INTENT', responseName: 'TALK_TO_AGENT' }]
    const messages = talk(answer(null)).messages.map(each =>
      each === ASKS ? { ...each, intent: 'TALK_TO_AGENT', nlpResponses } : each,
    )
    const { session, events } = told(row(), { details: { messages }, delivered: [delivered()], rules: [rule] })
    expect([session.containment, session.transferred_at, transfersIn(events)]).toEqual(['AGENT', null, []])
    const listless = told(row(), { details: { messages }, config: { includeMessageList: false }, rules: [rule] })
    expect(transfersIn(listless.events).map(([, , at]) => at)).toEqual(['2025-03-02T14:05:11.000Z'])
  })

  test('an answer without a name is known by its text', () => {
    const rules = ['answer~one moment=agent_transferred']
    const { session } = told(row(), { details: talk(answer(null)), delivered: list({ answerNames: null }), rules })
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', T(ASKED_AT)])
  })

  test('what the engine found is an intent, also where only the list tells it', () => {
    const rules = ['intent~^to_agent$=agent_transferred']
    const { session } = told(row(), { details: talk(), delivered: list({ nlpResponse: 'TO_AGENT' }), rules })
    expect(session.transferred_at).toBe(T(ASKED_AT))
  })

  test.each([
    ['flow~card block=agent_transferred', 'flow'],
    ['tag~^cards$=agent_transferred', 'tag'],
    ['event~^card block$=agent_transferred', 'Card Block'],
  ])('%s finds what has no time: the transfer has none, and its event is at the start', (rule, name) => {
    const { session, events } = told(row(), { details: talk(), delivered: list(), rules: [rule] })
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', null])
    expect(transfersIn(events)).toEqual([['agent_transferred', name, '2025-03-02T14:05:11.000Z', true]])
  })

  test('one that asks for a person is an event, and says nothing of who served', () => {
    const rules = ['answer~handover=agent_transfer_requested']
    const { session, events } = told(row(), { details: talk(), delivered: list(), rules })
    expect([session.containment, session.transferred_at]).toEqual(['UNKNOWN', null])
    expect(transfersIn(events)).toEqual([['agent_transfer_requested', 'answer', ASKED_AT, false]])
  })

  test('the older key is read', () => {
    const { session, events } = told(row(), { config: { transferFlowPattern: 'agent|card block' }, details: detailed() })
    expect([session.containment, session.transferred_at]).toEqual(['AGENT', null])
    expect(transfersIn(events)).toEqual([['agent_transferred', 'Card Block', '2025-03-02T14:05:11.000Z', true]])
  })
})

describe('containment without a transfer', () => {
  const RULES = ['flow~^agent=agent_transferred']
  const of = (seen: Seen, over: Record<string, unknown> = {}) =>
    told(row(over), { details: detailed(), delivered: [delivered()], ...seen }).session.containment

  test('is SELF_SERVICE where a rule would have shown one, once the conversation is over', () => {
    expect(of({ rules: RULES })).toBe('SELF_SERVICE')
    expect(of({ config: { transferFlowPattern: '^agent' } })).toBe('SELF_SERVICE')
    expect(of({ rules: RULES, at: '2025-03-02T14:06:00Z' })).toBe('UNKNOWN')
    expect(of({ rules: RULES }, { userMessages: 0 })).toBe('UNKNOWN')
  })

  test.each<[string, Seen, Record<string, unknown>]>([
    ['there is no rule', {}, {}],
    ['rules only find who asks', { rules: ['flow~^agent=agent_transfer_requested'] }, {}],
    ['rules look at steps, which nobody names', { rules: ['step~.=agent_transferred'] }, {}],
    ['the row names no flows', { rules: RULES }, { flowsTravelledNames: undefined }],
    ['the row names no tags', { rules: ['tag~^agent=agent_transferred'] }, { tags: undefined }],
    ['the message list was refused', { rules: ['answer~^agent=agent_transferred'], delivered: null }, {}],
    ['the message list is not read', { rules: ['answer~^agent=agent_transferred'], config: { includeMessageList: false } }, {}],
    ['only some messages are asked for', { rules: ['answer~^agent=agent_transferred'], config: { nlpResponses: ['FOUND'] } }, {}],
    ['the content is gone', { rules: ['message.text~^agent=agent_transferred'], details: undefined }, {}],
  ])('is UNKNOWN where %s', (_, seen, over) => {
    const bare = JSON.parse(JSON.stringify(row(over))) as Record<string, unknown>
    const before = { details: detailed(), delivered: [delivered()] }
    expect(told(bare, { ...before, ...seen }).session.containment).toBe('UNKNOWN')
  })

  test('a row that names no flows or tags at this time covers', () => {
    expect(of({ rules: RULES }, { flowsTravelledNames: [] })).toBe('SELF_SERVICE')
    expect(of({ rules: ['tag~^agent=agent_transferred'] }, { tags: null })).toBe('SELF_SERVICE')
  })

  test.each<[readonly string[], Record<string, unknown>, boolean]>([
    [[], {}, false],
    [['step~.=agent_transferred'], {}, false],
    [['flow~.=agent_transfer_requested'], {}, false],
    [['flow~.=agent_transferred'], {}, true],
    [['answer~.=agent_transferred'], {}, true],
    [['answer~.=agent_transferred'], { includeMessageList: false }, false],
    [[], { transferFlowPattern: 'agent' }, true],
  ])('with %j and %j the connector tells transfers: %s', (rules, config, expected) => {
    const parsed = syntphony.config.parse({ ...CONFIG, ...config })
    expect(syntphony.detectsTransfers?.(parsed as never, parseTransferRules(rules).transfers)).toBe(expected)
  })
})

describe('names of fields', () => {
  test('are those of the config; what has the usual name is kept as any other field', () => {
    const config = { fieldSessionCode: 'conversationId', fieldFlows: 'path', fieldDuration: 'seconds', fieldMessages: 'turns' }
    const { sessionCode: conversationId, flowsTravelledNames: path, durationInSeconds: seconds, ...rest } = row()
    const { messages: turns, ...others } = detailed()
    const { session, events, messages } = told(
      { ...rest, conversationId, path, seconds, sessionCode: 'of the channel' },
      { config, details: { ...others, turns, messages: 2 }, rules: ['flow~card=agent_transferred'] },
    )
    expect(session).toMatchObject({
      session_id: conversationId,
      ended_at: STARTED + 184_000,
      containment: 'AGENT',
      attributes: { sessionCode: 'of the channel', 'raw.messages': '2' },
    })
    expect(events.filter(({ type }) => type === 'flow_transition').map(({ name }) => name)).toEqual(['Welcome', 'Card Block'])
    expect(messages.map(({ text }) => text)).toEqual(['hi', 'Hello!'])
  })

  test('of messages, too', () => {
    const config = {
      fieldMessageType: 'kind',
      fieldMessageTime: 'saidAt',
      fieldTechnicalText: 'tech',
      fieldMessageContent: 'words',
    }
    const messages = [
      {
        messageId: 'a',
        kind: 'USER_INPUT',
        words: 'hi',
        saidAt: '2025-03-02T14:06:00.000Z',
        createdAt: '2025-01-01T00:00:00.000Z',
      },
      { messageId: 'b', kind: 'TEXT', words: 'wait', saidAt: '2025-03-02T14:06:01.000Z', tech: HANDOVER },
    ]
    const { session, messages: made } = told(row(), { config, details: { messages } })
    expect(made.map(({ sender, text, sent_at }) => [sender, text, sent_at])).toEqual([
      ['USER', 'hi', T('2025-03-02T14:06:00Z')],
      ['BOT', 'wait', T('2025-03-02T14:06:01Z')],
    ])
    expect(session.transferred_at).toBe(T('2025-03-02T14:06:01Z'))
  })

  test('stand in the place of a fault', () => {
    const schema = stream.rowFor?.({ ...USUAL, fieldStartedAt: 'begin' } as never)
    expect(schema?.safeParse(row()).error?.issues.map(({ path, message }) => [path.join('.'), message])).toEqual([
      ['begin', 'is missing'],
    ])
  })
})

describe('channel.map', () => {
  const of = (name: unknown, channelMap: readonly string[]) =>
    told(row({ channel: { name, uuid: 'c-1' }, satisfaction: 4 }), { config: { channelMap }, details: { messages: [USER] } })

  test.each([
    ['Main site', ['main site=web'], 'web'],
    ['Main site', ['Main*=whatsapp', 'main site=web'], 'whatsapp'],
    ['Línea 2 (beta)', ['*beta*=sms'], 'sms'],
    ['Main site', ['c-1=email'], 'email'],
    ['a=b', ['a=b=voice'], 'voice'],
    ['Web', ['Web=other'], 'other'],
    ['Teams', ['main=web ; TEAMS = msteams'], 'msteams'],
    ['Teams', ['Team=web', 'eams=web'], 'msteams'],
    ['Main site', [], 'other'],
    [null, ['*=web'], 'web'],
  ])('%s with %j is %s, on the session, its messages and events', (name, map, channel) => {
    const { session, messages, events } = of(name, map)
    expect([session.channel, session.channel_raw]).toEqual([channel, name])
    expect(new Set([...messages, ...events].map(each => each.channel))).toEqual(new Set([channel]))
  })

  test.each([['Main site'], ['=web'], ['Main site=webb'], ['Main site=']])('%s is a fault of the config', rule => {
    expect(syntphony.config.safeParse({ ...CONFIG, channelMap: [rule] }).success).toBe(false)
  })

  test('is read from text and from a list', () => {
    const flat = {
      'connector.class': 'syntphony',
      'base.url': CONFIG.baseUrl,
      'token.url': CONFIG.tokenUrl,
      username: 'u',
      password: 'p',
    }
    const uuids = { 'org.uuid': 'o', 'env.uuid': 'e', 'bot.uuids': 'b' }
    const mapIn = (value: unknown) => {
      const parsed = parseConnectorConfig('s', { ...flat, ...uuids, 'channel.map': value }, syntphony)
      return parsed.ok ? (parsed.config as { channelMap: string[] }).channelMap : parsed.faults
    }
    expect(mapIn('Main site=web,Chat=sms')).toEqual(['Main site=web', 'Chat=sms'])
    expect(mapIn(['Sales, North=web'])).toEqual(['Sales, North=web'])
    expect(mapIn('Main site=nowhere')).toMatchObject([{ path: expect.stringContaining('channel.map') }])
  })
})

describe('a message', () => {
  test.each(['deliveredAt', 'createdAt', 'date', 'timestamp'])('that tells its time as %s has it', name => {
    const details = message({ [name]: '2025-03-02T14:05:40.000Z' })
    const { messages } = told(row(), { details, delivered: [delivered()] })
    expect(messages[0]).toMatchObject({ sent_at: T('2025-03-02T14:05:40Z'), sent_at_estimated: false, confidence: 0.875 })
    expect(Object.keys(messages[0]?.attributes ?? {})).not.toContain(name)
  })

  test.each([
    ['USER_INPUT', 'USER'],
    ['user_input', 'USER'],
    ['TEXT', 'BOT'],
    ['Carousel-v2', 'BOT'],
    [null, 'BOT'],
  ])('of type %s is of %s', (type, sender) => {
    expect(told(row(), { details: message({ type }) }).messages[0]).toMatchObject({
      sender,
      type: type?.toLowerCase() ?? 'other',
    })
  })

  test('comes before those that came later, where all tell their time and the newest is shown first', () => {
    const said = (content: string, more = {}) => ({ messageId: content, type: 'TEXT', content, ...more })
    const texts = (...messages: object[]) => told(row(), { details: { messages } }).messages.map(each => [each.seq, each.text])
    const at = (minute: number) => ({ createdAt: `2025-03-02T14:0${minute}:00.000Z` })
    const [a, b, c] = [said('a', at(6)), said('b', at(7)), said('c', at(7))]
    const inOrder = ['a', 'b', 'c'].map((text, seq) => [seq, text])
    expect(texts(c, b, a)).toEqual(inOrder)
    expect(texts(a, b, c)).toEqual(inOrder)
    expect(texts(b, c)).toEqual([
      [0, 'b'],
      [1, 'c'],
    ])
    expect(texts(b, said('c'), a).map(([, text]) => text)).toEqual(['b', 'c', 'a'])
    expect(texts(b, a, c).map(([, text]) => text)).toEqual(['b', 'a', 'c'])
  })

  test.each(['message', 'text', 'content'])('is matched by its words under the name %s', name => {
    const { userMessage, ...rest } = delivered()
    const { messages } = told(row(), { details: message(), delivered: [{ ...rest, [name]: userMessage }] })
    expect(messages[0]).toMatchObject({ confidence: 0.875, text: 'hi' })
    expect(Object.keys(messages[0]?.attributes ?? {})).not.toContain(name)
    const both = told(row(), { details: message(), delivered: [delivered({ [name]: 'more' })] })
    expect(both.messages[0]).toMatchObject({ confidence: 0.875, attributes: { [name]: 'more' } })
  })

  test('has the language that was detected, and its conversation the business key', () => {
    const { language, businessKey, sessionCode, ...rest } = delivered()
    const list = [{ ...rest, detectedLanguage: language, conversation: { sessionCode, businessKey } }]
    const { session, messages } = told(row(), { details: message(), delivered: list })
    expect([session.user_id, session.language, messages[0]?.language]).toEqual(['customer-7', 'en', 'en'])
  })

  test('that said the same as another gets the row of the list in its turn', () => {
    const details = { messages: ['m-1', 'm-2', 'm-3'].map(messageId => ({ messageId, type: 'USER_INPUT', content: 'yes ' })) }
    const times = ['2025-03-02T14:07:00.000Z', '2025-03-02T14:06:00.000Z']
    const { messages } = told(row(), { details, delivered: times.map(at => delivered({ userMessage: 'yes', deliveredAt: at })) })
    expect(messages.map(each => [each.sent_at, each.sent_at_estimated])).toEqual([
      [T('2025-03-02T14:06:00Z'), false],
      [T('2025-03-02T14:07:00Z'), false],
      [STARTED, true],
    ])
  })

  test('is matched by its id before its words', () => {
    const list = [delivered({ messageId: 'm-9' }), delivered({ messageId: 'm-1', userMessage: 'hi (shortened)', confidence: 12 })]
    expect(told(row(), { details: message(), delivered: list }).messages[0]?.confidence).toBe(0.12)
  })

  test('does not get the row that names another, but one whose id means nothing here', () => {
    const details = { messages: ['m-1', 'm-2'].map(messageId => ({ messageId, type: 'USER_INPUT', content: 'hi' })) }
    const named = [delivered({ messageId: 'm-2', confidence: 12 })]
    expect(told(row(), { details, delivered: named }).messages.map(each => each.confidence)).toEqual([null, 0.12])
    const foreign = [delivered({ messageId: 'list-7', confidence: 12 })]
    expect(told(row(), { details, delivered: foreign }).messages.map(each => each.confidence)).toEqual([0.12, null])
  })

  test('without an id gets one of its content, and two that say the same get two', () => {
    const details = { messages: [1, 2].map(() => ({ type: 'TEXT', content: 'one moment' })) }
    const ids = told(row(), { details }).messages.map(each => each.message_id)
    expect(new Set(ids).size).toBe(2)
    expect(told(row(), { details }).messages.map(each => each.message_id)).toEqual(ids)
  })

  test('and its answer under one id are told as two', () => {
    const details = {
      messages: [
        { messageId: 'm', type: 'USER_INPUT', content: 'a' },
        { messageId: 'm', type: 'TEXT', content: 'b' },
      ],
    }
    expect(told(row(), { details }).messages.map(each => [each.message_id, each.text])).toEqual([
      ['m', 'a'],
      ['m.1', 'b'],
    ])
  })

  test.each([
    [87.5, 0.875],
    [100, 1],
    ['64.2', 0.642],
    [0.64, 0.64],
    [null, null],
    ['high', null],
  ])('with confidence %s is told with %s', (confidence, expected) => {
    expect(told(row(), { details: message(), delivered: [delivered({ confidence })] }).messages[0]?.confidence).toBe(expected)
  })

  test('with an address for its content has it as an attachment too', () => {
    const details = message({ type: 'IMAGE', content: 'https://files.example.com/a.jpg' })
    expect(told(row(), { details }).messages[0]?.attachments).toEqual([
      { kind: 'image', url: 'https://files.example.com/a.jpg', caption: null },
    ])
  })

  test('whose content is an object tells its text, and keeps the rest', () => {
    const content = { text: 'choose', options: ['a', 'b'] }
    expect(told(row(), { details: message({ content }) }).messages[0]).toMatchObject({
      text: 'choose',
      attributes: { content: JSON.stringify(content) },
    })
  })

  test('keeps fields that nobody knows, of the details and of the list', () => {
    const { messages } = told(row(), { details: message({ extra: 1 }), delivered: [delivered({ more: { a: 1 } })] })
    expect(messages[0]?.attributes).toMatchObject({ extra: '1', more: '{"a":1}' })
  })

  test('in which nothing was found gives intent_missed', () => {
    const nlpResponses = [
      { responseType: 'INTENT', responseName: 'none' },
      { responseType: 'NONE' },
      { responseType: 'DOCUMENT', responseName: 'FAQ' },
    ]
    const { events } = told(row({ flowsTravelledNames: null, tags: null }), { details: message({ nlpResponses }) })
    expect(events.map(event => [event.type, event.name])).toEqual([
      ['intent_missed', 'none'],
      ['intent_missed', 'none'],
      ['intent_matched', 'FAQ'],
    ])
  })

  const NE = { isNe: true, intent: null }
  const missesIn = (...messages: object[]) =>
    told(row({ flowsTravelledNames: null, tags: null }), { details: { messages } }).events.map(event => [
      event.type,
      event.name,
      event.attributes['messageId'],
    ])

  test.each<[string, object, unknown[][]]>([
    ['an empty list', { ...NE, nlpResponses: [] }, [['intent_missed', 'none', 'm-1']]],
    ['null', { ...NE, nlpResponses: null }, [['intent_missed', 'none', 'm-1']]],
    ['nothing', NE, [['intent_missed', 'none', 'm-1']]],
    ['nothing, and the mark as text', { isNe: 'true' }, [['intent_missed', 'none', 'm-1']]],
    ['none', { ...NE, nlpResponses: [{ responseName: 'none' }] }, [['intent_missed', 'none', 'm-1']]],
    ['a document', { ...NE, nlpResponses: [{ responseName: 'FAQ' }] }, [['intent_matched', 'FAQ', 'm-1']]],
    ['an intent', { ...NE, intent: 'GREETING' }, []],
    ['nothing, but no mark', { isNe: false, nlpResponses: [] }, []],
  ])('that is marked as not understood, with %s found, is missed at most once', (_, over, expected) => {
    expect(missesIn({ ...USER, ...over })).toEqual(expected)
  })

  test('that is marked on its answers is missed once, too', () => {
    const sorry = (messageId: string) => ({ messageId, type: 'TEXT', content: 'Sorry?', ...NE })
    expect(missesIn(USER, sorry('b'), sorry('c'))).toEqual([['intent_missed', 'none', 'b']])
    expect(missesIn({ ...USER, ...NE }, sorry('b'))).toEqual([['intent_missed', 'none', 'm-1']])
    expect(missesIn(USER, sorry('b'), { ...USER, messageId: 'd' }, sorry('e'))).toEqual([
      ['intent_missed', 'none', 'b'],
      ['intent_missed', 'none', 'e'],
    ])
  })

  test('that is no object rejects its row, with the place', () => {
    expect(() => told(row(), { details: { messages: [detailed().messages[0], 'hi'] } })).toThrow(
      expect.objectContaining({ code: 'ROW_UNMAPPABLE', details: expect.objectContaining({ path: 'messages.1' }) }),
    )
  })
})

describe('odd forms of a row', () => {
  test.each([
    ['2025-03-02T14:05:11.000Z'],
    ['2025-03-02T14:05:11Z'],
    ['2025-03-02T14:05:11.000+0000'],
    ['2025-03-02T16:05:11+02:00'],
    ['2025-03-02T14:05:11.000'],
    ['2025-03-02 14:05:11'],
    [STARTED],
    [STARTED / 1000],
    [String(STARTED)],
  ])('%s is the time that it says', conversationStartedAt => {
    expect(told(row({ conversationStartedAt })).session.started_at).toBe(STARTED)
  })

  test('numbers as text, lists that are null or absent, a channel that is a word', () => {
    const odd = row({ durationInSeconds: '184', userMessages: '4', satisfaction: '3.5', tags: null, channel: 'WhatsApp' })
    delete (odd as Record<string, unknown>)['flowsTravelledNames']
    const { session, events } = told(odd, { details: { messages: null } })
    expect(session).toMatchObject({
      ended_at: STARTED + 184_000,
      user_messages: 4,
      satisfaction: 3.5,
      tags: [],
      channel: 'whatsapp',
    })
    expect(events.map(event => event.type)).toEqual(['satisfaction'])
  })

  test('flows as objects and tags as words are read', () => {
    const { events } = told(row({ flowsTravelledNames: [{ name: 'Welcome' }], tags: ['cards'] }))
    expect(events.map(event => event.name)).toEqual(['Welcome', 'cards'])
  })

  test('a flow that is entered twice gives two events, in any re-read the same', () => {
    const again = row({ flowsTravelledNames: ['Menu', 'Pay', 'Menu'], tags: [] })
    const keys = told(again).events.map(event => event.event_key)
    expect(new Set(keys).size).toBe(3)
    expect(
      told(row({ flowsTravelledNames: ['Menu', 'Pay', 'Menu', 'Bye'], tags: [] }))
        .events.map(event => event.event_key)
        .slice(0, 3),
    ).toEqual(keys)
  })

  test('a rating that changes is another event', () => {
    const keyAt = (satisfaction: number) =>
      told(row({ satisfaction })).events.find(event => event.type === 'satisfaction')?.event_key
    expect(keyAt(4)).toBe(keyAt(4))
    expect(keyAt(4)).not.toBe(keyAt(5))
  })

  test('a number that is none is kept as it came', () => {
    const { session } = told(row({ durationInSeconds: 'n/a', satisfaction: 'good', userMessage: 'hi', novelty: [1] }))
    expect(session.satisfaction).toBeNull()
    expect(session.attributes).toMatchObject({
      durationInSeconds: 'n/a',
      satisfaction: 'good',
      userMessage: 'hi',
      novelty: '[1]',
    })
  })

  test('a message list that was refused leaves the messages, and says so', () => {
    const { session, messages } = told(row(), { details: detailed(), delivered: null })
    expect(session.attributes['message_list']).toBe('refused')
    expect(messages.map(each => [each.text, each.sent_at_estimated])).toEqual([
      ['hi', true],
      ['Hello!', true],
    ])
  })

  test('a business key in the row is the user where the message list tells none', () => {
    const withKey = row({ businessKey: 'customer-8', satisfaction: 4 })
    const { session, events } = told(withKey, { details: detailed(), delivered: null })
    expect([session.user_id, new Set(events.map(each => each.user_id))]).toEqual(['customer-8', new Set(['customer-8'])])
    expect(told(withKey, { details: detailed(), delivered: [delivered()] }).session.user_id).toBe('customer-7')
  })

  test('details that are the bare list of messages are read', () => {
    const { messages } = detailed()
    expect(told(row(), { details: messages })).toEqual(told(row(), { details: { messages } }))
  })

  test('details that are gone leave the session, and say so', () => {
    const { session, messages } = told(row())
    expect([session.attributes['details'], session.bot_messages, session.user_messages, messages]).toEqual(['gone', null, 4, []])
  })

  test.each<[Record<string, unknown>, string[][]]>([
    [{ sessionCode: null }, [['sessionCode', 'is missing']]],
    [{ conversationStartedAt: null }, [['conversationStartedAt', 'is missing']]],
    [{ conversationStartedAt: 'yesterday' }, [['conversationStartedAt', 'is not a time']]],
    [{ conversationStartedAt: 7 }, [['conversationStartedAt', 'is a placeholder, not a time']]],
  ])('%j is rejected with its place', (over, faults) => {
    expect(faultsOf(row(over))).toEqual(faults)
  })

  test('what is read first by a part that a change does not touch stays the same', () => {
    const first = stream.row.parse(row()) as Record<string, unknown>
    const ctx = ctxOf({})
    const withContent = { ...first, content: { details: detailed(), delivered: [] } }
    expect(stream.fingerprint?.(withContent as never, ctx)).toBe(stream.fingerprint?.(first as never, ctx))
    const changed = stream.row.parse(row({ durationInSeconds: 185 }))
    expect(stream.fingerprint?.(changed as never, ctx)).not.toBe(stream.fingerprint?.(first as never, ctx))
  })

  test('details in another form are no conversation without messages', () => {
    expect(Details.safeParse({ error: 'x' }).success).toBe(false)
    expect(Details.safeParse({ sessionCode: 'x' }).success).toBe(true)
  })
})
