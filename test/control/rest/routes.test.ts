import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { ControlError } from '../../../src/control/port.ts'
import { startRest } from '../../support/rest.ts'

const CONFIG = { 'connector.class': 'botmaker', 'access.token': '${env:TOKEN}' }
const info = (name: string, config: object, tasks = [0]) => ({
  name,
  config: { name, ...config },
  tasks: tasks.map(task => ({ connector: name, task })),
  type: 'source',
})
const error = (status: number, message: unknown) => ({ status, body: { error_code: status, message } })

describe('worker', () => {
  test('the root has a version that tools of Kafka Connect read, followed by ours', async () => {
    const { ask } = await startRest({ rest: { commit: '6ca4bf5bd5e0e2a1' } })
    expect(await ask('GET', '/')).toMatchObject({
      status: 200,
      body: { version: '4.3.1-colloquy-0.1.0', commit: '6ca4bf5bd5e0e2a1', kafka_cluster_id: 'I4ZmrWqfT2e-upky_4fdPA' },
    })
  })

  test('health: starting until the worker could work once, then healthy or not', async () => {
    const started: { herder: Awaited<ReturnType<typeof startRest>>['herder'] | null } = { herder: null }
    const { ask, herder } = await startRest({ herder: () => started.herder })
    expect(await ask('GET', '/health')).toMatchObject({
      status: 503,
      body: { status: 'starting', message: 'Worker is still starting up. Kafka does not answer' },
    })
    expect(await ask('GET', '/connectors')).toMatchObject(
      error(409, 'Cannot complete request momentarily: this worker is still starting up (Kafka does not answer)'),
    )
    expect((await ask('GET', '/')).body).toMatchObject({ kafka_cluster_id: null })
    started.herder = herder
    herder.why = 'joining the group'
    expect(await ask('GET', '/health')).toMatchObject({ status: 503, body: { status: 'starting' } })
    herder.why = null
    expect(await ask('GET', '/health/')).toMatchObject({
      status: 200,
      body: { status: 'healthy', message: 'Worker has completed startup and is ready to handle requests.' },
    })
    herder.why = 'the group is away'
    expect(await ask('GET', '/health')).toMatchObject({
      status: 500,
      body: {
        status: 'unhealthy',
        message: 'Worker was unable to handle this request and may be unable to handle other requests. the group is away',
      },
    })
  })
})

