/**
 * Writes the pages that are made from code: a page per connector (manifest, config schema, and its own `notes.md`), the keys that every
 * connector has, the commands, and the table of errors. `--check` writes nothing, names the pages that are stale, and exits 1 if there is one.
 *
 * To add a page, add an entry to `pages`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { COMMAND_GROUPS, type CommandSpec, commandSpecs } from '../src/cli/commands.ts'
import { optionHelp } from '../src/cli/help.ts'
import { ERRORS, RETRIES } from '../src/errors.ts'
import type { PlanSpec } from '../src/ingest/plan.ts'
import { kindsOf, planSpecOf } from '../src/ingest/source-partition.ts'
import { metricsPage } from '../src/metrics.ts'
import { DEFAULT_RULE, RuleConfig, ruleOf, shownRule } from '../src/rules.ts'
import { configJsonSchema, dotted } from '../src/source/config.ts'
import type { Connector, Quota } from '../src/source/contract.ts'
import { PII_ACTIONS, STANDARD } from '../src/source/pii.ts'
import { builtInConnectors } from '../src/source/registry.ts'

interface GeneratedPage {
  /** From the root of the repository. */
  readonly file: string
  content(): string
}

const root = new URL('..', import.meta.url)
const connectors = await builtInConnectors()

const pages: readonly GeneratedPage[] = [
  ...connectors.map(connector => ({
    file: `connectors/${connector.manifest.id}/README.md`,
    content: () => connectorPage(connector),
  })),
  { file: 'docs/connector-keys.md', content: connectorKeysPage },
  { file: 'docs/alert-rules.md', content: alertRulesPage },
  { file: 'docs/commands.md', content: commandsPage },
  { file: 'docs/errors.md', content: errorsPage },
  { file: 'docs/metrics.md', content: metricsPage },
]

function connectorPage(connector: Connector): string {
  const { manifest } = connector
  const notes = read(`connectors/${manifest.id}/notes.md`)
  return page(
    `# ${manifest.title}`,
    `\`connector.class: ${manifest.id}\`. API ${manifest.apiVersion}, as [the vendor documents it](${manifest.docs}).`,
    '## Keys',
    keysTable(connector, name => name in connector.config.shape),
    'The keys that every connector has are in [connector keys](../../docs/connector-keys.md).',
    '## Streams',
    table(
      ['Stream', 'Records', 'Windows', 'Read again', 'Read up to'],
      Object.entries(connector.streams).map(([name, stream]) => {
        const config = sampleConfig(connector)
        const spec = planSpecOf(connector, stream, NOTHING_SET, config)
        return [
          `\`${name}\`${manifest.optionalStreams?.includes(name) ? ' (only when named in `streams`)' : ''}`,
          kindsOf(connector, name, config)
            .map(kind => `${kind}s`)
            .join(', '),
          spec.longestMs === Infinity ? 'of any length' : `up to ${duration(spec.longestMs)}`,
          spec.lookbackMs === 0 ? 'no: rows do not change' : rereads(spec),
          readUpTo(spec),
        ]
      }),
    ),
    `Quota unless the config says otherwise: ${quotaText(manifest.quota)}.`,
    freshness(connector),
    transfers(connector),
    personalData(connector),
    notes,
  )
}

/** A config that leaves all paces to the connector. */
const NOTHING_SET = { startAtMs: null, pollIntervalMs: null, lookbackMs: null, lookbackIntervalMs: null, hotMs: null }

/** How old rows are read again: the youngest at each poll, the others by their age. */
function rereads({ lookbackMs, hotMs, lookbackIntervalMs }: PlanSpec): string {
  const young = hotMs === 0 ? '' : `the last ${duration(hotMs)} at each poll`
  if (hotMs >= lookbackMs) return young
  return `${young === '' ? '' : `${young}; `}the last ${duration(lookbackMs)} by age, at most ${duration(lookbackIntervalMs)} apart`
}

function readUpTo({ lagMs, settles, pollIntervalMs }: PlanSpec): string {
  const every = `every ${duration(pollIntervalMs)}`
  if (settles) return `now less ${duration(lagMs)}, ${every}`
  return lagMs === 0 ? `now, ${every}` : `now, ${every}; complete until ${duration(lagMs)} ago`
}

interface Freshness {
  readonly measured: string
  readonly vendor: string
  readonly rate: number
  readonly days: number
  readonly transfers: number
  readonly p50: number
  readonly p95: number
  readonly requestsPerHour: number
  readonly readsPerSession: number
}

