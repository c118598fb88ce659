/** Counters that follow from the config alone, shown at 0 from the start (the aggregator adds those of bots). */
import { ERRORS, type ErrorCode } from '../errors.ts'
import { kindsOf } from '../ingest/source-partition.ts'
import type { Metrics } from '../metrics.ts'
import type { TopicNames } from '../topics.ts'
import type { ConfiguredConnector } from './setup.ts'

type Births = Pick<Metrics, 'born'>

const CODES = Object.keys(ERRORS) as ErrorCode[]
const OUTCOMES = ['ok', ...CODES.filter(code => code.startsWith('SRC_'))]
/** Reasons of dead letters. */
const REASONS = CODES.filter(code => /^(ROW|RECORD)_/.test(code))

export function bornForConnectors(metrics: Births, connectors: readonly ConfiguredConnector[]): void {
  for (const { name, connector, base, config } of connectors) {
    for (const outcome of OUTCOMES) metrics.born('vendor_requests_total', { connector: name, outcome })
    metrics.born('quota_wait_seconds_total', { connector: name })
    for (const stream of base.streams) {
      const labels = { connector: name, stream }
      for (const kind of kindsOf(connector, stream, config)) metrics.born('ingest_records_total', { ...labels, kind })
      for (const reason of REASONS) metrics.born('ingest_rejects_total', { ...labels, reason })
      metrics.born('ingest_unchanged_total', labels)
      metrics.born('rereads_total', labels)
      metrics.born('task_restarts_total', labels)
    }
  }
}

export function bornForAggregator(metrics: Births, { sessions, messages, events }: TopicNames): void {
  for (const topic of [sessions, messages, events]) {
    metrics.born('aggregate_records_total', { topic })
    metrics.born('aggregate_left_out_total', { topic, reason: 'invalid' })
  }
  metrics.born('aggregate_left_out_total', { topic: 'none', reason: 'late' })
}

export function bornForServer(metrics: Births, { series, progress, aggregateOffsets, alerts }: TopicNames): void {
  for (const topic of [series, progress, aggregateOffsets, alerts]) metrics.born('serve_invalid_records_total', { topic })
}

export function bornForAlerter(metrics: Births, alertmanagers: readonly string[]): void {
  for (const url of alertmanagers)
    for (const outcome of ['ok', 'failed'])
      metrics.born('alert_notifications_total', { alertmanager: new URL(url).host, outcome })
}
