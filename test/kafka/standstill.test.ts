import { expect, test } from 'vitest'
import { Standstill } from '../../src/kafka/standstill.ts'

function standing() {
  let nowMs = 1_000_000
  const standstill = new Standstill(5_000, () => nowMs)
  return { standstill, pass: (ms: number) => (nowMs += ms) }
}

test('a process that looks often enough is in no doubt', () => {
  const { standstill, pass } = standing()
  for (let second = 0; second < 60; second++) {
    pass(4_999)
    expect(standstill.inDoubt).toBe(false)
  }
})

test('one that stood still is in doubt until the group answers what it is asked afterwards', () => {
  const { standstill, pass } = standing()
  pass(1_000)
  const beforeMs = standstill.look()
  pass(5_000)
  expect(standstill.inDoubt).toBe(true)
  standstill.answered(beforeMs)
  pass(1_000)
  expect(standstill.inDoubt).toBe(true)
  standstill.answered(standstill.look())
  expect(standstill.inDoubt).toBe(false)
})

test('whoever looks first when it runs again hears of it', () => {
  const { standstill, pass } = standing()
  pass(20_000)
  const askedAtMs = standstill.look()
  expect(standstill.inDoubt).toBe(true)
  standstill.answered(askedAtMs)
  expect(standstill.inDoubt).toBe(false)
})
