/** `deploy/clickhouse/` on a real ClickHouse that reads the series topic of our aggregator from a real Kafka, against a recount of what was published. */
import { readFileSync } from 'node:fs'
import { DateTime } from 'luxon'
import { afterEach, expect, inject, test } from 'vitest'
import { startAggregator } from '../../src/aggregate/run.ts'
import { readPointKey } from '../../src/point-key.ts'
import { MEASURES, type Measure } from '../../src/records.ts'
import { harness, type Harness, type Item, testLog } from '../aggregate/harness.ts'
import { random } from '../aggregate/make.ts'
import { coarser } from '../aggregate/recount.ts'
import { type ClickHouse, startClickHouse } from './clickhouse.ts'
import { history } from './history.ts'
import { sqlFile, statementsOf } from './sql-file.ts'

const DAY_MS = 86_400_000
const PATIENCE_MS = 1_500_000
const retention = { minutesMs: 2 * DAY_MS, hoursMs: 120 * DAY_MS }
const LABELS = ['vendor', 'account', 'bot_id', 'channel', 'language'] as const

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

/** By labels and start, the measures in their order; what is all zeros is left out. */
type Counts = Record<string, number[]>

const nonZero = (counts: Counts): Counts => Object.fromEntries(Object.entries(counts).filter(([, row]) => row.some(n => n !== 0)))

function published(h: Harness, size: '1h' | '1d', fromMs = -Infinity): Counts {
  const rows = Object.entries(coarser(h.expected(), size)).map(
    ([at, row]) => [at, row.slice(0, MEASURES.length).map(Number)] as const,
  )
  return nonZero(Object.fromEntries(rows.filter(([at]) => startOf(at) >= fromMs)))
}

const startOf = (at: string) => Date.parse(at.slice(at.lastIndexOf('@') + 1))

async function viewed(db: ClickHouse, view: string, start: string, fromMs = 0): Promise<Counts> {
  const rows = await db.query(
    `SELECT ${LABELS.join(', ')}, toUnixTimestamp(${start}(bucket_start)) AS at, ${MEASURES.map(m => `sum(${m}) AS s_${m}`).join(', ')}
     FROM ${view} WHERE bucket_start >= toDateTime(${fromMs / 1000}, 'UTC') GROUP BY ${LABELS.join(', ')}, at`,
  )
  const entries = rows.map(row => [
    `${LABELS.map(label => row[label]).join('|')}@${new Date(Number(row['at']) * 1000).toISOString()}`,
    MEASURES.map(measure => Number(row[`s_${measure}`])),
  ])
  return nonZero(Object.fromEntries(entries) as Counts)
}

/** The newest state of each key on the topic, by its bucket. */
async function live(h: Harness): Promise<Record<'1m' | '1h' | '1d', number[]>> {
  const newest = new Map((await h.records()).map(({ key, point }) => [key, point !== null]))
  const starts: Record<'1m' | '1h' | '1d', number[]> = { '1m': [], '1h': [], '1d': [] }
  for (const [key, isLive] of newest) {
    const of = readPointKey(key)
    if (isLive && of !== null) starts[of.bucket].push(of.startMs)
  }
  return starts
}

async function until<T>(read: () => Promise<T>, isGood: (value: T) => boolean): Promise<T> {
  const untilMs = Date.now() + PATIENCE_MS
  for (;;) {
    const value = await read()
    if (isGood(value) || Date.now() > untilMs) return value
    await new Promise(resolve => setTimeout(resolve, 1_000))
  }
}

/**
 * Reads the topic from its beginning through the Kafka table. ClickHouse inside a process runs nothing in the background: that is an error at the end of creating
 * the table, and would be needed to feed the materialized view. So what the view does with each block is done by hand, each time with a group of its own.
 */
function queue(db: ClickHouse, statements: readonly string[]): () => Promise<void> {
  const [table = '', view = '', ...others] = statements
  const [, select] = /^CREATE MATERIALIZED VIEW IF NOT EXISTS series_feed TO series AS (SELECT [\s\S]*)$/.exec(view) ?? []
  expect({ select, others }).toMatchObject({ select: expect.stringContaining('FROM series_queue') as string, others: [] })
  let reads = 0
  return async () => {
    await db.query('DROP TABLE IF EXISTS series_queue')
    await db.query(table.replace("-clickhouse'", `-clickhouse-${++reads}'`)).catch((thrown: unknown) => {
      if (!String(thrown).includes('Shutdown was called')) throw thrown
    })
    await db.query(`INSERT INTO series ${select} SETTINGS stream_like_engine_allow_direct_select = 1`)
  }
}

