import { expect, test } from 'vitest'
import { addressOf } from '../../src/control/address.ts'

test.each([
  ['http://127.0.0.1:8083', [], '127.0.0.1:8083'],
  ['http://worker-1.example:8083', ['10.0.0.7'], 'worker-1.example:8083'],
  ['http://0.0.0.0:8083', ['10.0.0.7', '[fd00::7]'], '10.0.0.7:8083'],
  ['http://[::]:8083', ['10.0.0.7'], '10.0.0.7:8083'],
  ['http://0.0.0.0:8083', [], '127.0.0.1:8083'],
])('a worker that listens on %s on a machine with %j is %s', (url, hosts, workerId) => {
  expect(addressOf(url, hosts)).toEqual({ workerId, url: `http://${workerId}` })
})

test('a worker that listens everywhere is reached at an address of this machine, not at the wildcard', () => {
  expect(addressOf('http://0.0.0.0:1').workerId).not.toContain('0.0.0.0')
})
