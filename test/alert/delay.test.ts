import { expect, test } from 'vitest'
import { Delays } from '../../src/alert/delay.ts'

/** Ten counts a minute, of which a half is known at once and the rest after five minutes. */
function learnt(): Delays {
  const delays = new Delays()
  const known = (minute: number, mark: number) => (mark - 1 - minute >= 5 ? 10 : 5)
  for (let mark = 1001; mark < 1400; mark++) {
    delays.learn(mark - 1, mark, minute => ({
      was: known(minute, mark - 1),
      is: known(minute, mark),
      wasVolume: 40,
      isVolume: 40,
    }))
  }
  return delays
}

test('the share that is known at an age is learnt from what became known between marks', () => {
  const delays = learnt()
  expect(delays.share(0)).toBeCloseTo(0.5, 1)
  expect(delays.share(4)).toBeCloseTo(0.5, 1)
  expect(delays.share(5)).toBeCloseTo(1, 5)
  expect(new Delays().isTrivial).toBe(true)
  expect(delays.isTrivial).toBe(false)
})

test('what was learnt goes on in the next process as it was', () => {
  const delays = learnt()
  const next = new Delays(JSON.parse(JSON.stringify(delays.memory())) as number[][])
  expect(Array.from({ length: 61 }, (_, age) => next.share(age))).toEqual(
    Array.from({ length: 61 }, (_, age) => delays.share(age)),
  )
})

test('a pause of the marks teaches nothing', () => {
  const delays = new Delays()
  delays.learn(1000, 1040, () => ({ was: 0, is: 10, wasVolume: 0, isVolume: 40 }))
  expect(delays.share(0)).toBe(1)
})
