/** Rows of every vendor with words, times and values that no vendor documents: each is told, or rejected with its place; none throws anything else. */
import { describe, expect, test } from 'vitest'
import botmaker from '../../connectors/botmaker/index.ts'
import chatlayer from '../../connectors/chatlayer/index.ts'
import koreai from '../../connectors/koreai/index.ts'
import { turnOf } from '../../connectors/koreai/rows.ts'
import syntphony from '../../connectors/syntphony/index.ts'
import wolkvox from '../../connectors/wolkvox/index.ts'
import { type Connector, type Draft, FlowError, jsonOf, rowContext, type Session, type Stream } from '../../src/source/index.ts'

const NOW = Date.parse('2026-11-10T12:00:00Z')
const DAY = 86_400_000
type Row = Record<string, unknown>

interface Case {
  readonly connector: Connector
  readonly stream: string
  readonly config: Row
  /** A row with `start` and, where the stream tells an end, `end`, each as ISO without milliseconds or as it is given. */
  row(of: { start?: unknown; end?: unknown; word?: string; more?: Row }): Row
  /** Where the time of the row is. */
  readonly at: string
  readonly tellsEnd?: boolean
}

const START = '2026-11-10T10:00:00Z'
const END = '2026-11-10T10:05:00Z'
const wall = (value: unknown) => (typeof value === 'string' ? value.replace('T', ' ').replace('Z', '') : value)

const CASES: readonly (readonly [name: string, Case])[] = [
  [
    'botmaker v2',
    {
      connector: botmaker,
      stream: 'sessions',
      config: { accessToken: 't' },
      at: 'creationTime',
      row: ({ start = START, word = 'user', more = {} }) => ({
        id: 's',
        creationTime: start,
        chat: { chat: { channelId: word } },
        messages: [{ id: 'm', creationTime: START, from: word, content: { type: word, text: 'hi' }, ...more }],
        events: [{ name: word, creationTime: START, info: { [word]: word } }],
        ...more,
      }),
    },
  ],
  [
    'botmaker v1',
    {
      connector: botmaker,
      stream: 'sessions',
      config: { accessToken: 't', apiVersion: 'v1' },
      at: 'sessionDate',
      row: ({ start = START, word = 'user', more = {} }) => ({
        sessionId: 's',
        sessionDate: start,
        channelId: word,
        variables: [`${word}:x`],
        sessionMessages: [{ messageId: 'm', creationTime: START, msgFrom: word, messageType: word, message: 'hi' }],
        events: [{ eventName: word, eventCreationTime: START, info: [{ name: word, value: 'x' }] }],
        ...more,
      }),
    },
  ],
  [
    'koreai',
    {
      connector: koreai,
      stream: 'sessions',
      config: { baseUrl: 'http://v', clientId: 'c', clientSecret: 's', botIds: ['b'] },
      at: 'start_time',
      tellsEnd: true,
      row: ({ start = START, end = null, word = 'agent', more = {} }) => ({
        sessionId: 's',
        start_time: start,
        end_time: end,
        channel: word,
        sessionType: word,
        containmentType: word,
        session_lang: [word],
        tags: { userTags: { [word]: word } },
        ...more,
      }),
    },
  ],
  [
    'koreai analytics',
    {
      connector: koreai,
      stream: 'analytics',
      config: { baseUrl: 'http://v', clientId: 'c', clientSecret: 's', botIds: ['b'] },
      at: 'timestamp',
      row: ({ start = START, word = 'failtask', more = {} }) => ({
        'colloquy:list': word,
        _id: '1',
        timestamp: start,
        channel: word,
        ...more,
      }),
    },
  ],
  [
    'syntphony',
    {
      connector: syntphony,
      stream: 'conversations',
      config: {
        baseUrl: 'http://v',
        tokenUrl: 'http://v/t',
        username: 'u',
        password: 'p',
        orgUuid: 'o',
        envUuid: 'e',
        botUuids: ['b'],
      },
      at: 'conversationStartedAt',
      row: ({ start = START, word = 'flow', more = {} }) => ({
        sessionCode: 's',
        conversationStartedAt: start,
        channel: { name: word },
        flowsTravelledNames: [word],
        tags: [{ name: word }],
        ...more,
      }),
    },
  ],
  [
    'wolkvox chat_8',
    {
      connector: wolkvox,
      stream: 'chat_8',
      config: { token: 't', server: '0010', timezone: 'UTC' },
      at: 'start_date',
      tellsEnd: true,
      row: ({ start = START, end = '-', word = 'no', more = {} }) => ({
        conn_id: '7',
        start_date: wall(start),
        end_date: wall(end),
        channel: word,
        go_to_agent: word,
        ...more,
      }),
    },
  ],
  ...(['diagram_13', 'chat_11'] as const).map(
    stream =>
      [
        `wolkvox ${stream}`,
        {
          connector: wolkvox,
          stream,
          config: { token: 't', server: '0010', timezone: 'UTC' },
          at: 'date',
          row: ({ start = START, word = 'web', more = {} }: { start?: unknown; word?: string; more?: Row }) => ({
            conn_id: '7',
            date: wall(start),
            channel: word,
            cod_opc_menu: word,
            ...more,
          }),
        } satisfies Case,
      ] as const,
  ),
  [
    'wolkvox chat_2',
    {
      connector: wolkvox,
      stream: 'chat_2',
      config: { token: 't', server: '0010', timezone: 'UTC', streams: ['chat_2'] },
      at: 'conversation.0.date',
      row: ({ start = START, word = 'CUSTOMER', more = {} }) => ({
        conn_id: '7',
        conversation: [{ date: wall(start), from: word, from_name: word, message: 'hi', channel: word }],
        ...more,
      }),
    },
  ],
  [
    'chatlayer',
    {
      connector: chatlayer,
      stream: 'events',
      config: { baseUrl: 'http://v', tokenId: 'i', tokenSecret: 's', botIds: ['b'] },
      at: 'timestamp',
      row: ({ start = START, word = 'bought', more = {} }) => ({
        id: '1',
        event: word,
        timestamp: start,
        channel_type: word,
        attributes: { [word]: word },
        ...more,
      }),
    },
  ],
]

