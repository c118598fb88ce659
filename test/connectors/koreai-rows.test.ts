import { describe, expect, test } from 'vitest'
import koreai from '../../connectors/koreai/index.ts'
import { FOLLOWED, findingOf, turnOf } from '../../connectors/koreai/rows.ts'
import type { Event, Message, Session } from '../../src/records.ts'
import { type Draft, type FlowError, rowContext, type Stream } from '../../src/source/index.ts'

const T = Date.parse
const HOUR = 3_600_000
const DAY = 24 * HOUR
const BOT = 'st-ffeffxxx-xxxc-xexa-axxx-cxxabxxxxcxx'

interface Seen {
  readonly at?: string
  readonly config?: Record<string, unknown>
  readonly botId?: string | null
  readonly stream?: 'sessions' | 'analytics'
  readonly messages?: readonly unknown[]
  /** What `enrich` adds to the row beside its messages. */
  readonly richer?: Readonly<Record<string, unknown>>
}

function told(row: unknown, { at: given, config = {}, botId = BOT, stream: name = 'sessions', messages, richer }: Seen = {}) {
  // Samples of messages and of analytics are years younger than those of sessions.
  const at = given ?? (messages !== undefined || name === 'analytics' ? '2026-12-01T00:00:00Z' : '2021-04-27T00:00:00Z')
  const stream = koreai.streams[name] as Stream
  const parsed = koreai.config.parse({ baseUrl: 'http://v', clientId: 'cs-1', clientSecret: 's', ...config })
  const ctx = rowContext<unknown>({
    vendor: 'koreai',
    account: 'acme',
    connector: 'x',
    config: parsed,
    scope: { name: botId ?? 'acme', botId },
    observedAtMs: T(at),
    lookbackMs: DAY,
  })
  const read = stream.row.parse(row) as object
  const whole = (messages === undefined ? read : { ...read, messages: messages.map(turnOf), ...richer }) as never
  const drafts = stream.normalise(whole, ctx)
  const of = (kind: Draft['kind']) => drafts.filter(draft => draft.kind === kind).map(draft => draft.record)
  return {
    session: of('session')[0] as Session,
    messages: of('message') as Message[],
    events: of('event') as Event[],
    fingerprint: stream.fingerprint?.(read as never, ctx),
    isOpen: stream.follow?.isOpen(read as never, ctx),
  }
}

const faultsOf = (row: unknown) =>
  (koreai.streams['sessions'] as Stream).row.safeParse(row).error?.issues.map(({ path, message }) => [path.join('.'), message])

/** The sample of v9 and later: interactive and containment apart. */
const dropOff = () => ({
  sessionId: 'xxxxaxxexxxaxexdxxxdxxxe',
  botId: BOT,
  channel: 'rtm',
  userId: 'u-xxfexxxd-xxex-xdxe-xaec-xeaxbxxxxfxx',
  start_time: '2021-04-26T11:27:25.977Z',
  end_time: '2021-04-26T11:27:26.145Z',
  session_lang: ['en'],
  sessionType: 'interactive',
  containmentType: 'dropOff',
  isDeveloper: false,
  tags: { userTags: [{ value: 'newuser', name: 'regular' }], sessionTags: [] },
  noOfMessagesExchanged: 1,
  noOfTasksExecuted: 0,
})

/** The older sample: `sessionType` holds the containment. */
const selfService = () => ({
  sessionId: 'xxxxaxxexxxaxexdxxxdxxxe',
  botId: BOT,
  channel: 'rtm',
  userId: 'u-xxfexxxd-xxex-xdxe-xaec-xeaxbxxxxfxx',
  start_time: '2021-04-26T11:27:25.977Z',
  end_time: '2021-04-26T11:27:26.145Z',
  session_lang: ['en'],
  sessionType: 'selfService',
  isDeveloper: false,
  tags: { userTags: [{ value: 'newuser', name: 'regular' }], sessionTags: [] },
  noOfMessagesExchanged: 6,
  noOfTasksExecuted: 0,
})

const agent = () => ({
  ...dropOff(),
  containmentType: 'agent',
  tags: { userTags: [], sessionTags: [] },
  noOfMessagesExchanged: 7,
  noOfTasksExecuted: 2,
})

