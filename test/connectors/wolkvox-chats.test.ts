/** Turns and chats that do not name each other, and chats that are open, through the whole ingest: fixed rows, and what stands on the topics. */
import { describe, expect, test } from 'vitest'
import wolkvox from '../../connectors/wolkvox/index.ts'
import { type Bench, withBench } from '../../src/conformance/bench.ts'
import { Line } from '../../src/conformance/pipeline.ts'
import { assertSound, newest } from '../../src/conformance/topics.ts'
import type { Message, Session } from '../../src/records.ts'
import { serve } from '../../src/sim/index.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** 09:00 in Bogota. */
const NINE = Date.parse('2026-11-09T14:00:00Z')

const at = (clock: string) => Date.parse(`2026-11-09T${clock}-05:00`)
const local = (clock: string) => `2026-11-09 ${clock}`

interface Shown {
  readonly api: string
  /** What the vendor selects it by, and when it shows. */
  readonly clock: string
  readonly row: object
}

const turn = (clock: string, customer: string, conn_id: string, routing_answer = 'Dime', more: object = {}): Shown => ({
  api: 'diagram_9',
  clock,
  row: {
    session_id: `${customer}.1040.2986`,
    channel: 'whatsapp official direct',
    rp_id: '4471',
    date: local(clock),
    customer_query: `a las ${clock}`,
    routing_answer,
    conn_id,
    ...more,
  },
})

const chat = (conn_id: string, customer: string, start: string, end: string, onBot: string, go_to_agent: string): Shown => ({
  api: 'chat_8',
  clock: end,
  row: {
    conn_id,
    session_id: `${customer}.1040.2986`,
    rp_id: '4471',
    channel: 'whatsapp',
    start_date: local(start),
    end_date: local(end),
    time_on_chatbot: onBot,
    go_to_agent,
    customer_chars: '12',
  },
})

/** A vendor that shows these rows when their time has come. */
async function withRows<T>(shown: readonly Shown[], run: (bench: Bench, calls: string[]) => Promise<T>): Promise<T> {
  const calls: string[] = []
  const start = async ({ now }: { readonly now: () => number }) => {
    const server = await serve({
      arrivalClock: Date.now,
      handler: async ({ query }) => {
        const [api, ini, end] = ['api', 'date_ini', 'date_end'].map(name => query.get(name) ?? '') as [string, string, string]
        calls.push(api)
        const rows = shown.filter(row => {
          const stamp = local(row.clock).replaceAll(/\D/g, '')
          return row.api === api && at(row.clock) <= now() && ini <= stamp && stamp <= end
        })
        return rows.length === 0
          ? { status: 404, body: JSON.stringify({ code: 404, error: 'NOT FOUND', msg: 'Validate dates entered' }) }
          : { status: 200, body: JSON.stringify({ code: 200, error: null, msg: 'found', data: rows.map(({ row }) => row) }) }
      },
    })
    return {
      config: { 'base.url': `${server.url}/api/v2`, token: 'a-token', streams: 'diagram_9,chat_8' },
      window: { fromMs: NINE, untilMs: NINE + 3 * HOUR },
      truth: () => ({ sessions: [], messages: [], events: [] }),
      stop: () => server.stop(),
    }
  }
  return withBench({ connector: wolkvox, start }, null, bench => run(bench, calls))
}

interface State {
  /** Newest of each, by start. */
  readonly sessions: readonly Session[]
  /** All revisions of each session, in order. */
  readonly revisions: ReadonlyMap<string, readonly Session[]>
  readonly messages: readonly Message[]
}

async function stateOf(line: Line): Promise<State> {
  const topics = await line.topics()
  assertSound(topics)
  expect(topics.rejects).toEqual([])
  const revisions = Map.groupBy(
    topics.sessions.flatMap(({ value }) => (value === null ? [] : [value])),
    ({ session_key }) => session_key,
  )
  const sessions = newest(topics.sessions, ({ session_key }) => session_key).toSorted((a, b) => a.started_at - b.started_at)
  return { sessions, revisions, messages: newest(topics.messages, ({ message_key }) => message_key) }
}

/** Reads as time goes, from nine o'clock, and looks at each of the times. */
async function liveThrough(shown: readonly Shown[], looks: readonly string[]): Promise<State[]> {
  return withRows(shown, async bench => {
    const line = new Line(bench, { startMs: NINE })
    const states: State[] = []
    for (const look of looks) {
      const untilMs = at(look)
      await line.live({ until: () => line.clock.now() >= untilMs, deadlineMs: untilMs + HOUR })
      states.push(await stateOf(line))
    }
    return states
  })
}

/** Reads it all when it is over. */
async function readAfter(shown: readonly Shown[], nowMs: number): Promise<State> {
  return withRows(shown, async bench => {
    const line = new Line(bench, { startMs: nowMs })
    await line.live({ until: () => line.isRead(NINE + 3 * HOUR), deadlineMs: nowMs + 2 * 24 * HOUR })
    return stateOf(line)
  })
}