/** The records of a row, or where and why it is rejected. */
function told({ connector, stream: name, config }: Case, raw: unknown) {
  const stream = connector.streams[name] as Stream
  const parsed = connector.config.parse(config)
  const [scope = { name: 'acme', botId: 'b' }] = stream.scopes?.(parsed as never, 'acme') ?? []
  const ctx = rowContext<unknown>({
    vendor: connector.manifest.id,
    account: 'acme',
    connector: 'x',
    config: parsed,
    scope,
    observedAtMs: NOW,
    lookbackMs: DAY,
  })
  const read = stream.row.safeParse(raw)
  if (!read.success) return { drafts: [], rejected: read.error.issues.map(({ path }) => path.join('.')) }
  try {
    const row = read.data as never
    expect(stream.identify(row)).not.toBe('')
    const said = stream.fingerprint?.(row, ctx)
    if (said !== undefined && typeof said !== 'string') jsonOf(said)
    stream.derive?.(parsed as never)?.turn(row, ctx)
    const drafts = stream.normalise(row, ctx)
    return { drafts, rejected: [] }
  } catch (thrown) {
    if (thrown instanceof FlowError && thrown.code === 'ROW_UNMAPPABLE')
      return { drafts: [], rejected: [String(thrown.details['path'])] }
    throw thrown
  }
}

const attributesOf = (drafts: readonly Draft[]) => drafts.map(({ record }) => record.attributes)
const WORDS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']
const withField = (row: Row, name: string, value: unknown) => {
  const out = { ...row }
  Object.defineProperty(out, name, { value, enumerable: true, configurable: true, writable: true })
  return out
}

