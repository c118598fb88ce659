import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  connectorsCommand,
  offsetsCommand,
  pauseCommand,
  restartCommand,
  resumeCommand,
  statusCommand,
  stopCommand,
} from '../../src/cli/control.ts'
import { type Command, failed } from '../../src/cli/io.ts'
import { createLog } from '../../src/log.ts'
import { type FakeConnector, startFakeWorker } from '../support/connect-worker.ts'

const TOKEN = 'token-that-nobody-may-see'

const partition = (scope: string) => ({ stream: 'sessions', scope })

function botmaker(): FakeConnector {
  return {
    config: { 'connector.class': 'botmaker', 'tasks.max': '2' },
    state: 'RUNNING',
    worker: 'w1:8083',
    tasks: [
      { state: 'RUNNING', worker: 'w1:8083' },
      {
        state: 'FAILED',
        worker: 'w2:8083',
        trace: 'SRC_UNAUTHORISED: the vendor refused our credentials\nRenew the credentials.',
      },
    ],
    offsets: [
      { partition: partition('a'), offset: { live: '2026-11-30T00:00:00Z', pages: 3 } },
      { partition: partition('b'), offset: null },
    ],
  }
}

const stopped = (): FakeConnector => ({ ...botmaker(), state: 'STOPPED', tasks: [] })

/** Runs the command as the binary does. */
async function run(command: Command, argv: string[], env: Record<string, string> = {}) {
  const out: string[] = []
  const log: Record<string, unknown>[] = []
  const io = {
    stdout: (line: string) => void out.push(line),
    log: createLog('info', line => log.push(JSON.parse(line) as Record<string, unknown>)),
    signal: new AbortController().signal,
    env,
    entry: '',
  }
  const code = await command(argv, io).catch((error: unknown) => failed(io.log, error))
  return { code, out, log, json: () => out.map(line => JSON.parse(line) as Record<string, unknown>) }
}

function configFile(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-control-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'colloquy.yaml')
  writeFileSync(file, text)
  return file
}

describe('what is there', () => {
  test('connectors are a table: class, state, tasks by their state, worker; sorted by name', async () => {
    const { url } = await startFakeWorker({ zoe: { ...stopped(), worker: 'w3:8083' }, acme: botmaker() })
    const { code, out } = await run(connectorsCommand, ['--url', url])
    expect(code).toBe(0)
    expect(out).toEqual([
      'CONNECTOR  CLASS     STATE    TASKS                  WORKER',
      'acme       botmaker  RUNNING  1/2 running, 1 failed  w1:8083',
      'zoe        botmaker  STOPPED  0/0 running            w3:8083',
    ])
  })

  test('connectors for machines are a line each, with what Connect says of them', async () => {
    const { url } = await startFakeWorker({ acme: botmaker() })
    const { json } = await run(connectorsCommand, ['--url', url, '--json'])
    expect(json()).toEqual([
      {
        name: 'acme',
        info: {
          name: 'acme',
          config: { name: 'acme', 'connector.class': 'botmaker', 'tasks.max': '2' },
          tasks: [
            { connector: 'acme', task: 0 },
            { connector: 'acme', task: 1 },
          ],
          type: 'source',
        },
        status: expect.objectContaining({ name: 'acme', connector: { state: 'RUNNING', worker_id: 'w1:8083' } }) as object,
      },
    ])
  })

  test('status has a line for each connector and task, and says why one failed', async () => {
    const { url } = await startFakeWorker({ acme: botmaker() })
    const { code, out } = await run(statusCommand, ['--url', url])
    expect(code, 'a failed task is no failure of the command').toBe(0)
    expect(out).toEqual([
      'CONNECTOR  TASK  STATE    WORKER   REASON',
      'acme       -     RUNNING  w1:8083',
      'acme       0     RUNNING  w1:8083',
      'acme       1     FAILED   w2:8083  SRC_UNAUTHORISED: the vendor refused our credentials',
    ])
    const machine = await run(statusCommand, ['acme', '--json', '--url', url])
    expect(machine.json()).toEqual([
      {
        name: 'acme',
        connector: { state: 'RUNNING', worker_id: 'w1:8083' },
        tasks: [
          { id: 0, state: 'RUNNING', worker_id: 'w1:8083' },
          { id: 1, state: 'FAILED', worker_id: 'w2:8083', trace: expect.stringContaining('Renew') as string },
        ],
        type: 'source',
      },
    ])
  })

  test('a connector that has just been made, which the list leaves out, is shown all the same', async () => {
    const { url } = await startFakeWorker({ acme: { ...botmaker(), isNew: true } })
    expect((await run(connectorsCommand, ['--url', url])).out[1]).toBe('acme       botmaker  -      -      -')
    expect((await run(statusCommand, ['--url', url])).out[1]).toBe('acme       -     -      -       no status yet')
  })

  test('only those that are named are shown; one that is not there is reported, and the others are shown', async () => {
    const { url } = await startFakeWorker({ acme: botmaker(), zoe: stopped() })
    const { code, out, log } = await run(statusCommand, ['nobody', 'zoe', '--url', url])
    expect(code).toBe(1)
    expect(out.slice(1)).toEqual(['zoe        -     STOPPED  w1:8083'])
    expect(log).toEqual([expect.objectContaining({ level: 'error', code: 'NOT_FOUND', connector: 'nobody' })])
  })

  test('what others wrote cannot steer the terminal', async () => {
    const tasks = [{ state: 'FAILED', worker: 'w', trace: 'red \u001b[31m\u0007 line' }]
    const { url } = await startFakeWorker({ acme: { ...botmaker(), tasks } })
    const { out } = await run(statusCommand, ['--url', url])
    expect(out.at(-1)).toBe('acme       0     FAILED   w        red  [31m  line')
  })
})

