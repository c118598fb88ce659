/** `transfer.rules` in the one row path: what rows become, and that reading them again changes nothing. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { memoryRegistry } from '../../src/conformance/topics.ts'
import { peekConnector } from '../../src/ingest/peek.ts'
import { redrive } from '../../src/ingest/redrive.ts'
import { readDeadLetters } from '../../src/ingest/rejects.ts'
import { feedsOf } from '../../src/ingest/source-partition.ts'
import { applyTransfers, transferredAt } from '../../src/ingest/transfer-rules.ts'
import { silentLog } from '../../src/log.ts'
import type { BaseConfig } from '../../src/source/config.ts'
import {
  type Connector,
  defineConnector,
  type Draft,
  event,
  eventWithoutSession,
  message,
  type MessageFields,
  type Said,
  session,
  type SessionFields,
} from '../../src/source/index.ts'
import { parsePiiRules } from '../../src/source/pii.ts'
import { parseTransferRules } from '../../src/source/transfers.ts'
import { handClock } from '../support/clock.ts'
import { TINY_MANIFEST, tinyContext } from './tiny.ts'
import { base, names, PARTITIONS, startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

const rules = (...texts: string[]) => parseTransferRules(texts).transfers

describe('a record that a rule matches', () => {
  const ctx = tinyContext(NOON + 12 * HOUR)
  const of = ctx.session({ botId: 'bot', sessionId: 's1', channel: 'web', language: 'es' })
  const started = (fields: Partial<SessionFields> = {}, said?: Said) => session(of, { startedAt: NOON, ...fields }, said)
  const says = (minute: number, fields: Partial<MessageFields> = {}, said?: Said) =>
    message(of, { messageId: `m${minute}`, sentAt: NOON + minute * MINUTE, ...fields }, said)
  const happened = (minute: number, name: string, type = 'other', said?: Said) =>
    event(of, { eventId: `e${minute}`, occurredAt: NOON + minute * MINUTE, type, name }, said)

  /** Minutes after noon. */
  const minute = (atMs: number | null) => (atMs === null ? null : (atMs - NOON) / MINUTE)
  const comeOf = (drafts: Draft[], ...texts: string[]) => {
    const all = applyTransfers(drafts, rules(...texts), id => id)
    return {
      all,
      events: all
        .slice(drafts.length)
        .flatMap(({ kind, record }) => (kind === 'event' ? [[record.type, minute(record.occurred_at), record.name]] : [])),
      sessions: all.flatMap(({ kind, record }) =>
        kind === 'session' ? [[record.containment, minute(record.transferred_at)]] : [],
      ),
    }
  }

  test.each<[string, Draft, string]>([
    ['message.type', says(7, { type: 'HandOff' }), 'message.type~^handoff$=agent_transferred'],
    ['message.text', says(7, { text: 'One moment, an AGENT joins' }), 'message.text~an agent joins=agent_transferred'],
    ['intent', says(7, { intent: 'talk-to-human' }), 'intent~human=agent_transferred'],
    ['flow', says(7, {}, { flow: 'Hand-over' }), 'flow~hand-?over=agent_transferred'],
    ['step', says(7, {}, { step: ['a', 'Send to offload provider'] }), 'step~send to offload provider=agent_transferred'],
    ['answer', says(7, {}, { answer: '{"type":"handover"}' }), 'answer~"handover"=agent_transferred'],
    ['tag', says(7, {}, { tag: 'to agent' }), 'tag~agent=agent_transferred'],
    ['attribute.queue', says(7, { attributes: { queue: 'sales' } }), 'attribute.queue~.=agent_transferred'],
    ['Offloading opened', happened(7, 'Offloading opened'), 'event~offloading opened=agent_transferred'],
    ['Pager', happened(7, 'x', 'other', { event: 'Pager' }), 'event~pager=agent_transferred'],
    ['intent', happened(7, 'x', 'intent_matched', { intent: 'human' }), 'intent~human=agent_transferred'],
  ])('gets an event beside it, and its session is the agent’s from then on: %s', (name, draft, rule) => {
    const { events, sessions, all } = comeOf([started(), says(3), draft, says(9)], rule)
    expect(events).toEqual([['agent_transferred', 7, name]])
    expect(sessions).toEqual([['AGENT', 7]])
    expect(
      all.some(each => 'said' in each),
      'what drafts say is never published',
    ).toBe(false)
    expect(all.at(-1)?.record).toMatchObject({
      session_key: 'tiny:acme:s1',
      bot_id: 'bot',
      channel: 'web',
      language: 'es',
      revision: 1,
      occurred_at_estimated: false,
      event_id: expect.stringMatching(/^rule-[\w-]{22}$/) as string,
    })
  })

  test('is found at the time that the connector says, where the record stands elsewhere', () => {
    const said = { atMs: NOON + 40 * MINUTE }
    const { events, sessions, all } = comeOf(
      [started(), says(0, { text: 'agent' }, said)],
      'message.text~agent=agent_transferred',
    )
    expect([events, sessions]).toEqual([[['agent_transferred', 40, 'message.text']], [['AGENT', 40]]])
    expect(all.at(-1)?.record).toMatchObject({ occurred_at_estimated: true })
    expect(all[1]?.record).toMatchObject({ sent_at: NOON })
  })

  test('at a time that nobody knows makes a transfer without a time', () => {
    const { events, sessions } = comeOf(
      [started(), says(3, { text: 'agent' }, { atMs: null })],
      'message.text~agent=agent_transferred',
    )
    expect([events, sessions]).toEqual([[['agent_transferred', 3, 'message.text']], [['AGENT', null]]])
  })

  test('of a type that only asks leaves the session as it is', () => {
    const { events, sessions } = comeOf([started(), says(7, { text: 'agent!' })], 'message.text~agent=agent_transfer_requested')
    expect(events).toEqual([['agent_transfer_requested', 7, 'message.text']])
    expect(sessions).toEqual([['UNKNOWN', null]])
  })

  test('gets one event of each type, however many rules match it', () => {
    const { events } = comeOf(
      [started(), says(7, { text: 'agent', type: 'agent' })],
      'message.text~agent=agent_transfer_requested',
      'message.text~a=agent_transferred',
      'message.type~agent=agent_transferred',
    )
    expect(events.map(([type]) => String(type)).toSorted((a, b) => a.localeCompare(b))).toEqual([
      'agent_transfer_requested',
      'agent_transferred',
    ])
  })

  test('among others of its session: each gets an event, the first decides the time', () => {
    const drafts = [started(), says(9, { text: 'agent' }), says(4, { text: 'agent' }), says(6, { text: 'agent' })]
    const { events, sessions, all } = comeOf(drafts, 'message.text~agent=agent_transferred')
    expect(events.map(([, at]) => at)).toEqual([9, 4, 6])
    expect(sessions).toEqual([['AGENT', 4]])
    expect(new Set(all.slice(4).map(({ record }) => (record as { event_id: string }).event_id)).size).toBe(3)
  })

  test.each([
    ['earlier', 2, 2],
    ['later', 9, 7],
    ['not known', null, 7],
  ])('a time of transfer that the vendor tells stands only where it is %s', (_, vendors, minutes) => {
    const transferredAt = vendors === null ? null : NOON + vendors * MINUTE
    const drafts = [started({ containment: 'SELF_SERVICE', transferredAt }), says(7, { text: 'agent' })]
    expect(comeOf(drafts, 'message.text~agent=agent_transferred').sessions).toEqual([['AGENT', minutes]])
  })

  test('gets none where the connector made it, and the session changes all the same', () => {
    const drafts = [started(), says(7, { text: 'agent' }), happened(7, 'handed over', 'agent_transferred')]
    const { events, sessions } = comeOf(drafts, 'message.text~agent=agent_transferred', 'event~handed=agent_transferred')
    expect(events).toEqual([])
    expect(sessions).toEqual([['AGENT', 7]])
    const other = [started(), says(7, { text: 'agent' }), happened(8, 'handed over', 'agent_transferred')]
    expect(comeOf(other, 'message.text~agent=agent_transferred').events, 'another moment is another transfer').toHaveLength(1)
  })

  test('and an event that stands for the same moment get one; two messages of one second get two', () => {
    const both = [started(), says(7, { text: 'agent' }), happened(7, 'agent')]
    const texts = ['message.text~agent=agent_transferred', 'event~agent=agent_transferred'] as const
    expect(comeOf(both, ...texts).events).toEqual([['agent_transferred', 7, 'message.text']])
    const same = { text: 'agent', sentAt: NOON + 7 * MINUTE }
    expect(comeOf([says(7, same), says(8, same)], ...texts).events).toHaveLength(2)
  })

  test.each([
    ['name', { tags: [{ name: 'voiceAgentTransferStart' }] }, 'tag~AgentTransfer=agent_transferred'],
    ['name and value', { tags: [{ name: 'outcome', value: 'agent' }] }, 'tag~^outcome=agent$=agent_transferred'],
    ['attribute', { attributes: { handled: 'person' } }, 'attribute.handled~person=agent_transferred'],
  ])(
    'a session by its %s is the agent’s at a time that is not known; its event is at the start, estimated',
    (_, fields, rule) => {
      const { events, sessions, all } = comeOf([started(fields)], rule)
      expect(sessions).toEqual([['AGENT', null]])
      expect(events).toEqual([['agent_transferred', 0, rule.slice(0, rule.indexOf('~'))]])
      expect(all.at(-1)?.record).toMatchObject({ occurred_at_estimated: true })
    },
  )

  test('an event without a session gets one without a session', () => {
    const draft = eventWithoutSession(ctx, { botId: 'bot', eventId: 'e', occurredAt: NOON, type: 'other', name: 'pager' })
    const { events, all } = comeOf([draft, started()], 'event~pager=agent_transferred')
    expect(events).toEqual([['agent_transferred', 0, 'pager']])
    expect(all[1]?.record, 'no session of the row is meant').toMatchObject({ containment: 'UNKNOWN' })
    expect(all.at(-1)?.record).toMatchObject({ session_key: null, session_id: null })
  })

  test('says when a derived session was transferred: the earliest message or event that matched', () => {
    const drafts = [says(9, { text: 'agent' }), happened(5, 'agent'), says(3)]
    const both = rules('message.text~agent=agent_transferred', 'event~agent=agent_transferred')
    expect(minute(transferredAt(drafts, both))).toBe(5)
    expect(transferredAt(drafts, rules('event~agent=agent_transfer_requested'))).toBeNull()
  })

  test('of another session of the row leaves this one alone', () => {
    const other = ctx.session({ botId: 'bot', sessionId: 's2', channel: 'web' })
    const drafts = [
      started(),
      session(other, { startedAt: NOON }),
      message(other, { messageId: 'm', sentAt: NOON, text: 'agent' }),
    ]
    expect(comeOf(drafts, 'message.text~agent=agent_transferred').sessions).toEqual([
      ['UNKNOWN', null],
      ['AGENT', 0],
    ])
  })
})

