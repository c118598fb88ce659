/**
 * The few administrator's requests that no client here has, over the brokers' listener without TLS: client quotas (AlterClientQuotas, version 0) and
 * elections of preferred leaders (ElectLeaders, version 1).
 */
import { connect } from 'node:net'

const ELECT_LEADERS = 43
const ALTER_CLIENT_QUOTAS = 49
const ANSWER_MS = 10_000

/** Limits what a user's producers may write to each broker; null takes the limit away. */
export async function setProducerQuota(address: string, user: string, bytesPerSecond: number | null): Promise<void> {
  const value = Buffer.alloc(8)
  value.writeDoubleBE(bytesPerSecond ?? 0)
  const op = Buffer.concat([text('producer_byte_rate'), value, int8(bytesPerSecond === null ? 1 : 0)])
  const entity = Buffer.concat([text('user'), text(user)])
  const entry = Buffer.concat([int32(1), entity, int32(1), op])
  const answer = await ask(address, { apiKey: ALTER_CLIENT_QUOTAS, version: 0, body: Buffer.concat([int32(1), entry, int8(0)]) })
  // After the throttle time and the count of entries.
  const code = answer.readInt16BE(8)
  if (code !== 0) throw new Error(`Kafka refused the quota with error ${code}`)
}

/** Gives every partition back to the first of its replicas, where that one is in sync. */
export async function electPreferredLeaders(address: string): Promise<void> {
  const preferred = int8(0)
  const allTopics = int32(-1)
  await ask(address, { apiKey: ELECT_LEADERS, version: 1, body: Buffer.concat([preferred, allTopics, int32(ANSWER_MS)]) })
}

/** One request on a connection of its own; the answer without its correlation id. */
function ask(address: string, request: { apiKey: number; version: number; body: Buffer }): Promise<Buffer> {
  const [host = '', port = ''] = address.split(':')
  const head = Buffer.concat([int16(request.apiKey), int16(request.version), int32(1), text('kill')])
  const framed = Buffer.concat([int32(head.length + request.body.length), head, request.body])
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => socket.write(framed))
    let answer = Buffer.alloc(0)
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('the broker did not answer')))
    socket.on('data', chunk => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) return
      resolve(answer.subarray(8))
      socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the broker closed the connection')))
  })
}

function int8(value: number): Buffer {
  const bytes = Buffer.alloc(1)
  bytes.writeInt8(value)
  return bytes
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([int16(bytes.length), bytes])
}
