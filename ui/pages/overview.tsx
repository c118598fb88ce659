import { type OverviewAnswer, type OverviewGroup, RANGES, type Range } from '../../src/console.ts'
import { Chart } from '../chart.tsx'
import { usePolled } from '../fetching.ts'
import { count, figure, MISSING } from '../format.ts'
import type { PageProps } from '../main.tsx'
import { Ago, Choice, type Column, Link, Table, useNow } from '../parts.tsx'
import { go, pathOf } from '../router.ts'
import { completeUntil, isolated, LINES_BY, type LinesBy, linesOf, sumsOf, total, type Values } from '../series.ts'
import { emptyOverview } from '../words.ts'
import { AlertLine } from './alerts.tsx'

const REFRESH_MS = 4000
const RANGE_WORDS: Readonly<Record<Range, string>> = { '1h': '1 h', '6h': '6 h', '24h': '24 h', '7d': '7 d', '30d': '30 d' }
const BY_WORDS: Readonly<Record<LinesBy, string>> = { vendor: 'by vendor', channel: 'by channel', all: 'all' }
const FIRING_SHOWN = 5

const percentOf = (value: number | null) => (value === null ? MISSING : `${figure(value)} %`)

export function OverviewPage({ query, Frame }: PageProps) {
  const range = RANGES.find(each => each === query['range']) ?? '24h'
  const by = LINES_BY.find(each => each === query['by']) ?? 'vendor'
  const { vendor = '', channel = '' } = query
  const polled = usePolled<OverviewAnswer>(`/ui/api/overview?range=${range}`, REFRESH_MS)
  const { answer } = polled
  const set = (change: Record<string, string>) => go(pathOf('overview', { range, by, vendor, channel, ...change }), 'replace')
  return (
    <Frame page="overview" polled={polled}>
      <div class="controls">
        <Choice
          label="Range"
          choices={RANGES.map(each => [each, RANGE_WORDS[each]])}
          chosen={range}
          onChoose={each => set({ range: each })}
        />
        <Choice
          label="Lines"
          choices={LINES_BY.map(each => [each, BY_WORDS[each]])}
          chosen={by}
          onChoose={each => set({ by: each })}
        />
        <Filter label="Vendor" chosen={vendor} values={valuesOf(answer, 'vendor')} onChoose={each => set({ vendor: each })} />
        <Filter label="Channel" chosen={channel} values={valuesOf(answer, 'channel')} onChoose={each => set({ channel: each })} />
      </div>
      {answer !== null && <Figures answer={answer} by={by} vendor={vendor} channel={channel} />}
    </Frame>
  )
}

function valuesOf(answer: OverviewAnswer | null, label: 'vendor' | 'channel'): string[] {
  return [...new Set((answer?.groups ?? []).map(each => each[label]))].filter(each => each !== '').toSorted()
}

