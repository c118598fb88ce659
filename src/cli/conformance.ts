/**
 * `colloquy conformance NAME`: runs the conformance suite over the exports of `subject.ts` in a connector's folder, one line for each check. NAME is the
 * folder, or in a checkout its name below `connectors/`.
 */
import { type Check, conformanceChecks, type Outcome, type Subject } from '../conformance/index.ts'
import { FlowError } from '../errors.ts'
import { loadBeside } from '../source/registry.ts'
import { readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { failed, type Io, refuse } from './io.ts'
import { partOf } from './own-folder.ts'
import { oneLine } from './table.ts'

type Judged = Outcome | { readonly outcome: 'failed'; readonly why: string }

export async function conformanceCommand(argv: string[], io: Pick<Io, 'stdout' | 'log' | 'signal'>): Promise<number> {
  const args = readArgs(argv, COMMANDS.conformance.options, COMMANDS.conformance.words)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const [name = ''] = args.words
  const { json, only = '' } = args.values
  const file = partOf(name, 'subject')
  if (file === null) {
    const message = 'has no subject.ts; name the folder of a connector that `colloquy new` wrote'
    return refuse(io.log, 'CALL_INVALID', [{ path: name, message }])
  }
  let checks: Check[]
  try {
    checks = subjectsIn(await loadBeside(file, name), file).flatMap(subject => conformanceChecks(subject))
  } catch (error) {
    return failed(io.log, error)
  }
  const chosen = checks.filter(check => check.name.startsWith(only))
  if (chosen.length === 0) {
    const message = `${JSON.stringify(only)} begins the name of no check; there are ${checks.map(check => check.name).join(', ')}`
    return refuse(io.log, 'CALL_INVALID', [{ path: '--only', message }])
  }
  const counts = { passed: 0, waived: 0, failed: 0 }
  for (const check of chosen) {
    if (io.signal.aborted) return 1
    const judged = await judge(check)
    counts[judged.outcome] += 1
    io.stdout(json ? JSON.stringify({ check: check.name, ...judged }) : lineOf(check.name, judged))
  }
  if (!json) for (const line of ['', `${counts.passed} passed, ${counts.waived} waived, ${counts.failed} failed`]) io.stdout(line)
  return counts.failed === 0 ? 0 : 1
}

async function judge(check: Check): Promise<Judged> {
  try {
    return await check.run()
  } catch (thrown) {
    return { outcome: 'failed', why: thrown instanceof Error ? thrown.message : String(thrown) }
  }
}

/** Long enough for the values that an assertion compares. */
const LONGEST = 2_000

function lineOf(name: string, judged: Judged): string {
  const why = { passed: '', waived: 'reason' in judged ? judged.reason : '', failed: 'why' in judged ? judged.why : '' }[
    judged.outcome
  ]
  return `${judged.outcome}  ${name}${why === '' ? '' : `: ${oneLine(why, LONGEST)}`}`
}

/** The exports of the file: `subject`, and variants of the same connector (`subjectV1`). */
function subjectsIn(exported: Readonly<Record<string, unknown>>, file: string): Subject[] {
  const found = Object.entries(exported).filter(([name]) => name.startsWith('subject'))
  if (found.length === 0)
    throw new FlowError('PLUGIN_INVALID', {
      connectorClass: file,
      hint: 'it exports no `subject`, which is what the suite checks',
    })
  return found.map(([, subject]) => subject as Subject)
}
