/**
 * The requirements for every connector, as named checks that any test runner can run: one file per connector calls `conformanceChecks` with a vendor to read
 * from, usually a simulator. A check passes, or is waived, when `run` resolves; the error it throws says what is wrong.
 *
 * Faults and edited answers come from the suite's own proxy, so no simulator needs to know them; the vendor's own quirks (`Quirk`) come from the vendor. The
 * checks of topics run the production ingest on topics in memory.
 */
import assert from 'node:assert/strict'
import { DRIFTS, survivesDrift } from './checks-drift.ts'
import {
  configIsDescribed,
  configIsRead,
  endsIn,
  FAULTS,
  idsAreStable,
  normalisePure,
  plansAreSane,
  resumes,
} from './checks-reading.ts'
import {
  holdsTheTruth,
  MID_FAULTS,
  stopsAtOnce,
  survivesFault,
  survivesQuirk,
  survivesKills,
  survivesKillsAsTimeGoesOn,
} from './checks-topics.ts'
import { hotRowsArePrompt, scheduleFits, transfersArePrompt, transfersDoNotMove } from './checks-prompt.ts'
import { type Bench, withBench } from './bench.ts'
import { type Quirk, QUIRKS, type Subject } from './subject.ts'
import { isExpired, waiverFaults, waiverOf } from './waivers.ts'
import { checked } from '../source/registry.ts'

export {
  type Quirk,
  QUIRKS,
  type Start,
  type Subject,
  type Truth,
  type Vendor,
  type Waiver,
} from './subject.ts'

export interface Check {
  readonly name: string
  /** Resolves when the check passes or is waived; throws what is wrong. */
  run(): Promise<Outcome>
}

export type Outcome =
  | { readonly outcome: 'passed' }
  | {
      readonly outcome: 'waived'
      readonly reason: string
      /** The day from which the waiver does not hold. */
      readonly until: string
    }

const QUIRK_NAMES: Partial<Record<Quirk, string>> = {
  ignores_token: 'reading ends in an error, or has every row',
  quota: 'the vendor has nothing to refuse',
}

/** Every check of the subject. They share nothing, and may run in any order. */
export function conformanceChecks(subject: Subject): Check[] {
  const { connector, waivers = [] } = subject
  const checks: { name: string; run: () => Promise<void> | void }[] = []
  const add = (name: string, run: () => Promise<void> | void) => void checks.push({ name, run })
  const bench = (name: string, run: (bench: Bench) => Promise<void> | void, quirk: Quirk | null = null) =>
    add(name, () => withBench(subject, quirk, run))

  add('keeps the shape of a connector', () => void checked(connector, connector.manifest.id))
  add('describes every config key, and takes no unknown one', () => configIsDescribed(connector))
  bench('takes its config as text too, and no secret stands in what it refuses', configIsRead)
  bench('names windows and scopes that can be planned with, the same at every call', plansAreSane)
  for (const stream of subject.streams ?? Object.keys(connector.streams)) {
    bench(`${stream}: gives rows with ids, the same at a second read`, opened => idsAreStable(opened, stream))
    bench(`${stream}: goes on from any page as if it had not stopped`, opened => resumes(opened, stream))
    bench(`${stream}: makes the same records of a row each time, and leaves the row alone`, opened =>
      normalisePure(opened, stream),
    )
    for (const fault of FAULTS) bench(`${stream}: ${fault.name} ends in ${fault.code}`, opened => endsIn(opened, stream, fault))
    for (const drift of DRIFTS) bench(`${stream}: ${drift.name} loses nothing`, opened => survivesDrift(opened, stream, drift))
  }
  bench('topics: hold what the vendor showed, each once', holdsTheTruth)
  bench('topics: hold the same after a kill at every page and every commit', survivesKills)
  bench('topics: hold the same after kills as time goes on', survivesKillsAsTimeGoesOn)
  for (const fault of MID_FAULTS) bench(`fault: ${fault.name}`, opened => survivesFault(opened, fault))
  for (const quirk of QUIRKS)
    bench(
      `${quirk}: ${QUIRK_NAMES[quirk] ?? 'topics hold the truth all the same'}`,
      opened => survivesQuirk(opened, quirk),
      quirk,
    )
  bench('prompt: a transfer is on the topics within two polls', transfersArePrompt)
  bench('prompt: the time of a transfer does not move', transfersDoNotMove)
  bench('prompt: what is said in a young session is on the topics within two polls', hotRowsArePrompt)
  bench('prompt: the schedule takes a third of the quota at most', scheduleFits)
  bench('stop: a signal ends everything within a second, whatever is under way', stopsAtOnce)

  const names = checks.map(({ name }) => name)
  const ofWaivers: Check = {
    name: 'waivers are for checks, have a reason and a day within a year',
    // Never waived itself.
    run: async () => {
      assert.deepEqual(waiverFaults(waivers, names, Date.now()), [])
      return { outcome: 'passed' }
    },
  }
  return [...checks.map(({ name, run }) => ({ name, run: () => judged(subject, name, run) })), ofWaivers]
}

/** The outcome, after the subject's waivers. */
async function judged({ waivers = [] }: Subject, name: string, run: () => Promise<void> | void): Promise<Outcome> {
  const waiver = waiverOf(waivers, name)
  try {
    await run()
  } catch (thrown) {
    if (waiver === null) throw thrown
    assert(!isExpired(waiver, Date.now()), `waiver expired on ${waiver.until} (${waiver.reason}): ${String(thrown)}`)
    return { outcome: 'waived', reason: waiver.reason, until: waiver.until }
  }
  assert(waiver === null, `waiver no longer needed (${waiver?.reason}): the check passes`)
  return { outcome: 'passed' }
}