describe('list, creation, config', () => {
  test('the list has names, and with expand the requested parts of those whose status is known', async () => {
    const { ask, herder } = await startRest()
    expect((await ask('GET', '/connectors')).body).toEqual([])
    herder.add('b-two').add('a-one', { 'tasks.max': '1' }).add('new', {}, { hasStatus: false })
    expect(await ask('GET', '/connectors/')).toMatchObject({ status: 200, body: ['a-one', 'b-two', 'new'] })
    const both = (await ask('GET', '/connectors?expand=info&expand=status&expand=else')).body as Record<string, object>
    expect(Object.keys(both)).toEqual(['a-one', 'b-two'])
    expect(both['a-one']).toEqual({
      info: info('a-one', { ...CONFIG, 'tasks.max': '1' }),
      status: {
        name: 'a-one',
        connector: { state: 'RUNNING', worker_id: '127.0.0.1:8083', version: '0.1.0' },
        tasks: [{ id: 0, state: 'RUNNING', worker_id: '127.0.0.1:8083', version: '0.1.0' }],
        type: 'source',
      },
    })
    const infos = (await ask('GET', '/connectors?expand=info')).body as Record<string, object>
    expect(Object.keys(infos)).toEqual(['a-one', 'b-two', 'new'])
    expect(Object.keys(infos['new'] ?? {})).toEqual(['info'])
    expect(Object.keys(((await ask('GET', '/connectors?expand=status')).body as Record<string, object>)['b-two'] ?? {})).toEqual([
      'status',
    ])
  })

  test('POST creates: 201, where it is, and what it is', async () => {
    const { ask, herder } = await startRest()
    const created = await ask('POST', '/connectors', { name: ' bm-live ', config: CONFIG })
    expect(created).toMatchObject({ status: 201, body: info('bm-live', CONFIG) })
    expect(created.headers.get('location')).toBe('/connectors/bm-live')
    expect(herder.calls).toEqual([['create', 'bm-live', { ...CONFIG, name: 'bm-live' }, 'RUNNING']])
    expect(await ask('POST', '/connectors', { name: 'bm-live', config: CONFIG })).toMatchObject(
      error(409, 'Connector bm-live already exists'),
    )
  })

  test.each([
    ['paused', 'PAUSED'],
    ['STOPPED', 'STOPPED'],
    ['Running', 'RUNNING'],
  ])('POST with initial_state %s', async (given, target) => {
    const { ask, herder } = await startRest()
    expect((await ask('POST', '/connectors', { name: 'c', config: CONFIG, initial_state: given })).status).toBe(201)
    expect(herder.calls).toEqual([['create', 'c', { ...CONFIG, name: 'c' }, target]])
  })

  test('scalars become text, and numbers keep their digits', async () => {
    const { ask, herder } = await startRest()
    const body = `{"name":"c","config":{"connector.class":"botmaker","access.token":"\${env:TOKEN}","tasks.max":2,"include.events":false,"bot.id":12345678901234567890}}`
    expect((await ask('POST', '/connectors', body)).body).toMatchObject({
      config: { 'tasks.max': '2', 'include.events': 'false', 'bot.id': '12345678901234567890' },
    })
    expect((await ask('PUT', '/connectors/c/config', body.slice(body.indexOf('{', 2), -1))).status).toBe(200)
    expect(herder.calls.at(-1)).toMatchObject(['put', 'c', { 'bot.id': '12345678901234567890' }])
  })

  test.each([
    ['{', 'the body is not JSON'],
    ['', 'the body is empty, and takes JSON'],
    ['[]', 'the body takes a map'],
    ['['.repeat(200_000), 'the body is not JSON'],
    [{ name: 'c' }, 'config takes a map'],
    [{ name: 'c', config: CONFIG, initial_state: 'RESTING' }, 'initial_state takes one of RUNNING, PAUSED, STOPPED'],
    [{ name: 'c', config: CONFIG, initialState: 'PAUSED' }, /^initialState is not a field/],
    [{ name: 'c', config: { ...CONFIG, a: ['b'] } }, 'a takes text, a number, true or false; a list is text with commas'],
    [
      { name: 'c', config: { ...CONFIG, name: 'd' } },
      "Connector name configuration (d) doesn't match connector name in the URL (c)",
    ],
    [{ name: 'c', config: {} }, 'Connector config contains no connector type'],
    [
      { name: 'c', config: { 'connector.class': 'nothing' } },
      /^Failed to find any class that implements Connector and which name matches nothing, available connectors are: .*botmaker/,
    ],
    [
      { name: 'c', config: { 'connector.class': 'botmaker', 'tasks.max': 'many' } },
      'Connector configuration is invalid and contains the following 2 error(s):\n' +
        'Missing required configuration "access.token" which has no default value.\n' +
        'Invalid value for configuration tasks.max: takes a whole number from 1 up to 1000 in decimal digits\n' +
        'You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`',
    ],
    [
      { name: 'c', config: { ...CONFIG, 'tasks.max': null } },
      /contains the following 1 error\(s\):\nInvalid value for configuration tasks.max: Null value can not be supplied as the configuration value.\n/,
    ],
  ])('POST of %j gets 400', async (body, message) => {
    const { ask, herder } = await startRest()
    const words = typeof message === 'string' ? message : expect.stringMatching(message)
    expect(await ask('POST', '/connectors', body)).toMatchObject(error(400, words))
    expect(herder.names()).toEqual([])
  })

  test('one connector, its config and its tasks', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live')
    const config = { name: 'bm-live', ...CONFIG, 'tasks.max': '2' }
    expect(await ask('GET', '/connectors/bm-live/')).toMatchObject({ status: 200, body: info('bm-live', config, [0, 1]) })
    expect((await ask('GET', '/connectors/bm-live/config')).body).toEqual(config)
    expect((await ask('GET', '/connectors/bm-live/tasks')).body).toEqual([
      { id: { connector: 'bm-live', task: 0 }, config },
      { id: { connector: 'bm-live', task: 1 }, config },
    ])
  })

  test('PUT of a config creates with 201, changes with 200, and fills the name in', async () => {
    const { ask, herder } = await startRest()
    const first = await ask('PUT', '/connectors/bm-live/config', CONFIG)
    expect(first).toMatchObject({ status: 201, body: info('bm-live', CONFIG) })
    expect(first.headers.get('location')).toBe('/connectors/bm-live')
    const second = await ask('PUT', '/connectors/bm-live/config', { ...CONFIG, 'tasks.max': '3' })
    expect(second).toMatchObject({ status: 200, body: { config: { 'tasks.max': '3' } } })
    expect(second.headers.get('location')).toBeNull()
    expect(herder.connectors.get('bm-live')?.config).toEqual({ ...CONFIG, 'tasks.max': '3', name: 'bm-live' })
    expect(await ask('PUT', '/connectors/bm-live/config', { ...CONFIG, name: 'other' })).toMatchObject(
      error(400, "Connector name configuration (other) doesn't match connector name in the URL (bm-live)"),
    )
    expect(await ask('PUT', '/connectors/bm-live/config', { ...CONFIG, 'tasks.max': null })).toMatchObject({ status: 400 })
  })

  test('PATCH of a config changes single keys, and null removes one', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live', { 'poll.interval.ms': '60000' })
    expect(await ask('PATCH', '/connectors/bm-live/config', { 'tasks.max': 3, 'poll.interval.ms': null })).toMatchObject({
      status: 200,
      body: info('bm-live', { ...CONFIG, 'tasks.max': '3' }, [0, 1]),
    })
    expect((await ask('GET', '/connectors/bm-live/config')).body).not.toHaveProperty(['poll.interval.ms'])
    expect(await ask('PATCH', '/connectors/bm-live/config', { name: 'x' })).toMatchObject({ status: 400 })
    expect(await ask('PATCH', '/connectors/bm-live/config', { name: null })).toMatchObject({ status: 400 })
  })

  test('DELETE removes it', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live')
    expect(await ask('DELETE', '/connectors/bm-live')).toMatchObject({ status: 204, body: null })
    expect(herder.names()).toEqual([])
  })

  test('a name that is percent-encoded is decoded once', async () => {
    const { ask, herder } = await startRest()
    for (const name of ['größe 1', 'a%41', 'x'.repeat(128)]) {
      herder.add(name)
      const path = `/connectors/${encodeURIComponent(name)}`
      expect((await ask('GET', path)).body).toMatchObject({ name })
      expect(await ask('PUT', `${path}/stop`)).toMatchObject({ status: 204 })
      expect((await ask('GET', `${path}/topics`)).body).toEqual({ [name]: { topics: ['colloquy.sessions'] } })
    }
    const { headers } = await ask('PUT', `/connectors/${encodeURIComponent('ö b')}/config`, { ...CONFIG, account: 'acme' })
    expect(headers.get('location')).toBe('/connectors/%C3%B6%20b')
    // As Kafka Connect's own listener does.
    expect(await ask('GET', '/connectors/a%2Fb')).toMatchObject({ status: 400, body: { error_code: 400 } })
  })

  test('a key named __proto__ is a key like others', async () => {
    const { ask } = await startRest()
    const body = '{"name":"c","config":{"connector.class":"botmaker","access.token":"${env:TOKEN}","__proto__":"x"}}'
    expect(await ask('POST', '/connectors', body)).toMatchObject(
      error(400, expect.stringContaining('Invalid value for configuration __proto__: is not a key of botmaker')),
    )
  })
})

