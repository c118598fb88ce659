import type { AggregateMetrics, FirstSeenKind } from '../aggregate/run.ts'
import { SENDER_LABELS } from '../aggregate/state.ts'
import type { Metrics } from '../metrics.ts'

/** The aggregator's metrics. */
export function aggregateMetrics(metrics: Metrics): AggregateMetrics {
  const firstSeen: Record<Exclude<FirstSeenKind, 'message'>, 'sessions_total' | 'agent_transfers_total'> = {
    session: 'sessions_total',
    agent_transfer: 'agent_transfers_total',
  }
  return {
    records: (topic, n) => metrics.inc('aggregate_records_total', { topic }, n),
    lag: (topic, partition, n) => {
      if (n === null) metrics.remove('aggregate_lag_records', { topic, partition })
      else metrics.set('aggregate_lag_records', { topic, partition }, n)
    },
    restoreSeconds: seconds => metrics.observe('aggregate_restore_seconds', {}, seconds),
    firstSeen: (kind, { vendor, account, bot_id, channel, sender = 'other' }, _eventTimeMs, n) => {
      const labels = { vendor, account, bot_id, channel }
      if (kind === 'message') metrics.inc('messages_total', { ...labels, sender }, n)
      else metrics.inc(firstSeen[kind], labels, n)
    },
    known: ({ vendor, account, bot_id, channel }) => {
      const labels = { vendor, account, bot_id, channel }
      metrics.born('sessions_total', labels)
      metrics.born('agent_transfers_total', labels)
      for (const sender of SENDER_LABELS) metrics.born('messages_total', { ...labels, sender })
      metrics.born('series_folded_total', { vendor, account })
    },
    reconciled: ({ vendor, account, bot_id, measure }, counts) => {
      const labels = { vendor, account, bot_id, measure }
      for (const by of ['vendor', 'own'] as const)
        if (counts === null) metrics.remove('reconciliation_count', { ...labels, by })
        else metrics.set('reconciliation_count', { ...labels, by }, counts[by])
    },
    folded: ({ vendor, account }, n) => metrics.inc('series_folded_total', { vendor, account }, n),
    leftOut: (topic, reason, n) => metrics.inc('aggregate_left_out_total', { topic: topic ?? 'none', reason }, n),
  }
}
