import { describe, expect, test } from 'vitest'
import { startRest } from '../../support/rest.ts'

/**
 * The requests of Kafka Connect's tools, in their order, with the answers they expect, according to their sources, which `reference/kafka-connect-rest.md`
 * names.
 */
const CONFIG = { 'connector.class': 'botmaker', 'access.token': '${env:TOKEN}', 'tasks.max': '2' }
const accept = { accept: 'application/json' }

type Step = readonly [method: string, path: string, statuses: readonly number[], body?: unknown]

async function replay(steps: readonly Step[], headers: Record<string, string> = accept) {
  const rest = await startRest()
  const bodies: unknown[] = []
  for (const [method, path, statuses, body] of steps) {
    const answer = await rest.ask(method, path, body, headers)
    expect({ method, path, status: statuses.includes(answer.status) ? 'as expected' : answer.status }).toEqual({
      method,
      path,
      status: 'as expected',
    })
    bodies.push(answer.body)
  }
  return { ...rest, bodies }
}

describe('Strimzi', () => {
  test('a connector from the custom resource on, to its end', async () => {
    const { bodies, herder } = await replay([
      ['GET', '/connector-plugins', [200]],
      ['GET', '/connectors', [200]],
      ['GET', '/connectors/my-connector/config', [404]],
      ['PUT', '/connectors/my-connector/config', [200, 201], CONFIG],
      ['GET', '/connectors/my-connector/config', [200, 201]],
      ['GET', '/connectors/my-connector/status', [200]],
      ['GET', '/connectors/my-connector/topics', [200]],
      ['GET', '/connectors/my-connector', [200, 201]],
      ['PUT', '/connectors/my-connector/pause', [202]],
      ['PUT', '/connectors/my-connector/resume', [202]],
      ['POST', '/connectors/my-connector/restart?includeTasks=false&onlyFailed=false', [202, 204]],
      ['POST', '/connectors/my-connector/restart?includeTasks=true&onlyFailed=true', [202, 204]],
      ['POST', '/connectors/my-connector/tasks/0/restart', [204]],
      ['PUT', '/connectors/my-connector/stop', [204]],
      ['GET', '/connectors/my-connector/offsets', [200]],
      [
        'PATCH',
        '/connectors/my-connector/offsets',
        [200],
        { offsets: [{ partition: { stream: 's', scope: 'a' }, offset: null }] },
      ],
      ['DELETE', '/connectors/my-connector/offsets', [200]],
      ['PUT', '/connectors/my-connector/resume', [202]],
      ['DELETE', '/connectors/my-connector', [204]],
      // It waits for this before it believes that the connector is gone.
      ['GET', '/connectors/my-connector/status', [404]],
    ])
    // Maps of text, as it decodes them.
    expect(bodies[4]).toEqual({ ...CONFIG, name: 'my-connector' })
    expect(bodies[6]).toEqual({ 'my-connector': { topics: [] } })
    expect(herder.names()).toEqual([])
  })

  test('loggers, here and on all workers', async () => {
    const { bodies } = await replay([
      ['GET', '/admin/loggers/', [200]],
      ['PUT', '/admin/loggers/root', [200], { level: 'INFO' }],
      ['PUT', '/admin/loggers/connector.acme?scope=cluster', [200, 204], { level: 'DEBUG' }],
    ])
    expect(bodies[0]).toEqual({ root: { level: 'INFO', last_modified: null } })
  })
})

