import { createServer as createWebServer, request } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { generate } from 'selfsigned'
import { onTestFinished } from 'vitest'

async function listening(server: Server): Promise<string> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A real HTTP proxy, which takes plain requests and tunnels. `seen` has each as `GET http://…` or `CONNECT host:port`. */
export async function proxyServer({ credentials }: { credentials?: string } = {}) {
  const seen: string[] = []
  const wanted = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`
  const server = createWebServer((asked, response) => {
    seen.push(`${asked.method} ${asked.url}`)
    if (wanted !== undefined && asked.headers['proxy-authorization'] !== wanted) {
      response.writeHead(407).end()
      return
    }
    const { 'proxy-authorization': _, ...headers } = asked.headers
    const onward = request(asked.url ?? '', { method: asked.method ?? 'GET', headers }, answer => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.writeHead(502).end())
    asked.pipe(onward)
  })
  server.on('connect', (asked, socket) => {
    seen.push(`CONNECT ${asked.url}`)
    socket.on('error', () => {})
    if (wanted !== undefined && asked.headers['proxy-authorization'] !== wanted) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const [host = '', port] = (asked.url ?? '').split(':')
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket)
      socket.pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('close', () => onward.destroy())
  })
  return { place: await listening(server), seen }
}

/** An https server on loopback with a certificate that only the CA given back vouches for. Answers everything with `body`. */
export async function secureServer(body: unknown) {
  const ca = await generate([{ name: 'commonName', value: 'CA of a test' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  const own = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    ca: { key: ca.private, cert: ca.cert },
    extensions: [
      { name: 'basicConstraints', cA: false },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  })
  const server = createSecureServer({ key: own.private, cert: own.cert }, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  return { place: await listening(server), ca: ca.cert }
}