/** The sample of the current documents. */
const current = () => ({
  sessionId: '67d97c8fd495b147d9c3xxxx',
  botId: 'st-89cf14ef-145e-5263-994e-5d757325xxxx',
  channel: 'korevg',
  userId: 'u-c3c0b243-becc-5cce-a845-f681a62dxxxx',
  start_time: '2025-03-18T14:00:47.505Z',
  end_time: '2025-03-18T14:01:37.518Z',
  session_lang: ['en'],
  sessionType: 'interactive',
  isDeveloper: false,
  sessionStatus: 'closed',
  tags: {
    userTags: [],
    sessionTags: [
      { value: '1', name: 'welcomeMessageTwilio' },
      { value: '+112*****89', name: 'callerNumber' },
    ],
    altText: [],
  },
  noOfMessagesExchanged: 4,
  noOfTasksExecuted: 1,
  containmentType: 'agent',
})

const incoming = () => ({
  _id: 'ms-fee996b9-0485-55a3-bf42-417c1272aff4',
  channels: [{ type: 'rtm', channelUId: 'someone@example.com' }],
  type: 'incoming',
  status: 'received',
  createdBy: 'u-1bc0993f-e0d6-5589-973d-6fe2663de2d4',
  lmodifiedBy: 'u-1bc0993f-e0d6-5589-973d-6fe2663de2d4',
  createdOn: '2023-07-18T09:46:46.925Z',
  lmodifiedOn: '2023-07-18T09:46:46.925Z',
  botId: 'st-369f9021-2a85-5b32-9005-63139d57c2e5',
  orgId: 'o-f4b49c0a-f027-57bf-aef0-b68ad9b51ee2',
  accountId: '6461f97ed43763474b34e56e',
  isBB: 1,
  ms: 1,
  chnl: 'rtm',
  isD: 1,
  components: [{ _id: 'cp-ae11791d-118f-53f1-8905-9bc9f03fdece', cT: 'text', data: { text: 'hi' }, thumbnails: [] }],
  timestampValue: 1689673606939,
  __v: 0,
  lang: 'en',
  sT: 1,
  sessionId: '64b65f87277b464507f778c0',
  cluster_id: 'Others',
  resourceid: 'messagestore',
  tags: { messageTags: [], userTags: [{ value: 'Alan', name: 'Alan' }], sessionTags: [] },
  traceId: '5371b61d-b1bb-4432-80de-7430772b0cfb',
})

const outgoing = (more: Record<string, unknown> = {}) => ({
  ...incoming(),
  _id: 'ms-5436a303-0d8c-58e8-8ad3-33bf5bcefcb7',
  type: 'outgoing',
  status: 'pending',
  createdOn: '2023-07-18T09:46:47.497Z',
  components: [{ _id: 'cp-c035b2f4', cT: 'text', data: { text: 'Hey :)' }, thumbnails: [] }],
  ...more,
})

