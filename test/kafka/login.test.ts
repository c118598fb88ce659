import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { connectKafka } from '../../src/kafka/client.ts'
import { silentLog } from '../../src/log.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map(close => close()))
})

const API_VERSIONS = 18
const HANDSHAKE = 17
const AUTHENTICATE = 36
const LOGIN_REFUSED = 58

const int16 = (value: number) => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const text = (value: string) => Buffer.concat([int16(value.length), Buffer.from(value)])

/** Answers of a broker that accepts PLAIN; null where the test decides. */
const USUAL: Readonly<Record<number, Buffer | null>> = {
  [API_VERSIONS]: Buffer.concat([
    int16(0),
    int32(4),
    // Number, oldest and newest version.
    ...[
      [3, 0, 6],
      [HANDSHAKE, 0, 1],
      [API_VERSIONS, 0, 2],
      [AUTHENTICATE, 0, 0],
    ]
      .flat()
      .map(int16),
    int32(0),
  ]),
  [HANDSHAKE]: Buffer.concat([int16(0), int32(1), text('PLAIN')]),
  [AUTHENTICATE]: null,
}

/** A broker that only knows the beginning of a connection. */
async function brokerWhere(breaksOffAt: number, answer: Buffer | null = null): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket
      .on('error', () => {})
      .on('data', (frame: Buffer) => {
        const apiKey = frame.readInt16BE(4)
        const payload = apiKey === breaksOffAt ? answer : (USUAL[apiKey] ?? null)
        if (payload === null) socket.destroy()
        else socket.write(Buffer.concat([int32(payload.length + 4), frame.subarray(8, 12), payload]))
      })
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  closing.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => {
      server.close(resolve)
    })
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function loggingIn(broker: string): Promise<unknown> {
  const sasl = { mechanism: 'plain', username: 'u', password: 'not-to-be-told' } as const
  const kafka = connectKafka({ brokers: [broker], clientId: 'test', sasl, log: silentLog })
  closing.push(() => kafka.close())
  return await kafka.describe().catch((error: unknown) => error)
}

test.each([
  ['the first request', API_VERSIONS],
  ['the choice of the mechanism', HANDSHAKE],
  ['the login', AUTHENTICATE],
])(
  'a broker that closes the connection at %s is unreachable, and has not rejected the login',
  async (_what, apiKey) => {
    expect(await loggingIn(await brokerWhere(apiKey))).toMatchObject({ code: 'KAFKA_UNREACHABLE' })
  },
  60_000,
)

test('a rejected login is not retried, and the error names the config key', async () => {
  const refusal = Buffer.concat([int16(LOGIN_REFUSED), text('who are you'), int32(0)])
  const error = await loggingIn(await brokerWhere(AUTHENTICATE, refusal))
  expect(error).toMatchObject({ code: 'KAFKA_REFUSED', details: { path: 'kafka.sasl' } })
  expect(String(error)).not.toContain('not-to-be-told')
})
