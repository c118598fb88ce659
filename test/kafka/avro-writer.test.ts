/** Compiled writers next to avsc: the same bytes for every value that fits; everything else is left to avsc. */
import { readdirSync, readFileSync } from 'node:fs'
import avsc from 'avsc'
import { describe, expect, test } from 'vitest'
import { Random } from '../../src/sim/index.ts'
import { type Write, writerFor } from '../../src/kafka/avro-writer.ts'
import { encoderFor } from '../../src/kafka/codec.ts'
import { event, message, rowContext, session } from '../../src/source/index.ts'

type Schema = string | readonly Schema[] | Named
interface Named {
  readonly type: Schema
  readonly [name: string]: unknown
}

const schemas = readdirSync(new URL('../../schemas/', import.meta.url)).map(file => ({
  file,
  text: readFileSync(new URL(`../../schemas/${file}`, import.meta.url), 'utf8'),
}))
const WORDS = ['', 'a', 'plain words', 'günstig', '😀', 'e\u0301', '日本語', '\u0000', '\u007f\u0080\u07ff\u0800\uffff']
/** Around lengths where the length prefix takes one byte more, in ASCII and beyond. */
const LENGTHS = [0, 1, 31, 32, 47, 48, 49, 63, 64, 65, 2730, 4095, 8191, 8192, 8193, 20_000]
const NUMBERS = [0, 1, 63, 64, 127, 128, 8191, 8192, 2 ** 20, 2 ** 27, 2 ** 28 - 1, 2 ** 28, 2 ** 31 - 1]
const LARGE = [2 ** 31, 2 ** 35, 1_700_000_000_000, 2 ** 48, 2 ** 51 - 1, 2 ** 51, 2 ** 52]

const compile = (schema: object) => {
  const write = writerFor(schema)
  if (write === null) throw new Error('no writer')
  return write
}
const typeOf = (schema: object) => avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: false, registry: {} })

const ROOM = Buffer.alloc(8 * 1024 * 1024)

/** The exact bytes, in a buffer with much room after them; null: left to avsc. */
function written(write: Write, value: unknown, at = 3): string | null {
  const end = write(value, ROOM, at)
  return end < 0 ? null : ROOM.toString('latin1', at, end)
}

/** A value of the schema; edge cases more often than by chance. */
function valueOf(schema: Schema, random: Random, named: Map<string, Schema>): unknown {
  if (Array.isArray(schema)) return valueOf(random.pick(schema as readonly Schema[]), random, named)
  if (typeof schema !== 'string') {
    const node = schema as {
      type: Schema
      name?: string
      fields?: { name: string; type: Schema }[]
      items?: Schema
      values?: Schema
    }
    if (node.name !== undefined) named.set(node.name, schema)
    const each = (items: Schema = 'null') =>
      Array.from({ length: random.pick([0, 0, 1, 2, 70]) }, () => valueOf(items, random, named))
    if (node.type === 'record')
      return Object.fromEntries((node.fields ?? []).map(({ name, type }) => [name, valueOf(type, random, named)]))
    if (node.type === 'array') return each(node.items)
    if (node.type === 'map') return Object.fromEntries(each(node.values).map((value, n) => [`${random.pick(WORDS)}${n}`, value]))
    return valueOf(node.type, random, named)
  }
  const signed = (n: number) => (random.chance(0.3) ? -n : n)
  switch (schema) {
    case 'null':
      return null
    case 'string':
      return random.chance(0.2) ? random.pick(['x', 'é', '語', '😀']).repeat(random.pick(LENGTHS)) : random.pick(WORDS)
    case 'bytes':
      return Buffer.alloc(random.pick([0, 1, 63, 64, 5000]), 7)
    case 'boolean':
      return random.chance(0.5)
    case 'int':
      return signed(random.chance(0.1) ? 2 ** 31 - 1 : random.pick(NUMBERS))
    case 'long':
      return signed(random.pick([...NUMBERS, ...LARGE]))
    case 'double':
      return random.pick([0, -0, 0.5, 1e300, -1e-300, Infinity, Number.NaN, 4.9])
    default: {
      const known = named.get(schema)
      if (known === undefined) throw new Error(`what is ${schema}?`)
      return valueOf(known, random, named)
    }
  }
}

