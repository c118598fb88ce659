/** Stands between a client and a server on loopback, and lets the server be away: refusing, silent, or failing. */
import { connect, createServer, type Socket } from 'node:net'

/** pass: as if it were not there. refuse: connections are cut at once. hang: they are taken, and nothing is answered. fail: HTTP 503. */
export type Mode = 'pass' | 'refuse' | 'hang' | 'fail'

export interface Gate {
  readonly port: number
  /** Connections that there are end with the mode they were in, so that a server that is back is back at once. */
  set(mode: Mode): void
  close(): Promise<void>
}

const FAILURE = 'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'

export async function startGate(targetPort: number): Promise<Gate> {
  const sockets = new Set<Socket>()
  let mode: Mode = 'pass'
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }
  const server = createServer(client => {
    keep(client)
    if (mode === 'refuse') client.destroy()
    else if (mode === 'fail') client.once('data', () => client.end(FAILURE))
    else if (mode === 'pass') {
      const upstream = connect(targetPort, '127.0.0.1')
      keep(upstream)
      client.pipe(upstream).pipe(client)
      client.on('close', () => upstream.destroy())
      upstream.on('close', () => client.destroy())
    }
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    set: next => {
      if (next === mode) return
      mode = next
      cut()
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        cut()
      }),
  }
}
