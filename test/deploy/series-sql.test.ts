/** The SQL of `deploy/flink` and `deploy/clickhouse` against schemas and README. What it answers is held by `npm run test:deploy`. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CHANNELS, CONTAINMENTS, MEASURES, SENDERS } from '../../src/records.ts'
import { type SchemaName, schemaText } from '../../src/schemas.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const flink = read('deploy/flink/series.sql')

/** Columns of a table as `[name, type]`. */
function columnsOf(sql: string, table: string): [string, string][] {
  const [, body = ''] = new RegExp(`CREATE TABLE (?:IF NOT EXISTS )?${table} \\(\\n([\\s\\S]*?)\\n\\)`).exec(sql) ?? []
  return body
    .split('\n')
    .map(line => line.trim().replace(/,$/, '').replaceAll('`', ''))
    .filter(line => !/^PRIMARY KEY| AS PROCTIME/.test(line))
    .map(line => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)])
}

type AvroType = string | { readonly type: string; readonly logicalType?: string } | readonly AvroType[]
interface Field {
  readonly name: string
  readonly type: AvroType
}
const fieldsOf = (name: SchemaName) => (JSON.parse(schemaText(name)) as { fields: Field[] }).fields

/** The type of the values that are not null. */
function plain(type: AvroType): { type: string; logicalType?: string } {
  if (Array.isArray(type)) return plain((type as AvroType[]).find(one => one !== 'null') ?? 'null')
  return typeof type === 'string' ? { type } : (type as { type: string; logicalType?: string })
}

test.each(['sessions', 'messages', 'events'])(
  'the Flink table %s has fields of the schema, in types that can be read from it',
  table => {
    const types: Record<string, string> = { string: 'STRING', long: 'BIGINT', boolean: 'BOOLEAN' }
    const fields = new Map(fieldsOf(table.slice(0, -1) as SchemaName).map(({ name, type }) => [name, types[plain(type).type]]))
    const columns = columnsOf(flink, table)
    expect(columns.length).toBeGreaterThan(5)
    expect(columns.filter(([name, type]) => fields.get(name) !== type)).toEqual([])
  },
)

test('the Flink job writes every measure, in the order of the schema', () => {
  const written = columnsOf(flink, 'series')
    .filter(([, type]) => type === 'BIGINT')
    .map(([name]) => name)
  expect(written).toEqual(MEASURES)
  expect(/bucket_start,\s+'1m' AS bucket,\s+([\w,\s]+)\nFROM minutes;/.exec(flink)?.[1]?.split(/,\s+/)).toEqual(MEASURES)
})

test('the Flink job knows the channels, containments and senders of the contract', () => {
  const words = (text: string | undefined) => text?.match(/(?<=')\w+(?=')/g)
  expect(words(/WHEN channel IN \(([^)]*)\)/.exec(flink)?.[1])).toEqual(CHANNELS.filter(channel => channel !== 'other'))
  const [containments, senders] = [...flink.matchAll(/NOT IN \(([^)]*)\)/g)].map(([, list]) => words(list))
  expect(containments).toEqual(CONTAINMENTS.filter(containment => containment !== 'UNKNOWN'))
  expect(senders).toEqual(SENDERS.filter(sender => !['SYSTEM', 'UNKNOWN'].includes(sender)))
})

test.each([
  ['series.sql', 'series', 'UInt32'],
  ['kafka.sql', 'series_queue', 'Int32'],
])('the ClickHouse table of %s has all fields of a point', (file, table, revision) => {
  const typeOf = ({ name, type }: Field) => {
    const { type: avro, logicalType } = plain(type)
    if (name === 'revision') return revision
    if (logicalType === 'timestamp-millis') return "DateTime64(3, 'UTC')"
    return { string: 'String', long: 'Int64', boolean: 'Bool', bytes: 'Nullable(String)' }[avro]
  }
  const columns = columnsOf(read(`deploy/clickhouse/${file}`), table).map(([name, type]) => [
    name,
    type.replace('LowCardinality(String)', 'String'),
  ])
  expect(columns).toEqual(fieldsOf('series-point').map(field => [field.name, typeOf(field)]))
})

test('the README of the Flink job names the versions that npm run test:deploy runs', () => {
  const jars = [...read('test/parity/pom.xml').matchAll(/<artifactId>(flink-sql-[\w-]+)<\/artifactId><version>([^<]+)</g)]
  expect(jars).toHaveLength(2)
  for (const [, artifact, version] of jars) expect(read('deploy/flink/README.md')).toContain(`${artifact}-${version}.jar`)
})