describe('sessions', () => {
  test('the sample of a drop-off has every field in its place', () => {
    const { session, events } = told(dropOff())
    expect(session).toEqual({
      session_key: 'koreai:acme:xxxxaxxexxxaxexdxxxdxxxe',
      vendor: 'koreai',
      account: 'acme',
      bot_id: BOT,
      session_id: 'xxxxaxxexxxaxexdxxxdxxxe',
      connector: 'x',
      revision: 1,
      observed_at: T('2021-04-27T00:00:00Z'),
      started_at: T('2021-04-26T11:27:25.977Z'),
      ended_at: T('2021-04-26T11:27:26.145Z'),
      ended_at_estimated: false,
      status: 'CLOSED',
      containment: 'DROP_OFF',
      interactive: true,
      channel: 'web',
      channel_raw: 'rtm',
      language: 'en',
      languages: ['en'],
      user_id: 'u-xxfexxxd-xxex-xdxe-xaec-xeaxbxxxxfxx',
      channel_user_id: null,
      transferred_at: null,
      queue: null,
      agent_id: null,
      agent_name: null,
      user_messages: null,
      bot_messages: null,
      agent_messages: null,
      total_messages: 1,
      tasks: 0,
      satisfaction: null,
      outcome: null,
      starting_cause: null,
      topics: [],
      tags: [{ name: 'regular', value: 'newuser', scope: 'user' }],
      variables: {},
      is_test: false,
      link: null,
      attributes: {},
    })
    expect(
      events.map(({ event_id, type, occurred_at, occurred_at_estimated }) => [
        event_id,
        type,
        occurred_at,
        occurred_at_estimated,
      ]),
    ).toEqual([
      ['xxxxaxxexxxaxexdxxxdxxxe/session_started', 'session_started', session.started_at, false],
      ['xxxxaxxexxxaxexdxxxdxxxe/session_ended', 'session_ended', session.ended_at, false],
    ])
    expect(events.map(({ channel, language, user_id }) => [channel, language, user_id])).toEqual([
      ['web', 'en', session.user_id],
      ['web', 'en', session.user_id],
    ])
  })

  test('in the older sample the type is the containment, and whether it was interactive is not told', () => {
    expect(told(selfService()).session).toMatchObject({ containment: 'SELF_SERVICE', interactive: null, total_messages: 6 })
    expect(told(selfService(), { messages: [outgoing()] }).session.interactive).toBe(false)
    expect(told(selfService(), { messages: [incoming()] }).session.interactive).toBe(true)
  })

  test('the sample of an agent session has a transfer at a time that is not known: neither its start nor its end', () => {
    const { session, events } = told(agent())
    expect(session).toMatchObject({ containment: 'AGENT', interactive: true, transferred_at: null, tasks: 2, total_messages: 7 })
    expect(events.map(({ type }) => type)).toEqual(['session_started', 'session_ended'])
  })

  test('the current sample tells its status and session tags', () => {
    expect(told({ ...current(), channel: 'audiocodes' }, { at: '2025-03-18T14:02:00Z' }).session.channel).toBe('voice')
    expect(told(current(), { at: '2025-03-18T14:02:00Z', botId: null }).session).toMatchObject({
      status: 'CLOSED',
      bot_id: 'st-89cf14ef-145e-5263-994e-5d757325xxxx',
      channel: 'voice',
      channel_raw: 'korevg',
      containment: 'AGENT',
      tags: [
        { name: 'welcomeMessageTwilio', value: '1', scope: 'session' },
        { name: 'callerNumber', value: '+112*****89', scope: 'session' },
      ],
      attributes: {},
    })
  })

  test.each([
    ['Selfservice', 'non-interactive', 'SELF_SERVICE', false],
    ['selfservice', 'Interactive', 'SELF_SERVICE', true],
    ['DROPOFF', 'NON_INTERACTIVE', 'DROP_OFF', false],
    ['interactive', 'agent', 'AGENT', true],
    [undefined, 'dropOff', 'DROP_OFF', null],
    [null, null, 'UNKNOWN', null],
  ])('containmentType %s beside sessionType %s is %s', (containmentType, sessionType, containment, interactive) => {
    expect(told({ ...dropOff(), containmentType, sessionType }).session).toMatchObject({
      containment,
      interactive,
      attributes: {},
    })
  })

  test('words that are neither stay where they stood', () => {
    const { session } = told({ ...dropOff(), containmentType: 'deflected', sessionType: 'hybrid', sessionStatus: 'paused' })
    expect(session).toMatchObject({ containment: 'UNKNOWN', interactive: null })
    expect(session.attributes).toEqual({ containmentType: 'deflected', sessionType: 'hybrid', sessionStatus: 'paused' })
  })

  test('a field that nobody knows goes to attributes, also beside the tags', () => {
    const { session } = told({ ...dropOff(), callId: 'c-1', tags: { userTags: [], altText: ['a'], more: { b: 1 } } })
    expect(session.attributes).toEqual({ callId: 'c-1', 'tags.altText': '["a"]', 'tags.more': '{"b":1}' })
  })

  test('tags may be one object of names and values', () => {
    const { session } = told({ ...dropOff(), tags: { userTags: { regular: 'newuser' }, sessionTags: { calls: 2 } } })
    expect(session.tags).toEqual([
      { name: 'regular', value: 'newuser', scope: 'user' },
      { name: 'calls', value: '2', scope: 'session' },
    ])
  })

  test('numbers as text, 1 for true, tags of mixed type and one language without a list are read', () => {
    const row = {
      ...dropOff(),
      noOfMessagesExchanged: '12',
      noOfTasksExecuted: '3',
      isDeveloper: 1,
      session_lang: 'pt',
      tags: {
        sessionTags: [
          { name: 'n', value: 7 },
          { name: 'b', value: true },
          { name: 'o', value: { x: 1 } },
          { name: 'none', value: null },
        ],
      },
    }
    expect(told(row).session).toMatchObject({
      total_messages: 12,
      tasks: 3,
      is_test: true,
      languages: ['pt'],
      language: 'pt',
      tags: [
        { name: 'n', value: '7', scope: 'session' },
        { name: 'b', value: 'true', scope: 'session' },
        { name: 'o', value: '{"x":1}', scope: 'session' },
        { name: 'none', value: null, scope: 'session' },
      ],
    })
  })

  test('what cannot be read as its type is kept as it came', () => {
    const { session } = told({
      ...dropOff(),
      noOfMessagesExchanged: 'many',
      isDeveloper: 'maybe',
      end_time: 'soon',
      sessionStatus: 'closed',
    })
    expect(session).toMatchObject({ total_messages: null, is_test: null, ended_at: session.started_at, ended_at_estimated: true })
    expect(session.attributes).toEqual({ noOfMessagesExchanged: 'many', isDeveloper: 'maybe', end_time: 'soon' })
  })

  test.each([
    [{ sessionId: undefined }, ['sessionId', 'is missing']],
    [{ sessionId: { a: 1 } }, ['sessionId', 'is no id']],
    [{ start_time: null }, ['start_time', 'is missing']],
    [{ start_time: 'yesterday' }, ['start_time', 'is not a time']],
    [{ start_time: 7 }, ['start_time', 'is a placeholder, not a time']],
    [{ start_time: 'today' }, ['start_time', 'is not a time']],
  ])('a row with %j is rejected, with its place', (change, fault) => {
    expect(faultsOf({ ...dropOff(), ...change })).toEqual([fault])
  })

  test('a row without a bot is rejected where all bots are read, and has the bot of its scope elsewhere', () => {
    const { botId: _, ...row } = dropOff()
    expect(told(row).session.bot_id).toBe(BOT)
    expect(() => told(row, { botId: null })).toThrow(
      expect.objectContaining({ code: 'ROW_UNMAPPABLE', details: expect.objectContaining({ path: 'botId' }) }) as FlowError,
    )
  })
})

