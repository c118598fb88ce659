/** SIGTERM of a process that judges hundreds of channels, in whatever it is just doing. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, inject, test } from 'vitest'
import { encoderFor } from '../../src/kafka/codec.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Alert, Session } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { Random } from '../../src/sim/random.ts'
import { ago, MINUTE_MS } from '../alert/history.ts'
import { sessionAt } from '../alert/sessions.ts'
import type { point } from '../serve/points.ts'
import { configFile, type Running, start, until } from '../support/product.ts'
import { type SeriesWorld, seriesWorld } from '../support/series-world.ts'

const HOUR_MS = 60 * MINUTE_MS
const PARTITIONS = 3
const VENDORS = ['botmaker', 'koreai', 'wolkvox', 'chatlayer', 'syntphony']
const BOTS = 20
const CHANNELS = ['web', 'whatsapp', 'voice', 'email'] as const
/** Of each vendor, these bots have an incident on the web; not enough of them that it would be the account's. */
const HIT = 3
/** What a stop may take, of which the last second is for the end of the process. */
const CONTRACT_MS = 10_000
const MARKERS = 100

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

type Point = Parameters<typeof point>[0]

const bots = VENDORS.flatMap(vendor => Array.from({ length: BOTS }, (_, b) => ({ vendor, account: 'acme', bot_id: `b${b}`, b })))
const home = ({ vendor, account, bot_id }: { vendor: string; account: string; bot_id: string }) =>
  partitionOf(`${vendor}:${account}:${bot_id}`, PARTITIONS)

/** Four hundred channels: hours as they are rolled up, then minutes. In `[incidentMs, calmMs)` most sessions of the bots that are hit go to a person. */
function pointsOf(fromMs: number, untilMs: number, stepMs: number, incidentMs: number, calmMs: number): Point[] {
  const random = new Random(11, 60, 4)
  return bots.flatMap(({ b, ...bot }) =>
    CHANNELS.flatMap(channel =>
      Array.from({ length: Math.round((untilMs - fromMs) / stepMs) }, (_, i): Point => {
        const at = fromMs + i * stepMs
        const sessions = (stepMs / MINUTE_MS) * 4
        const isOn = b < HIT && channel === 'web' && at >= incidentMs && at < calmMs
        let transfers = 0
        // None after it, so that its end does not hang on chance.
        const share = isOn ? 0.8 : at >= calmMs ? 0 : 0.08
        for (let s = 0; s < sessions; s++) if (random.chance(share)) transfers++
        return {
          at,
          ...bot,
          channel,
          bucket: stepMs === HOUR_MS ? '1h' : '1m',
          sessions,
          agent_transfers: transfers,
        }
      }),
    ),
  )
}

/** Points of all vendors, then what was read of each, as an aggregator that has counted it writes them. */
async function feed(of: SeriesWorld, untilMs: number, points: readonly Point[]): Promise<void> {
  const through = []
  for (let partition = 0; partition < PARTITIONS; partition++)
    through.push({ topic: of.names.sessions, partition, offset: await of.session(partition) })
  const homes = Map.groupBy(points, each => home(each as Required<Pick<Point, 'vendor' | 'account' | 'bot_id'>>))
  const last = new Map<number, number>()
  for (const [partition, own] of homes)
    for (let i = 0; i < own.length; i += 4000) last.set(partition, await of.points(partition, own.slice(i, i + 4000)))
  for (const vendor of VENDORS)
    await of.progress({ vendor, connector: vendor, completeUntil: new Date(untilMs).toISOString(), through })
  await counted(of, last)
}

/** All that is on the topic of sessions, and the markers that are on their way behind it. A process that starts believes no Progress before. */
async function counted(of: SeriesWorld, last: ReadonlyMap<number, number> = new Map()): Promise<void> {
  const places = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: of.names.sessions, partition }))
  for (const { topic, partition, high } of await of.kafka.watermarks(places))
    await of.counted(partition, { [topic]: high + MARKERS }, last.get(partition) ?? null)
}

/** Sessions of the bots that are hit, for the evidence. */
async function feedSessions(of: SeriesWorld, atMs: number): Promise<void> {
  const schema = schemaText('session')
  const encoder = encoderFor<Session>(schema, await of.registry.register(`${of.names.sessions}-value`, schema))
  for (const { b, ...bot } of bots) {
    if (b >= HIT) continue
    const session = sessionAt(`${bot.bot_id}-s`, atMs, 'refunds', { ...bot, channel: 'web' })
    await of.write(of.names.sessions, home(bot), { key: Buffer.from(session.session_key), value: encoder.encode(session) })
  }
}

/** An Alertmanager that takes requests and answers none until it is told to. */
async function hangingAlertmanager() {
  const open = new Set<ServerResponse>()
  const told: { labels: Record<string, string>; endsAt?: string }[] = []
  let isHanging = true
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (isHanging) {
      open.add(response)
      return
    }
    told.push(...(JSON.parse(Buffer.concat(chunks).toString()) as typeof told))
    response.end('{}')
  }
  const server = createServer((request, response) => void answer(request, response).catch(() => {}))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  endings.push(async () => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  return { url: `http://127.0.0.1:${port}`, open, told, answers: () => void (isHanging = false) }
}

