import { afterEach, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { type Flow, findFlow, flowOf, parseFlow, questionsOf } from '../../src/serve/bot-flow.ts'
import type { EventIndex, EventQuestion, IndexedEvent } from '../../src/serve/event-index.ts'
import type { HttpServer } from '../../src/serve/http.ts'
import { createStore } from '../../src/serve/store.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { finish } from '../../src/slices.ts'
import { completenessOf, noEvents, nothingRead, point, T } from './points.ts'
import { NOW, startWorld } from './world.ts'

const range = { version: 'LIVE', start_time: '2026-11-01T00:00:00Z', end_time: '2026-11-02T00:00:00Z' }
const inPath = { bot_id: 'b1', conversation_id: 's1' }
const queryOf = (parameters: Record<string, string> = {}, path: Record<string, string> = {}) =>
  parseFlow({ inPath: { ...inPath, ...path }, parameters: { ...range, ...parameters }, nowMs: T(NOW) })

let count = 0
const eventOf = ({ at, ...of }: Partial<IndexedEvent> & { at: string }): IndexedEvent => {
  const event_id = of.event_id ?? `e${++count}`
  return {
    event_key: `botmaker:acme:${event_id}`,
    session_key: 'botmaker:acme:s1',
    vendor: 'botmaker',
    account: 'acme',
    bot_id: 'b1',
    session_id: 's1',
    event_id,
    occurred_at: T(`2026-11-01T${at}Z`),
    type: 'flow_transition',
    name: 'a step',
    user_id: null,
    attributes: {},
    ...of,
  }
}

/** Answers with what is wanted of these, whatever the partition. */
function indexOf(events: readonly IndexedEvent[], asked: EventQuestion[] = []): EventIndex {
  return {
    partitions: 3,
    bytes: 0,
    find: async question => {
      asked.push(question)
      return events.filter(({ session_key, attributes }) =>
        question.wanted.some(name => name === session_key || name === attributes['conversation_id']),
      )
    },
  }
}
const never = new AbortController().signal
const find = async (events: readonly IndexedEvent[], of = queryOf()): Promise<Flow> => {
  const question = { partition: 0, fromMs: of.fromMs, wanted: ['s1', 'botmaker:acme:s1', 'c1'] }
  const flow = await findFlow(of, [question], indexOf(events), never)
  if ('refused' in flow) throw new Error(flow.refused)
  return flow
}
const steps = ({ transitions }: Flow) => transitions.map(({ from_step, to_step }) => `${from_step.id}>${to_step.id}`)

test('transitions that the vendor describes are answered as it does', async () => {
  const attributes = {
    conversation_id: 'c1',
    transition_id: 't-2',
    'from_step.id': 'intro',
    'from_step.type': 'bot_dialog',
    'to_step.id': 'menu',
    'to_step.type': 'bot_dialog',
    depth: '2',
  }
  const first = { conversation_id: 'c1', 'to_step.id': 'intro', 'to_step.type': 'bot_dialog', depth: '1' }
  const of = { session_key: null, session_id: null }
  const flow = await find(
    [
      eventOf({ ...of, at: '10:00:01.120', attributes, user_id: 'u1' }),
      eventOf({ ...of, at: '10:00:00', event_id: 'hash', attributes: first }),
    ],
    queryOf({}, { conversation_id: 'c1' }),
  )
  expect(flow).toEqual({
    bot_id: 'b1',
    conversation_id: 'c1',
    user_id: 'u1',
    transitions: [
      {
        id: 'hash',
        from_step: { id: '', type: '' },
        to_step: { id: 'intro', type: 'bot_dialog' },
        depth: 1,
        timestamp: '2026-11-01T10:00:00.000Z',
      },
      {
        id: 't-2',
        from_step: { id: 'intro', type: 'bot_dialog' },
        to_step: { id: 'menu', type: 'bot_dialog' },
        depth: 2,
        timestamp: '2026-11-01T10:00:01.120Z',
      },
    ],
  })
})

test('steps that are only named lead from one to the next, in the order of time, then of their places', async () => {
  const at = '10:00:00'
  const flow = await find([
    eventOf({ at, name: 'Menu', attributes: { place: '1' } }),
    eventOf({ at: '10:05:00', name: 'Bye', type: 'menu_option' }),
    eventOf({ at, name: 'Welcome', attributes: { place: '0' } }),
    eventOf({ at: '10:01:00', name: 'greeting', type: 'intent_matched' }),
  ])
  expect(steps(flow)).toEqual(['>Welcome', 'Welcome>Menu', 'Menu>Bye'])
  expect(flow.transitions.map(({ depth, to_step }) => [depth, to_step.type])).toEqual([
    [1, 'flow_transition'],
    [2, 'flow_transition'],
    [3, 'menu_option'],
  ])
  expect(flow.user_id).toBe('')
})

test('without any of these, intents, tasks and transfers are the path', async () => {
  const flow = await find([
    eventOf({ at: '10:00:00', name: 'session_started', type: 'session_started' }),
    eventOf({ at: '10:00:01', name: 'order', type: 'intent_matched' }),
    eventOf({ at: '10:00:02', name: 'none', type: 'intent_missed' }),
    eventOf({ at: '10:00:03', name: 'pay', type: 'task_failed' }),
    eventOf({ at: '10:00:04', name: 'handover', type: 'agent_transferred' }),
    eventOf({ at: '10:00:05', name: 'vip', type: 'tag_applied' }),
  ])
  expect(steps(flow)).toEqual(['>order', 'order>none', 'none>pay', 'pay>handover'])
  expect((await find([eventOf({ at: '10:00:00', type: 'session_started' })])).transitions).toEqual([])
})

test('the range is half-open, and a message leaves its own transitions, as they were', async () => {
  const events = ['00:00:00', '10:00:00', '11:00:00'].map((at, n) =>
    eventOf({ at, name: `${n}`, attributes: n === 1 ? { message_id: 'm1' } : { messageId: 'm2' } }),
  )
  events.push({ ...eventOf({ at: '00:00:00' }), occurred_at: T('2026-11-02T00:00:00Z') })
  expect(steps(await find(events))).toEqual(['>0', '0>1', '1>2'])
  const one = await find(events, queryOf({ message_id: 'm1' }))
  expect([steps(one), one.transitions[0]?.depth]).toEqual([['0>1'], 2])
  expect(steps(await find(events, queryOf({ message_id: 'm2' })))).toEqual(['>0', '1>2'])
  expect(steps(await find(events, queryOf({ message_id: 'm9' })))).toEqual([])
  expect(steps(await find(events, queryOf({ start_time: '2026-11-01T10:00:00Z', end_time: '2026-11-01T11:00:00Z' })))).toEqual([
    '>1',
  ])
})

test('a conversation is named by session_id, session_key, or the vendor’s conversation_id; others are left out', async () => {
  const events = [
    eventOf({ at: '10:00:00', name: 'mine', attributes: { conversation_id: 'c1' } }),
    eventOf({ at: '10:00:01', name: 'of another bot', bot_id: 'b2', attributes: { conversation_id: 'c1' } }),
    eventOf({ at: '10:00:02', name: 'of another session', session_id: 's2', session_key: 'botmaker:acme:s2' }),
  ]
  for (const conversation_id of ['s1', 'botmaker:acme:s1', 'c1'])
    expect(steps(await find(events, queryOf({}, { conversation_id })))).toEqual(['>mine'])
  await expect(find(events, queryOf({}, { conversation_id: 's9' }))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(find(events, queryOf({ end_time: '2026-11-01T10:00:00Z' }))).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('of two vendors with a conversation of one id, the one that has a path is answered, or the one that is asked for', async () => {
  const theirs = { vendor: 'acme-chat', account: 'acme' }
  const events = [
    eventOf({ at: '10:00:00', name: 'theirs', type: 'intent_matched', user_id: 'their user', ...theirs }),
    eventOf({ at: '10:00:01', name: 'ours', user_id: 'our user' }),
  ]
  expect(await find(events)).toMatchObject({ user_id: 'our user', transitions: [{ to_step: { id: 'ours' } }] })
  const asked = await find(events, queryOf({ vendor: 'acme-chat' }))
  expect(asked).toMatchObject({ user_id: 'their user', transitions: [{ to_step: { id: 'theirs' } }] })
  const both = events.map(event => ({ ...event, type: 'menu_option' as const }))
  expect(steps(await find(both))).toEqual(['>theirs'])
  expect(steps(await find(both, queryOf({ account: 'other,acme', vendor: 'botmaker' })))).toEqual(['>ours'])
  await expect(find(events, queryOf({ account: 'other' }))).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('the path of a session that was made of a part of a conversation is that of the conversation in the range', async () => {
  const conversation = { conversation_id: 'c7' }
  const events = [
    eventOf({ at: '10:00:00', type: 'other', name: 'tracked', attributes: conversation }),
    eventOf({ at: '10:00:01', name: 'step', session_id: null, session_key: null, attributes: conversation }),
    eventOf({
      at: '10:00:02',
      name: 'of a draft',
      bot_id: 'b1@DRAFT',
      session_id: null,
      session_key: null,
      attributes: conversation,
    }),
  ]
  expect(steps(await find(events))).toEqual(['>step'])
})

test('each owner of a bot is asked for at the partition where its records are', () => {
  const store = createStore()
  store.put(point({ at: NOW, events: 1 }))
  store.put(point({ at: NOW, account: 'other', events: 1 }))
  store.put(point({ at: NOW, bot_id: 'b2', account: 'none', events: 1 }))
  const completeness = completenessOf({ vendor: 'koreai', account: 'k', bot_id: 'b1', covered: [] })
  const questions = finish(questionsOf(queryOf(), store, completeness, 64))
  const partition = (key: string) => partitionOf(`${key}:b1`, 64)
  const places = questions.flatMap(({ partition: at, wanted }) => wanted.slice(1).map(name => `${at} ${name}`))
  expect(new Set(places)).toEqual(
    new Set(['botmaker:acme', 'botmaker:other', 'koreai:k'].map(key => `${partition(key)} ${key}:s1`)),
  )
  for (const { wanted, fromMs } of questions) expect([wanted[0], fromMs]).toEqual(['s1', T(range.start_time)])
  const draft = finish(questionsOf(queryOf({ version: 'DRAFT' }), store, nothingRead, 64))
  expect(draft).toEqual([])
  const one = finish(questionsOf(queryOf({ vendor: 'botmaker', account: 'other' }), store, completeness, 64))
  expect(one.map(({ wanted }) => wanted)).toEqual([['s1', 'botmaker:other:s1']])
  const crowd = createStore()
  for (let n = 0; n < 101; n++) crowd.put(point({ at: NOW, account: `a${n}`, events: 1 }))
  expect(() => finish(questionsOf(queryOf(), crowd, nothingRead, 3))).toThrow(
    /bot_id is the id of bots of more than 100 accounts/,
  )
})

test('one time for many: those of one publishing order stay in it', () => {
  const events = ['b', 'a', 'c'].map(name => eventOf({ at: '10:00:00', name }))
  expect(steps(flowOf(queryOf(), events))).toEqual(['>b', 'b>a', 'a>c'])
})

const servers: HttpServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})
async function get(events: EventIndex, path: string, query: Record<string, string> = range) {
  const { server } = await startWorld({ events })
  servers.push(server)
  const answer = await fetch(`${server.url}${path}?${new URLSearchParams(query)}`)
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Record<string, unknown> }
}

test('over HTTP: the flow, and each fault in the form of the API', async () => {
  const events = indexOf([eventOf({ at: '10:00:00', name: 'Welcome', user_id: 'u1' })])
  const good = await get(events, '/v1/bots/b1/conversations/s1/flow')
  expect(good).toMatchObject({ status: 200, body: { bot_id: 'b1', conversation_id: 's1', user_id: 'u1' } })
  expect(good.body['transitions']).toHaveLength(1)
  expect(good.headers.get('etag')).toMatch(/^W\//)
  const encoded = await get(
    indexOf([eventOf({ at: '10:00:00', session_id: 'a/b c', session_key: 'botmaker:acme:a/b c' })]),
    '/v1/bots/b1/conversations/a%2Fb%20c/flow',
  )
  expect(encoded).toMatchObject({ status: 200, body: { conversation_id: 'a/b c' } })
  const form = (code: number, status: number, message: RegExp) => ({
    status,
    body: { code, error_code: status, details: [], message: expect.stringMatching(message) as string },
  })
  expect(await get(events, '/v1/bots/b1/conversations/s2/flow')).toMatchObject(form(5, 404, /no event of the conversation s2/))
  expect(await get(events, '/v1/bots/b9/conversations/s1/flow')).toMatchObject(form(5, 404, /no record of the bot b9/))
  const { start_time, end_time } = range
  expect(await get(events, '/v1/bots/b1/conversations/s1/flow', { start_time, end_time })).toMatchObject(
    form(3, 400, /^version is required/),
  )
  expect(await get(events, '/v1/bots/b1/conversations/s1/flow', { version: 'LIVE', end_time })).toMatchObject(
    form(3, 400, /^start_time is required/),
  )
  expect(await get(events, '/v1/bots/b1/conversations/s1/flow', { ...range, bucket: '1d' })).toMatchObject(
    form(3, 400, /^bucket is not a parameter/),
  )
  const busy = await get({ ...noEvents, find: async () => ({ refused: 'it takes longer' }) }, '/v1/bots/b1/conversations/s1/flow')
  expect(busy).toMatchObject(form(14, 503, /^it takes longer$/))
  expect(busy.headers.get('retry-after')).toBe('1')
  for (const code of ['KAFKA_UNREACHABLE', 'KAFKA_REFUSED', 'REGISTRY_UNREACHABLE'] as const) {
    const gone: EventIndex = {
      ...noEvents,
      find: async () => {
        throw new FlowError(code, { hint: 'nobody answers' })
      },
    }
    expect(await get(gone, '/v1/bots/b1/conversations/s1/flow')).toMatchObject(form(14, 503, /nobody answers/))
  }
})
