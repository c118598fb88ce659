/**
 * `npm run bench [-- --sessions N --rows N --rounds N --only messages,pages --profile --against DIR --ingest-only]`: what a record costs, from the vendor's page to the committed transaction
 * (ingest), from topic to series (aggregate), and at the raw limit: the same bytes, encoded already, in transactions of about the same size, through kafkajs as it
 * is and through our writer. Each in a process of its own, whose CPU is read from outside (Linux), interleaved, all in one run. Prints a block for `results.md`.
 *
 * `--sessions`: conversations of the suite `messages`; `--rows`: rows of the suite `pages`. `--profile` begins with a round that is not counted, takes CPU
 * profiles of the product's processes in it and prints where their time went; `--rounds 0` leaves it at that. `--against` measures another checkout of the
 * repository by turns with this one, which shows what a change gave. `--ingest-only` leaves counting and raw lines out of the suite `pages`. A stack that runs already is taken from `COLLOQUY_STACK` (the line that `npm run stack` prints).
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { connectKafka } from '../src/kafka/client.ts'
import { createLog } from '../src/log.ts'
import { openMessages } from './messages.ts'
import { openPages } from './pages.ts'
import { type CpuProfile, profileText } from './profile.ts'
import { dateAndCommit, figure, machine, spread } from './report.ts'
import { type Line, type Place, RAW_KAFKAJS, type Suite } from './suite.ts'
import { stackOf } from './stack.ts'

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '20000' },
    rows: { type: 'string', default: '300000' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'messages,pages' },
    profile: { type: 'boolean', default: false },
    against: { type: 'string' },
    'ingest-only': { type: 'boolean', default: false },
  },
})
/** Root of this checkout, and of the one that it is compared with. */
const ours = new URL('..', import.meta.url)
const other = values.against === undefined ? null : pathToFileURL(join(resolve(values.against), '/'))
const OTHER = ', the other checkout'
const rounds = Number(values.rounds)
const OPEN: Readonly<Record<string, (place: Place) => Promise<Suite>>> = {
  messages: place => openMessages(place, Number(values.sessions)),
  pages: place => openPages(place, Number(values.rows), values['ingest-only']),
}
const wanted = values.only.split(',')
for (const name of wanted)
  if (!Object.hasOwn(OPEN, name)) throw new Error(`there is no suite ${name}, only ${Object.keys(OPEN).join(', ')}`)

const log = createLog('warn')
const folder = mkdtempSync(join(tmpdir(), 'colloquy-bench-'))
const profiles = values.profile ? mkdtempSync(join(tmpdir(), 'colloquy-profiles-')) : null
const stack = await stackOf(process.env['COLLOQUY_STACK'], log)
const kafka = connectKafka({ brokers: [stack.brokers], clientId: 'bench', log })
const suites: Suite[] = []
const samples = new Map<Suite, Map<string, Line[]>>()
const loads = [loadavg()[0] as number]
try {
  for (const name of wanted) suites.push(await (OPEN[name] as (typeof OPEN)[string])({ ...stack, kafka, folder }))
  if (profiles !== null) for (const suite of suites) await profile(suite, profiles)
  for (let round = 1; round <= rounds; round++) {
    for (const suite of suites) await measure(suite, round)
    loads.push(loadavg()[0] as number)
  }
} finally {
  for (const suite of suites) suite.stop()
  await kafka.close()
  await stack.stop()
  rmSync(folder, { recursive: true, force: true })
}
if (rounds > 0) process.stdout.write(report())
process.exit(0)

/** Who goes first changes from round to round. */
async function measure(suite: Suite, round: number): Promise<void> {
  const prefix = `bench-${process.pid}-${suite.name}-${round}`
  const products = [
    { root: ours, prefix, suffix: '' },
    ...(other === null ? [] : [{ root: other, prefix: `${prefix}-other`, suffix: OTHER }]),
  ]
  for (const { root, prefix, suffix } of round % 2 === 0 ? products.toReversed() : products)
    for await (const line of suite.measure(prefix, { root, profileOf: () => null }))
      note(suite, { ...line, what: line.what + suffix })
  for await (const line of suite.raw(prefix)) note(suite, line)
}

function note(suite: Suite, line: Line): void {
  const lines = samples.get(suite) ?? new Map<string, Line[]>()
  samples.set(suite, lines.set(line.what, [...(lines.get(line.what) ?? []), line]))
  const { cpuUs, perSecond } = line.sample
  process.stderr.write(`${suite.name}, ${line.what}: ${cpuUs.toFixed(2)} us CPU each, ${Math.round(perSecond)} a second\n`)
}

async function profile(suite: Suite, into: string): Promise<void> {
  const fileOf = (what: string) => join(into, `${suite.name}-${what.replaceAll(/[^a-z]+/gi, '-')}.cpuprofile`)
  const asked = new Set<string>()
  const profileOf = (what: string) => {
    asked.add(what)
    return fileOf(what)
  }
  for await (const { what } of suite.measure(`bench-${process.pid}-${suite.name}-profiled`, { root: ours, profileOf })) {
    if (!asked.has(what)) continue
    const taken = JSON.parse(readFileSync(fileOf(what), 'utf8')) as CpuProfile
    process.stdout.write(`${profileText(`${suite.name}, ${what}`, fileOf(what), taken)}\n`)
  }
}

function report(): string {
  const tables = suites.map(suite => {
    const lines = [...(samples.get(suite) ?? [])]
    const plain = samples.get(suite)?.get(RAW_KAFKAJS) ?? []
    const rows = lines.map(([what, of]) => {
      const cpuUs = of.map(({ sample }) => sample.cpuUs)
      const parts = cpuUs.map((us, round) => us / (plain[round]?.sample.cpuUs ?? Number.NaN))
      const [{ count, bytes }] = of as [Line]
      const cells = [
        what,
        figure(count),
        figure(bytes),
        spread(cpuUs, 2),
        spread(cpuUs.map(us => 1e6 / us)),
        spread(of.map(({ sample }) => sample.perSecond)),
        spread(of.flatMap(({ sample }) => sample.peakMiB ?? [])),
        what === RAW_KAFKAJS || plain.length === 0 ? '' : spread(parts, 2),
      ]
      return `| ${cells.join(' | ')} |`
    })
    const cpuOf = (what: string) =>
      samples
        .get(suite)
        ?.get(what)
        ?.map(({ sample }) => sample.cpuUs) ?? []
    const pairs = lines.flatMap(([what]) => {
      const others = cpuOf(what + OTHER)
      const parts = cpuOf(what).map((us, round) => us / (others[round] ?? Number.NaN))
      return others.length === 0 ? [] : [`${what} ${spread(parts, 2)}`]
    })
    return `${suite.about()}

| What | Count a round | Bytes each | CPU µs each | Count a CPU second | Count a second | Peak MiB | CPU, as a part of kafkajs in the same round |
| --- | --- | --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
${pairs.length === 0 ? '' : `\nCPU as a part of the other checkout's in the same round: ${pairs.join('; ')}.\n`}`
  })
  return `
## ${dateAndCommit()}

${machine(stack.kafkaVersion)}; load ${spread(loads, 1)}; ${rounds} rounds, interleaved; the first tenth of each count is not measured. Median (least to most).

${tables.join('\n')}`
}
