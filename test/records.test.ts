import { readFileSync, readdirSync } from 'node:fs'
import avsc from 'avsc'
import { describe, expect, test } from 'vitest'
import { MEASURES } from '../src/records.ts'

interface AvroField {
  name: string
  type: unknown
  doc?: string
  default?: unknown
}
interface AvroRecord {
  name: string
  namespace: string
  doc?: string
  fields: AvroField[]
}

const folder = new URL('../schemas/', import.meta.url)
const files = readdirSync(folder).filter(file => file.endsWith('.avsc'))
const schemas = files.map(file => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as AvroRecord)
const source = readFileSync(new URL('../src/records.ts', import.meta.url), 'utf8')

/** The interfaces of records.ts as text: name → [field, type] in order. */
const interfaces = new Map(
  [...source.matchAll(/export interface (\w+) \{\n([\s\S]*?)\n\}/g)].map(([, name, body]) => [
    name,
    [...(body ?? '').matchAll(/^ {2}(\w+): (.+)$/gm)].map(([, field, type]) => [field, type] as const),
  ]),
)

/** Names of records.ts that stand for a closed set: an Avro string. */
const CLOSED = new Set(['SessionStatus', 'Containment', 'Channel', 'Sender', 'EventType', 'Lane', 'AlertState'])

function typeScriptOf(avro: unknown): string {
  if (Array.isArray(avro)) return `${typeScriptOf(avro[1])} | null`
  if (typeof avro === 'object' && avro !== null) {
    const type = avro as { type: string; items?: unknown; values?: unknown; name?: string; logicalType?: string }
    if (type.type === 'array')
      return `${typeof type.items === 'string' ? typeScriptOf(type.items) : (type.items as AvroRecord).name}[]`
    if (type.type === 'map') return `Record<string, ${typeScriptOf(type.values)}>`
    return typeScriptOf(type.type)
  }
  return (
    { string: 'string', int: 'number', long: 'number', double: 'number', boolean: 'boolean', bytes: 'Buffer' }[avro as string] ??
    'unknown'
  )
}

/** Records that stand inside others. */
function nested(record: AvroRecord): AvroRecord[] {
  return record.fields.flatMap(field => {
    const type = (Array.isArray(field.type) ? field.type[1] : field.type) as { type?: string; items?: AvroRecord }
    return type.type === 'array' && typeof type.items === 'object' ? [type.items] : []
  })
}

describe.each(schemas.map(schema => [schema.name, schema] as const))('%s', (_, schema) => {
  test('stands in records.ts with the same fields, types and order', () => {
    for (const record of [schema, ...nested(schema)]) {
      const declared = interfaces.get(record.name)?.map(([field, type]) => {
        const [plain = '', ...rest] = (type ?? '').split(' | ')
        return [field, [CLOSED.has(plain) ? 'string' : plain, ...rest].join(' | ')]
      })
      expect(declared).toEqual(record.fields.map(field => [field.name, typeScriptOf(field.type)]))
    }
  })

  test('is self-contained Avro in the namespace colloquy.v1', () => {
    expect(avsc.Type.forSchema(schema as never).name).toBe(`colloquy.v1.${schema.name}`)
  })

  test('tells the meaning of each field, and gives a nullable one the default null', () => {
    for (const record of [schema, ...nested(schema)]) {
      expect(record.doc ?? '', record.name).toMatch(/\.$/)
      for (const field of record.fields) {
        expect(field.doc ?? '', `${record.name}.${field.name}`).toMatch(/\.$/)
        if (Array.isArray(field.type)) expect(field, `${record.name}.${field.name}`).toMatchObject({ default: null })
      }
    }
  })

  test('has no Avro enum: Flink SQL would read nothing from the topic', () => {
    expect(JSON.stringify(schema)).not.toContain('"enum"')
  })

  test('gives times as timestamp-millis', () => {
    for (const record of [schema, ...nested(schema)])
      for (const field of record.fields.filter(f => /_(at|from|until)$|^(from|until|bucket_start)$/.test(f.name))) {
        const type = Array.isArray(field.type) ? field.type[1] : field.type
        expect(type, `${record.name}.${field.name}`).toEqual({ type: 'long', logicalType: 'timestamp-millis' })
      }
  })
})

test('every record of records.ts has its schema', () => {
  const known = schemas.flatMap(schema => [schema, ...nested(schema)]).map(record => record.name)
  expect([...interfaces.keys()].map(String).toSorted()).toEqual([...new Set(known)].toSorted())
})

test('the measures are the long fields of SeriesPoint, in order', () => {
  const point = schemas.find(schema => schema.name === 'SeriesPoint')
  expect(point?.fields.filter(field => field.type === 'long').map(field => field.name)).toEqual([...MEASURES])
})
