/**
 * `npm run kill -- [--rounds N] [--seed S] [--from ROUND] [--only KIND,…] [--logs DIR]`: rounds of faults on three brokers, a line each, then a block for
 * `bench/results.md`. Exits 1 when something was lost, came twice, or needed a person. `--from 17 --rounds 1` tries round 17 of the seed alone.
 *
 * `npm run kill -- --group [--faults N] [--seed S] [--only KIND,…] [--sessions N] [--logs DIR]`: workers of one group instead; a JSON line and a block.
 */
import { parseArgs } from 'node:util'
import { KINDS } from './faults.ts'
import { dateAndCommit, machine } from '../../bench/report.ts'
import { KAFKA_VERSION } from '../../src/stack/values.ts'
import { runGroup } from './group.ts'
import { groupReport } from './group-report.ts'
import { report } from './report.ts'
import { runRounds } from './rounds.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
    logs: { type: 'string' },
    group: { type: 'boolean', default: false },
    faults: { type: 'string', default: '20' },
    sessions: { type: 'string' },
  },
})
if (values.group) {
  const { COLLOQUY_STACK: given } = process.env
  const result = await runGroup({
    faults: Number(values.faults),
    seed: Number(values.seed),
    env: process.env,
    say: line => process.stderr.write(`${line}\n`),
    ...(given && { stack: JSON.parse(given) as { brokers: string; registry: string } }),
    ...(values.only !== undefined && { only: values.only.split(',') }),
    ...(values.sessions !== undefined && { sessions: Number(values.sessions) }),
    ...(values.logs !== undefined && { logs: values.logs }),
  })
  const { text, good } = groupReport(result)
  process.stdout.write(`${JSON.stringify({ ...result, faults: Object.fromEntries(result.faults) })}\n`)
  process.stdout.write(`${dateAndCommit()}\n\n${machine(KAFKA_VERSION)}\n\n${text}\n`)
  process.exit(good ? 0 : 1)
}
const wanted = values.only?.split(',')
const kinds = wanted === undefined ? KINDS : KINDS.filter(({ name }) => wanted.includes(name))
if (kinds.length === 0 || kinds.length < (wanted?.length ?? 0)) {
  process.stderr.write(`--only takes ${KINDS.map(({ name }) => name).join(', ')}\n`)
  process.exit(2)
}
const startedMs = Date.now()
const result = await runRounds({
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  from: Number(values.from),
  kinds,
  env: process.env,
  say: line => process.stderr.write(`${line}\n`),
  ...(values.logs === undefined ? {} : { logs: values.logs }),
})
const { text, good } = report(result, Date.now() - startedMs)
process.stdout.write(`${text}\n`)
process.exit(good ? 0 : 1)