async function feed(h: Harness, items: readonly Item[]): Promise<void> {
  for (let at = 0; at < items.length; at += 150) await h.feed(items.slice(at, at + 150))
  await h.caughtUp()
}

test('each instant is counted once over minutes, hours and days, and the ready queries answer what was published', async () => {
  const { brokers, registry } = inject('stack')
  const h = await harness({ brokers, registry })
  closing.push(() => h.close())
  const stop = new AbortController()
  const aggregator = startAggregator({ ...h, options: { groupId: h.names.series, lingerMs: 20, retention }, signal: stop.signal })
  closing.push(() => {
    stop.abort()
    return aggregator.done
  })
  const r = random(14)
  const nowMs = Date.now()
  const past = (days: number) => ({ fromMs: nowMs - days * DAY_MS, spanMs: (days - 0.1) * DAY_MS })
  await feed(h, history(r, { from: 0, sessions: 200, ...past(500) }))
  await feed(h, history(r, { from: 200, sessions: 150, ...past(80) }))
  await feed(h, history(r, { from: 350, sessions: 150, ...past(2) }))
  const firstMinute = Math.floor((nowMs - retention.minutesMs) / DAY_MS) * DAY_MS
  const firstHour = Math.floor((nowMs - retention.hoursMs) / DAY_MS) * DAY_MS
  const isRolledUp = (starts: Awaited<ReturnType<typeof live>>) =>
    starts['1m'].every(at => at >= firstMinute) && starts['1h'].every(at => at >= firstHour)
  expect(isRolledUp(await until(() => live(h), isRolledUp))).toBe(true)

  const db = await startClickHouse(testLog)
  closing.push(() => db.stop())
  const place = { brokers, registry, prefix: h.prefix }
  for (const statement of statementsOf(sqlFile('clickhouse/series.sql', place))) await db.query(statement)
  const readTopic = queue(db, statementsOf(sqlFile('clickhouse/kafka.sql', place)))
  const byDay = async () => {
    await readTopic()
    return viewed(db, 'series_by_day', 'toStartOfDay')
  }
  const byHour = () => viewed(db, 'series_by_hour', 'toStartOfHour', firstHour)
  const asPublished = async () => {
    const days = published(h, '1d')
    expect(
      await until(
        byDay,
        found => Object.keys(found).length > 0 && JSON.stringify(sorted(found)) === JSON.stringify(sorted(days)),
      ),
    ).toEqual(days)
    expect(await byHour()).toEqual(published(h, '1h', firstHour))
  }
  await asPublished()

  // Late data for minutes, for hours and for days alone, while ClickHouse reads.
  await feed(h, history(r, { from: 50, sessions: 100, ...past(500) }))
  await feed(h, history(r, { from: 300, sessions: 100, ...past(80) }))
  await asPublished()
  const forms = await live(h)
  expect({
    minutes: forms['1m'].length > 50,
    hours: forms['1h'].length > 50,
    days: forms['1d'].some(at => at < firstHour),
  }).toEqual({
    minutes: true,
    hours: true,
    days: true,
  })

  const count = async () => Number((await db.query("SELECT count() AS n FROM series FINAL WHERE bucket = '1m'"))[0]?.['n'])
  const before = await count()
  for (const statement of statementsOf(sqlFile('clickhouse/prune.sql', place))) await db.query(statement)
  expect(await count()).toBeLessThan(before)
  await asPublished()

  await answersRight(h, db)
})

const sorted = (counts: Counts) => Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1))

/** Sums of the published days (or hours) by any text made of labels and start. */
function sums(counts: Counts, keyOf: (labels: Record<(typeof LABELS)[number], string>, at: DateTime) => string) {
  const groups = new Map<string, Record<Measure, number>>()
  for (const [at, row] of Object.entries(counts)) {
    const [vendor = '', account = '', ...rest] = at.slice(0, at.lastIndexOf('@')).split('|')
    const [channel = '', language = ''] = rest.slice(-2)
    const key = keyOf(
      { vendor, account, bot_id: rest.slice(0, -2).join('|'), channel, language },
      DateTime.fromMillis(startOf(at), { zone: 'utc' }),
    )
    const sum = groups.get(key) ?? (Object.fromEntries(MEASURES.map(measure => [measure, 0])) as Record<Measure, number>)
    for (const [i, measure] of MEASURES.entries()) sum[measure] += row[i] ?? 0
    groups.set(key, sum)
  }
  return groups
}

