import { expect, test } from 'vitest'
import { packMarks, packMemory, unpackMarks, unpackMemory } from '../../src/alert/marks.ts'

const T = Date.parse('2026-11-01T12:00:00Z')
const LIMIT = 4096

test('times by bot come back as whole minutes', () => {
  const marks = { 'botmaker:acme:b1': T, 'botmaker:acme:b2': T + 61_000, 'koreai:"x"|y:ü': T - 3_600_000 }
  expect(unpackMarks(packMarks(marks))).toEqual({ ...marks, 'botmaker:acme:b2': T + 60_000 })
})

test('what does not fit in the metadata of an offset is left out, those furthest behind first', () => {
  const marks = Object.fromEntries(
    Array.from({ length: 3000 }, (_, at) => [`vendor:account:${(at * 2_654_435_761) % 4_294_967_296}-bot`, T - at * 1000]),
  )
  const packed = packMarks(marks)
  expect(packed.length).toBeLessThanOrEqual(LIMIT)
  const kept = unpackMarks(packed) ?? {}
  const oldest = Math.min(...Object.values(kept))
  expect(Object.keys(kept).length).toBeGreaterThan(100)
  const newer = Object.entries(marks).filter(([, at]) => at >= oldest + 60_000)
  expect(newer.every(([bot]) => bot in kept)).toBe(true)
})

test('a memory that does not fit is dropped, one that does comes back', () => {
  expect(unpackMemory(packMemory('{"delays":[1,2,3]}'))).toBe('{"delays":[1,2,3]}')
  const noise = Array.from({ length: 4000 }, (_, at) => ((at * 48_271) % 2_147_483_647).toString(36)).join('')
  expect(packMemory(noise)).toBe('')
})

test.each(['', 'words of another', '1!!!', '1AAAA'])('metadata that is not ours (%j) says nothing', words => {
  expect([unpackMarks(words), unpackMemory(words)]).toEqual([null, null])
})
