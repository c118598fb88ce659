import { expect, test } from 'vitest'
import { Standstill } from '../../src/kafka/standstill.ts'

function standing() {
  let nowMs = 1_000
  const standstill = new Standstill(1_000, () => nowMs)
  return { standstill, pass: (ms: number) => (nowMs += ms) }
}

test('a process that looks often enough never stood still', () => {
  const { standstill, pass } = standing()
  for (let look = 0; look < 60; look++) {
    pass(999)
    expect(standstill.certainSinceMs()).toBe(-Infinity)
  }
})

test('a process that stood still is uncertain until the group answers a later request, and certain since it ran again', () => {
  const { standstill, pass } = standing()
  pass(500)
  const beforeMs = standstill.look()
  pass(1_000)
  expect(standstill.certainSinceMs()).toBe(Infinity)
  standstill.answered(beforeMs)
  pass(300)
  expect(standstill.certainSinceMs()).toBe(Infinity)
  standstill.answered(standstill.look())
  expect(standstill.certainSinceMs()).toBe(2_500)
})

test('the first look after a standstill detects it', () => {
  const { standstill, pass } = standing()
  pass(20_000)
  const askedAtMs = standstill.look()
  expect(standstill.certainSinceMs()).toBe(Infinity)
  standstill.answered(askedAtMs)
  expect(standstill.certainSinceMs()).toBe(21_000)
})
