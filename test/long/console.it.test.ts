/** The console in a real browser, over a real run: simulators of all vendors, one that hangs, one with bad rows, an incident, and a Kafka that goes away. */
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { type BotmakerSimulator, startBotmakerSimulator } from '../../connectors/botmaker/simulator.ts'
import type { Alert } from '../../src/records.ts'
import { createWorld } from '../../src/sim/index.ts'
import { type Harness, harness } from '../aggregate/harness.ts'
import { ago, MINUTE_MS } from '../alert/history.ts'
import { progressUntil, sessionsOf } from '../alert/incident.ts'
import { type Proxy, startProxy } from '../kafka/proxy.ts'
import { openBrowser } from '../support/browser.ts'
import { configFile, type Running, start, until } from '../support/product.ts'

const PARTITIONS = 2
const DAY_MS = 86_400_000
const PAGES = ['', 'connectors', 'alerts', 'dead-letters', 'topics'] as const
/** Set: pictures of the pages are written to docs/screenshots. */
const SCREENSHOTS = process.env['COLLOQUY_SCREENSHOTS']
const folder = fileURLToPath(new URL('../../docs/screenshots/', import.meta.url))
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Of a machine that is busy. */
const PATIENTLY = { timeout: 30_000 }

const endings: (() => Promise<unknown>)[] = []
let kafka: Proxy
let topics: Harness
let hung: BotmakerSimulator
let running: Running
let base: string
let browser: Browser
let alert: Alert
let config: (more?: object) => object

afterAll(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

beforeAll(async () => {
  const stack = inject('stack')
  kafka = await startProxy(stack.brokers)
  endings.push(() => kafka.close())
  topics = await harness(stack, PARTITIONS)
  endings.push(() => topics.close())
  browser = await openBrowser()
  endings.push(() => browser.close())

  const vendors = start(['simulate', '--sessions', '150', '--live', '30'])
  endings.push(() => vendors.kill('SIGKILL'))
  const world = createWorld({ seed: 5, sessions: 60, fromMs: Date.now() - 2 * DAY_MS, untilMs: Date.now() - DAY_MS })
  hung = await startBotmakerSimulator({ world })
  endings.push(() => hung.stop())
  const bad = await startBotmakerSimulator({ world })
  endings.push(() => bad.stop())
  bad.faults.next({ kind: 'missing_field', rows: 'items', field: 'creationTime' }, { path: '/v2.0/sessions', times: 100 })

  const simulators = await until('the simulators listen', async () => {
    const line = vendors.stdout.at(0)
    return line === undefined ? undefined : (JSON.parse(line) as Record<string, Record<string, string>>)
  })
  const common = { 'start.at': 'now-2d', 'poll.interval.ms': 2000 }
  const connectors = Object.fromEntries(
    Object.entries(simulators).map(([vendor, keys]) => [
      `demo-${vendor}`,
      { 'connector.class': vendor, account: 'demo', ...common, ...keys },
    ]),
  )
  config = more => ({
    kafka: { brokers: [kafka.address] },
    registry: { url: stack.registry },
    topics: { prefix: topics.prefix, partitions: PARTITIONS },
    http: { port: 0 },
    connectors: {
      ...connectors,
      'acme-hung': { 'connector.class': 'botmaker', ...hung.config, ...common, account: 'hung' },
      'acme-odd': { 'connector.class': 'botmaker', ...bad.config, ...common, account: 'odd' },
    },
    ...more,
  })
  const file = configFile(config())
  endings.push(async () => file.remove())
  running = start(['run', '--config', file.path])
  endings.push(() => running.kill('SIGKILL'))
  base = await running.base()

  // Three days of a channel with an incident in its last minutes.
  const now = ago(1)
  const incident = { fromMs: now - 30 * MINUTE_MS, untilMs: now }
  const sessions = sessionsOf(now - 3 * DAY_MS, now, incident)
  for (let at = 0; at < sessions.length; at += 4000)
    await topics.feed(sessions.slice(at, at + 4000), progressUntil(at + 4000 < sessions.length ? 1 : now))
  alert = await until('an alert fires', async () => {
    const answer = await fetch(`${base}/v1/alerts?state=firing&vendor=acme-chat`)
    return answer.ok ? ((await answer.json()) as { data: Alert[] }).data[0] : undefined
  })
}, 240_000)

/** A page of the console; what its console says of errors is an error of the test. */
async function open(path: string, how: { dark?: boolean; width?: number; context?: BrowserContext } = {}): Promise<Page> {
  const { dark = false, width = 1280 } = how
  const context =
    how.context ??
    (await browser.newContext({ viewport: { width, height: 900 }, colorScheme: dark ? 'dark' : 'light', locale: 'en-GB' }))
  const page = await context.newPage()
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => {
    // What the policy refuses is said there, and nothing else.
    if (message.text().includes('Content Security Policy')) faults.push(message.text())
  })
  await page.goto(`${base}/ui/${path}`)
  return page
}

const faults: string[] = []
const close = (page: Page) => page.context().close()

