import { expect, test } from 'vitest'
import { createAlertStore, parseAlertQuery } from '../../src/serve/alerts.ts'
import { AT, makeAlert } from '../alert/make.ts'

const HOUR_MS = 3_600_000
const NOW = AT + 10 * HOUR_MS

function store() {
  const alerts = createAlertStore()
  alerts.put(makeAlert({ alert_id: 'a', starts_at: AT, ends_at: AT + HOUR_MS, state: 'RESOLVED' }))
  alerts.put(makeAlert({ alert_id: 'b', starts_at: AT + 2 * HOUR_MS, vendor: 'koreai', channel: null, bot_id: '' }))
  alerts.put(makeAlert({ alert_id: 'c', starts_at: AT + 3 * HOUR_MS, rule: 'drop-offs', language: 'es', channel: 'web' }))
  return alerts
}

const ids = (query: Record<string, unknown>) =>
  store()
    .find(parseAlertQuery(query, NOW))
    .map(({ alert_id }) => alert_id)
    .join('')

test('alerts are answered newest first, a newer record in the place of the one before', () => {
  const alerts = store()
  alerts.put(makeAlert({ alert_id: 'c', starts_at: AT + 3 * HOUR_MS, state: 'RESOLVED' }))
  expect(alerts.find(parseAlertQuery({}, NOW)).map(({ alert_id, state }) => [alert_id, state])).toEqual([
    ['c', 'RESOLVED'],
    ['b', 'FIRING'],
    ['a', 'RESOLVED'],
  ])
  alerts.remove('c')
  expect(alerts.size).toBe(2)
})

test.each([
  [{ state: 'FIRING' }, 'cb'],
  [{ state: 'firing,RESOLVED' }, 'cba'],
  [{ rule: 'drop-offs' }, 'c'],
  [{ vendor: 'koreai,other' }, 'b'],
  [{ channel: ['web', 'whatsapp'] }, 'ca'],
  [{ language: 'es' }, 'c'],
  [{ channel: '' }, 'cba'],
  [{ limit: '1' }, 'c'],
  // What was on at some time of the range: b and c have not ended.
  [{ from: '2026-11-01T13:30:00Z' }, 'cb'],
  [{ from: 'now-10h', until: '2026-11-01T14:00:00Z' }, 'a'],
  [{ until: '2026-11-01T14:00:01Z' }, 'ba'],
])('%o finds %s', (query, found) => {
  expect(ids(query)).toBe(found)
})

test.each([
  [{ state: 'open' }, 'state takes'],
  [{ from: 'yesterday' }, 'from takes a time'],
  [{ from: 'now', until: 'now-1h' }, 'from must lie before until'],
  [{ limit: '0' }, 'limit takes a whole number'],
  [{ limit: '99999' }, 'limit takes a whole number'],
  [{ measure: 'sessions' }, 'measure is not a parameter of /v1/alerts'],
  [{ from: ['now', 'now-1h'] }, 'from is given more than once'],
])('%o is refused by name', (query, message) => {
  expect(() => parseAlertQuery(query, NOW)).toThrow(message)
})
