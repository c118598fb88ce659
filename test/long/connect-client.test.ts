import { expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { liveByGoClient, STEPS } from '../support/connect-client.ts'
import { startRest } from '../support/rest.ts'

/** The build alone may take minutes where nothing of Go is cached. */
const PATIENCE_MS = 900_000

test('the Go client of Redpanda Console takes a connector through its whole life, unmodified', {
  timeout: PATIENCE_MS,
}, async () => {
  const { url, herder } = await startRest({ clock: systemClock, http: { token: 'the-token' } })
  const life = await liveByGoClient({
    url,
    token: 'the-token',
    name: 'go-client',
    className: 'botmaker',
    config: { 'access.token': '${env:TOKEN}', account: 'acme', 'tasks.max': 2, 'include.events': false },
  })
  expect(life).toEqual({ steps: STEPS, error: '' })
  expect(herder.names()).toEqual([])
})

test('it says at which step a worker does not do as Kafka Connect does', { timeout: PATIENCE_MS }, async () => {
  const { url, herder } = await startRest({ clock: systemClock })
  herder.add('in-the-way')
  const life = await liveByGoClient({
    url,
    name: 'in-the-way',
    className: 'botmaker',
    config: { 'access.token': '${env:TOKEN}' },
  })
  expect(life.steps).toEqual(STEPS.slice(0, STEPS.indexOf('create')))
  expect(life.error).toContain('Connector in-the-way already exists')
})
