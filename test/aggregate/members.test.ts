import { expect, test } from 'vitest'
import { createMembers, STARTED } from '../../src/aggregate/members.ts'
import { random } from './make.ts'

test('the sessions of a cell are those of a plain set, whoever comes and goes in whatever order', () => {
  const r = random(4)
  const members = createMembers(4)
  const plain = new Map<number, Set<number>>()
  for (let i = 0; i < 5_000; i++) {
    const session = r.int(60)
    const cell = session % 3
    const set = plain.get(cell) ?? new Set()
    plain.set(cell, set)
    if (set.delete(session) || r.chance(0.2)) members.remove(cell, STARTED, session)
    else {
      set.add(session)
      members.add(cell, STARTED, session)
    }
    const found: number[] = []
    for (let at = members.first(cell, STARTED); at >= 0 && found.length < 100; at = members.next(at, STARTED)) found.push(at)
    expect(found.toSorted((a, b) => a - b)).toEqual([...set].toSorted((a, b) => a - b))
  }
})
