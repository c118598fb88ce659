import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  aggregateTransactionalId,
  alertTransactionalId,
  sourceTransactionalId,
  toolTransactionalId,
  topicNames,
  workerTransactionalId,
} from '../../src/topics.ts'

/** The ACLs of `docs/operating.md` against the names that the product uses. */
const page = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8')
const lines = page.split('\n').filter(line => line.startsWith('acls --operation'))

/** Prefixes of a kind of resource for which an operation is allowed. */
const allowed = (resource: string, operation: string) =>
  lines
    .filter(line => line.includes(`--operation ${operation} `) && line.endsWith('--resource-pattern-type prefixed'))
    .flatMap(line => new RegExp(`--${resource} (\\S+)`).exec(line)?.[1] ?? [])

const place = { connector: 'acme', stream: 'sessions', scope: 'a' }
const names = topicNames('PREFIX')
const covered = (name: string, prefixes: readonly string[]) => prefixes.some(prefix => name.startsWith(prefix))

test('every topic may be read, written, described and looked into', () => {
  for (const operation of ['Read', 'Write', 'Describe', 'DescribeConfigs', 'Create', 'AlterConfigs'])
    for (const topic of Object.values(names))
      expect({ topic, operation, may: covered(topic, allowed('topic', operation)) }).toMatchObject({ may: true })
})

test('and no topic of a prefix that begins alike may be read or written', () => {
  for (const operation of ['Read', 'Write']) expect(covered('PREFIXES.sessions', allowed('topic', operation))).toBe(false)
})

test('every transactional id may be used, and those of no other installation', () => {
  const ids = [
    sourceTransactionalId('PREFIX', place),
    toolTransactionalId('PREFIX', 'rejects'),
    workerTransactionalId('PREFIX', 'w'),
    aggregateTransactionalId('PREFIX', 0),
    alertTransactionalId('PREFIX', 0),
  ]
  for (const operation of ['Write', 'Describe']) {
    for (const id of ids) expect({ id, may: covered(id, allowed('transactional-id', operation)) }).toMatchObject({ may: true })
    expect(covered(sourceTransactionalId('PREFIX-b', place), allowed('transactional-id', operation))).toBe(false)
  }
})

test('every group may be joined', () => {
  for (const group of ['PREFIX-connect', 'PREFIX-aggregator', 'PREFIX-alerter'])
    expect(covered(group, allowed('group', 'Read'))).toBe(true)
})

test('the table for workers alone names what a worker reads and writes', () => {
  const rows = page.split('\n').filter(line => line.startsWith('| Topic |'))
  const topics = rows.flatMap(row => {
    const [first = '', ...others] = [...(row.split('|')[2] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
    return [first, ...others.map(name => `PREFIX${name}`)]
  })
  const { sessions, messages, events, rejects, progress, configs, status, offsets, versions } = names
  expect(topics.filter(Boolean).toSorted((a, b) => a.localeCompare(b))).toEqual(
    [sessions, messages, events, rejects, progress, configs, status, offsets, versions].toSorted((a, b) => a.localeCompare(b)),
  )
})