/** A transaction on sessions that stays open: who reads these to their end waits. */
async function openTransaction(of: SeriesWorld): Promise<() => Promise<void>> {
  const writer = of.kafka.openWriter({ transactionalId: `${of.names.sessions}-open`, transactionTimeoutMs: 120_000 })
  await writer.fence()
  const begun = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  const transaction = writer.transact(async tx => {
    const records = [of.text('open', 'not committed yet')]
    await tx.write(Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: of.names.sessions, partition, records })))
    begun.resolve()
    await ended.promise
  })
  await Promise.race([begun.promise, transaction])
  return async () => {
    ended.resolve()
    await transaction
    await writer.close()
  }
}

test('a stop in the midst of work takes less than ten seconds, leaves nothing open, and loses and repeats no alert', async () => {
  const of = await seriesWorld({ stack: inject('stack'), partitions: PARTITIONS, ending: end => endings.push(end) })
  const alertmanager = await hangingAlertmanager()
  const prefix = of.names.alerts.slice(0, -'.alerts'.length)
  const groupId = `${prefix}-alerter`
  const config = configFile({
    kafka: { brokers: [inject('stack').brokers] },
    registry: { url: inject('stack').registry },
    topics: { prefix, partitions: PARTITIONS },
    http: { port: 0 },
    connectors: {},
    alerts: { alertmanager: { urls: [alertmanager.url] } },
  })
  endings.push(async () => config.remove())
  const begin = (): Running => {
    const running = start(['run', '--config', config.path, '--roles', 'server,alerter'])
    endings.push(() => running.kill('SIGKILL'))
    return running
  }
  const logged = (running: Running, msg: string) =>
    until(`it logs ${msg}`, async () => running.log.find(line => line.msg === msg), 20)
  const took: number[] = []

  /** SIGTERM while requests are open: one that is answered, one of which half has come, and a connection that waits for the next. */
  async function stop(running: Running): Promise<void> {
    const base = await running.base()
    const { port } = new URL(base)
    const half = connect(Number(port), '127.0.0.1').on('error', () => {})
    half.write('GET /metrics HTTP/1.1\r\nHost: 127')
    const series = fetch(`${base}/v1/series?measure=sessions&bucket=1m&group_by=vendor,bot_id,channel&from=now-2h`)
    series.then(answer => answer.text()).catch(() => {})
    await sleep(20)
    const began = performance.now()
    const { code, log } = await running.kill('SIGTERM')
    took.push(performance.now() - began)
    half.destroy()
    expect({ code, last: log.at(-1)?.msg }).toEqual({ code: 0, last: 'stopped' })
    // The group is left: whoever is next has its numbers at once.
    expect(await of.kafka.groupsSharing(of.names.alerts, groupId)).toEqual([])
  }

  const nowMs = ago(0)
  const back = (minutes: number) => nowMs - minutes * MINUTE_MS
  const baseMs = Math.floor(back(75) / HOUR_MS) * HOUR_MS
  const incidentMs = back(48)
  const calmMs = back(33)
  const points = pointsOf(baseMs, nowMs, MINUTE_MS, incidentMs, calmMs)
  const between = (fromMs: number, untilMs: number) => points.filter(({ at }) => Number(at) >= fromMs && Number(at) < untilMs)
  await feed(of, back(50), [
    ...pointsOf(baseMs - 72 * HOUR_MS, baseMs, HOUR_MS, Infinity, Infinity),
    ...between(baseMs, back(50)),
  ])
  await feedSessions(of, incidentMs + MINUTE_MS)
  await counted(of)

  // Stopped while it restores, and when it has just read all and begins to judge.
  const restoring = begin()
  await restoring.base()
  await stop(restoring)
  const catchingUp = begin()
  await logged(catchingUp, 'alerter has read the series')
  await stop(catchingUp)

  // The incident is read at once; stopped while it waits for the sessions behind the alerts.
  const looking = begin()
  await logged(looking, 'alerter has read the series')
  const close = await openTransaction(of)
  await feed(of, back(33), between(back(50), back(33)))
  await sleep(4000)
  await stop(looking)
  await close()
  await counted(of)
  expect(await of.alerts()).toEqual([])

  // Stopped when the first alerts are written, and Alertmanager does not answer.
  const writing = begin()
  await until('Alertmanager is asked', async () => (alertmanager.open.size > 0 ? true : undefined), 20)
  await stop(writing)

  alertmanager.answers()
  const last = begin()
  const hit = bots.filter(({ b }) => b < HIT).map(({ vendor, bot_id }) => `${vendor}/${bot_id}`)
  const named = (state: Alert['state']) => async () => {
    const all = (await of.alerts()).filter(each => each.state === state).map(({ vendor, bot_id }) => `${vendor}/${bot_id}`)
    return all.length >= hit.length ? all.toSorted() : undefined
  }
  expect(await until('all have fired', named('FIRING'))).toEqual(hit.toSorted())
  await feed(of, nowMs, between(back(33), nowMs))
  expect(await until('all are over', named('RESOLVED'))).toEqual(hit.toSorted())
  await until('Alertmanager knows', async () =>
    new Set(alertmanager.told.filter(({ endsAt }) => endsAt !== undefined).map(({ labels }) => JSON.stringify(labels))).size ===
    hit.length
      ? true
      : undefined,
  )
  await stop(last)

  const all = await of.alerts()
  expect(all).toHaveLength(2 * hit.length)
  expect(new Set(all.map(({ alert_id, state }) => `${alert_id} ${state}`)).size).toBe(2 * hit.length)
  expect(new Set(all.map(({ channel }) => channel))).toEqual(new Set(['web']))
  expect(all.filter(({ evidence }) => evidence['example_sessions'] === undefined)).toEqual([])
  expect(Math.max(...took)).toBeLessThan(CONTRACT_MS)
}, 400_000)
