import { expect, test } from 'vitest'
import { handClock } from './support/clock.ts'
import { readOpenMetrics } from './support/openmetrics.ts'
import { cleanLabel, createMetrics, METRICS, metricsPage, STREAM_STATES } from '../src/metrics.ts'

/** Section 6 of the contract, word for word; dashboards and alerts stand on these. `null`: the contract leaves the labels open. */
const PROMISED: Record<string, string[] | null> = {
  ingest_records_total: ['connector', 'stream', 'kind'],
  ingest_rejects_total: ['connector', 'stream', 'reason'],
  ingest_unchanged_total: null,
  vendor_requests_total: ['connector', 'outcome'],
  vendor_request_seconds: null,
  quota_wait_seconds_total: null,
  ingest_commit_seconds: null,
  ingest_complete_until_timestamp_seconds: ['connector', 'stream'],
  stream_state: ['connector', 'stream', 'state'],
  aggregate_records_total: ['topic'],
  aggregate_lag_records: ['topic', 'partition'],
  aggregate_restore_seconds: null,
  sessions_total: ['vendor', 'account', 'bot_id', 'channel'],
  messages_total: ['vendor', 'account', 'bot_id', 'channel', 'sender'],
  agent_transfers_total: ['vendor', 'account', 'bot_id', 'channel'],
}

const quiet = { processMetrics: false }
const bot = { vendor: 'botmaker', account: 'acme', bot_id: 'b1', channel: 'web' }

