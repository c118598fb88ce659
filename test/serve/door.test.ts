import { expect, test } from 'vitest'
import { accessOf, isLoopback } from '../../src/serve/door.ts'

const status = (access: ReturnType<typeof accessOf>, headers: { host?: string; authorization?: string }, isPublic = false) =>
  access.check(headers, isPublic)?.status ?? 200

test('on the loopback without a token all is open to names of the loopback, and to those of http.names', () => {
  const access = accessOf({ host: '127.0.0.1', names: ['Chat.Example'] })
  expect(access.closed).toBe(false)
  for (const host of [
    'localhost',
    'LOCALHOST:8083',
    '127.0.0.1',
    '127.0.0.1:8083',
    '127.1.2.3:1',
    '[::1]',
    '[::1]:8083',
    'localhost.',
    'chat.example:80',
  ])
    expect([host, status(access, { host })]).toEqual([host, 200])
  for (const host of [
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example:8083',
    '192.168.0.1',
    '[::2]',
    '',
    '::1.evil',
    '1270.0.0.1',
    '@localhost',
    '[::1]evil',
  ])
    expect([host, status(access, { host })]).toEqual([host, 403])
  expect(status(access, {}), 'no Host at all').toBe(403)
  expect(status(access, { host: 'evil.example' }, true), 'health and metrics too').toBe(403)
})

test('with a token, all but health and metrics take it, as bearer or as the password of Basic, whatever the Host is', () => {
  for (const host of ['127.0.0.1', '0.0.0.0']) {
    const access = accessOf({ host, token: 'open-sesame' })
    const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`
    expect(access.closed).toBe(false)
    for (const authorization of ['Bearer open-sesame', 'bearer  open-sesame ', basic('any:open-sesame'), basic(':open-sesame')])
      expect([authorization, status(access, { host: 'any.example', authorization })]).toEqual([authorization, 200])
    for (const authorization of [
      'Bearer open-sesam',
      'Bearer',
      'Bearer ',
      'open-sesame',
      'Basic open-sesame',
      basic('open-sesame'),
      basic('open-sesame:'),
      'Digest open-sesame',
    ])
      expect([authorization, status(access, { host: 'localhost', authorization })]).toEqual([authorization, 401])
    expect(status(access, { host: 'localhost' })).toBe(401)
    expect(status(access, {}, true)).toBe(200)
  }
})

test('beyond the loopback without a token, only health and metrics are served', () => {
  for (const host of ['0.0.0.0', '::', '192.168.0.7', 'chat.example']) {
    const access = accessOf({ host, names: ['chat.example'] })
    expect(access.closed).toBe(true)
    expect(status(access, { host: 'localhost' })).toBe(401)
    expect(status(access, { host: 'chat.example', authorization: 'Bearer x' })).toBe(401)
    expect(status(access, { host: 'chat.example' }, true)).toBe(200)
  }
})

test('only addresses of this machine are of the loopback', () => {
  expect(['127.0.0.1', '127.255.255.254', '::1', '[::1]', 'localhost'].filter(each => !isLoopback(each))).toEqual([])
  expect(['0.0.0.0', '::', '10.0.0.1', '127.evil', '127.0.0.1.nip.io', ''].filter(isLoopback)).toEqual([])
})
