/**
 * `npm run conformance [-- VENDOR…] [--write]`: runs the conformance checks of the subjects in `test/support/subjects` (all, or those whose file
 * is named) and prints a report for each: which checks pass, are waived and why, or fail; on stderr, what took how long. `--write` puts the
 * report in `docs/conformance.md`. Exits 1 when a check fails.
 */
import { writeFileSync } from 'node:fs'
import { conformanceChecks, type Outcome, type Subject } from '../src/conformance/index.ts'
import { SUBJECT_FILES, subjectsOf } from '../test/support/all-subjects.ts'

const PAGE = new URL('../docs/conformance.md', import.meta.url)

interface Judged {
  readonly name: string
  readonly wallSeconds: number
  readonly cpuSeconds: number
  readonly outcome: Outcome | { readonly outcome: 'failed'; readonly why: string }
}

const words = process.argv.slice(2)
const isWritten = words.includes('--write')
const asked = words.filter(word => !word.startsWith('--'))
const unknown = asked.filter(name => !SUBJECT_FILES.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`there is no subject ${unknown.join(', ')}: there are ${SUBJECT_FILES.join(', ')}\n`)
  process.exit(2)
}

/** Processor seconds from which a check is named among those that take long. */
const LONG_S = 0.5

const sections: string[] = []
let failed = 0
for (const file of asked.length > 0 ? asked : SUBJECT_FILES) {
  for (const [title, subject] of await subjectsOf(file)) {
    const judged = await judge(subject)
    failed += judged.filter(({ outcome }) => outcome.outcome === 'failed').length
    const section = sectionOf(title, subject, judged)
    process.stdout.write(`${section}\n`)
    process.stderr.write(timesOf(title, judged))
    sections.push(section)
  }
}
if (isWritten) writeFileSync(PAGE, pageOf(sections))
process.exit(failed > 0 ? 1 : 0)

async function judge(subject: Subject): Promise<Judged[]> {
  const judged: Judged[] = []
  for (const check of conformanceChecks(subject)) {
    const [beganMs, cpu] = [performance.now(), process.cpuUsage()]
    const outcome = await check
      .run()
      .catch(
        (thrown: unknown) => ({ outcome: 'failed', why: thrown instanceof Error ? thrown.message : String(thrown) }) as const,
      )
    const { user, system } = process.cpuUsage(cpu)
    const wallSeconds = (performance.now() - beganMs) / 1000
    judged.push({ name: check.name, wallSeconds, cpuSeconds: (user + system) / 1e6, outcome })
  }
  return judged
}

function sectionOf(title: string, { connector }: Subject, judged: readonly Judged[]): string {
  const { id, apiVersion } = connector.manifest
  const count = (outcome: string) => judged.filter(each => each.outcome.outcome === outcome).length
  const rows = judged.map(({ name, outcome }) => `| ${name} | ${told(outcome)} |`)
  return [
    `## ${title}`,
    '',
    `\`${id}\`, API ${apiVersion}: ${count('passed')} passed, ${count('waived')} waived, ${count('failed')} failed.`,
    '',
    '| Check | |',
    '| --- | --- |',
    ...rows,
    '',
  ].join('\n')
}

/** What took longest, and all together: real seconds, and those of the processor, which others on the machine change little. */
function timesOf(title: string, judged: readonly Judged[]): string {
  const line = (name: string, wall: number, cpu: number) =>
    `${wall.toFixed(1).padStart(7)} s ${cpu.toFixed(1).padStart(7)} s cpu  ${name}\n`
  const sum = (of: (each: Judged) => number) => judged.reduce((total, each) => total + of(each), 0)
  const long = judged.filter(({ cpuSeconds }) => cpuSeconds >= LONG_S).toSorted((a, b) => b.cpuSeconds - a.cpuSeconds)
  return [
    line(
      title,
      sum(each => each.wallSeconds),
      sum(each => each.cpuSeconds),
    ),
    ...long.map(each => line(`  ${each.name}`, each.wallSeconds, each.cpuSeconds)),
  ].join('')
}

function told(outcome: Judged['outcome']): string {
  if (outcome.outcome === 'passed') return 'passed'
  if (outcome.outcome === 'waived') return `waived until ${outcome.until}: ${outcome.reason}`
  return `**failed**: ${outcome.why.split('\n')[0]?.replaceAll('|', '\\|')}`
}

function pageOf(sections: readonly string[]): string {
  return [
    '# Conformance',
    '',
    `Results of the conformance suite (\`colloquy/conformance\`) for each connector in this repository, against its simulator. Written by`,
    `\`npm run conformance -- --write\`; [writing a connector](writing-a-connector.md#checks) describes the checks.`,
    '',
    ...sections,
  ].join('\n')
}