describe.each(schemas)('$file', ({ text }) => {
  const schema = JSON.parse(text) as Named
  const write = compile(schema)
  const type = typeOf(schema)

  test('values of all kinds are written as avsc writes them', () => {
    const encoder = encoderFor<object>(JSON.stringify({ ...schema, name: 'Any' }), 7)
    let fast = 0
    for (let seed = 0; seed < 300; seed++) {
      const value = valueOf(schema, new Random(seed, 0, 0), new Map()) as object
      encoder.encode(value)
      const bytes = written(write, value)
      if (bytes === null) continue
      fast++
      expect(bytes, `seed ${seed}`).toBe(type.toBuffer(value).toString('latin1'))
    }
    // Longs beyond 2^51 are avsc's; most values remain.
    expect(fast).toBeGreaterThan(30)
    expect(300 - encoder.leftToAvsc).toBeGreaterThan(30)
  })

  test('an invalid value is rejected where avsc rejects it, and written as avsc writes it elsewhere', () => {
    const anonymous = { ...schema, name: 'Any' }
    const encoder = encoderFor<object>(JSON.stringify(anonymous), 7)
    const counts = { refused: 0, taken: 0 }
    for (let seed = 0; seed < 400; seed++) {
      const random = new Random(seed, 1, 0)
      const value = spoilt(valueOf(schema, random, new Map()), random) as object
      const expected = byAvsc(type, value)
      let encoded: string | null = null
      try {
        encoded = encoder.encode(value).subarray(5).toString('latin1')
      } catch {
        // Refused.
      }
      expect(encoded, `seed ${seed}`).toBe(expected)
      const fast = written(write, value)
      if (fast !== null) expect(fast, `seed ${seed}`).toBe(expected)
      counts[expected === null ? 'refused' : 'taken']++
    }
    expect(counts.refused).toBeGreaterThan(50)
    expect(counts.taken).toBeGreaterThan(10)
  })

  test('an encoder writes the same into every buffer with room, and returns how many bytes are missing otherwise', () => {
    // Under another name no field has a closed set of values.
    const encoder = encoderFor<object>(JSON.stringify({ ...schema, name: 'Any' }), 7)
    const value = valueOf(schema, new Random(5, 0, 0), new Map()) as object
    const body = type.toBuffer(value)
    const whole = 5 + body.length
    const sizes = [0, 4, 5, 6, whole - 1, whole, whole + 1, whole + 2 * body.length + 20]
    for (const size of sizes) {
      const buf = Buffer.alloc(size)
      const end = encoder.encodeInto(value, buf, 0)
      expect(end, `${size} bytes`).toBe(size < whole ? size - whole : whole)
      if (end > 0) expect(buf.subarray(5, end)).toEqual(body)
    }
  })
})

/** Instead of a valid value: other JavaScript values, and values that look right. */
const ODD: readonly unknown[] = [
  undefined,
  null,
  '',
  '5',
  5,
  -0,
  1.5,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 52,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  2 ** 63,
  Number.NaN,
  Infinity,
  5n,
  true,
  'half \ud83d of a character',
  Symbol('s'),
  () => 5,
  {},
  [],
  [undefined],
  Array(2),
  { length: 1, 0: 'x' },
  Object.create(null),
  Object.create({ inherited: 'x' }),
  new Map([['a', 'b']]),
  new Date(0),
  new String('boxed'),
  new Number(5),
  new Uint8Array(2),
  Buffer.from('bytes'),
]

/** The value with one thing somewhere in it replaced by something odd, added, or taken away. */
function spoilt(value: unknown, random: Random): unknown {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || random.chance(0.15)) return random.pick(ODD)
  if (Array.isArray(value)) {
    if (value.length === 0) return [random.pick(ODD)]
    const at = random.int(0, value.length - 1)
    return value.with(at, spoilt(value[at], random))
  }
  const names = Object.keys(value)
  const copy: Record<string, unknown> = { ...value }
  const name = names.length === 0 || random.chance(0.05) ? 'more' : random.pick(names)
  if (random.chance(0.1)) delete copy[name]
  else copy[name] = spoilt(copy[name], random)
  return copy
}

/** What avsc writes; null where it rejects. */
function byAvsc(type: avsc.Type, value: unknown): string | null {
  try {
    return type.toBuffer(value).toString('latin1')
  } catch {
    return null
  }
}

const one = (type: Schema) => ({ type: 'record', name: 'One', fields: [{ name: 'f', type }] })

