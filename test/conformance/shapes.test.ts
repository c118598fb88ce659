/** The suite on connectors of other shapes than Acme's: sessions derived of turns, and rows that are followed by their ids; one that is broken for each. */
import { describe, expect, test } from 'vitest'
import { conformanceChecks, type Truth } from '../../src/conformance/index.ts'
import { type Connector, type Derive, event, type FollowArgs, message, type RowContext, session } from '../../src/source/index.ts'
import { acme, type AcmeOptions, type ConfigType, type Held, Page, type RowType, subjectOf, withStream } from './acme.ts'

const MINUTE = 60_000

interface Shape {
  readonly connector: Connector
  readonly broken: readonly (readonly [defect: string, check: string, Connector])[]
  readonly options: AcmeOptions
  /** Beginnings of the names of checks that see this shape. */
  readonly checks: readonly string[]
}

/** Longer than from one turn to the next, shorter than from one to the next but one: a turn that comes late joins two sessions. */
const GAP_MS = 140_000
/** Four turns one after another are one person's, and those that come back do so after a while. */
const personOf = (id: string) => `u${Math.floor(Number(id.slice(1)) / 4) % 3}`

function deriving(turnAt: (row: RowType, ctx: RowContext) => number, gapMs = GAP_MS): Connector {
  const derive = (): Derive => ({
    gapMs,
    turn: (row: RowType, ctx) => ({
      key: personOf(row.id),
      atMs: turnAt(row, ctx),
      botId: 'b',
      channel: 'web',
      userId: personOf(row.id),
    }),
  })
  const normalise = (row: RowType, ctx: RowContext) =>
    row.said.map((text, i) =>
      message(ctx.derived as NonNullable<typeof ctx.derived>, { messageId: `${row.id}-${i}`, sentAt: row.at, text }),
    )
  return withStream({ derive, normalise }, { manifest: { ...acme.manifest, sessionStream: null } })
}

function truthOfTurns(held: readonly Held[]): Truth {
  const sessions: { user: string; firstMs: number; lastMs: number }[] = []
  for (const { id, atMs } of held.toSorted((a, b) => a.atMs - b.atMs)) {
    const open = sessions.findLast(({ user }) => user === personOf(id))
    if (open !== undefined && atMs - open.lastMs <= GAP_MS) open.lastMs = atMs
    else sessions.push({ user: personOf(id), firstMs: atMs, lastMs: atMs })
  }
  return {
    sessions: sessions.map(({ user, firstMs, lastMs }) => ({
      user_id: user,
      started_at: firstMs,
      ended_at: lastMs,
      status: 'CLOSED',
    })),
    messages: held.flatMap(({ atMs, said, later }) => [...said, ...later].map(text => ({ sent_at: atMs, text }))),
    events: [],
  }
}

const atOf = (row: RowType) => Date.parse(row.at)

const derived: Shape = {
  connector: deriving(atOf),
  broken: [
    ['tells turns at the time they are read', 'topics: hold what', deriving((_, ctx) => ctx.observedAtMs)],
    ['ends sessions too soon', 'topics: hold what', deriving(atOf, GAP_MS / 2)],
    ['tells a turn otherwise each time', 'rows: makes the same', deriving(() => performance.now())],
  ],
  options: { truth: truthOfTurns },
  checks: [
    'keeps the shape',
    'rows: makes the same',
    'rows: a field missing',
    'topics: ',
    'fault: bodies',
    'late: ',
    'tied: ',
    'stop: ',
  ],
}

/** A row of these is open for longer than the lookback, and is closed long before reading ends. */
const OPEN_MS = 25 * MINUTE
const isLong = ({ id }: Pick<Held, 'id'>) => ['r0', 'r6', 'r12', 'r18'].includes(id)
type Openable = RowType & { readonly open?: boolean }

function following(follow: object = {}): Connector {
  return withStream({
    follow: {
      isOpen: (row: Openable) => row.open === true,
      atOnce: 3,
      longestMs: 120 * MINUTE,
      async read({ ids, http, config }: FollowArgs & { config: ConfigType }) {
        const { pageSize: size } = config as ConfigType
        return (await http.getJson('/rows', { ids, from: 0, until: 0, at: 0, size }, Page)).rows
      },
      ...follow,
    },
    normalise: ({ id, at, kind, said, open, ...rest }: Openable, ctx: RowContext) => {
      const of = ctx.session({ botId: 'b', sessionId: id, channel: 'web' })
      return [
        session(of, { startedAt: at, userMessages: said.length, status: open === true ? 'OPEN' : 'CLOSED', attributes: rest }),
        ...said.map((text, i) => message(of, { messageId: `${i}`, sentAt: at, text })),
        event(of, { eventId: id, occurredAt: at, type: 'session_started', name: kind }),
      ]
    },
  })
}

const followed: Shape = {
  connector: following(),
  broken: [
    ['takes open rows for closed', 'topics: hold what', following({ isOpen: () => false })],
    ['is told nothing by the ids', 'topics: hold what', following({ read: async () => [] })],
    ['gives rows up too soon', 'topics: hold what', following({ longestMs: MINUTE })],
  ],
  options: {
    more: (row, nowMs) => ({ open: isLong(row) && nowMs < row.atMs + OPEN_MS }),
    truth: held => ({
      sessions: held.map(({ id, atMs }) => ({ session_key: `acme-chat:conformance:${id}`, started_at: atMs, status: 'CLOSED' })),
      messages: held.flatMap(({ atMs, said, later }) => [...said, ...later].map(text => ({ sent_at: atMs, text }))),
      events: held.map(({ atMs, kind }) => ({ occurred_at: atMs, name: kind })),
    }),
  },
  checks: ['keeps the shape', 'rows: makes the same', 'topics: ', 'fault: bodies', 'late: ', 'changing: ', 'clock_', 'stop: '],
}

describe.each([
  ['sessions are derived', derived],
  ['rows are followed', followed],
] as const)('where %s', (_, { connector, broken, options, checks }) => {
  const of = (each: Connector) => conformanceChecks(subjectOf(each, options))

  test.each(of(connector).filter(({ name }) => checks.some(start => name.startsWith(start))))(
    'a good connector passes: $name',
    async check => {
      expect(await check.run()).toEqual({ outcome: 'passed' })
    },
  )

  test.each(broken)('one that %s fails', async (_, check, each) => {
    await expect(
      of(each)
        .find(({ name }) => name.startsWith(check))
        ?.run(),
    ).rejects.toThrow()
  })
})
