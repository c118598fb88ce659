/** The SQL of `deploy/clickhouse` against the schema. What it answers is held by `npm run test:deploy`. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type SchemaName, schemaText } from '../../src/schemas.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

/** Columns of a table as `[name, type]`. */
function columnsOf(sql: string, table: string): [string, string][] {
  const [, body = ''] = new RegExp(`CREATE TABLE IF NOT EXISTS ${table} \\(\\n([\\s\\S]*?)\\n\\)`).exec(sql) ?? []
  return body
    .split('\n')
    .map(line => line.trim().replace(/,$/, ''))
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