function Filter({
  label,
  chosen,
  values,
  onChoose,
}: {
  label: string
  chosen: string
  values: string[]
  onChoose: (value: string) => void
}) {
  const all = chosen === '' || values.includes(chosen) ? values : [chosen, ...values]
  return (
    <label class="filter">
      {label}
      <select value={chosen} onChange={event => onChoose(event.currentTarget.value)}>
        <option value="">all</option>
        {all.map(each => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
    </label>
  )
}

function Figures({ answer, by, vendor, channel }: { answer: OverviewAnswer; by: LinesBy; vendor: string; channel: string }) {
  const nowMs = useNow()
  const groups = answer.groups.filter(
    each => (vendor === '' || each.vendor === vendor) && (channel === '' || each.channel === channel),
  )
  const firing = answer.alerts.filter(({ state }) => state === 'FIRING')
  const isFiltered = vendor !== '' || channel !== ''
  const empty = emptyOverview({ unready: answer.unready, hasStreams: Object.keys(answer.completeUntil).length > 0, isFiltered })
  const sums = sumsOf(groups, answer.times.length)
  const vendors = isFiltered ? new Set(groups.map(each => each.vendor)) : Object.keys(answer.completeUntil)
  const lines = linesOf(groups, by, answer)
  const chart = { times: answer.times, bucketMs: answer.bucketMs }
  return (
    <>
      {firing.length > 0 && (
        <section aria-label="Firing alerts" class="alerts">
          {firing.slice(0, FIRING_SHOWN).map(alert => (
            <Link key={alert.alert_id} class="alert-line" to={pathOf('alerts', { alert: alert.alert_id })}>
              <AlertLine alert={alert} nowMs={nowMs} />
            </Link>
          ))}
          {firing.length > FIRING_SHOWN && <Link to={pathOf('alerts')}>{firing.length - FIRING_SHOWN} more firing</Link>}
        </section>
      )}
      <dl class="totals">
        <Total name="Sessions" value={count(total(sums.sessions))} />
        <Total name="Messages" value={count(total(sums.messages))} />
        <Total name="Agent transfers" value={count(total(sums.transfers))} />
        <Total name="Transfer rate" value={percentOf(sums.rateOfAll)} />
        <Total name="Complete until" value={<CompleteUntil ms={completeUntil(vendors, answer.completeUntil)} nowMs={nowMs} />} />
      </dl>
      {groups.length === 0 ? (
        <p class="none card">{empty}</p>
      ) : (
        <>
          <div class="charts">
            <Chart title="Sessions" lines={lines.sessions} format={count} {...chart} />
            <Chart title="Messages" lines={lines.messages} format={count} {...chart} />
            <Chart title="Agent transfers" lines={lines.transfers} format={count} {...chart} />
            <Chart title="Transfer rate" lines={lines.rate} format={percentOf} {...chart} />
          </div>
          <p class="soft note">
            Dashed: not complete yet, may still grow. Shaded: not every line is complete. A gap: nothing has been read of that
            time, or the vendor does not report the figure.
          </p>
          <Table
            class="card"
            caption="By vendor and channel"
            columns={columnsOf(answer, nowMs)}
            rows={groups.toSorted((a, b) => (total(b.sessions) ?? 0) - (total(a.sessions) ?? 0))}
            keyOf={each => JSON.stringify([each.vendor, each.channel])}
            empty={empty}
          />
        </>
      )}
    </>
  )
}

function Total({ name, value }: { name: string; value: preact.ComponentChildren }) {
  return (
    <div class="card">
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function CompleteUntil({ ms, nowMs }: { ms: number | null; nowMs: number }) {
  return ms === null ? (
    <span title="Some streams are still being read for the first time">not yet known</span>
  ) : (
    <Ago ms={ms} nowMs={nowMs} />
  )
}

function columnsOf(answer: OverviewAnswer, nowMs: number): Column<OverviewGroup>[] {
  const length = answer.times.length
  return [
    { head: 'Vendor', cell: ({ vendor }) => <Link to={pathOf('overview', { range: answer.range, vendor })}>{vendor}</Link> },
    {
      head: 'Channel',
      cell: ({ vendor, channel }) =>
        channel === '' ? (
          <span class="soft">(none)</span>
        ) : (
          <Link to={pathOf('overview', { range: answer.range, vendor, channel })}>{channel}</Link>
        ),
    },
    { head: 'Sessions', isNumber: true, cell: ({ sessions }) => count(total(sessions)) },
    { head: 'Messages', isNumber: true, cell: ({ messages }) => count(total(messages)) },
    { head: 'Transfers', isNumber: true, cell: ({ transfers }) => count(total(transfers)) },
    { head: 'Rate', isNumber: true, cell: group => percentOf(sumsOf([group], length).rateOfAll) },
    { head: 'Transfers over time', class: 'spark-cell', cell: ({ transfers }) => <Spark values={transfers} /> },
    {
      head: 'Complete until',
      isNumber: true,
      cell: ({ vendor }) => <CompleteUntil ms={answer.completeUntil[vendor] ?? null} nowMs={nowMs} />,
    },
  ]
}

/** A small line with gaps; the figures beside it say the rest. */
function Spark({ values }: { values: Values }) {
  const top = Math.max(1, ...values.map(value => value ?? 0))
  const step = 100 / Math.max(1, values.length - 1)
  const alone = new Set(isolated(values))
  let path = ''
  values.forEach((value, at) => {
    if (value === null) return
    const isFirst = (values[at - 1] ?? null) === null
    path += `${isFirst ? 'M' : 'L'}${(at * step).toFixed(2)} ${(20 - (18 * value) / top).toFixed(2)}${alone.has(at) ? 'h.6' : ''}`
  })
  return (
    <svg class="spark" viewBox="0 0 100 21" preserveAspectRatio="none" aria-hidden="true">
      <path d={path} />
    </svg>
  )
}