test('the overview has every vendor with sessions, messages, transfers and rate, and a chart says its values under the pointer', async () => {
  const page = await open('?range=24h')
  const row = page.getByRole('row').filter({ hasText: 'acme-chat' })
  await row.waitFor()
  const cells = await row.getByRole('cell').allTextContents()
  expect(cells.slice(0, 3).join(' ')).toMatch(/^acme-chat whatsapp [\d,]+$/)
  expect(Number(cells[4]?.replaceAll(',', ''))).toBeGreaterThan(0)
  expect(cells[5]).toMatch(/^[\d.]+ %$/)
  for (const vendor of ['botmaker', 'koreai', 'wolkvox'])
    await page.getByRole('table', { name: 'By vendor and channel' }).getByText(vendor, { exact: true }).first().waitFor()
  await page
    .getByRole('link', { name: /firing agent-transfer-spike/ })
    .first()
    .waitFor()

  const chart = page.locator('figure').filter({ hasText: 'Sessions' }).first()
  await chart.locator('.u-over').hover({ position: { x: 200, y: 60 } })
  await expect.poll(() => chart.locator('figcaption time').textContent(), PATIENTLY).toMatch(/\d\d:\d\d–\d\d:\d\d$/)
  expect(await chart.locator('.legend li').filter({ hasText: 'acme-chat' }).locator('b').textContent()).toMatch(/^\d+$/)

  await page.getByRole('button', { name: 'by channel' }).click()
  await page.getByLabel('Vendor').selectOption('acme-chat')
  expect(new URL(page.url()).search).toBe('?range=24h&by=channel&vendor=acme-chat')
  await page.reload()
  await expect.poll(() => page.getByRole('table').getByRole('row').count(), PATIENTLY).toBe(2)
  await close(page)
})

test('the link of an alert opens it with its evidence, the rules are there, and back leads to where one came from', async () => {
  const page = await open('')
  await page.goto(`${base}/ui/?alert=${alert.alert_id}&vendor=${alert.vendor}`)
  const details = page.locator(`#alert-${alert.alert_id}`)
  await details.getByText('queues').waitFor()
  expect(await details.textContent()).toContain(alert.evidence['queues'])
  expect(await details.textContent()).toContain('acme-chat / acme / b1 / whatsapp')
  expect(await page.getByRole('table', { name: 'Rules in force' }).textContent()).toContain('agent-transfer-spike')
  await details.getByRole('link', { name: /Series of/ }).click()
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.goBack()
  await page.getByRole('heading', { name: 'Alerts' }).waitFor()
  await close(page)
})

test('a connector is paused and resumed, and a rewind says first what it would do', async () => {
  const page = await open('connectors')
  const connector = page.getByRole('region', { name: 'demo-koreai' })
  await connector.getByText('running').waitFor()
  await connector.getByText(/requests in the last/).waitFor()
  await connector.getByRole('button', { name: 'Pause' }).click()
  await connector.getByRole('button', { name: 'Resume' }).click()
  await connector.getByRole('button', { name: 'Pause' }).waitFor()

  await connector.getByRole('button', { name: 'Rewind…' }).click()
  await connector.getByRole('button', { name: 'Show what it would do' }).click()
  await connector
    .getByRole('table', { name: /Dry run/ })
    .getByRole('cell')
    .first()
    .waitFor()
  await connector.getByRole('button', { name: 'Rewind now' }).click()
  await connector.getByText('It has been set back').waitFor()
  const history = (await (await fetch(`${base}/connectors/demo-koreai/offsets/history`)).json()) as { changes: unknown[] }
  expect(history.changes).toHaveLength(1)
  await connector.getByText('running').waitFor()
  await close(page)
})

test('a dead letter has its reason, its row, and the command that maps it again', async () => {
  const page = await open('dead-letters')
  await page
    .getByRole('link', { name: /acme-odd/ })
    .first()
    .click()
  const table = page.getByRole('table')
  await table.getByRole('link').first().click()
  const letter = page.getByRole('region', { name: /Dead letter \d+:\d+/ })
  await letter.getByLabel('Row').waitFor()
  expect(await letter.getByLabel('Row').textContent()).toContain('"id"')
  expect(await letter.textContent()).toContain('colloquy rejects redrive')
  await page.reload()
  await letter.getByLabel('Row').waitFor()
  await letter.getByRole('button', { name: 'Close' }).click()
  await letter.waitFor({ state: 'detached' })
  await close(page)
})

test('topics have their ends and the lag of the aggregator, subjects their newest version', async () => {
  const page = await open('topics')
  const row = page
    .getByRole('row')
    .filter({ hasText: `${topics.prefix}.sessions` })
    .first()
  await expect.poll(() => row.getByRole('cell').last().textContent(), PATIENTLY).toMatch(/^[\d,]+$/)
  const subject = page.getByRole('row').filter({ hasText: `${topics.prefix}.sessions-value` })
  await expect.poll(() => subject.getByRole('cell').nth(1).textContent(), PATIENTLY).toMatch(/^\d+$/)
  await close(page)
})

