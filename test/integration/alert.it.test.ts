import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest'
import { createJudge } from '../../src/alert/judge.ts'
import { type Alerter, type AlerterParts, startAlerter } from '../../src/alert/run.ts'
import { systemClock } from '../../src/clock.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { silentLog } from '../../src/log.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { alertTransactionalId } from '../../src/topics.ts'
import { historyOf } from '../alert/history.ts'
import { plainJudge } from '../alert/plain-judge.ts'
import { type SeriesWorld, seriesWorld } from '../support/series-world.ts'

const PARTITIONS = 3
const MINUTE_MS = 60_000
const WAIT = { timeout: 45_000, interval: 100 }

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

const world = () => seriesWorld({ stack: inject('stack'), partitions: PARTITIONS, ending: end => endings.push(end) })

let minuteMs = 0
beforeEach(() => {
  minuteMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS
})
/** The start of the minute so many minutes before the one in which the test began. */
const ago = (minutes: number) => minuteMs - minutes * MINUTE_MS
const iso = (ms: number) => new Date(ms).toISOString()

function alerter(of: SeriesWorld, parts: Partial<AlerterParts> = {}): { alerter: Alerter; stop: () => Promise<void> } {
  const ending = new AbortController()
  const running = startAlerter({
    kafka: of.kafka,
    registry: of.registry,
    names: of.names,
    partitions: PARTITIONS,
    options: { groupId: `${of.names.alerts}-group`, rules: [DEFAULT_RULE], zoneOf: () => 'UTC', sessionTimeoutMs: 2_000 },
    createJudge: plainJudge,
    log: silentLog,
    clock: systemClock,
    signal: ending.signal,
    ...parts,
  })
  const stop = async () => {
    ending.abort()
    await running.done
  }
  endings.push(stop)
  return { alerter: running, stop }
}

const ready = (of: Alerter) => vi.waitFor(() => expect(of.ready()).toEqual({ ok: true }), WAIT)
const bot = (vendor: string, bot_id = 'b1') => ({ vendor, account: 'acme', bot_id })
const home = (of: { vendor: string; account: string; bot_id: string }) =>
  partitionOf(`${of.vendor}:${of.account}:${of.bot_id}`, PARTITIONS)
const read = (of: SeriesWorld, vendor: string, untilMs: number) =>
  of.progress({ vendor, connector: vendor, completeUntil: iso(untilMs), through: [] })
const spike = async (of: SeriesWorld, who: ReturnType<typeof bot>, minutes: readonly number[], transfers: number) =>
  of.points(
    home(who),
    minutes.map(at => ({ at, ...who, sessions: 20, agent_transfers: transfers })),
  )
const states = (all: readonly { rule: string; state: string; vendor: string }[]) =>
  all.map(({ vendor, state }) => `${vendor} ${state}`)

test('an incident is written once when it is complete and once when it is over, in the partition of its bot', async () => {
  const of = await world()
  const { alerter: running } = alerter(of)
  await spike(of, bot('botmaker'), [ago(9)], 1)
  await spike(of, bot('botmaker'), [ago(8), ago(7)], 9)
  await read(of, 'botmaker', ago(8))
  await ready(running)
  expect(await of.alerts()).toEqual([])

  await read(of, 'botmaker', ago(6))
  await vi.waitFor(async () => expect(states(await of.alerts())).toEqual(['botmaker FIRING']), WAIT)
  await spike(of, bot('botmaker'), [ago(6)], 0)
  await read(of, 'botmaker', ago(5))
  await vi.waitFor(async () => expect(states(await of.alerts())).toEqual(['botmaker FIRING', 'botmaker RESOLVED']), WAIT)
  const [first, last] = await of.alerts()
  expect(first?.partition).toBe(home(bot('botmaker')))
  expect(last).toMatchObject({ alert_id: first?.alert_id, starts_at: ago(8), ends_at: ago(6) })
})

test('a series of which the vendor does not tell transfers is not judged by them', async () => {
  const of = await world()
  const { alerter: running } = alerter(of)
  await of.progress({ completeUntil: iso(ago(20)), through: [], feeds: ['session', 'no_transfer'] })
  await ready(running)
  await spike(of, bot('botmaker'), [ago(8)], 9)
  await of.progress({ completeUntil: iso(ago(5)), through: [], feeds: ['session', 'no_transfer'] })
  await spike(of, bot('koreai'), [ago(8)], 9)
  await read(of, 'koreai', ago(5))
  await vi.waitFor(async () => expect(states(await of.alerts())).toEqual(['koreai FIRING']), WAIT)
})

test('the next process goes on where the one before stopped, and raises nothing of what that has judged', async () => {
  const of = await world()
  const first = alerter(of)
  await spike(of, bot('botmaker'), [ago(9)], 1)
  await spike(of, bot('botmaker'), [ago(8)], 9)
  await spike(of, bot('botmaker'), [ago(7)], 0)
  await read(of, 'botmaker', ago(6))
  const starts = async () => (await of.alerts()).map(({ state, starts_at }) => `${state} ${starts_at}`)
  const told = [`FIRING ${ago(8)}`, `RESOLVED ${ago(8)}`]
  await vi.waitFor(async () => expect(await starts()).toEqual(told), WAIT)
  await first.stop()
  // A minute that the process before has judged looks otherwise now.
  await of.points(home(bot('botmaker')), [{ at: ago(9), ...bot('botmaker'), sessions: 20, agent_transfers: 9, revision: 2 }])
  const { alerter: second } = alerter(of)
  await ready(second)
  await spike(of, bot('botmaker'), [ago(6)], 9)
  await read(of, 'botmaker', ago(5))
  await vi.waitFor(async () => expect(await starts()).toEqual([...told, `FIRING ${ago(6)}`]), WAIT)
})

