/** The schema files of `schemas/`, as text: what is registered is the file itself. */
import { readFileSync } from 'node:fs'
import { FlowError } from './errors.ts'

export type SchemaName = 'session' | 'message' | 'event' | 'progress' | 'series-point' | 'alert'

/** Text of a schema file; the folder lies beside `src` in a checkout and beside `dist` in the package. */
export function schemaText(name: SchemaName): string {
  for (const up of ['../schemas/', '../../schemas/']) {
    try {
      return readFileSync(new URL(`${up}${name}.avsc`, import.meta.url), 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new FlowError('BUG', { hint: `the schema file ${name}.avsc is not in the package` })
}

/** A reader's schema that has these fields only: what is not named is skipped over, which costs a third of decoding it. */
export function narrowSchema(text: string, fields: readonly string[]): string {
  const schema = JSON.parse(text) as { fields: { name: string }[] }
  const kept = schema.fields.filter(field => fields.includes(field.name))
  const missing = fields.filter(name => !kept.some(field => field.name === name))
  if (missing.length > 0) throw new FlowError('BUG', { hint: `the schema has no field ${missing.join(', ')}` })
  return JSON.stringify({ ...schema, fields: kept })
}