async function answersRight(h: Harness, db: ClickHouse): Promise<void> {
  const text = readFileSync(new URL('../../deploy/clickhouse/queries.sql', import.meta.url), 'utf8')
  const queries = new Map([...text.matchAll(/^-- ([\w-]+): .*\n([^;]*);$/gm)].map(([, name = '', sql = '']) => [name, sql]))
  expect([...queries.keys()]).toEqual(['sessions-by-month', 'transfers-by-week', 'duration-by-quarter', 'hours-of-week'])
  const ask = (name: string) => db.query(queries.get(name) ?? '')
  const rounded = (n: unknown) => (n === null || n === undefined || Number.isNaN(n) ? null : Number(Number(n).toFixed(9)))
  const days = published(h, '1d')
  const byKey = (rows: readonly (readonly [string, ...unknown[]])[]) =>
    Object.fromEntries(rows.map(([key, ...values]) => [key, values]))

  const months = sums(days, ({ vendor }, at) => `${vendor} ${at.startOf('month').toISODate()}`)
  expect(
    byKey(
      (await ask('sessions-by-month')).map(row => [
        `${row['vendor']} ${row['month']}`,
        Number(row['started']),
        ...['self_service', 'agent', 'drop_off'].map(name => rounded(row[name])),
      ]),
    ),
  ).toEqual(
    byKey(
      [...months]
        .filter(([, of]) => of.sessions > 0)
        .map(([key, of]) => [
          key,
          of.sessions,
          ...[of.sessions_self_service, of.sessions_agent, of.sessions_drop_off].map(n => rounded(n / of.sessions)),
        ]),
    ),
  )

  const weeks = sums(days, ({ channel }, at) => `${channel} ${at.startOf('week').toISODate()}`)
  const rateOf = (key: string) => {
    const of = weeks.get(key)
    return of === undefined || of.sessions === 0 ? null : rounded(of.agent_transfers / of.sessions)
  }
  const yearBefore = (key: string) => {
    const [channel = '', week = ''] = key.split(' ')
    return `${channel} ${DateTime.fromISO(week, { zone: 'utc' }).minus({ days: 364 }).toISODate()}`
  }
  const byWeek = await ask('transfers-by-week')
  expect(
    byKey(
      byWeek.map(row => [
        `${row['channel']} ${row['week']}`,
        Number(row['transfers']),
        rounded(row['rate']),
        rounded(row['rate_year_before']),
      ]),
    ),
  ).toEqual(
    byKey(
      [...weeks]
        .filter(([, of]) => of.sessions > 0)
        .map(([key, of]) => [key, of.agent_transfers, rateOf(key), rateOf(yearBefore(key))]),
    ),
  )
  expect(byWeek.filter(row => row['rate_year_before'] !== null).length).toBeGreaterThan(5)

  const quarters = sums(
    days,
    ({ vendor, account, bot_id }, at) => `${vendor} ${account} ${bot_id} ${at.startOf('quarter').toISODate()}`,
  )
  expect(
    byKey(
      (await ask('duration-by-quarter')).map(row => [
        `${row['vendor']} ${row['account']} ${row['bot_id']} ${row['quarter']}`,
        rounded(row['mean_seconds']),
      ]),
    ),
  ).toEqual(
    byKey(
      [...quarters]
        .filter(([, of]) => of.sessions_ended > 0)
        .map(([key, of]) => [key, rounded(of.duration_ms / of.sessions_ended / 1000)]),
    ),
  )

  const since = DateTime.utc().startOf('hour').minus({ days: 90 }).toMillis()
  const hours = sums(published(h, '1h', since), (_, at) => {
    const local = at.setZone('America/Bogota')
    return `${local.weekday} ${local.hour}`
  })
  const byHour = (await ask('hours-of-week')).map(row => [`${row['day']} ${row['hour']}`, Number(row['started'])] as const)
  expect(byKey(byHour)).toEqual(byKey([...hours].filter(([, of]) => of.sessions > 0).map(([key, of]) => [key, of.sessions])))
}