const Row = z.object({ id: z.string(), say: z.array(z.string()), bad: z.boolean().default(false) })
type Rows = z.input<typeof Row>[]
const sentAt = (index: number, startMs = NOON - HOUR) => startMs + index * MINUTE

interface Given {
  rows: Rows
  /** Of the first message of each row. */
  startMs?: number
  /** Bad rows can be mapped. */
  mended?: boolean
}

function connectorOf(given: Given, kind: 'sessions' | 'turns' = 'sessions'): Connector {
  return defineConnector({
    manifest: { ...TINY_MANIFEST, sessionStream: kind === 'sessions' ? 'sessions' : null },
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: 24 * HOUR, lagMs: 0, lookbackMs: 6 * HOUR, lookbackIntervalMs: 10 * MINUTE, durableResume: true },
        row: Row,
        async *read({ window }) {
          const atMs = sentAt(0, given.startMs)
          const isIn = window.fromMs <= atMs && atMs < window.untilMs
          yield { rows: isIn ? structuredClone(given.rows) : [], resume: null }
        },
        identify: row => row.id,
        derive: () =>
          kind === 'sessions'
            ? null
            : {
                gapMs: 15 * MINUTE,
                turn: () => ({ key: 'k', atMs: sentAt(0, given.startMs), botId: 'bot', channel: 'web', userMessages: 1 }),
              },
        normalise: (row, ctx) => {
          if (row.bad && given.mended !== true) throw new TypeError('bad')
          const of = ctx.derived ?? ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' })
          return [
            ...(kind === 'sessions' ? [session(of, { startedAt: sentAt(0, given.startMs), status: 'OPEN' })] : []),
            ...row.say.map((text, at) =>
              message(of, { messageId: `${row.id}${at}`, sentAt: sentAt(at, given.startMs), text }, { step: text }),
            ),
          ]
        },
      },
    },
  })
}

