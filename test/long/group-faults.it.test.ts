import { expect, inject, test } from 'vitest'
import { groupReport } from '../kill/group-report.ts'
import { runGroup } from '../kill/group.ts'

/** A worker killed, one frozen until the group has gone on without it, one stopped with another in its place: `npm run kill -- --group` runs more of them. */
const SEED = 26
const FAULTS = 4

test('three workers, five vendors: whoever dies or stands still, nothing is lost or twice, no limit is broken, nobody is needed', async () => {
  const result = await runGroup({
    faults: FAULTS,
    seed: SEED,
    sessions: 50,
    stack: inject('stack'),
    env: process.env,
    say: line => process.stderr.write(`${line}\n`),
  })
  const { text } = groupReport(result)
  expect(result.finding, text).toEqual({ lost: 0, twice: 0, details: [] })
  expect(result.hands, text).toEqual([])
  expect(result.breaks, text).toEqual([])
  // How long nobody read is told by `npm run kill -- --group`: on a busy machine it says more of that. A run in which nothing was read, struck or counted would be found good.
  expect(result.sourcePartitions).toBeGreaterThanOrEqual(40)
  expect(result.struck.count, text).toBeGreaterThanOrEqual(10)
  expect(result.requests, text).toBeGreaterThan(500)
  expect(result.records, text).toBeGreaterThan(1_000)
}, 900_000)
