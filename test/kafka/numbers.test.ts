import { describe, expect, test } from 'vitest'
import { share } from '../../src/kafka/numbers.ts'

const fresh = { owned: [], generation: -1 }

describe('sharing partition numbers', () => {
  test('is even and assigns each number once', () => {
    const shares = share(
      7,
      ['a', 'b', 'c'].map(id => ({ id, ...fresh })),
    )
    expect([...shares.values()].flat().sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect([...shares.values()].map(numbers => numbers.length).sort((a, b) => a - b)).toEqual([2, 2, 3])
  })

  test('keeps the numbers of members when one joins, as far as the even share allows', () => {
    const shares = share(6, [
      { id: 'a', owned: [0, 2, 4], generation: 4 },
      { id: 'b', owned: [1, 3, 5], generation: 4 },
      { id: 'c', ...fresh },
    ])
    expect(shares.get('a')).toEqual([0, 2])
    expect(shares.get('b')).toEqual([1, 3])
    expect(shares.get('c')).toEqual([4, 5])
  })

  test('gives the numbers of a lost member to the others and moves nothing else', () => {
    const shares = share(6, [
      { id: 'a', owned: [0, 3], generation: 4 },
      { id: 'b', owned: [1, 4], generation: 4 },
    ])
    expect(shares.get('a')).toEqual(expect.arrayContaining([0, 3]))
    expect(shares.get('b')).toEqual(expect.arrayContaining([1, 4]))
  })

  test('assigns a number claimed twice to the later generation', () => {
    const shares = share(2, [
      { id: 'a', owned: [0, 1], generation: 3 },
      { id: 'b', owned: [1], generation: 9 },
    ])
    expect(shares).toEqual(
      new Map([
        ['b', [1]],
        ['a', [0]],
      ]),
    )
  })

  test('leaves members without a number where there are more members than numbers', () => {
    const shares = share(
      1,
      ['a', 'b'].map(id => ({ id, ...fresh })),
    )
    expect([...shares.values()].map(numbers => numbers.length).sort((a, b) => a - b)).toEqual([0, 1])
  })

  test('ignores numbers that do not exist', () => {
    expect(share(2, [{ id: 'a', owned: [7, 0], generation: 1 }]).get('a')).toEqual([0, 1])
  })
})
