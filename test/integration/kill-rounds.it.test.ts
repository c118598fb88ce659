import { expect, inject, test } from 'vitest'
import { report } from '../kill/report.ts'
import { runRounds } from '../kill/rounds.ts'

/** The first round of this seed has four faults: on the worker, the aggregator, a broker and the vendors. `npm run kill` runs more of them. */
const SEED = 320
const ROUNDS = 1

/**
 * The short form of the fault harness: three brokers with TLS and SASL, five vendors, worker and aggregator as processes. A round that fails is tried
 * alone with `npm run kill -- --seed 320 --rounds 1`.
 */
test('rounds of faults: nothing lost, nothing twice, nobody needed', async () => {
  const startedMs = Date.now()
  const result = await runRounds({
    rounds: ROUNDS,
    seed: SEED,
    registry: inject('stack').registry,
    env: process.env,
    say: line => process.stderr.write(`${line}\n`),
  })
  const { text } = report(result, Date.now() - startedMs)
  const told = (of: (round: (typeof result.rounds)[number]) => unknown) => result.rounds.map(of)
  expect(
    told(({ lost }) => lost),
    text,
  ).toEqual(told(() => 0))
  expect(
    told(({ twice }) => twice),
    text,
  ).toEqual(told(() => 0))
  expect(
    told(({ hands }) => hands),
    text,
  ).toEqual(told(() => []))
  expect(result.atEnd, text).toEqual({ lost: 0, twice: 0, details: [] })
  // A round in which nothing was read would be found good.
  expect(Math.min(...result.rounds.map(({ records }) => records))).toBeGreaterThan(1_000)
}, 400_000)
