import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Check, conformanceChecks, type Subject, type Waiver } from '../../src/conformance/index.ts'
import {
  type Connector,
  type ErrorCode,
  event,
  FlowError,
  message,
  type Page as PageType,
  type ReadArgs,
  type RowContext,
} from '../../src/source/index.ts'
import {
  acme,
  type AcmeOptions,
  Config,
  type ConfigType,
  Page,
  type RowType,
  subjectOf,
  withStream,
} from '../conformance/acme.ts'
import { SUBJECT_FILES, subjectsOf } from '../support/all-subjects.ts'

const rows = acme.streams['rows'] as NonNullable<(typeof acme.streams)['rows']>
const MINUTE = 60_000
const window = { longestMs: 20 * MINUTE, lagMs: 30_000, lookbackMs: 10 * MINUTE, durableResume: true }
const atOf = (row: unknown) => Date.parse((row as RowType).at)

/** For connectors that remember what they must not. */
let calls = 0
const places = new Set<number>()

/** The good connector's reading, with something done to each page, or with what went wrong. */
function reading(of: {
  page?: (page: PageType, args: ReadArgs) => PageType | Promise<PageType>
  failed?: (error: FlowError, nth: number) => PageType | null | Promise<PageType | null>
}): Connector {
  return withStream({
    async *read(args: ReadArgs) {
      let nth = 0
      try {
        for await (const page of rows.read(args)) {
          nth++
          yield (await of.page?.(page, args)) ?? page
        }
      } catch (thrown) {
        const page = thrown instanceof FlowError ? await of.failed?.(thrown, nth) : null
        if (!page) throw thrown
        yield page
      }
    },
  })
}

const LAST: PageType = { rows: [], resume: null }
/** Takes an error that comes after a page for the end of the listing. */
const endsAt = (code: ErrorCode) => reading({ failed: (error, nth) => (nth > 0 && error.code === code ? LAST : null) })
/** Tells an error as another. */
const tells = (status: number) =>
  ({
    ...acme,
    http: (config: ConfigType) => ({
      ...acme.http(config as never),
      classify: (answer: { status: number }) => (answer.status === status ? { code: 'SRC_REFUSED' } : undefined),
    }),
  }) as unknown as Connector
const tellsAs = (code: ErrorCode, other: ErrorCode) =>
  reading({
    failed: error => {
      if (error.code === code) throw new FlowError(other)
      return null
    },
  })
/** Leaves rows out in silence. */
const skips = (isSkipped: (row: Record<string, unknown>) => boolean) =>
  reading({ page: page => ({ ...page, rows: page.rows.filter(row => !isSkipped(row as Record<string, unknown>)) }) })

interface Twin {
  readonly defect: string
  /** The check that is about it, by a part of its name. */
  readonly check: string
  readonly connector: Connector
  readonly options?: AcmeOptions
  /** Parts of the names of other checks that the defect breaks too. */
  readonly also?: readonly string[]
}