describe('status and life cycle', () => {
  test('status of a connector and of a task; a failed task says why', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live', {}, { failed: new Set([1]) })
    const failed = {
      id: 1,
      state: 'FAILED',
      worker_id: '127.0.0.1:8083',
      trace: expect.stringMatching(/^SRC_UNAUTHORISED: .+\n.+/) as string,
      version: '0.1.0',
    }
    expect(await ask('GET', '/connectors/bm-live/status')).toMatchObject({
      status: 200,
      body: { name: 'bm-live', connector: { state: 'RUNNING' }, tasks: [{ id: 0, state: 'RUNNING' }, failed], type: 'source' },
    })
    expect(await ask('GET', '/connectors/bm-live/tasks/1/status')).toMatchObject({ status: 200, body: failed })
    expect(await ask('GET', '/connectors/bm-live/tasks/2/status')).toMatchObject(error(404, 'No status found for task bm-live-2'))
    expect((await ask('GET', '/connectors/bm-live/tasks/first/status')).status).toBe(404)
  })

  test('pause, resume and stop', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live')
    const steps = [
      ['pause', 202, 'PAUSED'],
      ['resume', 202, 'RUNNING'],
      ['stop', 204, 'STOPPED'],
      ['stop/', 204, 'STOPPED'],
      ['resume', 202, 'RUNNING'],
    ] as const
    for (const [word, status, target] of steps) {
      expect(await ask('PUT', `/connectors/bm-live/${word}`)).toMatchObject({ status, body: null })
      expect(herder.connectors.get('bm-live')?.target).toBe(target)
    }
  })

  test('restart: of the connector only without an answer body, else with the resulting state', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live', {}, { failed: new Set([1]) })
    for (const query of ['', '?includeTasks=false&onlyFailed=false'])
      expect(await ask('POST', `/connectors/bm-live/restart${query}`)).toMatchObject({ status: 204, body: null })
    expect(await ask('POST', '/connectors/bm-live/restart?includeTasks=true&onlyFailed=false')).toMatchObject({
      status: 202,
      body: { connector: { state: 'RESTARTING' }, tasks: [{ state: 'RESTARTING' }, { state: 'RESTARTING' }] },
    })
    expect(await ask('POST', '/connectors/bm-live/restart?includeTasks=TRUE&onlyFailed=true')).toMatchObject({
      status: 202,
      body: { connector: { state: 'RUNNING' }, tasks: [{ state: 'RUNNING' }, { state: 'RESTARTING' }] },
    })
    expect((await ask('POST', '/connectors/bm-live/restart?onlyFailed=true')).status).toBe(202)
    expect(herder.calls.map(call => (call as unknown[])[2])).toEqual([
      { includeTasks: false, onlyFailed: false },
      { includeTasks: false, onlyFailed: false },
      { includeTasks: true, onlyFailed: false },
      { includeTasks: true, onlyFailed: true },
      { includeTasks: false, onlyFailed: true },
    ])
  })

  test('restart of a task', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live')
    expect(await ask('POST', '/connectors/bm-live/tasks/1/restart')).toMatchObject({ status: 204, body: null })
    expect(herder.calls).toEqual([['restartTask', { connector: 'bm-live', task: 1 }]])
    expect(await ask('POST', '/connectors/bm-live/tasks/7/restart')).toMatchObject(error(404, 'Unknown task: bm-live-7'))
  })

  test('requests without a body are accepted with any content type and with none', async () => {
    const { ask, herder, url } = await startRest()
    herder.add('bm-live')
    for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain'])
      expect(await ask('PUT', '/connectors/bm-live/pause', '', { 'content-type': type })).toMatchObject({ status: 202 })
    const raw = await new Promise<string>((resolve, reject) => {
      const { host, port, hostname } = new URL(url)
      const socket = connect(Number(port), hostname, () =>
        socket.write(`POST /connectors/bm-live/restart HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
      )
      let text = ''
      socket.on('data', data => (text += data.toString()))
      socket.on('close', () => resolve(text))
      socket.on('error', reject)
    })
    expect(raw).toMatch(/^HTTP\/1\.1 204 /)
  })

  test('topics, also of a connector that does not exist, and their reset', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live')
    expect((await ask('GET', '/connectors/bm-live/topics')).body).toEqual({ 'bm-live': { topics: ['colloquy.sessions'] } })
    expect(await ask('GET', '/connectors/none/topics')).toMatchObject({ status: 200, body: { none: { topics: [] } } })
    expect(await ask('PUT', '/connectors/bm-live/topics/reset')).toMatchObject({ status: 202, body: null })
    expect((await ask('GET', '/connectors/bm-live/topics')).body).toEqual({ 'bm-live': { topics: [] } })
    expect((await ask('PUT', '/connectors/none/topics/reset')).status).toBe(202)
  })
})

describe('offsets', () => {
  const partition = { stream: 'sessions', scope: 'acme' }
  const stopped = async () => {
    const rest = await startRest()
    rest.herder.add(
      'bm-live',
      {},
      {
        target: 'STOPPED',
        tasks: 0,
        offsets: [
          { partition, offset: { until: '2026-11-01T00:00:00Z' } },
          { partition: { ...partition, scope: 'umbra' }, offset: null },
        ],
      },
    )
    return rest
  }

  test('are read, altered, reset, and tried', async () => {
    const { ask, herder } = await stopped()
    expect(await ask('GET', '/connectors/bm-live/offsets')).toMatchObject({
      status: 200,
      body: { offsets: [{ partition, offset: { until: '2026-11-01T00:00:00Z' } }, { offset: null }] },
    })
    const changes = { offsets: [{ partition, offset: { from: '2026-11-01T00:00:00Z' } }] }
    expect(await ask('PATCH', '/connectors/bm-live/offsets?dryRun=true', changes)).toMatchObject({
      status: 200,
      body: { message: expect.stringContaining('Nothing has been changed') as string, plans: [{ partition }] },
    })
    expect(herder.connectors.get('bm-live')?.history).toEqual([])
    expect(await ask('PATCH', '/connectors/bm-live/offsets', changes)).toMatchObject({
      status: 200,
      body: { message: 'The offsets for this connector have been altered successfully', plans: [{ partition }] },
    })
    expect(await ask('DELETE', '/connectors/bm-live/offsets')).toMatchObject({
      status: 200,
      body: { message: 'The offsets for this connector have been reset successfully' },
    })
    expect(herder.calls).toEqual([
      ['alterOffsets', 'bm-live', changes.offsets, { dryRun: true, by: '127.0.0.1' }],
      ['alterOffsets', 'bm-live', changes.offsets, { dryRun: false, by: '127.0.0.1' }],
      ['alterOffsets', 'bm-live', null, { dryRun: false, by: '127.0.0.1' }],
    ])
    expect(await ask('GET', '/connectors/bm-live/offsets/history')).toMatchObject({
      status: 200,
      body: { changes: [{ by: '127.0.0.1' }, { by: '127.0.0.1' }] },
    })
  })

  test('a lone time sets every source partition back', async () => {
    const { ask, herder } = await stopped()
    expect((await ask('PATCH', '/connectors/bm-live/offsets', { from: '2026-11-01' })).status).toBe(200)
    expect(herder.calls).toMatchObject([
      [
        'alterOffsets',
        'bm-live',
        [
          { partition, offset: { from: '2026-11-01' } },
          { partition: { ...partition, scope: 'umbra' }, offset: { from: '2026-11-01' } },
        ],
        {},
      ],
    ])
  })

  test('the history names the client by its Basic authentication and its address', async () => {
    const { ask, herder } = await stopped()
    const authorization = `Basic ${Buffer.from('ops:secret-word').toString('base64')}`
    await ask('DELETE', '/connectors/bm-live/offsets', undefined, { authorization, 'x-colloquy-asked-by': 'somebody' })
    expect(herder.connectors.get('bm-live')?.history[0]?.by).toBe('ops at 127.0.0.1')
  })

  test.each([
    [{}, 'Partitions / offsets need to be provided for an alter offsets request'],
    [{ offsets: null }, 'Partitions / offsets need to be provided for an alter offsets request'],
    [{ offsets: [] }, 'Partitions / offsets need to be provided for an alter offsets request'],
    [{ offsets: {} }, 'offsets takes a list'],
    [{ offsets: [{ partition }] }, 'offsets[0].offset is missing: null resets the partition'],
    [{ offsets: [{ offset: null }] }, 'offsets[0].partition takes a map'],
    [{ offsets: [{ partition, offset: 'x' }] }, 'offsets[0].offset takes a map'],
    [{ offsets: [{ partition, offset: { a: [] } }] }, 'offsets[0].offset.a takes text, a number, true, false or null'],
    [
      {
        offsets: [
          { partition, offset: null },
          { partition: { scope: 'acme', stream: 'sessions' }, offset: null },
        ],
      },
      'a partition is in offsets more than once',
    ],
    [{ from: '2026-11-01', offsets: [] }, /^from takes a time/],
    [{ offset: [] }, /^offset is not a field/],
  ])('PATCH of %j gets 400', async (body, message) => {
    const { ask, herder } = await stopped()
    const words = typeof message === 'string' ? message : expect.stringMatching(message)
    expect(await ask('PATCH', '/connectors/bm-live/offsets', body)).toMatchObject(error(400, words))
    expect(herder.calls).toEqual([])
  })

  test('of a running connector are rejected', async () => {
    const { ask, herder } = await startRest()
    herder.add('bm-live')
    expect(await ask('DELETE', '/connectors/bm-live/offsets')).toMatchObject(
      error(400, expect.stringMatching(/^Connectors must be in the STOPPED state .* '\/connectors\/bm-live\/stop' endpoint$/)),
    )
  })
})

describe('loggers', () => {
  test('those with a level of their own are listed, a level applies to all below', async () => {
    const { ask, log, lines } = await startRest()
    const task = log.child({ connector: 'acme', stream: 'sessions', task: 0 })
    expect((await ask('GET', '/admin/loggers/')).body).toEqual({ root: { level: 'INFO', last_modified: null } })
    const set = await ask('PUT', '/admin/loggers/connector.acme', { level: 'debug' })
    expect(set).toMatchObject({ status: 200, body: ['connector.acme', 'connector.acme.sessions'] })
    task.debug({}, 'now seen')
    expect(lines.join('')).toContain('now seen')
    expect(await ask('GET', '/admin/loggers')).toMatchObject({
      status: 200,
      body: { 'connector.acme': { level: 'DEBUG', last_modified: expect.any(Number) as number }, root: { level: 'INFO' } },
    })
    expect((await ask('GET', '/admin/loggers/connector.acme.sessions')).body).toEqual({ level: 'DEBUG', last_modified: null })
    expect((await ask('GET', '/admin/loggers/root')).body).toEqual({ level: 'INFO', last_modified: null })
    expect(await ask('GET', '/admin/loggers/connector.none')).toMatchObject(error(404, 'Logger connector.none not found.'))
  })

  test('with scope=cluster the level goes to all workers', async () => {
    const { ask, herder } = await startRest()
    expect(await ask('PUT', '/admin/loggers/root?scope=cluster', { level: 'Trace' })).toMatchObject({ status: 204, body: null })
    expect(herder.calls).toEqual([['setClusterLevel', 'root', 'TRACE']])
    expect((await ask('PUT', '/admin/loggers/root?scope=other', { level: 'WARN' })).body).toEqual(['root'])
  })

  test('a missing level gets 400, an unknown one 404', async () => {
    const { ask } = await startRest()
    const missing = error(400, "Desired 'level' parameter was not specified in request.")
    expect(await ask('PUT', '/admin/loggers/root', {})).toMatchObject(missing)
    expect(await ask('PUT', '/admin/loggers/root')).toMatchObject(missing)
    expect(await ask('PUT', '/admin/loggers/root', { level: 'LOUD' })).toMatchObject(error(404, "invalid log level 'LOUD'."))
  })
})

describe('errors', () => {
  test.each([
    ['GET', '/connectors/none', 'Connector none not found'],
    ['GET', '/connectors/none/config', 'Connector none not found'],
    ['GET', '/connectors/none/tasks', 'Connector none not found'],
    ['GET', '/connectors/none/status', 'No status found for connector none'],
    ['GET', '/connectors/none/tasks/0/status', 'No status found for task none-0'],
    ['PATCH', '/connectors/none/config', 'Connector none not found'],
    ['DELETE', '/connectors/none', 'Connector none not found'],
    ['PUT', '/connectors/none/pause', 'Unknown connector none'],
    ['PUT', '/connectors/none/resume', 'Unknown connector none'],
    ['PUT', '/connectors/none/stop', 'Unknown connector none'],
    ['POST', '/connectors/none/restart', 'Unknown connector: none'],
    ['POST', '/connectors/none/restart?includeTasks=true', 'Unknown connector: none'],
    ['POST', '/connectors/none/tasks/0/restart', 'Unknown connector: none'],
    ['GET', '/connectors/none/offsets', 'Connector none not found'],
    ['GET', '/connectors/none/offsets/history', 'Connector none not found'],
    ['PATCH', '/connectors/none/offsets', 'Connector none not found'],
    ['DELETE', '/connectors/none/offsets', 'Connector none not found'],
    ['GET', '/connector-plugins/none/config', 'Unknown plugin none.'],
    ['GET', '/connectors/none/tasks-config', 'there is nothing at /connectors/none/tasks-config'],
    ['GET', '/connectors/none/nothing', 'there is nothing at /connectors/none/nothing'],
    ['GET', '/admin/nothing', 'there is nothing at /admin/nothing'],
  ])('%s %s: 404 %s', async (method, path, message) => {
    const { ask } = await startRest()
    expect(await ask(method, path, method === 'PATCH' ? {} : undefined)).toMatchObject(error(404, message))
  })

  test('internal requests of Kafka Connect workers are rejected', async () => {
    const { ask } = await startRest()
    for (const [method, path] of [
      ['POST', '/connectors/c/tasks'],
      ['PUT', '/connectors/c/fence'],
    ] as const)
      expect(await ask(method, path, [])).toMatchObject(error(400, 'Internal request missing required signature'))
  })

  test.each([
    ['DELETE', '/connectors', 'GET, HEAD, POST'],
    ['POST', '/connectors/c/', 'GET, HEAD, DELETE'],
    ['GET', '/connectors/c/pause', 'PUT'],
    ['PUT', '/connectors/c/restart', 'POST'],
    ['POST', '/connectors/c/offsets', 'GET, HEAD, PATCH, DELETE'],
    ['PUT', '/', 'GET, HEAD'],
    ['POST', '/health', 'GET, HEAD'],
  ])('%s %s: 405, and what the path takes', async (method, path, allow) => {
    const { ask } = await startRest()
    const answer = await ask(method, path, method === 'GET' ? undefined : 'a body', { 'content-type': 'text/strange' })
    expect(answer).toMatchObject({ status: 405, body: { error_code: 405 } })
    expect(answer.headers.get('allow')).toBe(allow)
  })

  test('a body of another type gets 415, one without a type is read as JSON', async () => {
    const { ask, url } = await startRest()
    const body = JSON.stringify({ name: 'c', config: CONFIG })
    expect(await ask('POST', '/connectors', body, { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      body: { error_code: 415 },
    })
    expect((await ask('POST', '/connectors', body, { 'content-type': 'application/json; charset=UTF-8' })).status).toBe(201)
    const untyped = await fetch(`${url}/connectors/c/config`, {
      method: 'PUT',
      body: new TextEncoder().encode(JSON.stringify(CONFIG)),
    })
    expect(untyped.status).toBe(200)
  })

  test('a page of another site cannot make its reader restart connectors', async () => {
    const { ask, herder, url } = await startRest()
    herder.add('c')
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:1'])
      expect(await ask('POST', '/connectors/c/restart', undefined, { origin })).toMatchObject({ status: 403 })
    expect(herder.calls).toEqual([])
    expect((await ask('POST', '/connectors/c/restart', undefined, { origin: url })).status).toBe(204)
    expect((await ask('GET', '/connectors', undefined, { origin: 'https://evil.example' })).status).toBe(200)
  })

  test('an error of the herder is the answer, and a bug is 500 without internals', async () => {
    const { ask, herder, lines } = await startRest()
    herder.add('c')
    herder.pause = async () => {
      throw new ControlError(409, 'c stands in the config file')
    }
    expect(await ask('PUT', '/connectors/c/config', CONFIG)).toMatchObject(error(409, 'c stands in the config file'))
    herder.pause = async () => {
      throw new Error('inner-words')
    }
    expect(await ask('PUT', '/connectors/c/pause')).toMatchObject(error(500, expect.not.stringContaining('inner-words')))
    expect(lines.join('')).toContain('inner-words')
  })

  test('a request that takes too long gets 500 with its start time', async () => {
    const rest = await startRest({ rest: { timeoutMs: 50 }, clock: systemClock })
    rest.herder.add('c').pause = () => new Promise(() => {})
    expect(await rest.ask('PUT', '/connectors/c/pause')).toMatchObject(
      error(500, expect.stringMatching(/^Request timed out\. The worker is currently .+, which began at \d{4}-.+Z\.$/)),
    )
  })

  test('a worker with a token answers requests that have it', async () => {
    const { ask, herder } = await startRest({ http: { token: 'the-token' } })
    herder.add('c')
    expect(await ask('GET', '/connectors')).toMatchObject({ status: 401, body: { error_code: 401 } })
    expect(await ask('PUT', '/connectors/c/stop')).toMatchObject({ status: 401 })
    expect(herder.calls).toEqual([])
    const basic = `Basic ${Buffer.from('anybody:the-token').toString('base64')}`
    for (const authorization of ['Bearer the-token', basic])
      expect((await ask('GET', '/connectors', undefined, { authorization })).body).toEqual(['c'])
  })

  test('a process without the worker role reports that', async () => {
    const { ask } = await startRest({ http: { control: undefined as never } })
    for (const path of ['/connectors', '/connectors/c/status', '/connector-plugins', '/admin/loggers', '/health'])
      expect(await ask('GET', path)).toMatchObject(
        error(404, `there is nothing at ${path}: this process does not have the worker role`),
      )
    expect(await ask('GET', '/')).toMatchObject(error(404, expect.stringContaining('neither the worker nor the server role')))
  })
})
