import { fullName, METRICS, type MetricName, type MetricSpec } from '../../src/metrics.ts'

/** What an expression of PromQL asks for. */
export interface Asked {
  readonly selectors: readonly { readonly metric: string; readonly labels: readonly string[] }[]
  /** Labels that it groups or joins by. */
  readonly grouped: readonly string[]
}

/** Only metrics of ours: those that a rule records, whose names have colons, are not looked at. */
export function askedBy(expression: string): Asked {
  const bare = expression.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
  const selectors = [...bare.matchAll(/\b((?:colloquy|kafka_connect)_[a-z_]+)(?:\{([^}]*)\})?/g)].map(
    ([, metric = '', inside = '']) => ({
      metric,
      labels: [...inside.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
    }),
  )
  const grouped = [...bare.matchAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g)].flatMap(
    ([, inside = '']) => inside.split(',').flatMap(label => label.trim() || []),
  )
  return { selectors, grouped }
}

/** Labels that Prometheus adds to whatever it scrapes. */
const SCRAPED = ['instance', 'job']

/** By every name that a sample of our metrics can have, its labels. */
const LABELS: ReadonlyMap<string, readonly string[]> = new Map(
  (Object.entries(METRICS) as [MetricName, MetricSpec][]).flatMap(([key, { kind, labels }]): [string, readonly string[]][] => {
    const name = fullName(key)
    const all = [...labels, ...SCRAPED]
    if (kind !== 'histogram') return [[name, all]]
    return [
      [`${name}_bucket`, [...all, 'le']],
      [`${name}_sum`, all],
      [`${name}_count`, all],
    ]
  }),
)

/** What is wrong with an expression, held against the table of metrics: a metric that is not there, a label that a metric has not. */
export function faultsOf(expression: string): string[] {
  const { selectors, grouped } = askedBy(expression)
  return selectors.flatMap(({ metric, labels }) => {
    const known = LABELS.get(metric)
    if (known === undefined) return [`${metric} is no metric`]
    return [...labels, ...grouped].filter(label => !known.includes(label)).map(label => `${metric} has no label ${label}`)
  })
}