describe('the end of a session', () => {
  const active = { ...dropOff(), sessionStatus: 'active', containmentType: undefined }
  const at = (afterMs: number) => new Date(T(active.start_time) + afterMs).toISOString()

  test('while it is active it is open, without an end, and followed', () => {
    const { session, events, isOpen } = told(active, { at: at(HOUR) })
    expect(session).toMatchObject({
      status: 'OPEN',
      ended_at: null,
      containment: 'UNKNOWN',
      attributes: { end_time: active.end_time },
    })
    expect(events.map(({ type }) => type)).toEqual(['session_started'])
    expect(isOpen).toBe(true)
  })

  test('fourteen days after it left the lookback it has expired, and that is a change', () => {
    const before = told(active, { at: at(15 * DAY - 1) })
    const after = told(active, { at: at(15 * DAY) })
    expect(before.session.status).toBe('OPEN')
    expect(after.session).toMatchObject({ status: 'EXPIRED', ended_at: T(active.end_time), ended_at_estimated: true })
    expect(after.events.map(({ type }) => type)).toEqual(['session_started'])
    expect(after.fingerprint).not.toBe(before.fingerprint)
  })

  test('without a status it is closed when it has been silent for longer than the app waits, and that is a change', () => {
    const quiet = (afterMs: number) => ({ at: new Date(T(dropOff().end_time) + afterMs).toISOString() })
    const before = told(dropOff(), quiet(20 * 60_000))
    const after = told(dropOff(), quiet(20 * 60_000 + 1))
    expect([before.session.status, after.session.status]).toEqual(['OPEN', 'CLOSED'])
    expect([before.isOpen, after.isOpen]).toEqual([true, false])
    expect(after.fingerprint).not.toBe(before.fingerprint)
    expect(told(dropOff(), { ...quiet(HOUR), config: { inactivityMinutes: 120 } }).session.status).toBe('OPEN')
  })

  test('without status and end it is open, and expires 14 days after the lookback', () => {
    const row = { ...dropOff(), end_time: undefined }
    expect(told(row, { at: at(15 * DAY - 1) })).toMatchObject({ session: { status: 'OPEN' }, isOpen: true })
    expect(told(row, { at: at(15 * DAY) }).session).toMatchObject({ status: 'EXPIRED', ended_at_estimated: true })
  })

  test('an end before the start comes out as the start, estimated', () => {
    const { session } = told({ ...dropOff(), end_time: '2021-04-26T11:27:25.000Z', sessionStatus: 'closed' })
    expect(session).toMatchObject({ ended_at: session.started_at, ended_at_estimated: true })
    expect(session.attributes['end_time']).toBe('2021-04-26T11:27:25.000Z')
  })

  test('whether a row was asked for by its id does not count as a change', () => {
    expect(told({ ...dropOff(), [FOLLOWED]: true }).fingerprint).toBe(told(dropOff()).fingerprint)
  })
})