describe('what is asked for', () => {
  test.each([
    ['pause', pauseCommand, 'PUT /connectors/acme/pause', 'is being paused'],
    ['resume', resumeCommand, 'PUT /connectors/acme/resume', 'is being resumed'],
    ['stop', stopCommand, 'PUT /connectors/acme/stop', 'is being stopped'],
    [
      'restart',
      restartCommand,
      'POST /connectors/acme/restart?includeTasks=true&onlyFailed=false',
      'connector and tasks being restarted',
    ],
  ])('%s', async (action, command, request, words) => {
    const worker = await startFakeWorker({ acme: botmaker() })
    const { code, out } = await run(command, ['acme', '--url', worker.url])
    expect({ code, out, requests: worker.requests }).toEqual({ code: 0, out: [`acme  ${words}`], requests: [request] })
    const machine = await run(command, ['acme', '--url', worker.url, '--json'])
    expect(machine.json()).toEqual([expect.objectContaining({ connector: 'acme', action })])
  })

  test('with --wait the command ends when connector and tasks are there', async () => {
    let looks = 0
    const acme = botmaker()
    const onStatus = () => {
      looks += 1
      if (looks === 2) acme.state = 'STOPPED'
      if (looks === 3) acme.tasks = []
    }
    const worker = await startFakeWorker({ acme: Object.assign(acme, { onStatus }) })
    const { code, out } = await run(stopCommand, ['acme', '--wait', '--url', worker.url])
    expect({ code, out, looks }).toEqual({ code: 0, out: ['acme  is stopped'], looks: 3 })
    expect(worker.requests[0]).toBe('PUT /connectors/acme/stop')
  })

  test('restart of what has failed, and of one task', async () => {
    const worker = await startFakeWorker({ acme: botmaker() })
    expect((await run(restartCommand, ['acme', '--failed', '--url', worker.url])).code).toBe(0)
    expect((await run(restartCommand, ['acme', '--task', '1', '--url', worker.url])).code).toBe(0)
    const none = await run(restartCommand, ['acme', '--task', '7', '--url', worker.url])
    expect(none).toMatchObject({
      code: 1,
      log: [{ code: 'NOT_FOUND', error: expect.stringContaining('Unknown task: acme-7') as string }],
    })
    expect(worker.requests).toEqual([
      'POST /connectors/acme/restart?includeTasks=true&onlyFailed=true',
      'POST /connectors/acme/tasks/1/restart',
      'POST /connectors/acme/tasks/7/restart',
    ])
  })

  test('several in turn: one that is not there does not hold up the others', async () => {
    const worker = await startFakeWorker({ acme: botmaker(), zoe: botmaker() })
    const { code, out, log } = await run(pauseCommand, ['acme', 'nobody', 'zoe', '--url', worker.url])
    expect(code).toBe(1)
    expect(out).toEqual(['acme  is being paused', 'zoe  is being paused'])
    expect(log).toMatchObject([
      { code: 'NOT_FOUND', connector: 'nobody', error: expect.stringContaining('Unknown connector nobody') as string },
    ])
  })

  test('a name with a slash and a blank is one part of the path', async () => {
    const worker = await startFakeWorker({ 'a/b c': botmaker() })
    expect((await run(pauseCommand, ['a/b c', '--url', worker.url])).code).toBe(0)
    expect(worker.requests).toEqual(['PUT /connectors/a%2Fb%20c/pause'])
  })

  test('while the group is in motion the request is made again', async () => {
    const worker = await startFakeWorker({ acme: botmaker() })
    const message = 'Cannot complete request because of a conflicting operation (e.g. worker rebalance)'
    worker.next.push({ status: 409, body: JSON.stringify({ error_code: 409, message }) })
    worker.next.push({
      status: 500,
      body: JSON.stringify({ error_code: 500, message: 'Request cannot be completed because a rebalance is expected' }),
    })
    const { code, log } = await run(pauseCommand, ['acme', '--url', worker.url])
    expect(code).toBe(0)
    expect(worker.requests).toHaveLength(3)
    expect(log, 'said once').toMatchObject([{ level: 'info', status: 409 }])
  })

  test('another failure of the worker is not repeated', async () => {
    const worker = await startFakeWorker({ acme: botmaker() })
    worker.next.push({ status: 500, body: JSON.stringify({ error_code: 500, message: 'Request timed out.' }) })
    const { code, log } = await run(pauseCommand, ['acme', '--url', worker.url])
    expect(code).toBe(1)
    expect(worker.requests).toHaveLength(1)
    expect(log).toMatchObject([
      { code: 'CONTROL_REFUSED', status: 500, error: expect.stringContaining('Request timed out.') as string },
    ])
  })
})

