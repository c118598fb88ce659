/** A strict reader of OpenMetrics 1.0 text, written from the standard's grammar: it throws at the first line that is not allowed. */

export interface OpenMetricsFamily {
  readonly name: string
  readonly type: string
  readonly help: string
  /** By sample name and labels as they are written. */
  readonly samples: ReadonlyMap<string, number>
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  histogram: ['_bucket', '_count', '_sum', '_created'],
  gauge: [''],
}

export function readOpenMetrics(page: string): Map<string, OpenMetricsFamily> {
  const lines = page.split('\n')
  must(lines.pop() === '', 'the page ends with a line feed')
  must(lines.pop() === '# EOF', 'the last line is # EOF')
  const families = new Map<string, OpenMetricsFamily & { samples: Map<string, number> }>()
  let family: (OpenMetricsFamily & { samples: Map<string, number>; help: string }) | undefined
  let group = ''
  const groups = new Set<string>()
  for (const line of lines) {
    const meta = /^# (TYPE|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line)
    if (meta) {
      const [, kind, name = '', text = ''] = meta
      if (kind === 'TYPE') {
        must(!families.has(name), `${name} is described once`)
        must(text in SUFFIXES, `${name} has a known type, not ${text}`)
        must(text !== 'counter' || !name.endsWith('_total'), `${name} is a family and has no _total`)
        family = { name, type: text, help: '', samples: new Map() }
        families.set(name, family)
        groups.clear()
        group = ''
      } else {
        must(family?.name === name && family.samples.size === 0, `the help of ${name} stands before its samples`)
        must(/^(?:[^"\\\n]|\\[\\n"])*$/.test(text), `the help of ${name} is escaped`)
        if (family) family.help = text
      }
      continue
    }
    const found = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^\n]*\})? (\S+)$/.exec(line)
    must(found !== null && family !== undefined, `a sample of a family: ${line}`)
    const [, name = '', labelText = '', value = ''] = found as RegExpExecArray
    const { type, samples, name: base } = family as NonNullable<typeof family>
    const suffix = name.slice(base.length)
    must(name.startsWith(base) && (SUFFIXES[type] ?? []).includes(suffix), `${name} is a sample of the ${type} ${base}`)
    must(/^(?:NaN|[+-]Inf|[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)$/.test(value), `${line} has a number`)
    const labels = readLabels(labelText)
    const { le, ...others } = labels
    must((le !== undefined) === (suffix === '_bucket'), `le belongs to buckets: ${line}`)
    must(le === undefined || le === '+Inf' || /\.|e-/.test(le), `le is a float: ${line}`)
    const key = JSON.stringify(others)
    if (key !== group) {
      must(!groups.has(key), `samples of one label set stand together: ${line}`)
      groups.add(key)
      group = key
    }
    must(!samples.has(name + labelText), `a sample stands once: ${line}`)
    samples.set(name + labelText, value === '+Inf' ? Infinity : Number(value))
  }
  for (const { name, type, samples } of families.values()) {
    if (type !== 'counter' && type !== 'histogram') continue
    const first = type === 'counter' ? `${name}_total` : `${name}_count`
    for (const [sample, value] of samples) {
      if (!sample.startsWith(first)) continue
      const labels = sample.slice(first.length)
      must(value >= 0, `${sample} is not below 0`)
      const created = samples.get(`${name}_created${labels}`)
      must(created !== undefined && created > 1e9 && created < 1e10, `${sample} says since when, in seconds`)
    }
  }
  return families
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  if (text === '') return labels
  const inner = text.slice(1, -1)
  const one = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)/y
  while (one.lastIndex < inner.length) {
    const at = one.lastIndex
    const found = one.exec(inner)
    must(found !== null, `labels at ${inner.slice(at, at + 60)}`)
    const [, name = '', value = ''] = found as RegExpExecArray
    must(!(name in labels), `the label ${name} stands once`)
    labels[name] = value
  }
  return labels
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`no OpenMetrics: ${what}`)
}