describe('a hand-over', () => {
  const open = { ...dropOff(), sessionStatus: 'active', containmentType: undefined, sessionId: '64b65f87277b464507f778c0' }
  const start = '2023-07-18T09:46:46.000Z'
  const row = { ...open, start_time: start, end_time: undefined }
  const author = { userId: 'u-agent', firstName: 'Agent' }
  const byAgent = (createdOn: string, _id = 'ms-agent') => outgoing({ _id, createdOn, author })
  const [T1, T2] = ['2023-07-18T09:50:00.000Z', '2023-07-18T09:51:30.000Z']
  const seen = (richer: Record<string, unknown>, more: Record<string, unknown> = {}, messages = [incoming(), byAgent(T2)]) => {
    const { session, events } = told({ ...row, ...more }, { messages, richer, at: '2023-07-18T10:31:00Z' })
    const { containment, transferred_at, status } = session
    const transfers = events.filter(({ type }) => type === 'agent_transferred')
    return {
      session: { containment, transferred_at, status },
      events: transfers.map(({ event_id, occurred_at, occurred_at_estimated }) => [event_id, occurred_at, occurred_at_estimated]),
    }
  }
  const at = (time: string) => [[`${row.sessionId}/agent_transferred`, T(time), false]]

  test("an open session with an agent's message is AGENT, at the first such message, without waiting for containmentType", () => {
    const messages = [incoming(), byAgent(T1), byAgent(T2, 'ms-later')]
    expect(seen({}, {}, messages)).toEqual({
      session: { containment: 'AGENT', transferred_at: T(T1), status: 'OPEN' },
      events: at(T1),
    })
  })

  test("the platform's own time comes before the message", () => {
    expect(seen({ handOffAtMs: T(T1) })).toEqual({
      session: { containment: 'AGENT', transferred_at: T(T1), status: 'OPEN' },
      events: at(T1),
    })
  })

  test('what was published stays, also where the platform tells a better time later, and when the session closes', () => {
    for (const more of [{}, { sessionStatus: 'closed', containmentType: 'agent', end_time: '2023-07-18T10:30:00.000Z' }])
      expect(seen({ handOffAtMs: T(T1), publishedTransferMs: T(T2) }, more)).toMatchObject({
        session: { containment: 'AGENT', transferred_at: T(T2) },
        events: at(T2),
      })
  })

  test('what was published stays where the vendor no longer shows the message', () => {
    expect(seen({ publishedTransferMs: T(T2) }, {}, [incoming()])).toMatchObject({
      session: { containment: 'AGENT', transferred_at: T(T2) },
      events: at(T2),
    })
  })

  test('with a tag alone it is AGENT at a time that is not known, without an event', () => {
    const tagged = { tags: { sessionTags: [{ name: 'voiceAgentTransferStart', value: '1' }] } }
    expect(seen({}, tagged, [incoming()])).toEqual({
      session: { containment: 'AGENT', transferred_at: null, status: 'OPEN' },
      events: [],
    })
  })

  test('a time that is a placeholder, or far ahead, is none', () => {
    for (const handOffAtMs of [T('1999-01-01T00:00:00Z'), T('2199-01-01T00:00:00Z')])
      expect(seen({ handOffAtMs }).session.transferred_at).toBe(T(T2))
  })

  test("where an agent wrote, the vendor's other word is kept in attributes", () => {
    const { session } = told({ ...row, containmentType: 'selfService' }, { messages: [byAgent(T2)] })
    expect(session).toMatchObject({ containment: 'AGENT', attributes: { containmentType: 'SELF_SERVICE' } })
  })
})

