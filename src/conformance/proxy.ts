/** A server of our own between connector and vendor: it passes on, breaks or edits the vendor's answers, so that no simulator needs to know faults. */
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Spoil =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body: string
    }
  /** The vendor's answer is cut off in the middle. */
  | { readonly kind: 'cut' }
  /** The vendor's answer comes in this many pieces, with this many milliseconds of real time before each. */
  | { readonly kind: 'drip'; readonly pieces: number; readonly everyMs: number }
  | { readonly kind: 'hang_up' }
  /** Nothing comes, and the connection stays open. */
  | { readonly kind: 'hang' }
  /** The vendor's answer, changed by `change`; `raw` are bytes on the connection, which then ends. */
  | { readonly kind: 'change'; change(answer: Answer): Partial<Answer> | { readonly raw: Buffer } }

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: Buffer
}

export interface Proxy {
  /** The fault for the request that just arrived, the `nth` (from 1), for this path and query; null: pass it on. */
  spoil: (nth: number, target: string) => Spoil | null
  /** Called with every JSON answer of the vendor with status 200 and its requested path; may change it in place, and returns whether it did. Null: no edits. */
  edit: ((body: unknown, path: string) => boolean) | null
  /** Called for every request when it arrives; its result is called when the answer is sent. */
  onRequest: () => () => void
  readonly requests: number
  /** The text with every address of the vendor replaced by one of ours. */
  ours(text: string): string
  close(): Promise<void>
}

/** @param origins Of the vendor, such as `http://127.0.0.1:8080`; each gets a port of ours. */
export async function startProxy(origins: readonly string[]): Promise<Proxy> {
  const agent = new Agent({ keepAlive: true })
  const addresses = new Map<string, string>()
  const servers: Server[] = []
  let requests = 0

  async function answer(origin: string, asked: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of asked) chunks.push(chunk as Buffer)
    const spoil = proxy.spoil(++requests, asked.url ?? '/')
    if (spoil?.kind === 'hang') return
    if (spoil?.kind === 'hang_up') {
      asked.socket.destroy()
      return
    }
    if (spoil?.kind === 'answer') {
      response.writeHead(spoil.status, { 'content-type': 'application/json', ...spoil.headers }).end(spoil.body)
      return
    }
    const { status, headers, body } = await forward(agent, origin, asked, Buffer.concat(chunks))
    const edited = editedBody(proxy.ours(body.toString()), status, asked.url ?? '/')
    const bytes = Buffer.from(edited)
    const { 'transfer-encoding': _, connection: __, 'keep-alive': ___, ...kept } = headers
    if (typeof kept.location === 'string') kept.location = proxy.ours(kept.location)
    if (spoil?.kind === 'change') {
      const changed = spoil.change({ status, headers: kept, body: bytes })
      if ('raw' in changed) {
        asked.socket.end(changed.raw)
        return
      }
      const { status: other = status, headers: more = {}, body: instead = bytes } = changed
      const all = { ...kept, 'content-length': String(instead.length), ...more }
      const sent = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined)
      response.writeHead(other, Object.fromEntries(sent))
      response.end(instead)
      return
    }
    const framed = body.length === 0 && headers['content-length'] === undefined ? {} : { 'content-length': String(bytes.length) }
    response.writeHead(status, { ...kept, ...framed })
    if (spoil?.kind === 'cut') {
      response.flushHeaders()
      response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => response.destroy())
      return
    }
    if (spoil?.kind === 'drip') {
      const piece = Math.max(1, Math.ceil(bytes.length / spoil.pieces))
      for (let from = 0; from < bytes.length && !response.destroyed; from += piece) {
        await new Promise(resolve => setTimeout(resolve, spoil.everyMs))
        response.write(bytes.subarray(from, from + piece))
      }
      response.end()
      return
    }
    response.end(bytes)
  }

  function editedBody(text: string, status: number, url: string): string {
    if (proxy.edit === null || status !== 200 || text === '') return text
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      return text
    }
    return proxy.edit(body, url.split('?')[0] ?? '/') ? JSON.stringify(body) : text
  }

  for (const origin of origins) {
    const server = createServer((asked, response) => {
      const over = proxy.onRequest()
      response.on('close', over)
      answer(origin, asked, response).catch(() => asked.socket.destroy())
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    addresses.set(origin, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    servers.push(server)
  }

  const proxy: Proxy = {
    spoil: () => null,
    edit: null,
    onRequest: () => () => {},
    get requests() {
      return requests
    },
    ours: text => [...addresses].reduce((words, [theirs, ours]) => words.replaceAll(theirs, ours), text),
    async close() {
      agent.destroy()
      for (const server of servers) {
        server.closeAllConnections()
        await new Promise(resolve => server.close(resolve))
      }
    },
  }
  return proxy
}

function forward(agent: Agent, origin: string, asked: IncomingMessage, body: Buffer) {
  const { host: _, connection: __, 'accept-encoding': ___, 'transfer-encoding': ____, ...headers } = asked.headers
  const sent = body.length === 0 ? headers : { ...headers, 'content-length': String(body.length) }
  return new Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }>((resolve, reject) => {
    const call = request(new URL(asked.url ?? '/', origin), { method: asked.method ?? 'GET', headers: sent, agent }, answered => {
      const chunks: Buffer[] = []
      answered.on('data', (chunk: Buffer) => chunks.push(chunk))
      answered.on('error', reject)
      answered.on('end', () =>
        resolve({ status: answered.statusCode ?? 502, headers: answered.headers, body: Buffer.concat(chunks) }),
      )
    })
    call.on('error', reject)
    call.end(body)
  })
}