describe('over lives of a source partition', () => {
  const RULE = rules('step~agent=agent_transferred')

  function placeOf(given: Parameters<typeof connectorOf>[0], kind?: 'sessions' | 'turns') {
    const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
    const kafka = memoryKafka()
    const connector = connectorOf(given, kind)
    const run = async (more: Partial<BaseConfig> = { transfers: RULE }) => {
      const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - 2 * HOUR, ...more } })
      onTestFinished(() => life.stop())
      await clock.sleep(25 * MINUTE)
      await life.stop()
    }
    const topics = async () => {
      const { sessions, messages, events } = await topicsOf(kafka)
      return {
        sessions: sessions.map(({ value }) => [value.revision, value.status, value.containment, value.transferred_at]),
        messages: messages.length,
        events: events.map(({ value }) => [value.type, value.revision, value.occurred_at]),
      }
    }
    return { clock, kafka, connector, run, topics }
  }

  test('a match is published once, and the time of transfer stays when the row grows', async () => {
    const given = { rows: [{ id: 's', say: ['hello', 'what', 'agent'] }] }
    const place = placeOf(given)
    await place.run()
    const first = {
      sessions: [[1, 'OPEN', 'AGENT', sentAt(2)]],
      messages: 3,
      events: [['agent_transferred', 1, sentAt(2)]],
    }
    expect(await place.topics()).toEqual(first)
    given.rows = [{ id: 's', say: ['hello', 'what', 'agent', 'bye'] }]
    await place.run()
    expect(await place.topics()).toEqual({ ...first, messages: 4 })
  })

  test('new rules reach the rows that the lookback reads again; without rules nothing is mapped anew', async () => {
    const place = placeOf({ rows: [{ id: 's', say: ['hello', 'agent'] }] })
    await place.run({})
    expect(await place.topics()).toEqual({ sessions: [[1, 'OPEN', 'UNKNOWN', null]], messages: 2, events: [] })
    await place.run()
    const changed = {
      sessions: [
        [1, 'OPEN', 'UNKNOWN', null],
        [2, 'OPEN', 'AGENT', sentAt(1)],
      ],
      messages: 2,
      events: [['agent_transferred', 1, sentAt(1)]],
    }
    expect(await place.topics()).toEqual(changed)
    await place.run()
    expect(await place.topics()).toEqual(changed)
  })

  test('a derived session is the agent’s at once, at the time of the message, not of the turn', async () => {
    const startMs = NOON - 5 * MINUTE
    const place = placeOf({ rows: [{ id: 't', say: ['hello', 'what', 'agent'] }], startMs }, 'turns')
    await place.run()
    expect(await place.topics()).toEqual({
      sessions: [
        [1, 'OPEN', 'AGENT', sentAt(2, startMs)],
        [2, 'CLOSED', 'AGENT', sentAt(2, startMs)],
      ],
      messages: 3,
      events: [['agent_transferred', 1, sentAt(2, startMs)]],
    })
  })

  test('new rules reach derived sessions that are still remembered', async () => {
    const place = placeOf({ rows: [{ id: 't', say: ['hello', 'agent'] }] }, 'turns')
    await place.run({})
    expect((await place.topics()).sessions.at(-1)).toEqual([expect.any(Number), 'CLOSED', 'UNKNOWN', null])
    await place.run()
    expect((await place.topics()).sessions.at(-1)).toEqual([expect.any(Number), 'CLOSED', 'AGENT', sentAt(1)])
    expect((await place.topics()).events).toHaveLength(1)
  })

  test('peek shows the same, and nothing of what drafts say beside', async () => {
    const connector = connectorOf({ rows: [{ id: 's', say: ['agent'] }] })
    const signal = new AbortController().signal
    const options = { config: {}, clock: handClock(NOON), log: silentLog, signal, limit: 10 }
    const shown = await Array.fromAsync(peekConnector({ connector, base: { ...base, transfers: RULE }, ...options }))
    expect(shown.map(({ kind }) => kind)).toEqual(['session', 'message', 'event'])
    expect(shown.map(each => Object.keys(each).toSorted().join())).toEqual(['kind,record', 'kind,record', 'kind,record'])
    expect(shown[0]?.record).toMatchObject({ containment: 'AGENT', transferred_at: sentAt(0) })
  })

  test('redrive applies them too, with the same ids', async () => {
    const given = { rows: [{ id: 's', say: ['agent'], bad: true }], mended: false }
    const place = placeOf(given)
    await place.run()
    expect((await place.topics()).events).toEqual([])
    given.mended = true
    const signal = new AbortController().signal
    const own = { ...base, startAtMs: NOON - 2 * HOUR, transfers: RULE }
    const options = {
      kafka: { ...place.kafka, maxMessageBytes: async () => new Map() } as never,
      registry: memoryRegistry,
      names,
      partitions: PARTITIONS,
      connectors: [{ name: 'acme-tiny', connector: place.connector, base: own, config: {} }],
      clock: place.clock,
      log: silentLog,
      signal,
    }
    const letters = await readDeadLetters(place.kafka, names.rejects, PARTITIONS, signal)
    expect(await Array.fromAsync(redrive(letters, options))).toMatchObject([{ outcome: 'mapped' }])
    expect((await place.topics()).events).toEqual([['agent_transferred', 1, sentAt(0)]])
    await place.run()
    expect((await place.topics()).events).toHaveLength(1)
  })

  test('masking holds for what rules add: no id of an event tells a hashed session', async () => {
    const pii = { rules: parsePiiRules(['*.session_id=hash']).rules, key: 'a long key' }
    const idsOf = async (more: Partial<BaseConfig>) => {
      const place = placeOf({ rows: [{ id: '+34600000000', say: ['agent'] }] })
      await place.run({ transfers: RULE, ...more })
      return (await topicsOf(place.kafka)).events.map(({ value }) => value)
    }
    const [plain, hashed] = [await idsOf({}), await idsOf({ pii })]
    expect(JSON.stringify(hashed)).not.toContain('34600000000')
    expect(hashed[0]?.event_id).not.toBe(plain[0]?.event_id)
  })
})

test('Progress says whether transfers can be known, where the stream gives sessions', () => {
  const connector = connectorOf({ rows: [] })
  const mute: Connector = { ...connector, detectsTransfers: (_config: never, given) => given.hasAny('flow') }
  const feeds = (of: Connector, ...texts: string[]) =>
    feedsOf({ name: 'acme', connector: of, base: { ...base, transfers: rules(...texts) }, config: {} }, 'sessions')
  expect(feeds(connector)).toEqual(['session', 'message', 'event', 'transfer'])
  expect(feeds(mute)).toEqual(['session', 'message', 'event', 'no_transfer'])
  expect(feeds(mute, 'flow~x=agent_transferred').at(-1)).toBe('transfer')
  const elsewhere = { ...mute, manifest: { ...mute.manifest, sessionStream: 'other' } }
  expect(feeds(elsewhere), 'a stream without sessions').toEqual(['message', 'event'])
})