test.each<[Schema, readonly unknown[]]>([
  ['string', [5, null, undefined, {}]],
  ['int', ['5', 1.5, 2 ** 31, null, true, Number.NaN, 5n]],
  ['long', ['5', 1.5, 2 ** 60, Number.NaN, Infinity, null]],
  ['double', ['5', null]],
  ['boolean', [0, 'true', null]],
  ['bytes', ['text', [1], new Uint8Array(2), null]],
  [
    ['null', 'string'],
    [5, undefined],
  ],
  [{ type: 'array', items: 'string' }, ['text', { length: 1 }, [5], [null], null, undefined]],
  [{ type: 'map', values: 'string' }, [['a'], 'text', { a: 5 }, null, undefined]],
  [{ type: 'record', name: 'In', fields: [{ name: 'g', type: 'string' }] }, [{}, 'text', null]],
])('a value that is not a %j is left to avsc', (type, values) => {
  const write = compile(one(type))
  for (const value of values) expect(written(write, { f: value })).toBeNull()
  for (const value of [null, undefined, 'text', 5]) expect(written(write, value)).toBeNull()
})

test('a record without its default fields is written as before', () => {
  const text = JSON.stringify({
    type: 'record',
    name: 'R',
    fields: [
      { name: 'a', type: 'string' },
      { name: 'b', type: ['null', 'string'], default: null },
      { name: 'c', type: 'boolean', default: true },
    ],
  })
  const { c, ...bare } = { a: 'x', c: true }
  const encoder = encoderFor<object>(text, 1)
  const whole = encoder.encode({ ...bare, b: null, c })
  expect(encoder.leftToAvsc).toBe(0)
  expect(encoder.encode(bare)).toEqual(whole)
  expect(encoder.leftToAvsc).toBe(1)
})

test('records built by connectors are written without avsc, except at the end of a buffer', () => {
  const scope = { name: 'main', botId: null }
  const source = { vendor: 'v', account: 'a', connector: 'c', config: {}, scope }
  const ctx = rowContext({ ...source, observedAtMs: Date.UTC(2026, 10, 30), lookbackMs: 0 })
  const owner = ctx.session({ botId: 'bot', sessionId: '会話 1', channel: 'webchat', language: 'es' })
  const atMs = ctx.observedAtMs - 60_000
  const drafts = [
    session(owner, { startedAt: atMs, tags: [{ name: 'vip' }], satisfaction: 4.5, variables: { a: 1 }, topics: ['refund'] }),
    message(owner, {
      messageId: '1',
      sentAt: atMs,
      text: 'Grüße 😀',
      attachments: [{ kind: 'image', url: 'https://a.example/b' }],
    }),
    event(owner, { eventId: '1', occurredAt: atMs, type: 'agent_transferred', attributes: { reason: 'asked for' } }),
  ]
  for (const { kind, record } of drafts) {
    const encoder = encoderFor<object>(readFileSync(new URL(`../../schemas/${kind}.avsc`, import.meta.url), 'utf8'), 1)
    // The slab ends in the middle of some of them.
    for (let n = 0; n < 3000; n++) encoder.encode(record)
    expect(encoder.leftToAvsc, kind).toBeLessThan(10)
  }
})

test('a buffer that ends anywhere in the record is left to avsc, and nothing behind it is written', () => {
  const write = compile(one({ type: 'map', values: ['null', 'long'] }))
  const value = { f: { one: 1, two: 2 ** 40, three: null } }
  const whole = typeOf(one({ type: 'map', values: ['null', 'long'] })).toBuffer(value).length
  const around = Buffer.alloc(whole + 40, 0xaa)
  for (let size = 0; size < whole; size++) expect(write(value, around.subarray(20, 20 + size), 0)).toBe(-1)
  expect(around.subarray(0, 20)).toEqual(Buffer.alloc(20, 0xaa))
  expect(around.subarray(20 + whole)).toEqual(Buffer.alloc(20, 0xaa))
})

test.each<[string, Schema]>([
  ['an enum', { type: 'enum', name: 'E', symbols: ['A'] }],
  ['a union of two types', ['string', 'int']],
  ['a union that begins with no null', ['string', 'null']],
  ['a float', 'float'],
  ['a record in itself', { type: 'record', name: 'Self', fields: [{ name: 'next', type: ['null', 'Self'] }] }],
])('%s has no compiled writer, and is encoded all the same', (_, type) => {
  expect(writerFor(one(type))).toBeNull()
  const text = JSON.stringify({ ...one(type), fields: [{ name: 'f', type }] })
  const value = { f: type === 'float' ? 0.5 : typeof type === 'object' && 'fields' in type ? { next: null } : 'A' }
  const encoder = encoderFor<object>(text, 1)
  expect(encoder.encode(value).subarray(5)).toEqual(typeOf(JSON.parse(text) as object).toBuffer(value))
  expect(encoder.leftToAvsc).toBe(1)
})
