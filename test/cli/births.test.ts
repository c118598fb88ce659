import { expect, test } from 'vitest'
import { aggregateMetrics } from '../../src/cli/aggregate-metrics.ts'
import { alertMetrics } from '../../src/cli/alert-metrics.ts'
import { bornForAggregator, bornForAlerter, bornForConnectors, bornForServer } from '../../src/cli/births.ts'
import { createMetrics } from '../../src/metrics.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { findConnector } from '../../src/source/registry.ts'
import { topicNames } from '../../src/topics.ts'
import { makeAlert } from '../alert/make.ts'

const names = topicNames('p')

async function page(of: (metrics: ReturnType<typeof createMetrics>) => void): Promise<string[]> {
  const metrics = createMetrics({ processMetrics: false })
  of(metrics)
  return (await metrics.render()).body.split('\n').filter(line => line.includes('{') && !line.includes('_bucket{'))
}

test('the counters of a connector are there with 0 before its first request', async () => {
  const connector = await findConnector('botmaker', '.')
  const parsed = parseConnectorConfig(
    'mine',
    { 'connector.class': 'botmaker', account: 'acme', 'access.token': 'none' },
    connector,
  )
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const lines = await page(metrics => bornForConnectors(metrics, [{ name: 'mine', connector, ...parsed }]))
  expect(lines.filter(line => !line.endsWith(' 0'))).toEqual([])
  for (const each of [
    'vendor_requests_total{connector="mine",outcome="ok"}',
    'vendor_requests_total{connector="mine",outcome="SRC_RATE_LIMITED"}',
    'quota_wait_seconds_total{connector="mine"}',
    'ingest_records_total{connector="mine",stream="sessions",kind="session"}',
    'ingest_records_total{connector="mine",stream="sessions",kind="message"}',
    'ingest_records_total{connector="mine",stream="sessions",kind="event"}',
    'ingest_rejects_total{connector="mine",stream="sessions",reason="ROW_INVALID"}',
    'ingest_rejects_total{connector="mine",stream="sessions",reason="RECORD_TOO_LARGE"}',
    'ingest_unchanged_total{connector="mine",stream="sessions"}',
    'task_restarts_total{connector="mine",stream="sessions"}',
  ])
    expect(lines).toContain(`colloquy_${each} 0`)
})

test('a bot and channel that the aggregator knows have all their counters, for every sender', async () => {
  const bot = { vendor: 'botmaker', account: 'acme', bot_id: 'b1', channel: 'web' }
  const lines = await page(metrics => {
    const told = aggregateMetrics(metrics)
    told.known?.(bot)
    told.firstSeen('message', { ...bot, sender: 'user' }, 0, 3)
    told.known?.(bot)
  })
  const labels = 'vendor="botmaker",account="acme",bot_id="b1",channel="web"'
  expect(lines).toEqual([
    'colloquy_series_folded_total{vendor="botmaker",account="acme"} 0',
    `colloquy_sessions_total{${labels}} 0`,
    ...['user', 'bot', 'agent', 'other'].map(
      sender => `colloquy_messages_total{${labels},sender="${sender}"} ${sender === 'user' ? 3 : 0}`,
    ),
    `colloquy_agent_transfers_total{${labels}} 0`,
  ])
})

test('aggregator and server begin with the counters of their topics', async () => {
  const lines = await page(metrics => {
    bornForAggregator(metrics, names)
    bornForServer(metrics, names)
  })
  expect(lines).toContain('colloquy_aggregate_records_total{topic="p.messages"} 0')
  expect(lines).toContain('colloquy_aggregate_left_out_total{topic="none",reason="late"} 0')
  expect(lines).toContain('colloquy_serve_invalid_records_total{topic="p.series"} 0')
})

test('the alerter begins with the counters of its Alertmanagers', async () => {
  const lines = await page(metrics => bornForAlerter(metrics, ['http://a:9093/am', 'https://b.example']))
  expect(lines).toEqual([
    'colloquy_alert_notifications_total{alertmanager="a:9093",outcome="ok"} 0',
    'colloquy_alert_notifications_total{alertmanager="a:9093",outcome="failed"} 0',
    'colloquy_alert_notifications_total{alertmanager="b.example",outcome="ok"} 0',
    'colloquy_alert_notifications_total{alertmanager="b.example",outcome="failed"} 0',
  ])
})

test('alerts are shown by state: a group that is judged with 0, one that fires with 1, and with 0 again when it is over', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const told = alertMetrics(metrics)
  const shown = async () =>
    (await metrics.render()).body
      .split('\n')
      .filter(line => line.startsWith('colloquy_alerts{'))
      .map(line =>
        line.replace(/rule="agent-transfer-spike",|vendor="botmaker",account="acme",bot_id="b1",|colloquy_alerts/g, ''),
      )
      .toSorted()
  const group = { vendor: 'botmaker', account: 'acme', bot_id: 'b1', channel: 'whatsapp', language: '' }
  told.known('agent-transfer-spike', group)
  told.known('agent-transfer-spike', { ...group, language: 'es' })
  expect(await shown()).toEqual(['{state="FIRING",channel="whatsapp"} 0'])
  told.state(makeAlert())
  told.state(makeAlert({ observed: 43 }))
  told.state(makeAlert({ alert_id: 'pooled', channel: null }))
  expect(await shown()).toEqual(['{state="FIRING",channel=""} 1', '{state="FIRING",channel="whatsapp"} 1'])
  told.state(makeAlert({ state: 'RESOLVED' }))
  expect(await shown()).toEqual([
    '{state="FIRING",channel=""} 1',
    '{state="FIRING",channel="whatsapp"} 0',
    '{state="RESOLVED",channel="whatsapp"} 1',
  ])
  told.forget(vendor => vendor === 'botmaker')
  expect(await shown()).toEqual([])
})