function freshness({ manifest }: Connector): string {
  const all = JSON.parse(read('bench/freshness.json')) as Freshness[]
  const figures = all.filter(({ vendor }) => vendor === manifest.id)
  if (figures.length === 0) return ''
  const whole = (value: number) => Math.round(value).toLocaleString('en-US')
  return [
    '## How fresh, and what it costs',
    'Time from a transfer at the vendor to the commit of the record that shows it, with default settings and a vendor that answers at once; measured by `npm run bench:freshness`, in simulated time.',
    table(
      ['Sessions a day', 'p50, s', 'p95, s', 'Requests an hour', 'Reads of a session', 'Transfers', 'Measured'],
      figures.map(of => [
        whole(of.rate),
        whole(of.p50),
        whole(of.p95),
        whole(of.requestsPerHour),
        whole(of.readsPerSession),
        `${whole(of.transfers)} in ${of.days === 1 ? 'a day' : `${of.days} days`}`,
        of.measured,
      ]),
    ),
  ].join('\n\n')
}

function transfers({ manifest: { transferRules = [] } }: Connector): string {
  if (transferRules.length === 0) return ''
  return [
    '## Transfers',
    'Unless the config has `transfer.rules`, these rules apply:',
    transferRules.map(rule => `- \`${rule}\``).join('\n'),
  ].join('\n\n')
}

function personalData({ manifest }: Connector): string {
  const rules = [...STANDARD, ...(manifest.pii?.standard ?? [])]
  const words = (action: string) =>
    rules
      .filter(rule => rule.endsWith(`=${action}`))
      .map(rule => `\`${rule.slice(0, rule.lastIndexOf('='))}\``)
      .join(', ')
  return [
    '## Personal data',
    'The rules of `pii.policy: standard`. If two rules match the same field, the more specific one decides. `pii.rules` are applied after them. Everything else is kept.',
    table(
      ['Action', 'Fields'],
      PII_ACTIONS.filter(action => words(action) !== '').map(action => [action, words(action)]),
    ),
  ].join('\n\n')
}

function connectorKeysPage(): string {
  const [any] = connectors
  if (any === undefined) throw new Error('there is no connector')
  return page(
    '# Keys that every connector has',
    'A connector is an entry of `connectors` in the config file: one flat map with dotted keys, the same that the REST API takes ([where a key goes](operating.md#the-config-file)). It also has keys of its own, listed on its page:',
    connectors
      .map(({ manifest }) => `- [${manifest.title}](../connectors/${manifest.id}/README.md): \`${manifest.id}\``)
      .join('\n'),
    keysTable(any, name => !(name in any.config.shape)),
  )
}

/** Written by hand, but for the table of keys between the two marks. */
function alertRulesPage(): string {
  const [begin, end] = ['<!-- rule keys: generated by scripts/generate.ts -->', '<!-- end of rule keys -->']
  const text = read('docs/alert-rules.md')
  const { properties } = z.toJSONSchema(RuleConfig, { io: 'output', unrepresentable: 'any' }) as {
    properties: Record<string, Property>
  }
  const shown = shownRule({
    ...DEFAULT_RULE,
    budget: 0.5,
    burn: ruleOf('', RuleConfig.parse({ per: 'sessions', budget: 0.1 })).burn,
  })
  const rows = Object.entries(properties).map(([key, { description = '' }]) => {
    const standard = key === 'per' || key === 'budget' ? '' : `\`${JSON.stringify(shown[key]).replaceAll('"', '')}\``
    return [`\`${key}\``, standard, description]
  })
  const keys = table(['Key', 'Default', 'What it does'], rows)
  const from = text.indexOf(begin)
  const until = text.indexOf(end)
  if (from < 0 || until < 0) throw new Error('docs/alert-rules.md has no place for its keys')
  return `${text.slice(0, from)}${begin}\n\n${keys}\n\n${text.slice(until)}`
}

function commandsPage(): string {
  const sections = COMMAND_GROUPS.flatMap(group => [
    `## ${group}`,
    ...commandSpecs.filter(([, spec]) => spec.group === group).map(([name, spec]) => commandSection(name, spec)),
  ])
  return page(
    '# Commands',
    'From a checkout, `npm run colloquy -- COMMAND` runs the binary on the right Node. `colloquy COMMAND --help` prints the same; `colloquy completion bash` (or `zsh`, `fish`) prints a script that completes commands and options.',
    'Exit codes: 0 good, 1 it ran and failed, 2 the call or the config is wrong (every error is listed, and nothing was started). Machine-readable output is on stdout, everything else on stderr as JSON lines.',
    ...sections,
  )
}

