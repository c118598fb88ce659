/**
 * A proxy between client and broker that loses things: it knows the request types, and lets a test hold answers back, change them, or cut the connection after
 * a request has arrived.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Kafka's numbers of the requests that tests use. */
export const API = {
  produce: 0,
  fetch: 1,
  findCoordinator: 10,
  metadata: 3,
  listOffsets: 2,
  addPartitions: 24,
  addOffsets: 25,
  endTxn: 26,
} as const

export interface Proxy {
  /** Use this address instead of the broker's. */
  readonly address: string
  /** How many connections were taken so far. */
  connections(): number
  /** How many requests of the kind have passed. */
  count(apiKey: number): number
  /**
   * Called with each answer (after its correlation id): what it returns is passed on; null cuts the connection, so that the request was carried out and the
   * client does not know.
   */
  onAnswer: (apiKey: number, payload: Buffer, nth: number) => Buffer | null
  /** Refuses new connections and cuts the existing ones. */
  breakOff(): void
  restore(): void
  /** Like a broker that is stopped (SIGSTOP): connections stay and are accepted, nothing is answered; `thaw` answers everything. */
  freeze(): void
  thaw(): void
  close(): Promise<void>
}

export async function startProxy(broker: string): Promise<Proxy> {
  const [host = '', port = ''] = broker.split(':')
  const sockets = new Set<Socket>()
  const counts = new Map<number, number>()
  let refusing = false
  let frozen: (() => void)[] | null = null
  let ownPort = 0
  let taken = 0

  const server: Server = createServer(client => {
    if (refusing) {
      client.destroy()
      return
    }
    taken++
    const upstream = connect(Number(port), host)
    const asked = new Map<number, { apiKey: number; nth: number }>()
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on(
      'data',
      frames(frame => {
        const apiKey = frame.readInt16BE(4)
        const nth = (counts.get(apiKey) ?? 0) + 1
        counts.set(apiKey, nth)
        asked.set(frame.readInt32BE(8), { apiKey, nth })
        if (frozen === null) upstream.write(frame)
        else frozen.push(() => upstream.write(frame))
      }),
    )
    upstream.on(
      'data',
      frames(frame => {
        const correlationId = frame.readInt32BE(4)
        const { apiKey, nth } = asked.get(correlationId) ?? { apiKey: -1, nth: 0 }
        asked.delete(correlationId)
        if (frozen !== null) {
          frozen.push(() => client.destroy())
          return
        }
        const answer = proxy.onAnswer(apiKey, readdress(apiKey, frame.subarray(8), ownPort), nth)
        if (answer === null) {
          client.destroy()
          return
        }
        const head = Buffer.alloc(8)
        head.writeInt32BE(answer.length + 4, 0)
        head.writeInt32BE(correlationId, 4)
        client.write(Buffer.concat([head, answer]))
      }),
    )
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  ownPort = typeof address === 'object' && address !== null ? address.port : 0

  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  const proxy: Proxy = {
    address: `127.0.0.1:${ownPort}`,
    connections: () => taken,
    count: apiKey => counts.get(apiKey) ?? 0,
    onAnswer: (_apiKey, payload) => payload,
    breakOff: () => {
      refusing = true
      cut()
    },
    restore: () => {
      refusing = false
    },
    freeze: () => {
      frozen ??= []
    },
    thaw: () => {
      const held = frozen ?? []
      frozen = null
      for (const go of held) go()
    },
    close: async () => {
      cut()
      await new Promise(resolve => {
        server.close(resolve)
      })
    },
  }
  return proxy
}

/** Brokers return their own address: replace it with the proxy's port (one broker, versions as kafkajs 2.2.4 requests them). */
function readdress(apiKey: number, payload: Buffer, port: number): Buffer {
  const copy = Buffer.from(payload)
  if (apiKey === API.metadata) {
    const hostBytes = copy.readInt16BE(12)
    copy.writeInt32BE(port, 14 + hostBytes)
  }
  if (apiKey === API.findCoordinator && copy.readInt16BE(4) === 0) {
    const messageBytes = Math.max(copy.readInt16BE(6), 0)
    const hostAt = 8 + messageBytes + 4
    copy.writeInt32BE(port, hostAt + 2 + copy.readInt16BE(hostAt))
  }
  return copy
}

function frames(onFrame: (frame: Buffer) => void): (data: Buffer) => void {
  let rest = Buffer.alloc(0)
  return data => {
    rest = Buffer.concat([rest, data])
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0)
      onFrame(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}

/** A metadata answer (version 6) in which one partition has no leader. */
export function withoutLeader(payload: Buffer, topic: string, partition: number): Buffer {
  const copy = Buffer.from(payload)
  let at = 4
  const int32 = () => copy.readInt32BE((at += 4) - 4)
  const text = () => {
    const bytes = Math.max(copy.readInt16BE(at), 0)
    at += 2 + bytes
    return copy.toString('utf8', at - bytes, at)
  }
  for (let brokers = int32(); brokers > 0; brokers--) {
    int32()
    text()
    int32()
    text()
  }
  text()
  int32()
  for (let topics = int32(); topics > 0; topics--) {
    at += 2
    const name = text()
    at += 1
    for (let partitions = int32(); partitions > 0; partitions--) {
      const start = at
      at += 2
      const isWanted = int32() === partition && name === topic
      if (isWanted) {
        copy.writeInt16BE(5, start)
        copy.writeInt32BE(-1, at)
      }
      at += 4
      for (let lists = 0; lists < 3; lists++) {
        const count = int32()
        at += 4 * count
      }
    }
  }
  return copy
}
