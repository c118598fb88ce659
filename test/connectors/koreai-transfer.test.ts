/** The time of a transfer over the revisions of a session, through the whole pipeline and over restarts. */
import { expect, onTestFinished, test } from 'vitest'
import koreai from '../../connectors/koreai/index.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { type Connector, FlowError, type Http, rowContext, type Stream } from '../../src/source/index.ts'
import type { Event } from '../../src/records.ts'
import { startLife, topicsOf } from '../ingest/world.ts'
import { handClock } from '../support/clock.ts'

const HOUR = 3_600_000
const NOON = Date.parse('2026-11-20T12:00:00Z')
const STARTED = '2026-11-20T11:00:00.000Z'
const HANDED_OVER = '2026-11-20T11:20:00.000Z'
const REPLIED = '2026-11-20T11:23:00.000Z'

interface Shown {
  readonly closed?: boolean
  /** `agentHandOffTime`. */
  readonly handOff: string
  /** Times of the agent's messages. */
  readonly replies: readonly string[]
  /** How many conversations of others the contact center lists before the session's own; refused: it refuses. Default: it has none of the session. */
  readonly contactAfter?: number | 'refused'
}

const ACCEPTED = '2026-11-20T11:22:00.000Z'
const BOT = { name: 'st-1', botId: 'st-1' }

/** The session's conversation in the contact center. */
const CONTACT = {
  _id: 'c-1',
  botSessionId: 's1',
  startTime: HANDED_OVER,
  acceptedAt: ACCEPTED,
  queues: [{ name: 'Sales' }],
  participants: [{ agentId: 'u-7', name: 'Agent', status: 'ACTIVE' }],
}

/** Kore.ai's connector over one session, which is shown as the test says. */
function place(more: Readonly<Record<string, unknown>> = {}) {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  const kafka = memoryKafka()
  let shown: Shown = { handOff: '', replies: [] }
  const asked: string[] = []
  const answerOf = (operation: string) => {
    if (operation === 'conversationDetails') return { conversationInfo: { agentHandOffTime: shown.handOff } }
    const reply = (createdOn: string) => ({
      _id: `ms-${createdOn}`,
      sessionId: 's1',
      type: 'outgoing',
      createdOn,
      components: [{ cT: 'text', data: { text: 'Hello' } }],
      author: { userId: 'u-agent' },
    })
    return { total: shown.replies.length, moreAvailable: false, messages: shown.replies.map(reply) }
  }
  const conversations = ({ skip, limit }: { skip: number; limit: number }) => {
    const { contactAfter } = shown
    asked.push('conversations')
    if (contactAfter === 'refused') throw new FlowError('SRC_REFUSED', { status: 403 })
    const others = Array.from({ length: contactAfter ?? 0 }, (_, i) => ({ ...CONTACT, _id: `o-${i}`, botSessionId: `o-${i}` }))
    const all = contactAfter === undefined ? [] : [...others, CONTACT]
    return { results: all.slice(skip, skip + limit), hasMore: skip + limit < all.length, totalResults: all.length }
  }
  const http = {
    getJson: async (_path: string, query: { skip: number; limit: number }, page: { parse(body: unknown): unknown }) =>
      page.parse(conversations(query)),
    postJson: async (path: string, _call: unknown, page: { parse(body: unknown): unknown }) => {
      const operation = path.split('/').at(-1) ?? ''
      asked.push(operation)
      return page.parse(answerOf(operation))
    },
  } as unknown as Http
  const config = koreai.config.parse({
    baseUrl: 'http://v',
    clientId: 'c',
    clientSecret: 's',
    botIds: ['st-1'],
    ...more,
  }) as never
  const stream = koreai.streams['sessions'] as Stream
  const withConfig = <C extends object>(ctx: C) => ({ ...ctx, config })
  const connector: Connector = {
    ...koreai,
    streams: {
      sessions: {
        row: stream.row,
        identify: row => stream.identify(row),
        window: { longestMs: 24 * HOUR, lagMs: 0, lookbackMs: 24 * HOUR, lookbackIntervalMs: 60_000, durableResume: true },
        async *read() {
          const row = { sessionId: 's1', botId: 'st-1', channel: 'rtm', start_time: STARTED }
          const end = shown.closed === true ? { containmentType: 'agent', end_time: shown.replies.at(-1) } : {}
          const state = {
            sessionStatus: shown.closed === true ? 'closed' : 'active',
            noOfMessagesExchanged: shown.replies.length,
          }
          yield { rows: [{ ...row, ...state, ...end }], resume: null }
        },
        enrich: async args => (await stream.enrich?.({ ...withConfig(args), scope: BOT, http })) ?? [],
        fingerprint: (row, ctx) => stream.fingerprint?.(row, withConfig(ctx)) ?? '',
        normalise: (row, ctx) => stream.normalise(row, withConfig(ctx)),
      },
    },
  }
  return {
    asked,
    /** A life of an hour that is shown the session like this. */
    show: async (next: Shown) => {
      shown = next
      const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - 2 * HOUR } })
      onTestFinished(() => life.stop())
      await clock.sleep(HOUR)
      await life.stop()
    },
    told: async () => {
      const { sessions, events } = await topicsOf(kafka)
      const transfers = events.filter(({ value }) => value.type === 'agent_transferred')
      return {
        sessions: sessions.map(({ value }) => [value.revision, value.status, value.containment, value.transferred_at]),
        events: transfers.map(({ value }) => [value.event_id, value.revision, value.occurred_at]),
        people: sessions.map(({ value }) => [value.queue, value.agent_id, value.attributes['contact_center']]),
      }
    },
    /** What stream contact-center publishes of the conversation. */
    contactEvents: () => {
      const contactCenter = koreai.streams['contact-center'] as Stream
      const at = { connector: 'k', observedAtMs: clock.now(), lookbackMs: 24 * HOUR }
      const ctx = rowContext<unknown>({ vendor: 'koreai', account: 'acme', config, scope: BOT, ...at })
      const events = contactCenter
        .normalise(contactCenter.row.parse(CONTACT) as never, ctx as never)
        .map(({ record }) => record as Event)
      return events.filter(({ type }) => type === 'agent_transferred').map(({ event_id, occurred_at }) => [event_id, occurred_at])
    },
  }
}

