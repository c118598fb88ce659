/**
 * `node bench/alerts/backtest.ts [--weeks N --channels N --runs N]`: how long `colloquy backtest` takes over weeks of minutes on a real series topic, from its start to its end,
 * and how much memory. Prints a block for results.md. Each channel is a bot with a day that rises and falls, and an hour a week in which three times as many are transferred.
 */
import { spawnSync } from 'node:child_process'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createLog } from '../../src/log.ts'
import { encoderFor } from '../../src/kafka/codec.ts'
import { pointKey } from '../../src/point-key.ts'
import type { Progress, SeriesPoint } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { Random } from '../../src/sim/random.ts'
import { startStack } from '../../src/stack/stack.ts'
import { harness } from '../../test/aggregate/harness.ts'
import { point } from '../../test/serve/points.ts'
import { configFile } from '../../test/support/product.ts'
import { progressOf } from '../../test/support/progress.ts'
import { dateAndCommit, figure, machine, spread } from '../report.ts'

const { values } = parseArgs({
  options: {
    weeks: { type: 'string', default: '5' },
    channels: { type: 'string', default: '40' },
    runs: { type: 'string', default: '3' },
  },
})
const WEEKS = Number(values.weeks)
const CHANNELS = Number(values.channels)
const RUNS = Number(values.runs)
const PARTITIONS = 6
const MINUTE_MS = 60_000
const DAY_MS = 1440 * MINUTE_MS
const WEEK_MS = 7 * DAY_MS
const A_BATCH = 10_000
const SHARE = 0.08

const random = new Random(1, 1, 90)
const stack = await startStack({ profile: 'demo', log: createLog('warn'), env: process.env })
const h = await harness(stack, PARTITIONS)
const schema = schemaText('series-point')
const encoder = encoderFor<SeriesPoint>(schema, await h.registry.register(`${h.names.series}-value`, schema))
const config = configFile({
  kafka: { brokers: [stack.brokers] },
  registry: { url: stack.registry },
  topics: { prefix: h.prefix, partitions: PARTITIONS },
  connectors: {},
})
const untilMs = Math.floor(Date.now() / DAY_MS) * DAY_MS
const fromMs = untilMs - WEEKS * WEEK_MS
const seconds: number[] = []
const megabytes: number[] = []
const loads: number[] = []
let points = 0
let alerts = 0
try {
  for (let channel = 0; channel < CHANNELS; channel++) await write(channel)
  await h.feed([], progress)
  for (let run = 0; run < RUNS; run++) {
    const beganMs = performance.now()
    const argv = ['-f', '%M', process.execPath, fileURLToPath(new URL('../../src/main.ts', import.meta.url))]
    const ended = spawnSync('/usr/bin/time', [...argv, 'backtest', '--config', config.path, '--json'], {
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
    })
    if (ended.status !== 0) throw new Error(ended.stderr)
    seconds.push((performance.now() - beganMs) / 1000)
    megabytes.push(Number(ended.stderr.trim().split('\n').at(-1)) / 1024)
    alerts = ended.stdout.split('\n').filter(line => line.includes('"FIRING"')).length
    loads.push(loadavg()[0] as number)
  }
} finally {
  await h.close()
  config.remove()
  await stack.stop()
}
process.stdout.write(`## ${dateAndCommit()}: backtest of ${WEEKS} weeks of ${CHANNELS} channels

${machine(stack.info.kafkaVersion)}; load ${spread(loads, 1)}; \`node bench/alerts/backtest.ts\`, ${RUNS} runs over ${figure(points)} minutes on the series topic, ${alerts} alerts found in ${CHANNELS * WEEKS} incidents. Median (least to most).

| From the start of the command to its end | |
| --- | --- |
| Seconds | ${spread(seconds, 1)} |
| Memory, MiB | ${spread(megabytes)} |
`)
process.exit(0)

/** All minutes of a channel. One in which nobody came has no point. */
async function write(channel: number): Promise<void> {
  let records: { key: Buffer; value: Buffer }[] = []
  for (let at = fromMs; at < untilMs; at += MINUTE_MS) {
    const day = 1 + Math.sin((2 * Math.PI * (at % DAY_MS)) / DAY_MS)
    const sessions = Math.round(day * 3 + random.int(0, 2))
    if (sessions === 0) continue
    const weekMs = fromMs + Math.floor((at - fromMs) / WEEK_MS) * WEEK_MS
    // Each channel and week at another time: what comes again every week is usual, and what comes everywhere at once is one alert.
    const incidentMs = weekMs + ((11 * channel + 29 * ((weekMs - fromMs) / WEEK_MS)) % 160) * 3_600_000
    const share = at >= incidentMs && at < incidentMs + 3_600_000 ? 3 * SHARE : SHARE
    let transfers = 0
    for (let one = 0; one < sessions; one++) if (random.chance(share)) transfers++
    const made = point({ at, vendor: 'acme-chat', bot_id: `b${channel}`, sessions, agent_transfers: transfers })
    records.push({ key: Buffer.from(pointKey(made.series_key, at, '1m')), value: encoder.encode(made) })
    points++
    if (records.length === A_BATCH) await flush()
  }
  await flush()

  async function flush(): Promise<void> {
    if (records.length > 0) await h.feedRaw(h.names.series, channel % PARTITIONS, records)
    records = []
  }
}

function progress(): Progress {
  return progressOf({
    connector: 'acme',
    vendor: 'acme-chat',
    account: 'acme',
    window_until: untilMs,
    complete_until: untilMs,
    committed_at: untilMs,
    through: [],
    covered: [{ from: 0, until: untilMs }],
    feeds: ['session', 'transfer'],
  })
}