describe('offsets', () => {
  test('are a line a source partition', async () => {
    const { url } = await startFakeWorker({ acme: botmaker() })
    expect((await run(offsetsCommand, ['acme', '--url', url])).out).toEqual([
      'STREAM    SCOPE  OFFSET',
      'sessions  a      live=2026-11-30T00:00:00Z pages=3',
      'sessions  b      -',
    ])
    const { json } = await run(offsetsCommand, ['acme', '--scope', 'b', '--json', '--url', url])
    expect(json()).toEqual([{ connector: 'acme', partition: partition('b'), offset: null }])
  })

  test('go back to a time for all source partitions, tried first without changing anything', async () => {
    const worker = await startFakeWorker({ acme: stopped() })
    const from = ['--from', '2026-11-20', '--url', worker.url]
    const tried = await run(offsetsCommand, ['acme', '--dry-run', ...from])
    expect(tried.out).toEqual([
      'STREAM    SCOPE  READ AGAIN FROM           UNTIL                     REQUESTS  SECONDS',
      'sessions  a      2026-11-20T00:00:00.000Z  2026-11-30T00:00:00.000Z  240       61',
      'sessions  b      2026-11-20T00:00:00.000Z  2026-11-30T00:00:00.000Z  240       61',
      'nothing was changed: this was a dry run',
    ])
    const done = await run(offsetsCommand, ['acme', ...from])
    expect(done.out.at(-1)).toBe('The offsets for this connector have been altered successfully')
    const offset = { from: '2026-11-20T00:00:00.000Z' }
    const body = JSON.stringify({
      offsets: [
        { partition: partition('a'), offset },
        { partition: partition('b'), offset },
      ],
    })
    expect(worker.requests).toEqual([
      'GET /connectors/acme/offsets',
      `PATCH /connectors/acme/offsets?dryRun=true ${body}`,
      'GET /connectors/acme/offsets',
      `PATCH /connectors/acme/offsets ${body}`,
    ])
  })

  test('go back for one source partition, or begin anew', async () => {
    const worker = await startFakeWorker({ acme: stopped() })
    const one = await run(offsetsCommand, ['acme', '--from', '1764460800000', '--scope', 'b', '--json', '--url', worker.url])
    expect(one.json()).toEqual([
      {
        connector: 'acme',
        dryRun: false,
        partition: partition('b'),
        rereads: expect.any(Object) as object,
        requests: 240,
        seconds: 61.2,
      },
    ])
    expect(
      (await run(offsetsCommand, ['acme', '--reset', '--stream', 'sessions', '--scope', 'a', '--url', worker.url])).code,
    ).toBe(0)
    expect((await run(offsetsCommand, ['acme', '--reset', '--dry-run', '--url', worker.url])).code).toBe(0)
    expect(worker.requests.filter(line => !line.startsWith('GET'))).toEqual([
      `PATCH /connectors/acme/offsets ${JSON.stringify({ offsets: [{ partition: partition('b'), offset: { from: '2025-11-30T00:00:00.000Z' } }] })}`,
      `PATCH /connectors/acme/offsets ${JSON.stringify({ offsets: [{ partition: partition('a'), offset: null }] })}`,
      'DELETE /connectors/acme/offsets?dryRun=true',
    ])
  })

  test('of a connector that runs are not changed: the reason is the worker’s', async () => {
    const { url } = await startFakeWorker({ acme: botmaker() })
    const { code, log } = await run(offsetsCommand, ['acme', '--reset', '--url', url])
    expect(code).toBe(1)
    expect(log).toMatchObject([
      {
        code: 'CONTROL_REFUSED',
        status: 400,
        error: expect.stringMatching(/STOPPED state.*colloquy stop acme --wait/) as string,
      },
    ])
  })

  test('a stream or scope that is not there changes nothing, and those there are are named', async () => {
    const worker = await startFakeWorker({ acme: stopped() })
    const { code, log } = await run(offsetsCommand, ['acme', '--reset', '--scope', 'z', '--url', worker.url])
    expect(code).toBe(1)
    expect(log).toMatchObject([{ code: 'NOT_FOUND', error: expect.stringContaining('sessions/a, sessions/b') as string }])
    expect(worker.requests).toEqual(['GET /connectors/acme/offsets'])
  })

  test('their history says when, who and what', async () => {
    const plan = {
      partition: partition('a'),
      rereads: { from: '2026-11-01T00:00:00Z', until: '2026-11-09T00:00:00Z' },
      requests: null,
      seconds: null,
    }
    const changes = [{ at: '2026-11-09T10:00:00Z', by: '10.0.0.7', plans: [plan, { ...plan, rereads: null }] }]
    const { url } = await startFakeWorker({ acme: { ...stopped(), changes } })
    expect((await run(offsetsCommand, ['acme', '--history', '--url', url])).out).toEqual([
      'AT                    BY        STREAM    SCOPE  READ AGAIN FROM       UNTIL                 REQUESTS  SECONDS',
      '2026-11-09T10:00:00Z  10.0.0.7  sessions  a      2026-11-01T00:00:00Z  2026-11-09T00:00:00Z  -         -',
      '2026-11-09T10:00:00Z  10.0.0.7  sessions  a      -                     -                     -         -',
    ])
    expect((await run(offsetsCommand, ['acme', '--history', '--json', '--url', url])).json()).toEqual([
      { connector: 'acme', ...changes[0] },
    ])
  })
})

