import type { SeriesKey } from '../alert/judge.ts'
import type { AlertMetrics } from '../alert/run.ts'
import type { Metrics } from '../metrics.ts'
import type { Alert } from '../records.ts'

/** A gauge accepts a limited number of label sets and drops the rest: groups that do not fire leave room for those that do. */
const MOST_BORN = 1500

interface Labels {
  readonly rule: string
  readonly state: string
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: string
}

/** The alerter's metrics. */
export function alertMetrics(metrics: Pick<Metrics, 'set' | 'remove' | 'observe'>): AlertMetrics {
  const alerts = new Map<string, Alert>()
  /** By label set, the number of alerts. */
  const shown = new Map<string, { readonly labels: Labels; count: number }>()

  const labelsOf = ({ rule, state, vendor, account, bot_id, channel }: Alert): Labels => ({
    rule,
    state,
    vendor,
    account,
    bot_id,
    channel: channel ?? '',
  })

  function add(labels: Labels, n: number): void {
    const key = JSON.stringify(Object.values(labels))
    const entry = shown.get(key) ?? { labels, count: 0 }
    shown.set(key, entry)
    entry.count += n
    metrics.set('alerts', labels, entry.count)
  }

  return {
    known(rule, { vendor, account, bot_id, channel }: SeriesKey) {
      if (shown.size < MOST_BORN) add({ rule, state: 'FIRING', vendor, account, bot_id, channel }, 0)
    },
    state(alert) {
      const before = alerts.get(alert.alert_id)
      if (before !== undefined) add(labelsOf(before), -1)
      alerts.set(alert.alert_id, alert)
      add(labelsOf(alert), 1)
      // The other state of the group is also present, so that a fall to 0 is visible.
      if (alert.state === 'RESOLVED') add({ ...labelsOf(alert), state: 'FIRING' }, 0)
    },
    forget(vendors) {
      for (const [id, { vendor }] of alerts) if (vendors(vendor)) alerts.delete(id)
      for (const [key, { labels }] of shown) {
        if (!vendors(labels.vendor)) continue
        shown.delete(key)
        metrics.remove('alerts', labels)
      }
    },
    evaluated: delaySeconds => metrics.observe('alert_evaluation_delay_seconds', {}, delaySeconds),
  }
}