describe('messages', () => {
  const row = {
    ...dropOff(),
    sessionId: '64b65f87277b464507f778c0',
    start_time: '2023-07-18T09:46:46.000Z',
    session_lang: ['en'],
  }

  test('the sample of an incoming message has every field in its place', () => {
    const { messages, session } = told(row, { messages: [incoming()] })
    expect(messages).toEqual([
      expect.objectContaining({
        message_key: 'koreai:acme:64b65f87277b464507f778c0/ms-fee996b9-0485-55a3-bf42-417c1272aff4',
        sent_at: T('2023-07-18T09:46:46.925Z'),
        sent_at_estimated: false,
        seq: 0,
        sender: 'USER',
        type: 'text',
        text: 'hi',
        attachments: [],
        channel: 'web',
        language: 'en',
        intent: null,
        agent_id: null,
        attributes: {
          __v: '0',
          accountId: '6461f97ed43763474b34e56e',
          channels: '[{"type":"rtm","channelUId":"someone@example.com"}]',
          chnl: 'rtm',
          cluster_id: 'Others',
          components: '[{"_id":"cp-ae11791d-118f-53f1-8905-9bc9f03fdece","cT":"text"}]',
          createdBy: 'u-1bc0993f-e0d6-5589-973d-6fe2663de2d4',
          isBB: '1',
          isD: '1',
          lmodifiedBy: 'u-1bc0993f-e0d6-5589-973d-6fe2663de2d4',
          lmodifiedOn: '2023-07-18T09:46:46.925Z',
          ms: '1',
          orgId: 'o-f4b49c0a-f027-57bf-aef0-b68ad9b51ee2',
          resourceid: 'messagestore',
          sT: '1',
          status: 'received',
          tags: '{"messageTags":[],"userTags":[{"value":"Alan","name":"Alan"}],"sessionTags":[]}',
          timestampValue: '1689673606939',
          traceId: '5371b61d-b1bb-4432-80de-7430772b0cfb',
        },
      }),
    ])
    expect(session).toMatchObject({
      channel_user_id: 'someone@example.com',
      user_messages: 1,
      bot_messages: 0,
      agent_messages: 0,
    })
  })

  test("an outgoing message is the bot's although its createdBy is the user, and stays pending without being an error", () => {
    expect(told(row, { messages: [outgoing()] }).messages[0]).toMatchObject({
      sender: 'BOT',
      text: 'Hey :)',
      attributes: { status: 'pending' },
    })
  })

  test.each([
    { displayName: 'Ines R.' },
    { fName: 'Ines', lName: 'R.' },
    { type: 'USER', profile: { fName: 'Ines', lName: 'R.' } },
  ])('the name of an author may be told as in %j', author => {
    const { messages } = told(row, { messages: [outgoing({ botId: BOT, author })] })
    expect(messages[0]).toMatchObject({ sender: 'AGENT', agent_name: 'Ines R.' })
  })

  test("an outgoing message with an author is an agent's, and the session has the last one", () => {
    const author = { id: 'a-7', firstName: 'Ines', lastName: 'R.', team: 'second level', botId: BOT }
    const { messages, session } = told(row, { messages: [outgoing({ botId: BOT, author })] })
    expect(messages[0]).toMatchObject({ sender: 'AGENT', agent_id: 'a-7', agent_name: 'Ines R.' })
    expect(messages[0]?.attributes['author.team']).toBe('second level')
    expect(session).toMatchObject({ agent_id: 'a-7', agent_name: 'Ines R.', bot_messages: 0, agent_messages: 1 })
  })

  test.each([
    ['nobody', { id: null, name: '', role: '-' }],
    ['an empty object', {}],
    ['the bot itself', { id: 'st-own', name: 'Helper' }],
    ['a bot, by its type', { id: 'b-1', type: 'Bot' }],
  ])("an outgoing message whose author is %s is the bot's", (_, author) => {
    const { messages, session } = told(row, { messages: [outgoing({ botId: 'st-own', author })] })
    expect([messages[0]?.sender, session.agent_messages]).toEqual(['BOT', 0])
  })

  test("without asking for agents, who wrote the bot's messages of an agent session is not known", () => {
    const { session } = told(
      { ...row, containmentType: 'agent' },
      { messages: [outgoing(), incoming()], config: { agentsInfo: false } },
    )
    expect(session).toMatchObject({ user_messages: 1, bot_messages: null, agent_messages: null })
  })

  test('the id of an author is its userId, before agentId, id and _id, which are kept', () => {
    const ids = { _id: '646f0750d15e5a3db2ae0001', id: 'a-7', agentId: 'ag-7', userId: 'u-b19cd89e-6533-59af-b491-eec9bf8f0001' }
    const idOf = (author: Record<string, unknown>) =>
      told(row, { messages: [outgoing({ botId: BOT, author: { firstName: 'Agent', ...author } })] }).messages[0]
    expect(idOf(ids)).toMatchObject({
      agent_id: ids.userId,
      attributes: { 'author._id': ids._id, 'author.id': 'a-7', 'author.agentId': 'ag-7' },
    })
    expect(idOf({ _id: ids._id, id: 'a-7', agentId: 'ag-7' })?.agent_id).toBe('ag-7')
    expect(idOf({ _id: ids._id, id: 'a-7' })?.agent_id).toBe('a-7')
    expect(idOf({ _id: ids._id })?.agent_id).toBe(ids._id)
  })

  test.each([
    [
      'by the type of its component',
      { components: [{ _id: 'cp-1', cT: 'ctrlmsg', data: { text: 'agent joined' } }] },
      'outgoing',
    ],
    ['by its own type', { type: 'ctrlmsg', components: [] }, undefined],
    ['though it names an author', { components: [{ cT: 'ctrlmsg' }], author: { userId: 'u-1', firstName: 'Agent' } }, 'outgoing'],
  ])("a control message, %s, is the system's, nobody's transfer, and counts for nobody", (_, more, direction) => {
    const { session, messages, events } = told({ ...row, sessionStatus: 'active' }, { messages: [incoming(), outgoing(more)] })
    expect(messages[1]).toMatchObject({ sender: 'SYSTEM', type: 'ctrlmsg', agent_id: null })
    expect(messages[1]?.attributes['type']).toBe(direction)
    expect(session).toMatchObject({ user_messages: 1, bot_messages: 0, agent_messages: 0, transferred_at: null })
    expect([session.containment, events.some(({ type }) => type === 'agent_transferred')]).toEqual(['DROP_OFF', false])
  })

  test('a message with a control component beside others is what its direction says', () => {
    const components = [{ cT: 'ctrlmsg' }, { cT: 'text', data: { text: 'Hello' } }]
    expect(told(row, { messages: [outgoing({ components })] }).messages[0]).toMatchObject({ sender: 'BOT', text: 'Hello' })
  })

  test('several components are parts in order: texts joined by lines, media as attachments, types and ids in attributes', () => {
    const components = [
      { _id: 'cp-1', cT: 'text', data: { text: 'Look:' } },
      { _id: 'cp-2', cT: 'image', data: { url: 'https://files.example.com/a.jpg', caption: 'A', size: 3 }, thumbnails: ['t'] },
      { _id: 'cp-3', cT: 'NLResponse', data: { text: 'ok?\u0000' } },
    ]
    expect(told(row, { messages: [outgoing({ components })] }).messages[0]).toMatchObject({
      type: 'text',
      text: 'Look:\nok?',
      attachments: [{ kind: 'image', url: 'https://files.example.com/a.jpg', caption: 'A' }],
      attributes: {
        components: JSON.stringify([
          { _id: 'cp-1', cT: 'text' },
          {
            _id: 'cp-2',
            cT: 'image',
            data: { url: 'https://files.example.com/a.jpg', caption: 'A', size: 3 },
            thumbnails: ['t'],
          },
          { _id: 'cp-3', cT: 'NLResponse' },
        ]),
      },
    })
  })

  test("the older sample's channel and status are kept, and another way than in or out is not guessed at", () => {
    const { chnl: _, ...old } = incoming()
    const { messages } = told(row, { messages: [{ ...old, channel: 'rcs', status: 'sent to cs', type: 'note' }] })
    expect(messages[0]).toMatchObject({
      sender: 'UNKNOWN',
      attributes: { sender_raw: 'note', channel: 'rcs', status: 'sent to cs' },
    })
  })

  test('a message without a time makes its session a reject, with its place', () => {
    expect(() => told(row, { messages: [incoming(), outgoing({ createdOn: 'soon' })] })).toThrow(
      expect.objectContaining({
        code: 'ROW_UNMAPPABLE',
        details: expect.objectContaining({ path: 'messages.1.createdOn' }),
      }) as FlowError,
    )
  })
})

