import { expect, test } from 'vitest'
import { createLog, hideSecret, without, withoutSecrets } from '../src/log.ts'

function lineOf(fields: object, msg = 'echo'): string {
  const lines: string[] = []
  createLog('info', line => lines.push(line)).info(fields as Record<string, unknown>, msg)
  return lines.join('')
}

test('of secrets that overlap, no letter is left', () => {
  for (const secret of ['inner-secret', 'outer-inner-secret-outer', 'left-middle', 'middle-right']) hideSecret(secret)
  expect(withoutSecrets('a outer-inner-secret-outer b')).toBe('a [hidden] b')
  expect(withoutSecrets('a left-middle-right b')).toBe('a [hidden] b')
  expect(withoutSecrets('inner-secretinner-secret')).toBe('[hidden][hidden]')
  expect(withoutSecrets('nothing of it')).toBe('nothing of it')
  expect(without('abcd abcdef', ['abcd', 'abcdef'])).toBe('[hidden] [hidden]')
})

test.each(['p@ss/w&rd = ü"quoted"\\', 'plain-token-1', 'with space and +', 'ключ-от-двери'])(
  'secret %j is hidden however it is written',
  secret => {
    hideSecret(secret)
    const percent = encodeURIComponent(secret)
    const ascii = JSON.stringify(secret).replace(/[^ -~]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    const forms: [written: string, shown: string][] = [
      [secret, '[hidden]'],
      [`?t=${percent}&x`, '?t=[hidden]&x'],
      [percent.replace(/%../g, hex => hex.toLowerCase()), '[hidden]'],
      [new URLSearchParams({ token: secret }).toString(), 'token=[hidden]'],
      [JSON.stringify({ secret }), '{"secret":"[hidden]"}'],
      [JSON.stringify({ inner: JSON.stringify({ secret }) }), String.raw`{"inner":"{\"secret\":\"[hidden]\"}"}`],
      [`{"secret":${ascii}}`, '{"secret":"[hidden]"}'],
      [JSON.stringify({ secret }).replaceAll('/', String.raw`\/`), '{"secret":"[hidden]"}'],
    ]
    for (const [written, shown] of forms) {
      expect(JSON.parse(lineOf({ answer: written }, `vendor says ${written}`))).toMatchObject({
        answer: shown,
        msg: `vendor says ${shown}`,
      })
    }
  },
)

test('Basic authentication does not show the password, whatever name stands before it', () => {
  hideSecret('basic-pass-word')
  for (const user of ['', 'u', 'us', 'use', 'user']) {
    const header = Buffer.from(`${user}:basic-pass-word`).toString('base64')
    const shown = withoutSecrets(`authorization: Basic ${header}`)
    expect(shown, user).toContain('[hidden]')
    const left = shown
      .replace('authorization: Basic ', '')
      .split('[hidden]')
      .map(piece => Buffer.from(piece, 'base64').toString())
    for (const piece of left) for (const part of ['basic', 'pass-', 'word']) expect(piece).not.toContain(part)
  }
})

test('a child may write less or more than its parent', () => {
  const lines: string[] = []
  const log = createLog('info', line => lines.push(line))
  log.child({}, { level: 'debug' }).debug({}, 'more')
  log.child({}, { level: 'error' }).info({}, 'less')
  log.child({ a: 1 }).info({}, 'same')
  expect(lines.map(line => (JSON.parse(line) as { msg: string }).msg)).toEqual(['more', 'same'])
})

test('a line belongs to the loggers of its connector, stream and task, and the closest with a level decides', () => {
  const lines: string[] = []
  const log = createLog('info', line => lines.push(line))
  const task = log.child({ connector: 'acme', stream: 'sessions', task: 1 })
  const other = log.child({ connector: 'acme', stream: 'messages', task: 0 })
  const written = () => {
    lines.length = 0
    for (const [name, each] of Object.entries({ task, other, log })) {
      each.debug({}, `${name} debug`)
      each.error({}, `${name} error`)
    }
    return lines.map(line => (JSON.parse(line) as { msg: string }).msg)
  }
  const errors = ['task error', 'other error', 'log error']
  expect(written()).toEqual(errors)
  expect(log.levels.set('task.acme-1', 'DEBUG')).toEqual(['task.acme-1'])
  expect(written()).toEqual(['task debug', ...errors])
  expect(log.levels.set('connector', 'TRACE')).toEqual([
    'connector',
    'connector.acme',
    'connector.acme.messages',
    'connector.acme.sessions',
  ])
  expect(written()).toEqual(['task debug', 'task error', 'other debug', 'other error', 'log error'])
  log.levels.set('connector.acme', 'OFF')
  expect(written()).toEqual(['task debug', 'task error', 'log error'])
  expect(log.levels.get('connector.acme.messages')).toEqual({ level: 'OFF', changedAtMs: null })
  expect(log.levels.get('connector.acm')).toBeNull()
  // A level of the root takes those below it away.
  expect(log.levels.set('root', 'WARN')).toContain('task.acme-1')
  expect(log.levels.list().map(([name, { level }]) => [name, level])).toEqual([['root', 'WARN']])
  expect(written()).toEqual(errors)
})

test('a child with a level of its own has loggers of its own; a named logger is one', () => {
  const lines: string[] = []
  const log = createLog('info', line => lines.push(line))
  const own = log.child({}, { level: 'debug' })
  const role = log.child({}, { logger: 'aggregator' }).child({ partition: 1 })
  own.debug({}, 'own')
  role.debug({}, 'not yet')
  expect(log.levels.get('aggregator')).toEqual({ level: 'INFO', changedAtMs: null })
  log.levels.set('aggregator', 'DEBUG')
  role.debug({}, 'now')
  own.levels.set('root', 'OFF')
  own.error({}, 'silent')
  log.info({}, 'still')
  expect(lines.map(line => (JSON.parse(line) as { msg: string }).msg)).toEqual(['own', 'now', 'still'])
})
