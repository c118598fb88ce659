/** The metrics of what is hot and of what reading takes: how `hot.ms` that shrinks by itself is seen. */
import { expect, test } from 'vitest'
import { demandBoard } from '../../src/ingest/demand.ts'

const perHour = (requests: number) =>
  new Map([
    ['sweep', requests],
    ['passes', 10],
  ] as const)

function board() {
  const shown = new Map<string, number>()
  const keyOf = (name: string, labels: object) => [name, ...Object.values(labels)].join(' ')
  const open = demandBoard({
    set: (name: string, labels: object, value: number) => void shown.set(keyOf(name, labels), value),
    remove: (name: string, labels: object) => void shown.delete(keyOf(name, labels)),
  } as never)
  return { shown, open }
}

test('what is hot is the least of the scopes of a stream, and what is asked for the sum over the connector', () => {
  const { shown, open } = board()
  const [one, two, other] = [open('acme', 'sessions'), open('acme', 'sessions'), open('acme', 'events')]
  one.told(3_600_000, perHour(60))
  two.told(1_800_000, perHour(120))
  other.told(300_000, perHour(20))
  open('beta', 'sessions').told(60_000, perHour(1))
  expect(Object.fromEntries(shown)).toEqual({
    'hot_seconds acme sessions': 1800,
    'hot_seconds acme events': 300,
    'hot_seconds beta sessions': 60,
    'requests_planned_per_hour acme': 230,
    'requests_planned_per_hour beta': 11,
  })
  two.told(3_600_000, perHour(60))
  expect(shown.get('hot_seconds acme sessions'), 'it grows again').toBe(3600)
})

test('what is not read here any more is not shown', () => {
  const { shown, open } = board()
  const [one, two] = [open('acme', 'sessions'), open('acme', 'sessions')]
  one.told(3_600_000, perHour(60))
  two.told(1_800_000, perHour(120))
  two.end()
  expect(Object.fromEntries(shown)).toEqual({ 'hot_seconds acme sessions': 3600, 'requests_planned_per_hour acme': 70 })
  one.end()
  expect(shown.size).toBe(0)
})
