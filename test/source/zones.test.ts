import { expect, test } from 'vitest'
import { instantsOf, wallOf, zoneOf, type Zone } from '../../src/source/zones.ts'

const T = Date.parse
const zone = (name: string) => zoneOf(name) as Zone

test.each<[string, string, string]>([
  ['America/Bogota', '2026-03-02T14:15:20Z', '2026-03-02T09:15:20Z'],
  ['UTC', '2026-03-02T14:15:20Z', '2026-03-02T14:15:20Z'],
  ['+03:00', '2026-03-02T23:30:00Z', '2026-03-03T02:30:00Z'],
  ['-0430', '2026-03-02T02:00:00Z', '2026-03-01T21:30:00Z'],
  ['Asia/Kathmandu', '2026-03-02T00:00:00Z', '2026-03-02T05:45:00Z'],
])('in %s the clock shows at %s what it should, and back', (name, at, wall) => {
  expect(wallOf(T(at), zone(name))).toBe(T(wall))
  expect(instantsOf(T(wall), zone(name))).toEqual([T(at)])
})

test.each(['Mars/Base', '', '+15:00', 'local', '+03:77'])('%j names no zone', name => {
  expect(zoneOf(name)).toBeNull()
})

test('the repeated hour is two moments, and the skipped one none', () => {
  const madrid = zone('Europe/Madrid')
  expect(instantsOf(T('2026-10-25T02:30:00Z'), madrid)).toEqual([T('2026-10-25T00:30:00Z'), T('2026-10-25T01:30:00Z')])
  expect(instantsOf(T('2026-03-29T02:30:00Z'), madrid)).toEqual([])
  expect(instantsOf(T('2026-10-25T03:00:00Z'), madrid)).toEqual([T('2026-10-25T02:00:00Z')])
})