describe('analytics', () => {
  const row = (more: Record<string, unknown> = {}) => ({
    _id: '63xxxxxxxxxxxxxxxxx',
    messageId: 'ms-xxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxx',
    sessionId: '63xxxxxxxxxxxxxxx',
    utterance: 'aslfkj',
    intent: 'Mobile Enquiry',
    userId: 'u-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxx',
    channelUId: 'test@abc.xyz',
    language: 'en',
    timestamp: '2022-09-24T08:24:39.840Z',
    pinned: false,
    channel: 'rtm',
    winningIntent: [],
    isAmbiguous: false,
    ambiguousIntents: [],
    taskName: 'Mobile Enquiry',
    flow: [],
    taskId: 'dg-xxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxx',
    customTags: { userTags: [{ name: 'Name', value: 'John' }], sessionTags: [], messageTags: [] },
    NLAnalysis: { result: 'unhandledUtterance', input: ['aslfkj'] },
    ...more,
  })
  const event = (list: string, more?: Record<string, unknown>) =>
    told(findingOf(row(more), list), { stream: 'analytics' }).events[0] as Event

  test('the sample has every field in its place, but NLAnalysis, which is never kept', () => {
    expect(event('successintent')).toMatchObject({
      event_key: 'koreai:acme:successintent/63xxxxxxxxxxxxxxxxx',
      session_key: 'koreai:acme:63xxxxxxxxxxxxxxx',
      bot_id: BOT,
      occurred_at: T('2022-09-24T08:24:39.840Z'),
      occurred_at_estimated: false,
      type: 'intent_matched',
      name: 'successintent',
      channel: 'web',
      language: 'en',
      user_id: 'u-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxx',
      attributes: {
        messageId: 'ms-xxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxx',
        utterance: 'aslfkj',
        intent: 'Mobile Enquiry',
        channelUId: 'test@abc.xyz',
        isAmbiguous: 'false',
        pinned: 'false',
        taskName: 'Mobile Enquiry',
        taskId: 'dg-xxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxx',
      },
    })
    expect(JSON.stringify(findingOf(row(), 'successintent'))).not.toContain('unhandledUtterance')
  })

  test.each([
    ['successintent', {}, 'intent_matched'],
    ['failintent', {}, 'intent_missed'],
    ['unhandledutterance', {}, 'intent_missed'],
    ['successtask', {}, 'task_succeeded'],
    ['failtask', {}, 'task_failed'],
    ['performance', { status: 'success', statusCode: '200' }, 'other'],
    ['performance', { status: 'failure', statusCode: '500', type: 'service' }, 'error'],
  ])('a row of %s %j is %s', (list, more, type) => {
    expect(event(list, more)).toMatchObject({ type, name: list })
  })

  test('a row without a session is an event without one, of the bot that was asked', () => {
    expect(event('failintent', { sessionId: undefined })).toMatchObject({
      session_key: null,
      session_id: null,
      bot_id: BOT,
      channel: 'web',
    })
  })
})
