/**
 * `node bench/alerts/told.ts [--bots N]`: how long it takes from a record in Kafka to an alert, on real parts: Kafka, registry, `colloquy run` with aggregator, server and
 * alerter, and Alertmanager. Prints a block for results.md.
 *
 * Each bot has a day of usual sessions. Then, bot by bot, a quarter of an hour in which most sessions go to a person is committed in one transaction, together with the
 * Progress that says that it has been read completely. The clock starts when that transaction begins; the alert is looked for every 50 ms.
 */
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createLog } from '../../src/log.ts'
import type { Alert } from '../../src/records.ts'
import { Random } from '../../src/sim/random.ts'
import { freePort } from '../../src/stack/ports.ts'
import { startStack } from '../../src/stack/stack.ts'
import { harness, type Item } from '../../test/aggregate/harness.ts'
import { sessionAt } from '../../test/alert/sessions.ts'
import { startAlertmanager } from '../../test/support/alertmanager.ts'
import { configFile, start, until } from '../../test/support/product.ts'
import { progressOf } from '../../test/support/progress.ts'
import { dateAndCommit, machine, spread } from '../report.ts'

const { values } = parseArgs({ options: { bots: { type: 'string', default: '30' } } })
const BOTS = Number(values.bots)
const PARTITIONS = 6
const MINUTE_MS = 60_000
const HISTORY_MS = 26 * 60 * MINUTE_MS
const INCIDENT_MS = 15 * MINUTE_MS
const A_MINUTE = 2
const EVERY_MS = 50
const PATIENCE_MS = 120_000

const random = new Random(1, 1, 60)
const stack = await startStack({ profile: 'demo', log: createLog('warn'), env: process.env })
const h = await harness(stack, PARTITIONS)
const alertmanager = await startAlertmanager(await freePort())
const config = configFile({
  kafka: { brokers: [stack.brokers] },
  registry: { url: stack.registry },
  topics: { prefix: h.prefix, partitions: PARTITIONS },
  http: { port: 0 },
  connectors: {},
  alerts: { alertmanager: { urls: [alertmanager.url] } },
})
const running = start(['run', '--config', config.path, '--roles', 'aggregator,server,alerter'])
const base = await running.base()
const incidentMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 2 * INCIDENT_MS
const took: Record<'topic' | 'api' | 'alertmanager', number[]> = { topic: [], api: [], alertmanager: [] }
const loads: number[] = []
try {
  for (let bot = 0; bot < BOTS; bot++) await feed(bot, incidentMs - HISTORY_MS, incidentMs, 0.08)
  await until('all is counted and judged', async () => ((await fetch(`${base}/readyz`)).ok ? true : undefined))
  await h.caughtUp()
  await sleep(5000)
  for (let bot = 0; bot < BOTS; bot++) {
    const beganMs = Date.now()
    await feed(bot, incidentMs, incidentMs + INCIDENT_MS, 0.8)
    const isOf = ({ account }: { readonly account?: string }) => account === accountOf(bot)
    const apiMs = seen(async () => (await alertsOf()).some(isOf))
    const heardMs = seen(async () => (await alertmanager.active()).some(({ labels }) => isOf(labels)))
    took.api.push(((await apiMs) - beganMs) / 1000)
    took.alertmanager.push(((await heardMs) - beganMs) / 1000)
    const alert = (await alertsOf()).find(isOf)
    took.topic.push(((await writtenAt(alert?.alert_id ?? '')) - beganMs) / 1000)
    loads.push(loadavg()[0] as number)
    // Not in step with what the alerter does every second.
    await sleep(random.int(0, 2000))
  }
} finally {
  await running.kill('SIGTERM')
  await alertmanager.stop()
  await h.close()
  config.remove()
  await stack.stop()
}
process.stdout.write(`## ${dateAndCommit()}: from a record in Kafka to an alert in Alertmanager

${machine(stack.info.kafkaVersion)}; load ${spread(loads, 1)}; \`node bench/alerts/told.ts --bots ${BOTS}\`. Seconds from the beginning of the transaction that completes the evidence. Median (least to most).

| ${took.alertmanager.length} alerts, of ${BOTS} incidents | Seconds |
| --- | --- |
| on the alerts topic | ${spread(took.topic, 2)} |
| in \`/v1/alerts\` | ${spread(took.api, 2)} |
| active in Alertmanager | ${spread(took.alertmanager, 2)} |
`)
process.exit(0)

function accountOf(bot: number): string {
  return `acme-${bot}`
}

async function alertsOf(): Promise<Alert[]> {
  const answer = await fetch(`${base}/v1/alerts`)
  return answer.ok ? ((await answer.json()) as { data: Alert[] }).data : []
}

/** When the first record of the alert was written. */
async function writtenAt(id: string): Promise<number> {
  let first = Number.POSITIVE_INFINITY
  for (let partition = 0; partition < PARTITIONS; partition++) {
    await h.kafka.readToEnd({ topic: h.names.alerts, partition }, ({ key, timestamp }) => {
      if (key?.toString() === id) first = Math.min(first, timestamp)
    })
  }
  return first
}

/** When it is true for the first time. */
async function seen(isSo: () => Promise<boolean>): Promise<number> {
  await until('the alert is there', async () => ((await isSo()) ? true : undefined), EVERY_MS, PATIENCE_MS)
  return Date.now()
}

/** Sessions of a bot, and that all of them have been read. */
async function feed(bot: number, fromMs: number, untilMs: number, share: number): Promise<void> {
  const account = accountOf(bot)
  const items: Item[] = []
  for (let at = fromMs; at < untilMs; at += MINUTE_MS) {
    for (let one = 0; one < A_MINUTE; one++) {
      const startedAt = at + random.int(0, 59) * 1000
      const queue = random.chance(share) ? random.pick(['refunds', 'sales']) : null
      items.push({ kind: 'session', record: sessionAt(`${at}-${one}`, startedAt, queue, { account }) })
    }
  }
  await h.feed(items, through =>
    progressOf({
      connector: account,
      vendor: 'acme-chat',
      account,
      window_until: untilMs,
      complete_until: untilMs,
      committed_at: Date.now(),
      through: through.map(({ topic, partition, lastOffset }) => ({ topic, partition, offset: lastOffset })),
      covered: [{ from: 0, until: untilMs }],
      feeds: ['session', 'transfer'],
    }),
  )
}
