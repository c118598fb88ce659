/** A worker as its users run it, driven over Kafka Connect's REST API: a connector's whole life, and the Go client of Redpanda Console. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { BOTS, createWorld } from '../../src/sim/index.ts'
import { topicNames } from '../../src/topics.ts'
import { liveByGoClient, STEPS } from '../support/connect-client.ts'
import { launch, type Ship, startOf } from '../support/fleet.ts'
import { readIndependently } from '../support/independent/read-topics.ts'
import { configFile, type Running, start, until } from '../support/product.ts'
import { assertTopics } from '../support/topics.ts'

const DAY_MS = 86_400_000
const PATIENCE_MS = 120_000
const TOKEN = 'the-token-of-this-listener'

/** What of an answer is looked at here. */
interface Answer {
  readonly error_code?: number
  readonly message: string
  readonly config: Readonly<Record<string, string>>
  readonly connector: { readonly state: string }
  readonly tasks: readonly { readonly state: string }[]
  readonly offsets: readonly { readonly offset: Readonly<Record<string, unknown>> | null }[]
  readonly plans: readonly unknown[]
  readonly changes: readonly unknown[]
  readonly acme: { readonly topics: readonly string[] }
}

describe('a worker without connectors', () => {
  const stack = inject('stack')
  const prefix = `test-${Math.random().toString(36).slice(2, 10)}`
  const names = topicNames(prefix)
  const untilMs = Date.now() - 2 * DAY_MS
  const world = createWorld({ seed: 8, sessions: 40, fromMs: untilMs - DAY_MS, untilMs, bots: BOTS.slice(0, 2) })
  let ship: Ship
  let file: ReturnType<typeof configFile>
  let product: Running
  let base: string

  beforeAll(async () => {
    const [botmaker] = await launch({ world }, ['botmaker'])
    if (botmaker === undefined) throw new Error('there is no botmaker')
    ship = botmaker
    file = configFile({
      kafka: { brokers: [stack.brokers] },
      registry: { url: stack.registry },
      topics: { prefix, partitions: 2 },
      http: { port: 0, token: TOKEN },
    })
    product = start(['run', '--config', file.path, '--roles', 'worker'], { BOTMAKER_TOKEN: secret() })
    base = await product.base()
    await until('the worker is at work', async () => ((await ask('GET', '/health')).status === 200 ? true : undefined))
  })
  afterAll(async () => {
    await product?.kill('SIGKILL')
    await ship?.simulator.stop()
    file?.remove()
  })

  const secret = () => String(ship.keys['access.token'])
  const config = (more: object = {}): Record<string, string> =>
    Object.fromEntries(
      Object.entries({
        'connector.class': 'botmaker',
        ...ship.keys,
        'access.token': '${env:BOTMAKER_TOKEN}',
        'start.at': new Date(startOf(world)).toISOString(),
        'poll.interval.ms': 1000,
        ...more,
      }).map(([key, value]) => [key, String(value)]),
    )

  async function ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Answer }> {
    const answer = await fetch(base + path, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    return { status: answer.status, body: (text === '' ? null : JSON.parse(text)) as Answer }
  }
  const states = async () => {
    const { body } = await ask('GET', '/connectors/acme/status')
    return [body.connector.state, ...body.tasks.map(({ state }) => state)].join()
  }
  const reached = (wanted: string) =>
    until(`its states are ${wanted}`, async () => ((await states()) === wanted ? true : undefined), 100, PATIENCE_MS)
  const records = () => readIndependently(stack.brokers, stack.registry, [names.sessions, names.messages, names.events])
  /** Until the vendor has been read up to the end of its world. */
  const read = () =>
    until(
      'all has been read',
      async () => {
        const { body } = await ask('GET', '/connectors/acme/offsets')
        const entries = body.offsets
        const isRead = ({ offset }: Answer['offsets'][number]) =>
          offset !== null && offset['backfill.from'] === undefined && Date.parse(String(offset['live.until'])) > untilMs
        return entries.length > 0 && entries.every(isRead) ? entries : undefined
      },
      200,
      PATIENCE_MS,
    )

  test('asks for the token, and says what runs', async () => {
    expect((await fetch(`${base}/connectors`)).status).toBe(401)
    const { status, body } = await ask('GET', '/')
    expect(status).toBe(200)
    expect(body).toEqual({
      version: expect.stringMatching(/^4\./),
      commit: expect.any(String),
      kafka_cluster_id: expect.any(String),
    })
    expect(await ask('GET', '/connectors')).toEqual({ status: 200, body: [] })
  })

  test('refuses a secret in clear, and keeps nothing of it', async () => {
    const { status, body } = await ask('POST', '/connectors', { name: 'acme', config: config({ 'access.token': secret() }) })
    expect([status, body.error_code]).toEqual([400, 400])
    expect(body.message).toContain('access.token')
    expect(body.message).not.toContain(secret())
    expect((await ask('GET', '/connectors')).body).toEqual([])
  })

  test('reads what a connector gives that is created over REST, with its secret from the environment', async () => {
    ship.simulator.faults.next({ kind: 'status', status: 500 })
    const created = await ask('POST', '/connectors', { name: 'acme', config: config() })
    expect(created.status, JSON.stringify(created.body)).toBe(201)
    expect(created.body.config['access.token']).toBe('${env:BOTMAKER_TOKEN}')
    await reached('RUNNING,RUNNING')
    await read()
    assertTopics(await records(), names, 'botmaker', ship.truth(Date.now()))
    await until('its topics are told', async () => {
      const { body } = await ask('GET', '/connectors/acme/topics')
      return body.acme.topics.includes(names.sessions) ? true : undefined
    })
    const metrics = await (await fetch(`${base}/metrics`)).text()
    expect(metrics).toMatch(/kafka_connect_connector_task_status\{[^}]*connector="acme"[^}]*status="running"[^}]*\} 1/)
    expect(metrics).toMatch(/^kafka_connect_worker_connector_startup_success_total 1$/m)
    expect(metrics).toMatch(/^kafka_connect_worker_task_startup_success_total 1$/m)
    expect(metrics).toMatch(/^kafka_connect_worker_rebalance_leader_name\{leader_name="127\.0\.0\.1:\d+"\} 1$/m)
    // The request that the vendor failed at.
    expect(metrics).toMatch(/^kafka_connect_task_error_total_retries\{connector="acme",task="0"\} [1-9]/m)
  }, 300_000)

  test('pauses, resumes and stops it', async () => {
    expect((await ask('PUT', '/connectors/acme/pause')).status).toBe(202)
    await reached('PAUSED,PAUSED')
    expect((await ask('PUT', '/connectors/acme/resume')).status).toBe(202)
    await reached('RUNNING,RUNNING')
    expect((await ask('PATCH', '/connectors/acme/offsets', { from: new Date(startOf(world)).toISOString() })).status).toBe(400)
    expect((await ask('PUT', '/connectors/acme/stop')).status).toBe(204)
    await reached('STOPPED')
  }, 300_000)

  test('reads again from a time that its offsets are set back to, and what stands is published at most as a revision', async () => {
    const from = new Date(startOf(world)).toISOString()
    const dry = await ask('PATCH', '/connectors/acme/offsets?dryRun=true', { from })
    expect(dry.status).toBe(200)
    expect(dry.body.plans.length).toBeGreaterThan(0)
    expect((await ask('GET', '/connectors/acme/offsets/history')).body).toEqual({ changes: [] })
    const done = await ask('PATCH', '/connectors/acme/offsets', { from })
    const { offsets } = (await ask('GET', '/connectors/acme/offsets')).body
    expect(offsets.every(({ offset }) => offset !== null && 'backfill.from' in offset)).toBe(true)
    expect(done).toMatchObject({
      status: 200,
      body: { message: 'The offsets for this connector have been altered successfully' },
    })
    expect((await ask('GET', '/connectors/acme/offsets/history')).body.changes).toHaveLength(1)
    expect((await ask('PUT', '/connectors/acme/resume')).status).toBe(202)
    await reached('RUNNING,RUNNING')
    await read()
    assertTopics(await records(), names, 'botmaker', ship.truth(Date.now()))
  }, 300_000)

  test('forgets it when it is deleted', async () => {
    expect((await ask('DELETE', '/connectors/acme')).status).toBe(204)
    expect((await ask('GET', '/connectors/acme')).status).toBe(404)
    await until('its status is gone', async () =>
      (await ask('GET', '/connectors/acme/status')).status === 404 ? true : undefined,
    )
    expect((await ask('GET', '/connectors')).body).toEqual([])
  }, 120_000)

  test('is driven through the life of a connector by the Go client of Redpanda Console, unmodified', async () => {
    const { 'connector.class': className = '', ...rest } = config()
    const life = await liveByGoClient({
      url: base,
      token: TOKEN,
      name: 'by-go',
      className,
      config: { ...rest, 'tasks.max': 2 },
    })
    expect(life).toEqual({ steps: STEPS, error: '' })
    expect((await ask('GET', '/connectors')).body).toEqual([])
  }, 600_000)

  test('ends on SIGTERM with 0, and has told no secret', async () => {
    const ended = await product.kill('SIGTERM')
    expect(ended.code).toBe(0)
    expect(ended.output).not.toContain(secret())
    expect(ended.output).not.toContain(TOKEN)
  })
})
