import { expect, test } from 'vitest'
import { type Limits, mostUnusual, type Recent, SPAN, WHOLE } from '../../src/alert/detector.ts'
import { Tree } from '../../src/alert/tree.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'

const limits: Limits = { kind: 'share', lengths: [60], budget: 0.1, minCount: 5, minRatio: 1.5 }
/** What comes and goes within minutes: the longer the window, the less of it is left. */
const rhoOf = (length: number) => 0.3 / length
const MINUTES = 20

/** Twenty minutes with five sessions each, of which `count` in all were handed over. Before them there were none, or they are not judged. */
function recentOf(count: number, judged: number): Recent {
  const from = SPAN - MINUTES
  const filled = (value: number) => new Float64Array(SPAN).fill(value, from)
  return {
    count: filled(0).map((_, i) => (i < from ? 0 : Math.floor((count + i - from) / MINUTES))),
    volume: filled(5),
    expected: filled(0.4),
    due: filled(0.4),
    judged: new Uint8Array(SPAN).fill(WHOLE, SPAN - judged),
  }
}

const found = (count: number, judged: number, lengths: readonly number[] = limits.lengths) =>
  mostUnusual(recentOf(count, judged), { ...limits, lengths }, rhoOf, () => 0, 0)

test('a window of which twenty minutes are judged is held to what a window of twenty minutes is held to', () => {
  const counts = Array.from({ length: 60 }, (_, i) => MINUTES + i)
  const least = (judged: number) => counts.find(count => found(count, judged) !== null) ?? Infinity
  expect(least(MINUTES)).toBeGreaterThan(least(60))

  expect(found(60, 60)).toMatchObject({ from: SPAN - 60, until: SPAN, length: 60 })
  const short = found(60, MINUTES)
  expect(short).toMatchObject({ from: SPAN - MINUTES, until: SPAN, length: MINUTES })
  // As by itself, but for the budget: of that a third of the longest window has a third.
  const alone = found(60, MINUTES, [MINUTES])
  expect(short?.probability).toBe(alone?.probability)
  expect(short?.falsePerWeek).toBeCloseTo(3 * (alone?.falsePerWeek ?? 0), 12)
})

test('a group of which some parts were read too late is judged by as many minutes as its larger parts are', () => {
  const tree = new Tree(DEFAULT_RULE, 'acme', [0.01, 0.01])
  const leaves = ['web', 'sms', 'voice'].map(channel =>
    tree.leafOf({ vendor: 'acme', account: 'main', bot_id: 'shop', channel, language: '' }),
  )
  const parts = [
    { due: 3, from: SPAN - 30 },
    { due: 1, from: 0 },
    // The vendor does not tell: no minute of it is judged.
    { due: 0, from: SPAN },
  ]
  for (const [i, leaf] of leaves.entries()) {
    const { due, from } = parts[i] as (typeof parts)[number]
    leaf.moveTo(1000)
    leaf.recent.due.fill(due, from)
    leaf.recent.judged.fill(WHOLE, from)
    leaf.isWhole = from === 0
  }
  const bot = leaves[0]?.parent
  bot?.moveTo(1000)
  bot?.addUp(0)
  expect([bot?.recent.judged[SPAN - 31], bot?.recent.judged[SPAN - 30]]).toEqual([25, 100])
})
