import { useEffect, useRef } from 'preact/hooks'
import type { AlertsAnswer } from '../../src/console.ts'
import type { Alert } from '../../src/records.ts'
import { usePolled } from '../fetching.ts'
import { duration, figure } from '../format.ts'
import type { PageProps } from '../main.tsx'
import { Ago, Badge, type Column, Link, Notice, Table, Time, useNow } from '../parts.tsx'
import { pathOf } from '../router.ts'

const REFRESH_MS = 4000

export function AlertsPage({ query, Frame }: PageProps) {
  const polled = usePolled<AlertsAnswer>('/ui/api/alerts', REFRESH_MS)
  const nowMs = useNow()
  const { answer } = polled
  const wanted = query['alert'] ?? ''
  const firing = answer?.alerts.filter(({ state }) => state === 'FIRING') ?? []
  const past = answer?.alerts.filter(({ state }) => state !== 'FIRING') ?? []
  const isUnknown =
    wanted !== '' && answer !== null && answer.unready === null && !answer.alerts.some(each => each.alert_id === wanted)
  return (
    <Frame page="alerts" polled={polled}>
      {answer !== null && answer.unready !== null && <Notice tone="warn">Alerts are not known yet: {answer.unready}.</Notice>}
      {isUnknown && (
        <Notice tone="calm">The alert of this link is not among the last 500. It may have left the topic by age.</Notice>
      )}
      <section aria-labelledby="firing" class="alerts">
        <h2 id="firing">Firing</h2>
        {firing.length === 0 && answer?.unready === null && <p class="none card">No alert fires.</p>}
        {firing.map(alert => (
          <AlertDetails key={alert.alert_id} alert={alert} isWanted={alert.alert_id === wanted} nowMs={nowMs} />
        ))}
      </section>
      <section aria-labelledby="past" class="alerts">
        <h2 id="past">Past</h2>
        {past.length === 0 && answer?.unready === null && (
          <p class="none card">No alert has ended in the time that the topic keeps.</p>
        )}
        {past.map(alert => (
          <AlertDetails key={alert.alert_id} alert={alert} isWanted={alert.alert_id === wanted} nowMs={nowMs} />
        ))}
      </section>
      {answer !== null && (
        <>
          <Table
            class="card"
            caption="Rules in force"
            columns={RULE_COLUMNS}
            rows={answer.rules}
            keyOf={rule => String(rule['name'])}
            empty="No rules: the config has none."
          />
          <p class="soft note">
            What other rules would have done in the past is answered by <code>colloquy backtest --config FILE</code>, which reads
            the series again.
          </p>
        </>
      )}
    </Frame>
  )
}

const whereOf = ({ vendor, account, bot_id, channel, language }: Alert) =>
  [vendor, account, bot_id, channel, language].filter(each => each !== null && each !== '').join(' / ')

/** What, where, how much, since when. */
export function AlertLine({ alert, nowMs }: { alert: Alert; nowMs: number }) {
  const isFiring = alert.state === 'FIRING'
  return (
    <>
      <Badge tone={isFiring ? 'bad' : 'calm'} sign={isFiring ? '■' : '✓'} word={isFiring ? 'firing' : 'over'} />{' '}
      <b>{alert.rule}</b> {`${whereOf(alert)}: ${figure(alert.observed)} where ${figure(alert.expected)} would be usual`}{' '}
      <span class="soft">
        {isFiring ? (
          <>
            for <Ago ms={alert.starts_at} after="" nowMs={nowMs} />
          </>
        ) : (
          <>
            <Time ms={alert.starts_at} />, for {duration((alert.ends_at ?? alert.updated_at) - alert.starts_at)}
          </>
        )}
      </span>
    </>
  )
}

function AlertDetails({ alert, isWanted, nowMs }: { alert: Alert; isWanted: boolean; nowMs: number }) {
  const place = useRef<HTMLDetailsElement>(null)
  useEffect(() => {
    if (!isWanted || place.current === null) return
    place.current.open = true
    place.current.scrollIntoView({ block: 'center' })
  }, [isWanted])
  const { vendor, channel } = alert
  return (
    <details ref={place} id={`alert-${alert.alert_id}`} class={alert.state}>
      <summary>
        <AlertLine alert={alert} nowMs={nowMs} />
      </summary>
      <dl>
        <dt>began</dt>
        <dd>
          <Time ms={alert.starts_at} />
        </dd>
        {alert.ends_at !== null && (
          <>
            <dt>ended</dt>
            <dd>
              <Time ms={alert.ends_at} />
            </dd>
          </>
        )}
        {alert.probability !== null && (
          <>
            <dt title="Chance of such a count where nothing has changed">probability</dt>
            <dd>{alert.probability.toExponential(1)}</dd>
          </>
        )}
        {Object.entries(alert.evidence)
          .filter(([name]) => name !== 'link')
          .map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name} value`}>{value}</dd>])}
      </dl>
      <p>
        <Link
          to={pathOf('overview', { vendor, channel: channel ?? '', range: nowMs - alert.starts_at > 86_400_000 ? '7d' : '24h' })}
        >
          Series of {[vendor, channel].filter(Boolean).join(' / ')}
        </Link>
      </p>
    </details>
  )
}

type Rule = AlertsAnswer['rules'][number]

function text(value: unknown): string {
  if (Array.isArray(value)) return value.map(text).join(', ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
const NAMED = new Set(['name', 'measure', 'per', 'severity', 'level', 'windows'])

const RULE_COLUMNS: readonly Column<Rule>[] = [
  { head: 'Rule', cell: rule => <b>{text(rule['name'])}</b> },
  { head: 'Severity', cell: rule => text(rule['severity'] ?? '') },
  {
    head: 'Watches',
    cell: rule =>
      `${text(rule['measure'])}${rule['per'] === null || rule['per'] === undefined ? '' : ` per ${text(rule['per'])}`}`,
  },
  { head: 'Windows', cell: rule => text(rule['windows'] ?? '') },
  {
    head: 'Settings',
    class: 'wide',
    cell: rule => (
      <span class="soft">
        {Object.entries(rule)
          .filter(([name, value]) => !NAMED.has(name) && value !== null)
          .map(([name, value]) => `${name} ${text(value)}`)
          .join(' · ')}
      </span>
    ),
  },
]