describe('kafbat', () => {
  test('the pages of connectors, and the requests of their buttons', async () => {
    const { bodies } = await replay([
      ['GET', '/', [200]],
      ['GET', '/connectors?search=', [200]],
      ['GET', '/connector-plugins', [200]],
      // It sends numbers and booleans as they are.
      [
        'PUT',
        '/connector-plugins/botmaker/config/validate',
        [200],
        { ...CONFIG, name: 'kafbat-made', account: 'acme', 'tasks.max': 2, 'include.events': false },
      ],
      ['POST', '/connectors', [201], { name: 'kafbat-made', config: { ...CONFIG, account: 'acme', 'tasks.max': 2 } }],
      ['GET', '/connectors?expand=status&expand=info', [200]],
      ['GET', '/connectors/kafbat-made', [200]],
      ['GET', '/connectors/kafbat-made/config', [200]],
      ['GET', '/connectors/kafbat-made/status', [200]],
      ['GET', '/connectors/kafbat-made/tasks', [200]],
      ['GET', '/connectors/kafbat-made/tasks/0/status', [200]],
      ['GET', '/connectors/kafbat-made/topics', [200]],
      ['PUT', '/connectors/kafbat-made/config', [200], { ...CONFIG, account: 'acme', 'tasks.max': 3, name: 'kafbat-made' }],
      ['POST', '/connectors/kafbat-made/restart?includeTasks=false&onlyFailed=false', [204]],
      ['POST', '/connectors/kafbat-made/restart?includeTasks=true&onlyFailed=true', [202]],
      ['POST', '/connectors/kafbat-made/tasks/1/restart', [204]],
      ['PUT', '/connectors/kafbat-made/pause', [202]],
      ['PUT', '/connectors/kafbat-made/resume', [202]],
      ['PUT', '/connectors/kafbat-made/stop', [204]],
      ['DELETE', '/connectors/kafbat-made/offsets', [200]],
      ['DELETE', '/connectors/kafbat-made', [204]],
    ])
    expect(bodies[3]).toMatchObject({ error_count: 0 })
    const { info, status } = (
      bodies[5] as Record<string, { info: { tasks: { task: number }[] }; status: { tasks: { id: number }[] } }>
    )['kafbat-made'] ?? { info: { tasks: [] }, status: { tasks: [] } }
    expect(info.tasks.map(({ task }) => task)).toEqual([0, 1])
    expect(status.tasks.map(({ id }) => id)).toEqual([0, 1])
  })

  test('every enumeration contains only values known to its generated client', async () => {
    const { ask, herder } = await startRest()
    herder.add('c', {}, { failed: new Set([0]) })
    const states = ['RUNNING', 'FAILED', 'PAUSED', 'UNASSIGNED', 'RESTARTING', 'STOPPED']
    const { connector, tasks } = (await ask('GET', '/connectors/c/status')).body as {
      connector: { state: string }
      tasks: { state: string }[]
    }
    for (const { state } of [connector, ...tasks]) expect(states).toContain(state)
    const { configs } = (await ask('PUT', '/connector-plugins/botmaker/config/validate', CONFIG)).body as {
      configs: { definition: { type: string; importance: string; width: string } }[]
    }
    expect(configs.length).toBeGreaterThan(20)
    for (const { definition } of configs) {
      expect(['BOOLEAN', 'CLASS', 'DOUBLE', 'INT', 'LIST', 'LONG', 'PASSWORD', 'SHORT', 'STRING']).toContain(definition.type)
      expect(['LOW', 'MEDIUM', 'HIGH']).toContain(definition.importance)
      expect(['SHORT', 'MEDIUM', 'LONG', 'NONE']).toContain(definition.width)
    }
  })
})

describe('kcctl', () => {
  test('its commands, with slashes at the end and Basic authentication', async () => {
    const authorization = `Basic ${Buffer.from('user:pass').toString('base64')}`
    const { bodies } = await replay(
      [
        ['GET', '/', [200]],
        ['GET', '/connector-plugins/?connectorsOnly=false', [200]],
        ['PUT', '/connectors/kcctl/config', [201], CONFIG],
        ['GET', '/connectors/', [200]],
        ['GET', '/connectors/?expand=status&expand=info', [200]],
        ['GET', '/connectors/kcctl/topics/', [200]],
        ['PUT', '/connectors/kcctl/pause/', [202]],
        ['PUT', '/connectors/kcctl/resume/', [202]],
        ['POST', '/connectors/kcctl/restart/?includeTasks=true&onlyFailed=false', [202]],
        ['PUT', '/connectors/kcctl/stop/', [204]],
        ['GET', '/connectors/kcctl/offsets/', [200]],
        ['DELETE', '/connectors/kcctl/offsets/', [200]],
        ['GET', '/connector-plugins/botmaker/config/', [200]],
        ['GET', '/admin/loggers/', [200]],
        ['PUT', '/admin/loggers/root/', [200], { level: 'WARN' }],
        ['DELETE', '/connectors/kcctl/', [204]],
      ],
      { authorization },
    )
    // The first two numbers decide what it shows.
    expect((bodies[0] as { version: string }).version).toMatch(/^4\.3\.\d+-/)
  })
})