const count = (asked: readonly string[], operation: string) => asked.filter(each => each === operation).length
const LATER = '2026-11-20T11:40:00.000Z'

test("a first revision with an agent's message alone keeps its time when the platform's becomes known", async () => {
  const { show, told, asked } = place()
  await show({ handOff: '', replies: [REPLIED] })
  await show({ handOff: HANDED_OVER, replies: [REPLIED, LATER] })
  await show({ handOff: HANDED_OVER, replies: [REPLIED, LATER], closed: true })
  expect(await told()).toMatchObject({
    sessions: [
      [1, 'OPEN', 'AGENT', Date.parse(REPLIED)],
      [2, 'OPEN', 'AGENT', Date.parse(REPLIED)],
      [3, 'CLOSED', 'AGENT', Date.parse(REPLIED)],
    ],
    events: [['s1/agent_transferred', 1, Date.parse(REPLIED)]],
  })
  expect(count(asked, 'conversationDetails'), 'a time that was published is not asked for again').toBe(1)
})

test("the platform's time stays when it is no longer shown", async () => {
  const { show, told } = place()
  await show({ handOff: HANDED_OVER, replies: [REPLIED] })
  await show({ handOff: '', replies: [REPLIED, LATER], closed: true })
  expect(await told()).toMatchObject({
    sessions: [
      [1, 'OPEN', 'AGENT', Date.parse(HANDED_OVER)],
      [2, 'CLOSED', 'AGENT', Date.parse(HANDED_OVER)],
    ],
    events: [['s1/agent_transferred', 1, Date.parse(HANDED_OVER)]],
  })
})

test('a time that was not known is published when it is, once', async () => {
  const { show, told, asked } = place()
  await show({ handOff: '', replies: [] })
  expect(count(asked, 'conversationDetails'), 'nobody was asked in').toBe(0)
  await show({ handOff: '', replies: [], closed: true })
  await show({ handOff: HANDED_OVER, replies: [REPLIED], closed: true })
  expect(await told()).toMatchObject({
    sessions: [
      [1, 'OPEN', 'UNKNOWN', null],
      [2, 'CLOSED', 'AGENT', null],
      [3, 'CLOSED', 'AGENT', Date.parse(HANDED_OVER)],
    ],
    events: [['s1/agent_transferred', 1, Date.parse(HANDED_OVER)]],
  })
})

const CONTACT_CENTER = { streams: ['sessions', 'contact-center'], accountId: 'acc-1' }

test('with the contact center, a transfer is one event, whenever its conversation shows', async () => {
  const { show, told, contactEvents } = place(CONTACT_CENTER)
  await show({ handOff: '', replies: [REPLIED] })
  await show({ handOff: '', replies: [REPLIED, LATER], contactAfter: 0 })
  await show({ handOff: '', replies: [REPLIED, LATER], contactAfter: 'refused', closed: true })
  const { sessions, events } = await told()
  expect(sessions).toEqual([
    [1, 'OPEN', 'AGENT', Date.parse(REPLIED)],
    [2, 'OPEN', 'AGENT', Date.parse(REPLIED)],
    [3, 'CLOSED', 'AGENT', Date.parse(REPLIED)],
  ])
  expect([...events, ...contactEvents()]).toEqual([['contact-center/c-1/transferred', Date.parse(ACCEPTED)]])
})

test('what the contact center told of a transfer is looked for further down than the conversations that came since', async () => {
  const { show, told } = place(CONTACT_CENTER)
  await show({ handOff: '', replies: [REPLIED], contactAfter: 0 })
  await show({ handOff: '', replies: [REPLIED, LATER], contactAfter: 1200, closed: true })
  const { sessions, people } = await told()
  expect(sessions.map(([, , , transferredAt]) => transferredAt)).toEqual([Date.parse(ACCEPTED), Date.parse(ACCEPTED)])
  expect(people.map(([queue]) => queue)).toEqual(['Sales', 'Sales'])
})

test('a session whose conversation could not be read says so, beside a queue that is null', async () => {
  const { show, told } = place(CONTACT_CENTER)
  await show({ handOff: '', replies: [REPLIED], contactAfter: 0 })
  await show({ handOff: '', replies: [REPLIED, LATER], contactAfter: 6000 })
  await show({ handOff: '', replies: [REPLIED, LATER], contactAfter: 'refused', closed: true })
  expect((await told()).people).toEqual([
    ['Sales', 'u-agent', undefined],
    [null, 'u-agent', 'too far down'],
    [null, 'u-agent', 'refused'],
  ])
})

test('a session that is not in the contact center says nothing of it', async () => {
  const { show, told } = place(CONTACT_CENTER)
  await show({ handOff: '', replies: [REPLIED], closed: true })
  expect((await told()).people).toEqual([[null, 'u-agent', undefined]])
})
