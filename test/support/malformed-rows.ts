/** Rows that no vendor documents: whole rows of another kind, and values in the place of any field. Then mutations drawn with a seed. */
import { MARK, type RowFault } from './malformed.ts'

type Row = Record<string, unknown>

const withField = (name: string, value: unknown) => (row: Row) => {
  const copy = { ...row }
  Object.defineProperty(copy, name, { value, enumerable: true, configurable: true, writable: true })
  return copy
}
const every = (value: (old: unknown, name: string) => unknown, isOf: (old: unknown, name: string) => boolean) => (row: Row) =>
  Object.fromEntries(Object.entries(row).map(([name, old]) => [name, isOf(old, name) ? value(old, name) : old]))
const isTime = (old: unknown) => typeof old === 'string' && /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/.test(old)
const isId = (_: unknown, name: string) => /^_?id$|Id$|_id$|Code$/.test(name)
const times = (value: unknown) => every(() => value, isTime)
const ids = (value: unknown) => every(() => value, isId)
const nested = (levels: number) => `@@${'['.repeat(levels)}${']'.repeat(levels)}@@`

const is = (name: string, edit: RowFault['edit']): RowFault => ({ name, edit })
const no = (name: string, edit: RowFault['edit']): RowFault => ({ name, edit, rejects: true })

/** Most telling first: a stream with few rows tries those. */
export const ROW_FAULTS: readonly RowFault[] = [
  no('null', () => null),
  no('a text', () => MARK),
  no('an object without fields', () => ({})),
  no('a value of 4,460 levels', withField('more', nested(4_460))),
  is('an id of 1.1 MB', ids('i'.repeat(1_100_000))),
  is('every time of the year 1', times('0001-01-01T00:00:00Z')),
  is('ids that are numbers above 2^53', ids('@@12345678901234567891@@')),
  is('ids with half an emoji', ids('half\uD83D')),
  is('ids that are a place in a path', ids('..')),
  is('ids with signs of addresses', ids('a/../b?c=d#e%2e%zz;f&g')),
  is(
    'numbers as large as they can be',
    every(
      () => 1e300,
      old => typeof old === 'number',
    ),
  ),
  is('ids named __proto__', ids('__proto__')),
  no('a list', () => []),
  no('a number', () => 7),
  is('10,000 fields', row => ({ ...row, ...Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`f${at}`, at])) })),
  is('half an emoji in a value and a name', row => ({ ...row, ['half\uD83D']: 'half\uDE00' })),
  is('NUL in a value, a name and nested', row => ({ ...row, 'n\0': { 'm\0': ['\0'] }, other: 'a\0b' })),
  is('a time of the year 9999', times('9999-12-31T23:59:59.999Z')),
  is('a time of 1970', times('1970-01-01T00:00:00Z')),
  is('the 31st of February', times('2026-02-31T10:00:00Z')),
  is('times as objects', times({ $date: { $numberLong: '1793000000000' } })),
  no('a list in a list', () => [[]]),
  no('true', () => true),
  is('ids that are objects', ids({ $oid: 'a' })),
  is('ids that are lists', ids(['a'])),
  is('empty ids', ids('')),
  is('ids that are null', ids(null)),
  is('a text of 3 MB', withField('more', 't'.repeat(3_000_000))),
  is('numbers as 1e400', withField('more', '@@1e400@@')),
  is(
    'negative numbers',
    every(
      old => -(old as number) - 1,
      old => typeof old === 'number',
    ),
  ),
  is('fields named constructor and toString', row => ({
    ...row,
    constructor: 'c',
    toString: 't',
    hasOwnProperty: 1,
    valueOf: null,
  })),
  is(
    'every field null',
    every(
      () => null,
      () => true,
    ),
  ),
  is(
    'every field a list',
    every(
      () => [],
      () => true,
    ),
  ),
  is(
    'every field an object',
    every(
      () => ({}),
      () => true,
    ),
  ),
  is(
    'every field a text',
    every(
      () => MARK,
      () => true,
    ),
  ),
  is('names in capitals', row => Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toUpperCase(), value]))),
]

/** The same edits for the same seed: one to three values anywhere in the row become something else. */
export function drawnFaults(seed: number, count: number): RowFault[] {
  let state = seed >>> 0
  const draw = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  return Array.from({ length: count }, (_, at) => {
    const own = draw(2 ** 31)
    return is(`drawn ${seed}/${at}`, row => {
      const before = state
      state = own
      try {
        const copy = structuredClone(row)
        for (let edits = 1 + draw(3); edits > 0; edits--) mutate(copy, draw)
        return copy
      } finally {
        state = before
      }
    })
  })
}

const VALUES: readonly (() => unknown)[] = [
  () => null,
  () => '',
  () => ' ',
  () => 0,
  () => -1,
  () => 1.5,
  () => true,
  () => [],
  () => ({}),
  () => [null],
  () => '@@1e400@@',
  () => '@@-12345678901234567891@@',
  () => '\0',
  () => '\uD83D',
  () => 'NaN',
  () => 'null',
  () => '0000-00-00 00:00:00',
  () => '9999-12-31T23:59:59Z',
  () => nested(200),
  () => 'x'.repeat(100_000),
  () => ({ toString: 1 }),
]

function mutate(row: Row, draw: (below: number) => number): void {
  let holder: Row = row
  for (let depth = 0; depth < 4; depth++) {
    const names = Object.keys(holder)
    if (names.length === 0) return
    const name = names[draw(names.length)] as string
    const inner = holder[name]
    if (typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0 && draw(3) > 0) {
      holder = inner as Row
      continue
    }
    const kind = draw(VALUES.length + 2)
    if (kind === VALUES.length) Reflect.deleteProperty(holder, name)
    else if (kind === VALUES.length + 1) {
      holder[`${name}2`] = inner
      Reflect.deleteProperty(holder, name)
    } else holder[name] = (VALUES[kind] as () => unknown)()
    return
  }
}
