/** Files of `deploy/` as a person prepares them with envsubst. */
import { readFileSync } from 'node:fs'

export interface Place {
  readonly brokers: string
  readonly registry: string
  readonly prefix: string
}

/** @param path Below `deploy/`. */
export function sqlFile(path: string, { brokers, registry, prefix }: Place): string {
  const variables: Record<string, string> = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registry, TOPIC_PREFIX: prefix }
  const text = readFileSync(new URL(`../../deploy/${path}`, import.meta.url), 'utf8')
  return text.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => variables[name] ?? whole)
}

/** The statements of a file, without comments: each ends with a semicolon at the end of a line. */
export function statementsOf(text: string): string[] {
  return text
    .replaceAll(/^\s*--.*$/gm, '')
    .split(/;\s*(?:\n|$)/)
    .map(statement => statement.trim())
    .filter(statement => statement !== '')
}