test('two processes share the vendors, and what one leaves the other takes over', async () => {
  const of = await world()
  const vendors = ['botmaker', 'koreai', 'wolkvox', 'chatlayer', 'syntphony', 'acme']
  const [first, second] = [alerter(of), alerter(of)]
  await ready(first.alerter)
  await ready(second.alerter)
  for (const vendor of vendors) {
    await spike(of, bot(vendor), [ago(8)], 9)
    await read(of, vendor, ago(7))
  }
  await vi.waitFor(async () => expect(await of.alerts()).toHaveLength(vendors.length), WAIT)
  await first.stop()
  await ready(second.alerter)
  for (const vendor of vendors) {
    await spike(of, bot(vendor), [ago(7)], 0)
    await read(of, vendor, ago(6))
  }
  await vi.waitFor(async () => expect(await of.alerts()).toHaveLength(2 * vendors.length), WAIT)
  const all = await of.alerts()
  expect(new Set(states(all)).size).toBe(all.length)
})

test('a process whose number another one has claimed writes nothing more, and says why', async () => {
  const of = await world()
  const { alerter: running } = alerter(of)
  await ready(running)
  const prefix = of.names.alerts.slice(0, -'.alerts'.length)
  const number = partitionOf('botmaker', PARTITIONS)
  const thief = of.kafka.openWriter({ transactionalId: alertTransactionalId(prefix, number) })
  endings.push(() => thief.close())
  await thief.fence()
  await spike(of, bot('botmaker'), [ago(8)], 9)
  await read(of, 'botmaker', ago(7))
  await vi.waitFor(
    () => expect(running.ready()).toEqual({ ok: false, why: `number ${number} was taken over by another process` }),
    WAIT,
  )
  expect(await of.alerts()).toEqual([])
  // As a member it claims it again when the group has had time to say that it is none.
  await vi.waitFor(async () => expect(states(await of.alerts())).toEqual(['botmaker FIRING']), { timeout: 60_000, interval: 200 })
})

test('an alert whose rule is taken out of the config is ended, as nothing else would end it', async () => {
  const of = await world()
  const first = alerter(of)
  await spike(of, bot('botmaker'), [ago(8)], 9)
  await read(of, 'botmaker', ago(7))
  await vi.waitFor(async () => expect(await of.alerts()).toHaveLength(1), WAIT)
  await first.stop()
  const other = { ...DEFAULT_RULE, name: 'another' }
  alerter(of, { options: { groupId: `${of.names.alerts}-group`, rules: [other], zoneOf: () => 'UTC' } })
  await vi.waitFor(async () => expect(states(await of.alerts())).toEqual(['botmaker FIRING', 'botmaker RESOLVED']), WAIT)
})

/** Eight usual days of one channel up to so many minutes before now, and what comes after them. */
async function longHistory(of: SeriesWorld, untilMs: number) {
  await of.points(home(bot('botmaker')), historyOf({ fromMs: untilMs - 8 * 86_400_000, untilMs }))
  await read(of, 'botmaker', untilMs)
}

test('an outage of an hour, a backfill and a rebuild of the series raise nothing, and an incident after them does', async () => {
  const of = await world()
  const outageMs = ago(100)
  await longHistory(of, outageMs)
  const { alerter: running } = alerter(of, { createJudge })
  await ready(running)
  // What happened in the outage becomes known at once and late: more than an hour of it with many transfers.
  const late = { fromMs: outageMs, untilMs: ago(65), times: 6 }
  const after = historyOf({ fromMs: outageMs, untilMs: ago(30), incident: late, seed: 2 })
  await of.points(home(bot('botmaker')), after)
  await read(of, 'botmaker', ago(60))
  // A bot whose history is read from thirty days ago, with weeks in which most were handed over.
  const old = { fromMs: ago(30 * 1440), untilMs: ago(10 * 1440) }
  await of.points(
    home(bot('botmaker', 'b2')),
    historyOf({ ...old, bot_id: 'b2', sessions: 3, share: 0.05, incident: { ...old, fromMs: ago(12 * 1440), times: 12 } }),
  )
  // Every minute is published again with its next revision, as a rebuild does.
  await of.points(
    home(bot('botmaker')),
    historyOf({ fromMs: outageMs - 8 * 86_400_000, untilMs: outageMs }).map(each => ({ ...each, revision: 2 })),
  )
  await read(of, 'botmaker', ago(30))
  // Something that shows that all of it has been judged.
  await of.points(home(bot('koreai')), historyOf({ vendor: 'koreai', fromMs: ago(3 * 1440), untilMs: ago(20) }))
  const incident = { fromMs: ago(20), untilMs: ago(2), times: 7 }
  await of.points(home(bot('koreai')), historyOf({ vendor: 'koreai', fromMs: ago(20), untilMs: ago(2), incident }))
  await read(of, 'koreai', ago(2))
  await vi.waitFor(async () => expect(states(await of.alerts())).toEqual(['koreai FIRING']), WAIT)
  await of.points(
    home(bot('botmaker')),
    historyOf({ fromMs: ago(30), untilMs: ago(2), incident: { ...incident, fromMs: ago(25) } }),
  )
  await read(of, 'botmaker', ago(2))
  await vi.waitFor(
    async () => expect(new Set(states(await of.alerts()))).toEqual(new Set(['koreai FIRING', 'botmaker FIRING'])),
    WAIT,
  )
})

test('a stop ends the alerter at once and quietly', async () => {
  const of = await world()
  const { alerter: running, stop } = alerter(of)
  await ready(running)
  const began = performance.now()
  await stop()
  expect(performance.now() - began).toBeLessThan(4000)
  await sleep(0)
})
