import { expect, test } from 'vitest'
import { align, halve, iso, split } from '../../src/source/windows.ts'

test('a window is split into touching parts that cover it, none longer than allowed', () => {
  expect(split({ fromMs: 5, untilMs: 25 }, 10)).toEqual([
    { fromMs: 5, untilMs: 15 },
    { fromMs: 15, untilMs: 25 },
  ])
  expect(split({ fromMs: 0, untilMs: 21 }, 10)).toEqual([
    { fromMs: 0, untilMs: 10 },
    { fromMs: 10, untilMs: 20 },
    { fromMs: 20, untilMs: 21 },
  ])
})

test('a window without limit stays whole, an empty one has no pieces', () => {
  expect(split({ fromMs: 3, untilMs: 9 }, Infinity)).toEqual([{ fromMs: 3, untilMs: 9 }])
  expect(split({ fromMs: 9, untilMs: 9 }, 10)).toEqual([])
  expect(split({ fromMs: 9, untilMs: 3 }, 10)).toEqual([])
})

test('halves touch and cover the window; a window of the smallest length is not halved', () => {
  expect(halve({ fromMs: 0, untilMs: 5 })).toEqual([
    { fromMs: 0, untilMs: 3 },
    { fromMs: 3, untilMs: 5 },
  ])
  expect(halve({ fromMs: 0, untilMs: 1000 }, 1000)).toBeNull()
  expect(halve({ fromMs: 0, untilMs: 1001 }, 1000)).not.toBeNull()
  expect(halve({ fromMs: 7, untilMs: 8 })).toBeNull()
})

test('an aligned window has whole units around it, also before 1970', () => {
  expect(align({ fromMs: 15, untilMs: 25 }, 10)).toEqual({ fromMs: 10, untilMs: 30 })
  expect(align({ fromMs: 10, untilMs: 20 }, 10)).toEqual({ fromMs: 10, untilMs: 20 })
  expect(align({ fromMs: -15, untilMs: -5 }, 10)).toEqual({ fromMs: -20, untilMs: 0 })
})

test('ends are written in UTC', () => {
  expect(iso({ fromMs: 0, untilMs: 1500 })).toEqual({ from: '1970-01-01T00:00:00.000Z', until: '1970-01-01T00:00:01.500Z' })
})