/** The sample lines of a page (no comments), by metric name. */
async function samples(metrics: ReturnType<typeof createMetrics>, name: string, accept?: string): Promise<string[]> {
  const { body } = await metrics.render(accept)
  return body.split('\n').filter(line => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
}

test('every metric that the contract promises is there, with its labels', async () => {
  const { body } = await createMetrics(quiet).render()
  for (const [name, labels] of Object.entries(PROMISED)) {
    expect(body).toContain(`# TYPE colloquy_${name} `)
    expect(Object.keys(METRICS)).toContain(name)
    if (labels)
      expect({ name, labels: [...METRICS[name as keyof typeof METRICS].labels].sort() }).toEqual({
        name,
        labels: [...labels].sort(),
      })
  }
  expect(STREAM_STATES).toEqual(['live', 'catching_up', 'throttled', 'stalled', 'failed', 'paused'])
})

test("Kafka Connect's names carry no prefix of ours", async () => {
  const metrics = createMetrics(quiet)
  metrics.inc('kafka_connect_source_task_source_record_write_total', { connector: 'a', task: 0 }, 7)
  expect(await samples(metrics, 'kafka_connect_source_task_source_record_write_total')).toEqual([
    'kafka_connect_source_task_source_record_write_total{connector="a",task="0"} 7',
  ])
})

test('names keep to the conventions: counters end in _total, and nothing else does', () => {
  for (const [name, spec] of Object.entries(METRICS)) {
    expect({ name, total: name.endsWith('_total') }).toEqual({ name, total: spec.kind === 'counter' })
    expect(spec.help).toMatch(/\.$/)
  }
})

test('a bound counter and a counter by name add to the same series', async () => {
  const metrics = createMetrics(quiet)
  const child = metrics.counter('ingest_records_total', { connector: 'a', stream: 's', kind: 'session' })
  child.inc()
  child.inc(4)
  metrics.inc('ingest_records_total', { connector: 'a', stream: 's', kind: 'session' }, 5)
  expect(await samples(metrics, 'colloquy_ingest_records_total')).toEqual([
    'colloquy_ingest_records_total{connector="a",stream="s",kind="session"} 10',
  ])
  expect(await samples(metrics, 'colloquy_ingest_records_total'), 'a second page shows the same').toHaveLength(1)
})

test('a counter never falls, and a NaN is never shown', async () => {
  const metrics = createMetrics(quiet)
  metrics.inc('aggregate_records_total', { topic: 't' }, 3)
  metrics.inc('aggregate_records_total', { topic: 't' }, -2)
  metrics.inc('aggregate_records_total', { topic: 't' }, Number.NaN)
  metrics.set('aggregate_lag_records', { topic: 't', partition: 0 }, 5)
  metrics.set('aggregate_lag_records', { topic: 't', partition: 0 }, Number.NaN)
  expect(await samples(metrics, 'colloquy_aggregate_records_total')).toEqual(['colloquy_aggregate_records_total{topic="t"} 3'])
  expect(await samples(metrics, 'colloquy_aggregate_lag_records')).toEqual([
    'colloquy_aggregate_lag_records{topic="t",partition="0"} 5',
  ])
})

test('two label sets that the client would merge stay two series', async () => {
  const metrics = createMetrics(quiet)
  // prom-client 15 keys by `name:value,`, its successor by values joined with `|`; neither escapes.
  metrics.inc('sessions_total', { ...bot, account: 'x,bot_id:y', bot_id: 'z' })
  metrics.inc('sessions_total', { ...bot, account: 'x', bot_id: 'y,bot_id:z' })
  metrics.inc('sessions_total', { ...bot, account: 'a|', bot_id: 'b' })
  metrics.inc('sessions_total', { ...bot, account: 'a', bot_id: '|b' })
  const lines = await samples(metrics, 'colloquy_sessions_total')
  expect(lines).toHaveLength(4)
  expect(lines.every(line => line.endsWith(' 1'))).toBe(true)
  expect(lines.join()).not.toMatch(/="[^"]*[|,][^"]*"/)
})

test('cleaned label values are short, printable, and never become one', () => {
  expect(cleanLabel('Ünïcode bot ✓')).toBe('Ünïcode bot ✓')
  expect(cleanLabel('two\nlines\u0000')).toMatch(/^two lines ~[0-9a-f]{8}$/)
  expect(cleanLabel('a,b')).not.toBe(cleanLabel('a|b'))
  const long = cleanLabel('x'.repeat(500))
  expect(long).toHaveLength(100)
  expect(long).not.toBe(cleanLabel('x'.repeat(501)))
  expect(cleanLabel('half \ud800').isWellFormed()).toBe(true)
})

test('quotes, backslashes and newlines of a vendor cannot break the page', async () => {
  const metrics = createMetrics(quiet)
  metrics.inc('sessions_total', { ...bot, bot_id: 'say "hi"\\ \n# EOF' })
  const [line] = await samples(metrics, 'colloquy_sessions_total')
  expect(line).toMatch(/bot_id="say \\"hi\\"\\\\ {2}# EOF~[0-9a-f]{8}"/)
})

test('label sets beyond the cap are folded into other, counted, and lose nothing of the sum', async () => {
  const metrics = createMetrics({ ...quiet, maxLabelSets: 3 })
  for (let n = 0; n < 10; n++) metrics.inc('sessions_total', { ...bot, bot_id: `b${n}` }, 2)
  const lines = await samples(metrics, 'colloquy_sessions_total')
  expect(lines).toContain('colloquy_sessions_total{vendor="botmaker",account="acme",bot_id="other",channel="web"} 14')
  expect(lines).toHaveLength(4)
  expect(await samples(metrics, 'colloquy_metrics_folded_total')).toEqual([
    'colloquy_metrics_folded_total{metric="sessions_total"} 7',
  ])
})

test('when even the folded sets are too many, all labels become other', async () => {
  const metrics = createMetrics({ ...quiet, maxLabelSets: 3 })
  for (let n = 0; n < 20; n++) metrics.inc('sessions_total', { ...bot, account: `a${n}` })
  const lines = await samples(metrics, 'colloquy_sessions_total')
  expect(lines.length).toBeLessThanOrEqual(7)
  expect(lines.join('\n')).toContain('{vendor="other",account="other",bot_id="other",channel="other"} 14')
})

test('a gauge beyond the cap is dropped, not overwritten by others', async () => {
  const metrics = createMetrics({ ...quiet, maxLabelSets: 2 })
  for (let n = 0; n < 5; n++) metrics.set('aggregate_lag_records', { topic: 't', partition: n }, n)
  expect(await samples(metrics, 'colloquy_aggregate_lag_records')).toHaveLength(2)
})

test('the state of a stream is 1 once, and goes with its connector', async () => {
  const metrics = createMetrics(quiet)
  metrics.setStreamState({ connector: 'a', stream: 's' }, 'catching_up')
  metrics.setStreamState({ connector: 'a', stream: 's' }, 'live')
  metrics.setStreamState({ connector: 'b', stream: 's' }, 'failed')
  const of = async (connector: string) =>
    (await samples(metrics, 'colloquy_stream_state')).filter(line => line.includes(`connector="${connector}"`))
  expect((await of('a')).filter(line => line.endsWith(' 1'))).toEqual([
    'colloquy_stream_state{connector="a",stream="s",state="live"} 1',
  ])
  expect(await of('a')).toHaveLength(STREAM_STATES.length)
  metrics.remove('stream_state', { connector: 'a' })
  expect(await of('a')).toEqual([])
  expect(await of('b')).toHaveLength(STREAM_STATES.length)
})

test.each([
  ['by all of its labels', { topic: 'a,b', partition: 1 }],
  ['by some of them', { partition: 1 }],
])('a gauge that is taken away %s is gone by every spelling of it, and is shown again when it is set', async (_, labels) => {
  const metrics = createMetrics(quiet)
  const clean = cleanLabel('a,b')
  const spellings = [
    { topic: 'a,b', partition: 1 },
    { topic: clean, partition: 1 },
  ]
  for (const spelling of spellings) metrics.set('aggregate_lag_records', spelling, 5)
  metrics.set('aggregate_lag_records', { topic: clean, partition: 2 }, 6)
  metrics.remove('aggregate_lag_records', labels)
  const shown = () => samples(metrics, 'colloquy_aggregate_lag_records')
  expect(await shown()).toEqual([`colloquy_aggregate_lag_records{topic="${clean}",partition="2"} 6`])
  for (const spelling of spellings) {
    metrics.set('aggregate_lag_records', spelling, 7)
    expect(await shown()).toContain(`colloquy_aggregate_lag_records{topic="${clean}",partition="1"} 7`)
    metrics.remove('aggregate_lag_records', labels)
  }
})

test('OpenMetrics is written when it is asked for, and plain pages after it still have their _total', async () => {
  const metrics = createMetrics()
  metrics.inc('aggregate_records_total', { topic: 't' }, 3)
  metrics.observe('ingest_commit_seconds', { connector: 'a', stream: 's' }, 0.2)
  const scraper =
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1'

  const open = await metrics.render(scraper)
  expect(open.contentType).toContain('application/openmetrics-text')
  expect(open.body.endsWith('# EOF\n')).toBe(true)
  expect(open.body).toContain('# TYPE colloquy_aggregate_records counter')
  expect(open.body).toContain('colloquy_aggregate_records_total{topic="t"} 3')
  expect(open.body).not.toContain('_total_total')
  expect(open.body).toMatch(/^process_cpu_seconds_total \d/m)
  expect(open.body).toContain('colloquy_ingest_commit_seconds_bucket{le="0.25",connector="a",stream="s"} 1')

  const plain = await metrics.render('text/plain')
  expect(plain.contentType).toContain('text/plain')
  expect(plain.body).toContain('# TYPE colloquy_aggregate_records_total counter')
  expect(plain.body).toContain('colloquy_aggregate_records_total{topic="t"} 3')
  expect(plain.body).toMatch(/^process_cpu_seconds_total \d/m)
  expect((await metrics.render()).contentType, 'without an Accept header').toContain('text/plain')
  expect((await metrics.render('*/*')).contentType).toContain('text/plain')
  expect((await metrics.render('text/plain;q=1,application/openmetrics-text;q=0.5')).contentType).toContain('text/plain')
})

test('a counter is born at 0 once, and being born again changes nothing', async () => {
  const metrics = createMetrics(quiet)
  metrics.born('sessions_total', bot)
  expect(await samples(metrics, 'colloquy_sessions_total')).toEqual([
    'colloquy_sessions_total{vendor="botmaker",account="acme",bot_id="b1",channel="web"} 0',
  ])
  metrics.inc('sessions_total', bot, 3)
  metrics.born('sessions_total', bot)
  expect((await samples(metrics, 'colloquy_sessions_total'))[0]).toMatch(/ 3$/)
})

test('an OpenMetrics page is what the standard wants, whatever vendors put into labels', async () => {
  const clock = handClock('2026-11-01T00:00:00Z')
  const metrics = createMetrics({ clock })
  metrics.inc('sessions_total', bot, 2)
  await clock.advance(60_500)
  for (const bot_id of [
    '',
    'say "hi"',
    'back\\slash',
    'two\nlines',
    '__proto__',
    'constructor',
    'ü\u2028',
    'x'.repeat(300),
    '\ud800',
    'a,b|c',
  ])
    metrics.inc('sessions_total', { ...bot, bot_id })
  metrics.observe('vendor_request_seconds', { connector: 'a' }, 0.2)
  metrics.observe('vendor_request_seconds', { connector: 'b' }, 100)
  metrics.set('ingest_complete_until_timestamp_seconds', { connector: 'a', stream: 's' }, 1e9)
  const { contentType, body } = await metrics.render('application/openmetrics-text;version=1.0.0,text/plain;q=0.5')
  expect(contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  const families = readOpenMetrics(body)

  const sessions = families.get('colloquy_sessions')
  expect(sessions?.type).toBe('counter')
  expect(sessions?.samples.size).toBe(2 * 11)
  const of = (name: string, bot_id: string) =>
    sessions?.samples.get(`colloquy_sessions_${name}{vendor="botmaker",account="acme",bot_id="${bot_id}",channel="web"}`)
  expect([of('total', 'b1'), of('created', 'b1')]).toEqual([2, Date.parse('2026-11-01T00:00:00Z') / 1000])
  expect(of('created', '__proto__')).toBe(Date.parse('2026-11-01T00:01:00.500Z') / 1000)

  const requests = families.get('colloquy_vendor_request_seconds')?.samples
  expect(requests?.get('colloquy_vendor_request_seconds_bucket{le="1.0",connector="a"}')).toBe(1)
  expect(requests?.get('colloquy_vendor_request_seconds_bucket{le="60.0",connector="b"}')).toBe(0)
  expect(requests?.get('colloquy_vendor_request_seconds_bucket{le="+Inf",connector="b"}')).toBe(1)
  expect(families.get('process_cpu_seconds')?.type).toBe('counter')
  const plain = (await metrics.render()).body
  expect(plain, 'the older format knows no _created').not.toContain('_created')
})

test('metrics of two registries in one process do not mix', async () => {
  const [one, two] = [createMetrics(quiet), createMetrics(quiet)]
  one.inc('serve_points_total', {}, 5)
  expect(await samples(two, 'colloquy_serve_points_total')).toEqual(['colloquy_serve_points_total 0'])
})

test('the page of metrics names each one with its help', () => {
  const page = metricsPage()
  for (const [name, spec] of Object.entries(METRICS)) {
    expect(page).toMatch(new RegExp(`\`(colloquy_)?${name}\``))
    expect(page).toContain(spec.help)
  }
})