const TWINS: readonly Twin[] = [
  {
    defect: 'has a secret without its mark',
    check: 'keeps the shape',
    connector: { ...acme, config: Config.extend({ apiToken: z.string().describe('Key') }) },
    also: ['takes its config'],
  },
  { defect: 'takes unknown config keys', check: 'describes every', connector: { ...acme, config: z.object(Config.shape) } },
  {
    defect: 'has a config key without a description',
    check: 'describes every',
    connector: { ...acme, config: Config.extend({ odd: z.string().optional() }) },
    also: ['keeps the shape'],
  },
  {
    defect: 'reads a number otherwise when it comes as text',
    check: 'takes its config',
    connector: { ...acme, config: Config.extend({ odd: z.unknown().optional().describe('Odd') }) },
    options: { config: { odd: 3 } },
  },
  {
    defect: 'has scopes of one name',
    check: 'names windows and scopes',
    connector: withStream({
      scopes: () => [
        { name: 'a', botId: 'b' },
        { name: 'a', botId: 'b' },
      ],
    }),
    also: ['gives rows', 'goes on', 'topics', 'makes the same'],
  },
  {
    defect: 'makes ids up',
    check: 'gives rows with ids',
    connector: withStream({ identify: (row: RowType) => `${row.id}-${calls++}` }),
    also: ['goes on', 'topics', 'makes the same'],
  },
  {
    defect: 'finds nothing',
    check: 'gives rows with ids',
    connector: withStream({ async *read() {} }),
    also: ['makes the same', 'topics', 'ends in'],
  },
  {
    defect: 'takes for a change what changes without meaning',
    check: 'gives rows with ids',
    connector: acme,
    options: { serve: (row, request) => ({ ...row, served: request }) },
    also: ['topics'],
  },
  {
    defect: 'starts again instead of going on',
    check: 'goes on from any page',
    connector: withStream({
      async *read(args: ReadArgs) {
        yield* rows.read({ ...args, resume: null })
      },
    }),
  },
  {
    defect: 'remembers what it normalised',
    check: 'makes the same records',
    connector: withStream({
      fingerprint: (row: RowType) => row.id,
      normalise: (row: RowType, ctx: never) => rows.normalise({ ...row, odd: `${calls++}` } as never, ctx),
    }),
    also: ['topics'],
  },
  {
    defect: 'changes the row',
    check: 'makes the same records',
    connector: withStream({
      normalise: (row: RowType, ctx: never) => {
        const drafts = rows.normalise(row as never, ctx)
        row.said.sort().reverse()
        return drafts
      },
    }),
  },
  {
    defect: 'gives two messages one key',
    check: 'makes the same records',
    connector: withStream({
      normalise: (row: RowType, ctx: never) => [...rows.normalise(row as never, ctx), ...rows.normalise(row as never, ctx)],
    }),
    also: ['topics'],
  },
  {
    defect: 'gives sessions from another stream',
    check: 'makes the same records',
    connector: { ...acme, manifest: { ...acme.manifest, sessionStream: null } },
    also: ['keeps the shape'],
  },
  {
    defect: 'mixes up the rows it enriches',
    check: 'makes the same records',
    connector: withStream({ enrich: async ({ rows }: { rows: unknown[] }) => rows.toReversed() }),
    also: ['topics'],
  },
  { defect: 'tells a refused credential as a refusal', check: 'a refused credential', connector: tells(401) },
  { defect: 'tells a wish to wait as a refusal', check: 'a wish to wait', connector: tells(429) },
  { defect: 'tells a failing vendor as a refusal', check: 'a failing vendor', connector: tells(500) },
  { defect: 'tells a break as a fault of ours', check: 'that breaks off', connector: tellsAs('SRC_TRUNCATED', 'BUG') },
  { defect: 'tells HTML as a refusal', check: 'that is no JSON', connector: tellsAs('SRC_MALFORMED', 'SRC_REFUSED') },
  { defect: 'tells a stop as an unreachable vendor', check: 'a stop ends', connector: tellsAs('STOPPED', 'SRC_UNREACHABLE') },
  {
    defect: 'forgets fields that it does not know',
    check: 'a field added',
    connector: withStream({
      normalise: (row: RowType, ctx: never) => {
        const { id, at, kind, said } = row
        return rows.normalise({ id, at, kind, said } as never, ctx)
      },
    }),
    also: ['topics', 'all the same', 'prompt'],
  },
  { defect: 'skips rows that lack a field', check: 'a field missing', connector: skips(row => row['said'] === undefined) },
  {
    defect: 'skips rows with a field of another type',
    check: 'a field of another type',
    connector: skips(row => row['said'] !== undefined && !Array.isArray(row['said'])),
  },
  {
    defect: 'skips rows with a word that it does not know',
    check: 'a word that is not known',
    connector: skips(row => typeof row['kind'] === 'string' && !['chat', 'call'].includes(row['kind'])),
  },
  {
    defect: 'loses the last thing said',
    check: 'topics: hold what',
    connector: withStream({
      normalise: (row: RowType, ctx: never) =>
        rows
          .normalise(row as never, ctx)
          .filter(({ kind, record }) => kind !== 'message' || !('text' in record && record.text === 'it is 7')),
    }),
    also: ['topics', 'fault', 'all the same'],
  },
  {
    defect: 'skips a page where it goes on in another process',
    check: 'topics: hold the same after a kill at',
    connector: {
      ...withStream({
        async *read(args: ReadArgs) {
          const { resume } = args
          const { pageSize } = args.config as ConfigType
          const isOurs = resume === null || places.has(Number(resume))
          const at = isOurs ? resume : Number(resume) + pageSize
          for await (const page of rows.read({ ...args, resume: at })) {
            places.add(Number(page.resume))
            yield page
          }
        },
      }),
      http: config => {
        places.clear()
        return acme.http(config)
      },
    },
  },
  {
    defect: 'makes ids that differ from process to process',
    check: 'topics: hold the same after kills as time',
    connector: {
      ...withStream({
        // A row that changes gives its messages again; under ids of another process they are other messages.
        normalise: (row: RowType, ctx: { config: ConfigType }) =>
          rows.normalise(row as never, ctx as never).map(draft =>
            draft.kind === 'message'
              ? {
                  ...draft,
                  record: { ...draft.record, message_key: `${draft.record.message_key}-${calls}`, message_id: `${calls}` },
                }
              : draft,
          ),
      }),
      http: config => {
        calls++
        return acme.http(config)
      },
    },
    options: { quirk: 'changing' },
    also: ['fault', 'makes the same', 'all the same', 'topics'],
  },
  { defect: 'takes a 401 for the end', check: 'fault: 401', connector: endsAt('SRC_UNAUTHORISED') },
  { defect: 'takes a 429 for the end', check: 'fault: storms of 429', connector: endsAt('SRC_RATE_LIMITED') },
  { defect: 'takes a 5xx for the end', check: 'fault: 500', connector: endsAt('SRC_SERVER_ERROR') },
  { defect: 'takes a break for the end', check: 'fault: bodies cut off', connector: endsAt('SRC_TRUNCATED') },
  {
    defect: 'takes HTML for the end',
    check: 'fault: answers of the wrong',
    connector: endsAt('SRC_MALFORMED'),
    also: ['ignores_token'],
  },
  { defect: 'takes a hang-up for the end', check: 'fault: connections that end', connector: endsAt('SRC_UNREACHABLE') },
  { defect: 'takes a slow answer for the end', check: 'fault: answers that drip', connector: endsAt('SRC_TIMEOUT') },
  {
    defect: 'looks back less far than rows are late',
    check: 'late: ',
    connector: withStream({ window: { ...window, lookbackMs: 4 * MINUTE } }),
    also: ['all the same'],
  },
  {
    defect: 'does not see changes',
    check: 'changing: ',
    connector: withStream({ fingerprint: (row: RowType) => row.id }),
    also: ['topics', 'all the same', 'quota', 'prompt'],
  },
  {
    defect: 'goes on behind the time of the last row',
    check: 'tied: ',
    connector: withStream({
      async *read({ config, window, resume, http }: ReadArgs & { config: ConfigType }) {
        for (let from = Number(resume ?? window.fromMs - 1); ; ) {
          const page = await http.getJson(
            '/rows',
            { from, until: window.untilMs, at: 0, size: (config as ConfigType).pageSize },
            Page,
          )
          const next = page.next === null ? null : atOf(page.rows.at(-1)) + 1
          yield { rows: page.rows, resume: next }
          if (next === null) return
          from = next
        }
      },
    }),
    also: ['ignores_token'],
  },
  {
    defect: 'refuses a row at the end of the range',
    check: 'edges_inclusive: ',
    connector: reading({
      page: (page, { window }) => {
        if (page.rows.some(row => atOf(row) >= window.untilMs)) throw new FlowError('SRC_MALFORMED')
        return page
      },
    }),
  },
  {
    defect: 'asks from just the beginning of the window',
    check: 'edges_exclusive: ',
    connector: withStream({
      async *read(args: ReadArgs) {
        yield* rows.read({ ...args, window: { ...args.window, fromMs: args.window.fromMs + 1 } })
      },
    }),
  },
  {
    defect: 'gives a row that comes twice another id',
    check: 'grows: ',
    connector: withStream({
      async *read(args: ReadArgs) {
        const seen = new Set<string>()
        for await (const page of rows.read(args)) {
          const unique = (page.rows as RowType[]).map(row => (seen.has(row.id) ? { ...row, id: `${row.id}-2` } : row))
          for (const { id } of unique) seen.add(id)
          yield { ...page, rows: unique }
        }
      },
    }),
  },
  {
    defect: 'looks back less far than rows flicker',
    check: 'shrinks: ',
    connector: withStream({ window: { ...window, lookbackMs: 1 * MINUTE } }),
    also: ['topics', 'all the same', 'prompt', 'quota'],
  },
  {
    defect: 'ends where pages lead back',
    check: 'ignores_token: ',
    connector: reading({ failed: (error, nth) => (nth > 0 && error.details.hint === 'a page leads back' ? LAST : null) }),
  },
  ...([1, -1] as const).map(sign => ({
    defect: `refuses a vendor whose clock is ${sign > 0 ? 'ahead' : 'behind'}`,
    check: `clock_${sign > 0 ? 'ahead' : 'behind'}: `,
    connector: withStream({
      async *read(args: ReadArgs) {
        const { now } = await args.http.getJson('/rows', { from: 0, until: 0, at: 0, size: 1 }, Page)
        if ((now - args.nowMs) * sign > MINUTE) throw new FlowError('SRC_MALFORMED')
        yield* rows.read(args)
      },
    }),
  })),
  {
    defect: 'does not know the limits',
    check: 'quota: ',
    connector: { ...acme, manifest: { ...acme.manifest, quota: { sharedBy: 'apiToken' } } },
  },
  {
    defect: 'tells a transfer only of rows that are eight minutes old',
    check: 'prompt: a transfer',
    connector: reading({
      page: (page, { nowMs }) => ({
        ...page,
        rows: page.rows.map(row => (nowMs - atOf(row) < 8 * MINUTE ? { ...(row as RowType), handed: null } : row)),
      }),
    }),
  },
  {
    defect: 'takes the time of reading for that of the transfer',
    check: 'prompt: the time of a transfer',
    connector: withStream({
      // The framework keeps the first time on the session; an event is the connector's own.
      normalise: (row: RowType, ctx: RowContext) => [
        ...rows.normalise(row as never, ctx),
        ...(row.handed === null
          ? []
          : [
              event(ctx.session({ botId: 'b', sessionId: row.id, channel: 'web' }), {
                eventId: `${row.id}/handed`,
                occurredAt: ctx.observedAtMs,
                type: 'agent_transferred',
              }),
            ]),
      ],
    }),
    options: { quirk: 'changing' },
    also: ['topics', 'all the same', 'makes the same'],
  },
  {
    defect: 'reads nothing again at every poll',
    check: 'prompt: what is said',
    connector: withStream({ window: { ...window, hotMs: 0, lookbackIntervalMs: 10 * MINUTE } }),
    options: { quirk: 'changing' },
    also: ['prompt: '],
  },
  {
    defect: 'polls more often than its quota allows',
    check: 'prompt: the schedule',
    connector: { ...acme, manifest: { ...acme.manifest, quota: { perMinute: 2, sharedBy: 'apiToken' } } },
    also: ['prompt: '],
  },
  {
    defect: 'tidies up after a stop',
    check: 'stop: ',
    connector: reading({
      failed: async () => {
        await new Promise(resolve => setTimeout(resolve, 1500))
        return null
      },
    }),
  },
  {
    defect: 'is waived without a reason',
    check: 'waivers are for',
    connector: acme,
    options: { waivers: [{ check: 'late: ', reason: ' ', until: '2099-01-01' }] },
    also: ['late: '],
  },
]

