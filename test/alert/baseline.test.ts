import { expect, test } from 'vitest'
import { createBaseline } from '../../src/alert/baseline.ts'
import { Hours } from '../../src/alert/hours.ts'
import { slotsIn } from '../../src/alert/local-time.ts'
import { Random } from '../../src/sim/random.ts'

const FIRST = 500_000
const WEEKS = 3
const END = FIRST + WEEKS * 168
const SESSIONS = 400
const SHARE = 0.08
const slotOf = slotsIn('UTC')

/** The level as it was predicted for the hours of the last week; the share of each hour is so many times the usual, and its count varies by chance. */
function levelsOf(timesAt: (hour: number) => number): { hour: number; level: number }[] {
  const random = new Random(1, 1, 3)
  const hours = new Hours()
  for (let hour = FIRST; hour < END; hour++) {
    const mean = SESSIONS * SHARE * timesAt(hour)
    const normal = Array.from({ length: 12 }, () => random.next()).reduce((all, each) => all + each, -6)
    hours.add(hour, Math.max(0, Math.round(mean + Math.sqrt(mean) * normal)), SESSIONS)
  }
  const { past } = createBaseline(hours, END, slotOf, { kind: 'share', above: null, rho: 0.01 })
  return Array.from({ length: 168 }, (_, i) => ({ hour: END - 168 + i, level: past.levelAt(END - 168 + i) }))
}

test('where the level wanders, it is followed within hours', () => {
  // Up for thirty hours, down for thirty: no hour of the week.
  const phase = (hour: number) => (hour - FIRST) % 60
  const levels = levelsOf(hour => (phase(hour) < 30 ? 1.4 : 0.6))
  const of = (isIn: (at: number) => boolean) => levels.filter(({ hour }) => isIn(phase(hour))).map(({ level }) => level)
  expect(Math.min(...of(at => at >= 14 && at < 30))).toBeGreaterThan(1.1)
  expect(Math.max(...of(at => at >= 44))).toBeLessThan(0.9)
})

test('where it does not wander, chance does not move it', () => {
  expect(Math.max(...levelsOf(() => 1).map(({ level }) => Math.abs(level - 1)))).toBeLessThan(0.06)
})

test('one week in which a slot had thrice its counts moves the slot by less than its counts alone would', () => {
  const hours = new Hours()
  const odd = END - 168 + 5
  for (let hour = FIRST; hour < END; hour++) hours.add(hour, (hour === odd ? 1.5 : 1) * SESSIONS * SHARE, SESSIONS)
  const { rate } = createBaseline(hours, END, slotOf, { kind: 'share', above: null, rho: 0.01 }).baseline
  const moved = (rate[slotOf(odd)] as number) / SHARE - 1
  expect(moved).toBeGreaterThan(0.02)
  // By its counts alone: half of what was above, times the week's part of three, times 96 counts against a pull of 40.
  expect(moved).toBeLessThan(0.5 * (1 / 3) * (96 / 136) * 0.8)
})