test('a vendor that takes requests and does not answer is stalled, and the page says what that means', async () => {
  hung.faults.next({ kind: 'delay', ms: 600_000 }, { times: 1000 })
  const page = await open('connectors')
  const connector = page.getByRole('region', { name: 'acme-hung' })
  await connector.getByText('▲ stalled').waitFor({ timeout: 90_000 })
  expect(await connector.textContent()).toContain('The vendor takes requests and does not answer')
  hung.faults.clear()
  await close(page)
}, 120_000)

test('the keyboard alone reaches the content, every page and every control, and where it is can be seen', async () => {
  const page = await open('')
  await page.getByRole('row').first().waitFor()
  await page.keyboard.press('Tab')
  expect(await page.evaluate<string>('document.activeElement.textContent')).toBe('To the content')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  const focused = await page.evaluate<object>(
    '({ text: document.activeElement.textContent, outline: getComputedStyle(document.activeElement).outlineStyle })',
  )
  expect(focused).toEqual({ text: 'Connectors', outline: 'solid' })
  await page.keyboard.press('Enter')
  const rewind = page.getByRole('region', { name: 'acme-odd' }).getByRole('button', { name: 'Rewind…' })
  await rewind.waitFor()
  await rewind.focus()
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  expect(await page.evaluate<string>('document.activeElement.tagName')).toBe('INPUT')
  await page.keyboard.press('Escape')
  expect(await page.evaluate<string>('document.activeElement.textContent')).toBe('Rewind…')
  await close(page)
})

test.each([
  ['light', 1280],
  ['dark', 1280],
  ['light', 390],
] as const)('every page in %s at %d px has no serious finding of axe, and is no wider than the window', async (scheme, width) => {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, locale: 'en-GB' })
  await context.addInitScript(axe)
  for (const path of PAGES) {
    const page = await open(path, { context })
    await page.getByRole('table').first().waitFor()
    await page.waitForLoadState('networkidle')
    const findings = await page.evaluate<{ id: string; impact: string; html: string }[]>(
      'axe.run().then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, html: nodes[0].html })))',
    )
    expect(
      findings.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(each => ({ path, ...each })),
    ).toEqual([])
    expect([path, await page.evaluate<number>('document.documentElement.scrollWidth')]).toEqual([path, width])
    const picture = `${path === '' ? 'overview' : path}-${width === 390 ? 'phone' : scheme}`
    if (SCREENSHOTS !== undefined && (scheme === 'light' ? width > 390 || path === '' : path === 'connectors')) {
      mkdirSync(folder, { recursive: true })
      await page.screenshot({ path: join(folder, `${picture}.png`) })
    }
    await page.close()
  }
  await context.close()
})

test('while Kafka does not answer, open pages say so and keep what they have, and say when it is back', async () => {
  const [overview, where] = await Promise.all([open(''), open('topics')])
  await overview.getByRole('row').first().waitFor()
  await where.getByRole('row').first().waitFor()
  kafka.freeze()
  try {
    await overview.getByText(/worker.*: .*Kafka/).waitFor({ timeout: 30_000 })
    expect(await overview.getByRole('row').count()).toBeGreaterThan(1)
    await where.getByText(/^Kafka does not answer: .* What is shown is of/).waitFor({ timeout: 30_000 })
    expect(await where.getByRole('row').count()).toBeGreaterThan(1)
  } finally {
    kafka.thaw()
  }
  await overview.getByText('● ready').waitFor({ timeout: 60_000 })
  await close(overview)
  await close(where)
}, 150_000)

test('a process with the server role alone says what it does not know, and asks for the token', async () => {
  const file = configFile(config({ http: { port: 0, token: 'open-sesame' } }))
  const server = start(['run', '--config', file.path, '--roles', 'server'])
  try {
    const url = await server.base()
    expect((await fetch(`${url}/ui/`)).status).toBe(401)
    const context = await browser.newContext({ httpCredentials: { username: 'any', password: 'open-sesame' } })
    const page = await context.newPage()
    await page.goto(`${url}/ui/connectors`)
    await page.getByText('This process has no worker role.').waitFor()
    await page.getByRole('region', { name: 'demo-koreai' }).waitFor()
    expect(await page.getByRole('button').count()).toBe(0)
    await page.route('**/ui/api/**', route =>
      route.fulfill({ status: 401, json: { error_code: 401, message: 'the token is another one' } }),
    )
    await page.getByText('Colloquy asks for its token (401).').waitFor()
    await context.close()
  } finally {
    await server.kill('SIGKILL')
    file.remove()
  }
})

test('when the process ends, the page says so and keeps what it has; nothing was refused by the policy, and no script failed', async () => {
  const page = await open('')
  await page.getByRole('row').first().waitFor()
  await running.kill('SIGKILL')
  await page.getByText('Colloquy does not answer').waitFor()
  expect(await page.getByRole('row').count()).toBeGreaterThan(1)
  await close(page)
  expect(faults).toEqual([])
})