const checksOf = ({ connector, options = {} }: Pick<Twin, 'connector' | 'options'>) =>
  conformanceChecks(subjectOf(connector, options))
const isOwn = ({ name }: Check) => !name.startsWith('audit: ')

/** Names of the checks that fail, with the first line of why. */
async function failures(checks: readonly Check[]): Promise<Record<string, string>> {
  const failed: Record<string, string> = {}
  for (const check of checks) {
    await check
      .run()
      .catch(
        (thrown: unknown) =>
          (failed[check.name] = String(thrown instanceof Error ? thrown.message : thrown).split('\n')[0] ?? ''),
      )
  }
  return failed
}

test('a connector that keeps the contract passes every check', async () => {
  expect(await failures(checksOf({ connector: acme }))).toEqual({})
}, 60_000)

test('checks have names of their own', () => {
  const names = checksOf({ connector: acme }).map(check => check.name)
  expect(new Set(names).size).toBe(names.length)
})

test('each check has a connector that is broken in just that way', () => {
  const without = checksOf({ connector: acme }).filter(
    ({ name }) => isOwn({ name } as Check) && !TWINS.some(({ check }) => name.includes(check)),
  )
  expect(without.map(({ name }) => name)).toEqual([])
})

test('the report in docs tells every check of every connector, in their order', async () => {
  const page = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8')
  const told = [...page.matchAll(/^## (.*)$|^\| (.*) \| .* \|$/gm)].map(([, title, check]) => title ?? check)
  const expected: string[] = []
  for (const file of SUBJECT_FILES)
    for (const [title, subject] of await subjectsOf(file))
      expected.push(title, ...conformanceChecks(subject).map(({ name }) => name))
  expect(told.filter(line => line !== 'Check' && line !== '---')).toEqual(expected)
})

/** The checks run beside the one that must fail: enough to see that others do not, few enough to be quick. */
const NEIGHBOURS = 2

describe('a connector fails the check that is about its defect, and none but those named', () => {
  test.each(TWINS.map(twin => [twin.defect, twin] as const))('%s', async (_, twin) => {
    const checks = checksOf(twin).filter(isOwn)
    const at = checks.findIndex(({ name }) => name.includes(twin.check))
    const target = checks[at] as Check
    const quick = checks.filter(({ name }) => name !== target.name && !name.includes('a kill at') && !name.includes('that drip'))
    const beside = [
      ...quick.filter(({ name }) => name.startsWith('topics: ') || name.includes('the same at a second read')),
      ...Array.from({ length: NEIGHBOURS }, (_, i) => quick[(at + i) % quick.length] as Check),
    ]
    expect(Object.keys(await failures([target]))).toEqual([target.name])
    const others = Object.entries(await failures([...new Set(beside)])).filter(
      ([name]) => !twin.also?.some(part => name.includes(part)),
    )
    expect(Object.fromEntries(others)).toEqual({})
  })
})

describe('a connector that makes many rows of one element', () => {
  const Part = z.object({ of: z.string(), i: z.number('no part can be read'), at: z.string(), text: z.string() })
  const inParts = (unreadable: (id: unknown) => readonly unknown[]) =>
    withStream({
      row: Part,
      async *read(args: ReadArgs) {
        for await (const page of rows.read(args))
          yield {
            ...page,
            rows: (page.rows as Record<string, unknown>[]).flatMap(({ id, at, said }) =>
              Array.isArray(said) ? said.map((text: unknown, i) => ({ of: id, i, at, text })) : unreadable(id),
            ),
          }
      },
      identify: ({ of, i }: z.output<typeof Part>) => `${of}/${i}`,
      normalise: ({ of, i, at, text }: z.output<typeof Part>, ctx: RowContext) => [
        message(ctx.session({ botId: 'b', sessionId: of, channel: 'web' }), { messageId: String(i), sentAt: at, text }),
      ],
    })
  const check = (connector: Connector) =>
    checksOf({ connector }).find(({ name }) => name === 'rows: a field missing loses nothing') as Check

  test('may reject the element once for all of them', async () => {
    await expect(check(inParts(id => [{ of: id, at: '', text: '' }])).run()).resolves.toEqual({ outcome: 'passed' })
  })

  test('fails where it passes the element over in silence', async () => {
    await expect(check(inParts(() => [])).run()).rejects.toThrow('a field missing: said: a row is neither published nor rejected')
  })
})

describe('a waiver', () => {
  const late = 'late: topics hold the truth all the same'
  const broken = withStream({ window: { ...window, lookbackMs: MINUTE } })
  const dayIn = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
  const run = async (connector: Connector, waiver: Waiver, name = late) => {
    const subject: Subject = subjectOf(connector, { waivers: [waiver] })
    return (conformanceChecks(subject).find(check => check.name === name) as Check).run()
  }

  test('makes of a failing check a waived one, with its reason', async () => {
    const waiver = { check: 'lat', reason: 'the vendor never is', until: dayIn(30) }
    expect(await run(broken, waiver)).toEqual({ outcome: 'waived', reason: waiver.reason, until: waiver.until })
  })

  test('that is not needed fails its check', async () => {
    await expect(run(acme, { check: late, reason: 'x', until: dayIn(30) })).rejects.toThrow('waiver no longer needed')
  })

  test('does not hold from its day on', async () => {
    await expect(run(broken, { check: late, reason: 'x', until: dayIn(0) })).rejects.toThrow('waiver expired')
  })

  test.each([
    ['without a reason', { check: late, reason: '', until: dayIn(30) }, 'has no reason'],
    ['for no check', { check: 'punctual: ', reason: 'x', until: dayIn(30) }, 'is for no check'],
    ['more than a year ahead', { check: late, reason: 'x', until: dayIn(400) }, 'more than a year ahead'],
    ['for the check of waivers', { check: 'waivers', reason: '', until: dayIn(400) }, 'is for no check'],
    ['has no valid end day', { check: late, reason: 'x', until: 'soon' }, 'has no valid end day'],
  ])('%s is a fault', async (_, waiver, why) => {
    await expect(run(acme, waiver, 'waivers are for checks, have a reason and a day within a year')).rejects.toThrow(why)
  })
})
