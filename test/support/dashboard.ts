import { readFileSync } from 'node:fs'

export interface DashboardQuery {
  /** Of its panel. */
  readonly title: string
  readonly expr: string
}

/** The queries of the dashboard of Prometheus as Grafana asks them where nothing is chosen. */
export function dashboardQueries(times: { readonly rateInterval: string; readonly range: string }): DashboardQuery[] {
  const file = new URL('../../deploy/grafana/dashboards/colloquy.json', import.meta.url)
  const { panels } = JSON.parse(readFileSync(file, 'utf8')) as {
    panels: { title: string; targets?: { expr: string }[] }[]
  }
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      title,
      expr: expr
        .replaceAll('$__rate_interval', times.rateInterval)
        .replaceAll('$__range', times.range)
        .replaceAll(/\$(vendor|account|channel|connector)\b/g, '.*'),
    })),
  )
}