function commandSection(name: string, { summary, more, arguments: words, options, examples }: CommandSpec): string {
  const rows = [
    ...words.map(({ term, help }) => [`\`${term}\``, help]),
    ...Object.entries(options).map(([option, spec]) => [
      `\`--${option}${spec.value === undefined ? '' : ` ${spec.value}`}\``,
      optionHelp(spec),
    ]),
  ]
  return [
    `### ${name}`,
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.${more === undefined ? '' : ` ${more}`}`,
    rows.length === 0 ? '' : table(['Argument or option', 'Meaning'], rows),
    ['```sh', ...examples.map(([call, does]) => `colloquy ${call}   # ${does}`), '```'].join('\n'),
  ]
    .filter(Boolean)
    .join('\n\n')
}

function errorsPage(): string {
  return page(
    '# Errors',
    'Every error has a code: on its log line (`code`), in the status of a task, as `reason` on the rejects topic and as `outcome` of requests in the metrics. What happens next depends on the code; `cure` on the log line is the last column.',
    table(
      ['Code', 'What it says', 'What happens', 'What to do'],
      Object.entries(ERRORS).map(([code, { retry, text, cure }]) => [`\`${code}\``, text, `[${retry}](#what-happens)`, cure]),
    ),
    '## What happens',
    table(
      ['', 'Meaning'],
      Object.entries(RETRIES).map(([retry, meaning]) => [`\`${retry}\``, meaning]),
    ),
    'A command that ends with an error exits with 2 if the call or the config is wrong, otherwise with 1. Roles are started again with pauses as with `restart`, except that an error marked `never` ends the process. Aggregator and server leave out records on topics that cannot be read (`CODEC_INVALID`), and count them; `never` applies to state of our own.',
  )
}

interface Property {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly default?: unknown
  readonly description?: string
  readonly writeOnly?: boolean
}

function keysTable(connector: Connector, mine: (name: string) => boolean): string {
  const schema = configJsonSchema(connector) as { properties: Record<string, Property>; required: readonly string[] }
  const names = new Map(Object.keys(connector.config.shape).map(name => [dotted(name), name]))
  const rows = Object.entries(schema.properties)
    .filter(([key]) => mine(names.get(key) ?? key))
    .map(([key, { enum: words, default: standard, description = '', writeOnly, type }]) => [
      `\`${key}\``,
      schema.required.includes(key)
        ? 'required'
        : standard === undefined
          ? ''
          : `\`${JSON.stringify(standard).replaceAll('"', '')}\``,
      [
        words
          ? words.map(word => `\`${String(word)}\``).join(', ')
          : type === 'boolean'
            ? '`true`, `false`'
            : type === 'integer'
              ? 'whole number'
              : '',
        writeOnly ? 'secret' : '',
      ]
        .filter(Boolean)
        .join('; '),
      description,
    ])
  return table(['Key', 'Default', 'Takes', 'What it does'], rows)
}

/** A config with nothing but what is required, by itself or by a rule between keys, for what depends on the config. */
function sampleConfig(connector: Connector): object {
  const schema = configJsonSchema(connector) as { properties: Record<string, Property & { format?: string }>; required: string[] }
  const sample: Record<string, unknown> = {}
  const fill = (name: string) => {
    const property = schema.properties[dotted(name)]
    if (property !== undefined)
      sample[name] = property.type === 'array' ? ['sample'] : property.format === 'uri' ? 'https://vendor.example' : 'sample'
  }
  Object.keys(connector.config.shape)
    .filter(name => schema.required.includes(dotted(name)))
    .forEach(fill)
  for (const { path } of connector.config.safeParse(sample).error?.issues ?? []) fill(String(path[0]))
  return connector.config.parse(sample)
}

function quotaText({ perSecond, perMinute, perHour, concurrency, gapMs, sharedBy }: Quota): string {
  const limits = [
    perSecond ? `${perSecond} a second` : '',
    perMinute ? `${perMinute} a minute` : '',
    perHour ? `${perHour} an hour` : '',
    concurrency ? `${concurrency} under way at once` : '',
    gapMs ? `${duration(gapMs)} from one to the next` : '',
  ].filter(Boolean)
  if (limits.length === 0) return 'none'
  return `requests ${limits.join(', ')}, counted by ${sharedBy === undefined ? 'connector' : typeof sharedBy === 'object' ? sharedBy.what : `\`${dotted(sharedBy)}\``}`
}

function duration(ms: number): string {
  for (const [unitMs, word] of [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ] as const)
    if (ms >= unitMs && ms % unitMs === 0 && !(word === 'd' && ms < 3 * unitMs && ms > unitMs)) return `${ms / unitMs} ${word}`
  return `${ms} ms`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function page(title: string, ...parts: readonly string[]): string {
  const note = '<!-- Generated by scripts/generate.ts; do not edit. -->'
  return `${[title, note, ...parts]
    .map(part => part.trim())
    .filter(Boolean)
    .join('\n\n')}\n`
}

function read(file: string): string {
  const url = new URL(file, root)
  return existsSync(url) ? readFileSync(url, 'utf8') : ''
}

const stale = pages.filter(each => read(each.file) !== each.content())
if (process.argv.includes('--check')) {
  for (const { file } of stale) process.stderr.write(`${file} is stale: node scripts/generate.ts writes it\n`)
  process.exitCode = stale.length === 0 ? 0 : 1
} else {
  for (const each of stale) {
    writeFileSync(fileURLToPath(new URL(each.file, root)), each.content())
    process.stdout.write(`${each.file}\n`)
  }
}