describe('who is asked, and as whom', () => {
  test('a wrong call names every fault, and asks nobody', async () => {
    const cases: [Command, string[], string[]][] = [
      [pauseCommand, [], ['NAME']],
      [pauseCommand, ['..'], ['..']],
      [statusCommand, ['--url', 'worker:8083'], ['--url']],
      [statusCommand, ['--url', 'http://w:8083?x=1'], ['--url']],
      [statusCommand, ['--url', 'http://a:b@w:8083', '--token', 'c'], ['--token']],
      [restartCommand, ['acme', '--failed', '--task', '1'], ['--failed']],
      [restartCommand, ['acme', '--task', 'x'], ['--task']],
      [offsetsCommand, ['acme', 'zoe'], ['zoe']],
      [offsetsCommand, ['acme', '--from', 'yesterday', '--reset'], ['--from', '--reset']],
      [offsetsCommand, ['acme', '--dry-run', '--history', '--scope', 'a'], ['--dry-run', '--history']],
      [connectorsCommand, ['--config', '/nowhere.yaml'], ['/nowhere.yaml']],
    ]
    for (const [command, argv, paths] of cases) {
      const { code, log, out } = await run(command, argv)
      expect({ argv, code, out }).toEqual({ argv, code: 2, out: [] })
      expect(log.map(line => String(line['path'])).toSorted()).toEqual(paths.toSorted())
    }
  })

  test('nobody there: the code says so, exit code 1', async () => {
    const { code, log } = await run(statusCommand, ['--url', 'http://127.0.0.1:1'])
    expect(code).toBe(1)
    expect(log).toMatchObject([
      {
        code: 'CONTROL_UNREACHABLE',
        error: expect.stringContaining('nothing listens there') as string,
        cure: expect.any(String) as string,
      },
    ])
  })

  test('something else that answers there is no worker', async () => {
    const worker = await startFakeWorker({})
    for (const body of ['<html>', '{"a":1}']) {
      worker.next.push({ status: 200, body })
      const { code, log } = await run(statusCommand, ['--url', worker.url])
      expect(code).toBe(1)
      expect(log).toMatchObject([
        { code: 'CONTROL_REFUSED', error: expect.stringContaining('is this the address of a worker') as string },
      ])
    }
  })

  test('without the token the worker refuses; with it, from the call, the environment or the address, it answers, and no line shows it', async () => {
    const worker = await startFakeWorker({ acme: botmaker() }, { token: TOKEN })
    const refused = await run(statusCommand, ['--url', worker.url])
    expect(refused).toMatchObject({
      code: 1,
      log: [{ code: 'CONTROL_REFUSED', status: 401, cure: expect.stringContaining('--token') as string }],
    })
    expect((await run(statusCommand, ['--url', worker.url, '--token', TOKEN])).code).toBe(0)
    expect((await run(statusCommand, ['--url', worker.url], { COLLOQUY_HTTP_TOKEN: TOKEN })).code).toBe(0)
    const basic = await run(statusCommand, ['--url', worker.url.replace('://', `://me:${TOKEN}@`)])
    expect(worker.authorizations.at(-1)).toBe(`Basic ${Buffer.from(`me:${TOKEN}`).toString('base64')}`)
    expect(JSON.stringify(basic.log)).not.toContain(TOKEN)
  })

  test('the config file names the worker and its token, also where secrets of connectors are not at hand', async () => {
    const worker = await startFakeWorker({ acme: botmaker() }, { token: TOKEN })
    const port = new URL(worker.url).port
    const config = configFile(
      [
        'kafka: { brokers: [k:9092] }',
        'registry: { url: http://r:8081 }',
        `http: { host: 0.0.0.0, port: ${port}, token: "\${env:T}" }`,
        'connectors: { acme: { connector.class: botmaker, access.token: "${env:NOT_AT_HAND}" } }',
      ].join('\n'),
    )
    expect((await run(statusCommand, ['--config', config], { T: TOKEN })).code).toBe(0)
    const faulty = await run(statusCommand, ['--config', config])
    expect(faulty).toMatchObject({ code: 2, log: [{ code: 'CFG_INVALID', path: 'http.token' }] })
    const anyPort = configFile('http: { port: 0 }')
    expect(await run(statusCommand, ['--config', anyPort])).toMatchObject({ code: 2, log: [{ path: 'http.port' }] })
    expect((await run(statusCommand, ['--config', anyPort, '--url', worker.url, '--token', TOKEN])).code).toBe(0)
  })

  test('an address may carry a path, as behind an ingress', async () => {
    const worker = await startFakeWorker({ acme: botmaker() }, { prefix: '/connect' })
    expect((await run(pauseCommand, ['acme', '--url', `${worker.url}/`])).code).toBe(0)
    expect(worker.requests).toEqual(['PUT /connect/connectors/acme/pause'])
  })

  test('a worker of this machine is asked directly, whatever proxy the environment names', async () => {
    const worker = await startFakeWorker({ acme: botmaker() })
    expect((await run(pauseCommand, ['acme', '--url', worker.url], { HTTP_PROXY: 'http://127.0.0.1:1' })).code).toBe(0)
  })
})