/** How many messages each session has; none may hang on a session that does not exist. */
function counted({ sessions, messages }: State): number[] {
  const keys = new Set(sessions.map(({ session_key }) => session_key))
  for (const { session_key, text } of messages) expect(keys.has(session_key), `${text} is in no session`).toBe(true)
  return sessions.map(({ session_key }) => messages.filter(each => each.session_key === session_key).length)
}

const NAMED = [
  turn('09:01:00', 'ana', '501'),
  turn('09:02:00', 'ana', '501', 'transfer_skill - Ventas'),
  chat('501', 'ana', '09:00:58', '09:40:00', '00:01:03', 'yes'),
]
const UNNAMED = [
  turn('09:01:30', 'eva', '0'),
  turn('09:03:00', 'eva', '0', 'transfer_skill'),
  chat('-', 'eva', '09:01:20', '09:30:00', '00:01:41', 'yes'),
]
const HALF_NAMED = [
  turn('09:11:00', 'leo', '0'),
  turn('09:12:00', 'leo', '0', 'transfer_skill'),
  chat('777', 'leo', '09:10:50', '09:50:00', '00:01:10', 'yes'),
]
/** The second begins twenty minutes after the end of the first. */
const TWICE = [
  turn('09:05:00', 'kim', '0'),
  turn('09:06:00', 'kim', '0'),
  chat('-', 'kim', '09:04:55', '09:20:00', '00:15:05', 'no'),
  turn('09:40:00', 'kim', '0'),
  turn('09:45:00', 'kim', '0'),
  turn('09:46:00', 'kim', '0'),
  chat('-', 'kim', '09:39:52', '10:00:00', '00:20:08', 'no'),
]

describe('a turn that asks for an agent', () => {
  test.each([
    ['with the chat named by both', NAMED, '09:02:00', 'Ventas'],
    ['with no name for the chat in either', UNNAMED, '09:03:00', null],
    ['with the chat named by chat_8 alone', HALF_NAMED, '09:12:00', null],
  ])(
    'makes an open session at once, %s, and chat_8 completes the same key at the same time of transfer',
    async (_, rows, asked, queue) => {
      const [open, closed] = (await liveThrough(rows, ['09:20:00', '11:00:00'])) as [State, State]
      expect(open.sessions).toMatchObject([
        { status: 'OPEN', containment: 'AGENT', transferred_at: at(asked), ended_at: null, queue, bot_id: '4471', revision: 1 },
      ])
      expect(closed.sessions).toMatchObject([{ status: 'CLOSED', containment: 'AGENT', transferred_at: at(asked), queue }])
      expect(closed.sessions[0]?.session_key).toBe(open.sessions[0]?.session_key)
      expect(closed.revisions.get(closed.sessions[0]?.session_key ?? '')).toHaveLength(2)
      expect(counted(closed)).toEqual([3])
    },
  )

  test('is told within one poll of five minutes', async () => {
    const [state] = (await liveThrough(NAMED, ['09:07:30'])) as [State]
    expect(state.sessions).toMatchObject([{ session_id: '501', transferred_at: at('09:02:00') }])
  })

  test('is told by chat_8 alone where it is read when the chat has closed', async () => {
    const state = await readAfter([...NAMED, ...UNNAMED], NINE + 3 * HOUR)
    expect(state.sessions).toMatchObject([
      { session_id: '501', status: 'CLOSED', transferred_at: at('09:02:00'), revision: 1 },
      { status: 'CLOSED', transferred_at: at('09:03:00') },
    ])
    expect(counted(state)).toEqual([3, 3])
  })
})

describe('chats of chat_8 without an id', () => {
  test('are sessions with the turns that tell none, and a turn after the end of one is not in it', async () => {
    const [state] = (await liveThrough(TWICE, ['11:30:00'])) as [State]
    expect(state.sessions).toMatchObject([
      { started_at: at('09:04:55'), ended_at: at('09:20:00'), containment: 'SELF_SERVICE' },
      { started_at: at('09:39:52'), ended_at: at('10:00:00'), containment: 'SELF_SERVICE' },
    ])
    expect(counted(state)).toEqual([4, 6])
  })

  test.each([
    ['shortly after', NINE + 3 * HOUR],
    ['days later', NINE + 100 * HOUR],
  ])('are the same sessions where they are read %s', async (_, nowMs) => {
    const late = await readAfter([...TWICE, ...UNNAMED], nowMs)
    const [live] = (await liveThrough([...TWICE, ...UNNAMED], ['11:30:00'])) as [State]
    expect(counted(late)).toEqual([3, 4, 6])
    expect(late.sessions.map(({ session_key }) => session_key)).toEqual(live.sessions.map(({ session_key }) => session_key))
    expect(late.sessions.map(({ transferred_at }) => transferred_at)).toEqual(
      live.sessions.map(({ transferred_at }) => transferred_at),
    )
  })
})
