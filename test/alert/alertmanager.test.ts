import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { type AlertmanagerOptions, type Alertmanagers, posted, startAlertmanagers } from '../../src/alert/alertmanager.ts'
import { openNetwork } from '../../src/dispatcher.ts'
import { silentLog } from '../../src/log.ts'
import { handClock } from '../support/clock.ts'
import { AT, makeAlert } from './make.ts'

interface Told {
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
  readonly startsAt: string
  readonly endsAt?: string
  readonly generatorURL: string
}

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

/** Takes alerts as Alertmanager does, and answers what it is told to. */
async function receiver() {
  const posts: { path: string | undefined; headers: IncomingHttpHeaders; alerts: Told[] }[] = []
  const state = { status: 200 }
  const server: Server = createServer((request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => (body += part.toString()))
    request.on('end', () => {
      posts.push({ path: request.url, headers: request.headers, alerts: JSON.parse(body) as Told[] })
      response.writeHead(state.status, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  endings.push(() => new Promise(resolve => server.close(resolve)))
  const { port } = server.address() as AddressInfo
  const taken = () =>
    posts.flatMap(({ alerts }) =>
      alerts.map(({ labels, endsAt }) => `${labels['channel'] ?? 'all'}${endsAt === undefined ? '' : ' over'}`),
    )
  return { url: `http://127.0.0.1:${port}`, posts, taken, state }
}

function tell(urls: readonly string[], of: Partial<AlertmanagerOptions> = {}) {
  const clock = handClock(AT + 1_000_000)
  const ending = new AbortController()
  const outcomes: string[] = []
  const alertmanagers: Alertmanagers = startAlertmanagers({
    urls,
    baseUrl: 'https://colloquy.example',
    severityOf: () => 'page',
    connections: openNetwork().connections(),
    notified: (_host, outcome) => outcomes.push(outcome),
    log: silentLog,
    clock,
    signal: ending.signal,
    ...of,
  })
  endings.push(async () => {
    ending.abort()
    await alertmanagers.done
  })
  return { alertmanagers, clock, outcomes }
}

const wait = (look: () => void) => vi.waitFor(look, { timeout: 10_000, interval: 10 })

test('an alert has the labels of the contract, when it began, where to look, and its end only when it is over', () => {
  const options = { baseUrl: 'https://colloquy.example', severityOf: () => 'page' }
  const told = posted(makeAlert(), options) as Told
  expect(told.labels).toEqual({
    alertname: 'agent-transfer-spike',
    severity: 'page',
    vendor: 'botmaker',
    account: 'acme',
    bot_id: 'b1',
    channel: 'whatsapp',
  })
  expect(told.startsAt).toBe('2026-11-01T12:00:00.000Z')
  expect(told).not.toHaveProperty('endsAt')
  expect(new URL(told.generatorURL).origin + new URL(told.generatorURL).pathname).toBe('https://colloquy.example/ui/')
  expect(told.annotations['summary']).toBe(
    'agent-transfer-spike at botmaker / acme / b1 / whatsapp: 42 where 12.3 would be usual, probability 1.2e-7',
  )
  expect(told.annotations['sessions']).toBe('310')
  expect(Object.keys(told.annotations).every(name => /^[a-zA-Z_]\w*$/.test(name))).toBe(true)

  const over = posted(makeAlert({ state: 'RESOLVED', ends_at: AT + 3_600_000, updated_at: AT + 4_000_000 }), options) as Told
  expect(over.endsAt).toBe('2026-11-01T13:00:00.000Z')
  expect(over.labels).toEqual(told.labels)
})

test('a parent that pools its channels has no label of them', () => {
  const told = posted(makeAlert({ channel: null, bot_id: '' }), { baseUrl: 'http://x', severityOf: () => 'page' }) as Told
  expect(Object.keys(told.labels)).toEqual(['alertname', 'severity', 'vendor', 'account'])
})

test('a firing alert is told again well within four minutes, and its end once', async () => {
  const to = await receiver()
  const { alertmanagers, clock } = tell([to.url])
  alertmanagers.tell([makeAlert()])
  await wait(() => expect(to.taken()).toEqual(['whatsapp']))
  for (let minute = 1; minute <= 8; minute++) {
    await clock.asleep(1)
    await clock.advance(30_000)
  }
  await wait(() => expect(to.posts.length).toBeGreaterThanOrEqual(3))
  alertmanagers.tell([makeAlert({ state: 'RESOLVED', ends_at: AT + 1_000_000, updated_at: clock.now() })])
  await wait(() => expect(to.taken().at(-1)).toBe('whatsapp over'))
  const count = to.posts.length
  for (let minute = 1; minute <= 8; minute++) {
    await clock.asleep(1)
    await clock.advance(30_000)
  }
  expect(to.posts).toHaveLength(count)
  expect(to.posts[0]?.path).toBe('/api/v2/alerts')
})

test('who is away is told when it is back, and holds up nobody else', async () => {
  const [away, there] = [await receiver(), await receiver()]
  away.state.status = 503
  const { alertmanagers, clock, outcomes } = tell([away.url, there.url])
  alertmanagers.tell([makeAlert()])
  await wait(() => expect(there.taken()).toEqual(['whatsapp']))
  // Ten minutes.
  for (let tries = 0; tries < 20; tries++) {
    await clock.asleep(2)
    await clock.advance(30_000)
  }
  await wait(() => expect(away.posts.length).toBeGreaterThanOrEqual(5))
  // It also ended meanwhile.
  alertmanagers.tell([makeAlert({ state: 'RESOLVED', ends_at: clock.now(), updated_at: clock.now() })])
  await wait(() => expect(there.taken().at(-1)).toBe('whatsapp over'))
  away.state.status = 200
  const before = away.posts.length
  await clock.asleep(2)
  await clock.advance(30_000)
  await wait(() => expect(away.taken().slice(before)).toContain('whatsapp over'))
  expect(outcomes).toContain('failed')
})

test('after a restart what fires is told, and the end of what was over an hour ago is not', async () => {
  const to = await receiver()
  const { alertmanagers, clock } = tell([to.url])
  const over = { state: 'RESOLVED', ends_at: AT } as const
  alertmanagers.restore(
    [
      makeAlert(),
      makeAlert({ alert_id: 'a2', channel: 'web', ...over, updated_at: clock.now() - 60_000 }),
      makeAlert({ alert_id: 'a3', channel: 'sms', ...over, updated_at: clock.now() - 3_700_000 }),
    ],
    () => true,
  )
  await wait(() => expect(to.taken().sort()).toEqual(['web over', 'whatsapp']))
})

test('of two alerts with the same labels the later one is told: the end of the earlier would end it', async () => {
  const to = await receiver()
  const { alertmanagers, clock } = tell([to.url])
  alertmanagers.restore(
    [
      makeAlert({ alert_id: 'later', starts_at: AT + 600_000 }),
      makeAlert({ alert_id: 'earlier', state: 'RESOLVED', ends_at: AT + 300_000, updated_at: clock.now() }),
    ],
    () => true,
  )
  await wait(() => expect(to.taken()).toEqual(['whatsapp']))
})

test('what another process has taken over is told no longer', async () => {
  const to = await receiver()
  const { alertmanagers, clock } = tell([to.url])
  alertmanagers.tell([makeAlert(), makeAlert({ alert_id: 'a2', vendor: 'koreai', channel: 'web' })])
  await wait(() => expect(to.taken().sort()).toEqual(['web', 'whatsapp']))
  alertmanagers.restore([], vendor => vendor === 'botmaker')
  const count = to.taken().length
  for (let step = 0; step < 6; step++) {
    await clock.asleep(1)
    await clock.advance(15_000)
  }
  await wait(() => expect(to.taken().slice(count)).toEqual(['web']))
})

test.each([
  [{ token: 'secret' }, 'Bearer secret'],
  [{ username: 'u', password: 'p' }, `Basic ${Buffer.from('u:p').toString('base64')}`],
])('it logs in with %o', async (auth, header) => {
  const to = await receiver()
  const { alertmanagers } = tell([`${to.url}/alertmanager`], { auth })
  alertmanagers.tell([makeAlert()])
  await wait(() => expect(to.posts[0]?.headers.authorization).toBe(header))
  expect(to.posts[0]?.path).toBe('/alertmanager/api/v2/alerts')
})
