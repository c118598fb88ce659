import { onTestFinished } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import type { ConnectorMap } from '../../src/config.ts'
import { connectorClasses } from '../../src/control/classes.ts'
import type { Herder } from '../../src/control/port.ts'
import { addControlRoutes, type RestOptions } from '../../src/control/rest/index.ts'
import type { Resolve } from '../../src/control/validate.ts'
import { createLog, type Log } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { type HttpOptions, startHttp } from '../../src/serve/http.ts'
import { builtInConnectors } from '../../src/source/registry.ts'
import { handClock } from './clock.ts'
import { FakeHerder } from './fake-herder.ts'

export interface Reply {
  readonly status: number
  readonly headers: Headers
  /** Parsed where it is JSON; null where there is none. */
  readonly body: unknown
}

interface RestTest {
  readonly herder: FakeHerder
  readonly url: string
  readonly log: Log
  readonly lines: string[]
  /** A body that is no text is sent as JSON. */
  readonly ask: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Reply>
}

interface RestTestOptions {
  readonly herder?: () => Herder | null
  readonly clock?: Clock
  readonly http?: Partial<HttpOptions>
  readonly rest?: Partial<RestOptions>
}

// Once, while the file is loaded: the first test would else wait for it.
await builtInConnectors()

const NOW = '2026-11-29T12:00:00Z'

/** What `${env:NAME}` and `${file:PATH}` stand for in these tests. */
const BEHIND: Readonly<Record<string, string>> = {
  '${env:TOKEN}': 'token-of-the-vendor',
  '${env:ADDRESS}': 'https://vendor.example',
}

export const resolve: Resolve = written => {
  const faults = new Map<string, string>()
  const map = Object.create(null) as Record<string, ConnectorMap[string]>
  for (const [key, value] of Object.entries(written)) {
    const found = value.startsWith('${') ? BEHIND[value] : value
    if (found === undefined) faults.set(key, 'the environment has no such variable')
    map[key] = found ?? value
  }
  return { map, faults }
}

/** The product's listener with the REST API over a herder in memory. Closed when the test is over. */
export async function startRest(options: RestTestOptions = {}): Promise<RestTest> {
  const clock = options.clock ?? handClock(NOW)
  const lines: string[] = []
  const log = createLog('info', line => lines.push(line))
  const classes = connectorClasses()
  const herder = new FakeHerder(classes)
  const server = await startHttp({
    host: '127.0.0.1',
    port: 0,
    log,
    metrics: createMetrics({ processMetrics: false }),
    clock,
    version: '0.1.0',
    health: () => [],
    control: app =>
      addControlRoutes(app, {
        herder: options.herder ?? (() => herder),
        starting: () => 'Kafka does not answer',
        classes,
        resolve,
        clock,
        log,
        version: '0.1.0',
        ...options.rest,
      }),
    ...options.http,
  })
  onTestFinished(() => server.close())
  return { herder, url: server.url, log, lines, ask: (...request) => ask(server.url, ...request) }
}

export async function ask(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const isText = typeof body === 'string'
  const answer = await fetch(url + path, {
    method,
    redirect: 'manual',
    ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
  })
  const text = await answer.text()
  const isJson = answer.headers.get('content-type')?.includes('json') ?? false
  return { status: answer.status, headers: answer.headers, body: text === '' ? null : isJson ? JSON.parse(text) : text }
}
