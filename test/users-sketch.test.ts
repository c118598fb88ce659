import { describe, expect, test } from 'vitest'
import { createUsers, estimateUsers, HIGHEST, readUsers, registerOf, REGISTERS, registerValue } from '../src/users-sketch.ts'
import { random } from './aggregate/make.ts'

type User = readonly [high: number, low: number]

/** So many users, as their hashes might be. */
function usersOf(seed: number, n: number): User[] {
  const r = random(seed)
  const word = () => r.int(2 ** 32) | 0
  return Array.from({ length: n }, () => [word(), word()] as const)
}

function sketchOf(users: Iterable<User>): Buffer {
  const sketch = createUsers()
  for (const [high, low] of users) sketch.add(high, low)
  return sketch.encode()
}

/** The registers of the paper, by 64-bit arithmetic. */
function plainRegisters(users: readonly User[]): Map<number, number> {
  const registers = new Map<number, number>()
  for (const [high, low] of users) {
    const bits = (BigInt.asUintN(32, BigInt(high)) << 32n) | BigInt.asUintN(32, BigInt(low))
    const register = Number(bits & 16383n)
    let value = 1
    for (let rest = bits >> 14n; (rest & 1n) === 0n && value < 31; rest >>= 1n) value++
    registers.set(register, Math.max(value, registers.get(register) ?? 0))
  }
  return registers
}

function read(sketch: Buffer) {
  const users: string[] = []
  const registers = new Map<number, number>()
  readUsers(sketch, {
    user: (high, low) => void users.push(`${high}/${low}`),
    register: (register, value) => void registers.set(register, value),
  })
  return { users, registers }
}

test('up to 256 users are there by themselves, each once, and more as registers', () => {
  for (const n of [0, 1, 2, 255, 256]) {
    const users = usersOf(n + 1, n)
    const { users: found, registers } = read(sketchOf([...users, ...users]))
    expect(found.toSorted()).toEqual(users.map(user => user.join('/')).toSorted())
    expect(registers.size).toBe(0)
  }
  for (const n of [257, 1_000, 4_000, 50_000]) {
    const users = usersOf(n, n)
    const { users: found, registers } = read(sketchOf(users))
    expect(found).toEqual([])
    expect(registers).toEqual(plainRegisters(users))
  }
})

test('the same users make the same bytes, in whatever order and however often they come', () => {
  for (const n of [5, 200, 3_000]) {
    const users = usersOf(n, n)
    expect(sketchOf([...users.toReversed(), ...users.slice(0, 3)]).equals(sketchOf(users))).toBe(true)
  }
})

test('the bytes are those of the storage specification', () => {
  expect(sketchOf([]).toString('hex')).toBe('118e49')
  // Its own example: -5451491901947305642 and 1, the least first.
  const pair: User[] = [
    [0, 1],
    [0xcba79700 | 0, 0x677cdeaa | 0],
  ]
  expect(sketchOf(pair).toString('hex')).toBe('128e49cba79700677cdeaa0000000000000001')
  const sparse = sketchOf(usersOf(1, 300))
  expect(sparse.subarray(0, 3).toString('hex')).toBe('138e49')
  expect(sparse.length).toBe(3 + Math.ceil((plainRegisters(usersOf(1, 300)).size * 19) / 8))
  const [first] = [...plainRegisters(usersOf(1, 300))].toSorted(([a], [b]) => a - b)
  expect((sparse.readUInt32BE(3) >>> 13).toString(2).padStart(19, '0')).toBe(
    `${first?.[0].toString(2).padStart(14, '0')}${first?.[1].toString(2).padStart(5, '0')}`,
  )
  expect([sketchOf(usersOf(2, 50_000)).subarray(0, 3).toString('hex'), sketchOf(usersOf(2, 50_000)).length]).toEqual([
    '148e49',
    3 + 10_240,
  ])
})

test('a register is at most 31, also of a user of whom no bit is 1', () => {
  expect([registerOf(0), registerValue(0, 0)]).toEqual([0, HIGHEST])
  expect([registerOf(0x4001), registerValue(0, 0x4001)]).toEqual([1, 1])
  expect([registerValue(1, 0), registerValue(2, 0), registerValue(0x1000, 0), registerValue(0x2000, 0)]).toEqual([19, 20, 31, 31])
})

test.each([300, 1_000, 10_000, 40_000, 200_000])('%i users are estimated within 3 %%', n => {
  for (const seed of [1, 2]) {
    const having = new Int32Array(HIGHEST + 1)
    const registers = new Uint8Array(REGISTERS)
    for (const [high, low] of usersOf(seed, n))
      registers[registerOf(low)] = Math.max(registers[registerOf(low)] as number, registerValue(high, low))
    for (const value of registers) having[value] = (having[value] as number) + 1
    expect(Math.abs(estimateUsers(having) / n - 1)).toBeLessThan(0.03)
  }
})

test('nobody is estimated as 0', () => {
  const having = new Int32Array(HIGHEST + 1)
  having[0] = REGISTERS
  expect(estimateUsers(having)).toBe(0)
})

describe('is refused:', () => {
  const full = sketchOf(usersOf(2, 50_000)).toString('hex')
  test.each([
    ['nothing', ''],
    ['another number of registers', '118b49'],
    ['an undefined set', '108e49'],
    ['another version', '228e490000000000000001'],
    ['a user that breaks off', '128e4900000000000001'],
    ['an empty set with something in it', '118e4900'],
    ['registers that break off', full.slice(0, -2)],
  ])('%s', (_, hex) => {
    expect(() => read(Buffer.from(hex, 'hex'))).toThrow(expect.objectContaining({ code: 'CODEC_INVALID' }))
  })
})
