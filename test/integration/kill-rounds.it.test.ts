import { expect, inject, test } from 'vitest'
import { report } from '../kill/report.ts'
import { runRounds } from '../kill/rounds.ts'

/** The seed's faults fall on worker, aggregator, brokers, registry and vendors; `npm run kill` runs more of them. */
const SEED = 14
const ROUNDS = 2

/**
 * The short form of the fault harness: three brokers with TLS and SASL, five vendors, worker and aggregator as processes. A round of it that fails is tried
 * alone with `npm run kill -- --seed 14 --from ROUND --rounds 1`.
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