describe.each(CASES)('%s', (_, of) => {
  test('tells a usual row', () => {
    expect(told(of, of.row({})).drafts.length).toBeGreaterThan(0)
  })

  test.each(WORDS)('tells a row whose words are %s, as any other word', word => {
    const { drafts, rejected } = told(of, of.row({ word }))
    expect(rejected).toEqual([])
    const other = told(of, of.row({ word: 'someword' })).drafts
    expect(drafts.length).toBe(other.length)
    for (const [place, { kind, record }] of drafts.entries()) {
      const like = other[place]?.record
      if (kind === 'event') expect([record.event_id === '', (like as { type?: string }).type]).toEqual([false, record.type])
      for (const [field, value] of Object.entries(record)) expect(typeof value, field).not.toBe('function')
      expect(Object.keys(record.attributes).length).toBe(Object.keys(like?.attributes ?? {}).length)
    }
  })

  test.each(WORDS)('keeps a field that is named %s', name => {
    const { drafts } = told(of, withField(of.row({}), name, 'kept'))
    const kept = attributesOf(drafts).some(attributes =>
      Object.entries(attributes).some(([key, value]) => key.toLowerCase() === name.toLowerCase() && value === 'kept'),
    )
    expect(kept).toBe(true)
  })

  test.each([100, 5_000, 50_000])('tells a row with a value of %d levels, cut off', levels => {
    const deep = JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`) as unknown
    const objects = JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`) as unknown
    for (const value of [deep, objects]) {
      const { drafts } = told(of, of.row({ more: { unheardOf: value } }))
      expect(JSON.stringify(attributesOf(drafts))).toContain('deeper than 64 levels')
    }
    for (const name of Object.keys(of.row({}))) told(of, { ...of.row({}), [name]: objects })
  })

  test.each([
    '0001-01-01T00:00:00Z',
    '0000-00-00 00:00:00',
    '1970-01-01T00:00:00Z',
    '2026-11-11T12:00:01Z',
    '9999-12-31T23:59:59Z',
    '',
    0,
    -1,
  ])('rejects a row that began at %j, with its place', start => {
    const { drafts, rejected } = told(of, of.row({ start }))
    expect(drafts).toEqual([])
    expect(rejected).toHaveLength(1)
    expect(rejected[0]).not.toBe('')
  })

  test('reads the start by its size where it is a number', () => {
    const ms = Date.parse(START)
    const timeOf = (start: unknown) => {
      const record = told(of, of.row({ start })).drafts[0]?.record as unknown as Row
      return record?.['started_at'] ?? record?.['occurred_at'] ?? record?.['sent_at']
    }
    for (const start of [ms / 1000, ms, ms * 1000, `${ms}000000`, String(ms)]) expect(timeOf(start)).toBe(ms)
  })

  test('NUL characters in names, values and nested ones are left out, the same each time', () => {
    const raw = () => of.row({ word: 'a\0b', more: { 'f\0ield': 'v\0alue', nested: { 'k\0': ['x\0'] } } })
    const { drafts, rejected } = told(of, raw())
    expect(rejected).toEqual([])
    expect(JSON.stringify(attributesOf(drafts))).not.toContain('u0000')
    expect(told(of, raw()).drafts).toEqual(drafts)
  })
})

test('a message of Kore.ai with deep components has an id, the same each time', () => {
  const components = JSON.parse(`${'['.repeat(9_000)}${']'.repeat(9_000)}`) as unknown
  const turn = () => turnOf({ sessionId: 's', type: 'incoming', createdOn: START, components })
  expect(turn().id).toBe(turn().id)
})

test.each(CASES.filter(([, { tellsEnd }]) => tellsEnd))('%s: a session with a placeholder for its end has not ended', (_, of) => {
  const sessionOf = (end: unknown) => told(of, of.row({ end })).drafts[0]?.record as Session
  expect(sessionOf(END)).toMatchObject({ status: 'CLOSED', ended_at: Date.parse(END) })
  for (const end of [
    '0001-01-01T00:00:00Z',
    '1970-01-01T00:00:00Z',
    '0000-00-00 00:00:00',
    '9999-12-31T23:59:59Z',
    '2026-12-31T00:00:00Z',
    '',
    0,
    -1,
  ])
    expect(sessionOf(end), JSON.stringify(end)).toMatchObject({ status: 'OPEN', ended_at: null, ended_at_estimated: false })
})
