/**
 * Who may ask, how much at a time, and how long it may take: everything that is decided before a request is looked at.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIPv4 } from 'node:net'
import type { Socket } from 'node:net'

export interface AccessOptions {
  /** The address that is listened on. */
  readonly host: string
  /** What clients show, as a bearer token or as the password of Basic authentication. */
  readonly token?: string | undefined
  /** Host names that the process may be called by, beside those of the loopback. */
  readonly names?: readonly string[] | undefined
}

/** Why a request is not served; null: it is. */
export type Refusal = { readonly status: 401 | 403; readonly message: string } | null

export interface Access {
  /** Nobody can be let in: a warning at start says so. */
  readonly closed: boolean
  /** @param isPublic Whether the path is one that is never asked for a token: health and metrics. */
  check(headers: { readonly host?: string | undefined; readonly authorization?: string | undefined }, isPublic: boolean): Refusal
}

/**
 * The rules of the contract. Without a token only the loopback is open, and only to requests whose Host says so: a page of another site that has its name
 * resolved to 127.0.0.1 gets nothing (DNS rebinding).
 */
export function accessOf({ host, token, names = [] }: AccessOptions): Access {
  const known = new Set(names.map(name => name.toLowerCase()))
  if (token !== undefined) {
    const wanted = digest(token)
    return {
      closed: false,
      check: ({ authorization }, isPublic) =>
        isPublic || credentialsOf(authorization).some(each => timingSafeEqual(digest(each), wanted))
          ? null
          : { status: 401, message: 'this takes the header Authorization: Bearer TOKEN, with the token of http.token' },
    }
  }
  if (!isLoopback(host)) {
    return {
      closed: true,
      check: (_headers, isPublic) =>
        isPublic ? null : { status: 401, message: 'nothing else is served beyond this machine until http.token is set' },
    }
  }
  return {
    closed: false,
    check: headers => {
      const name = hostNameOf(headers.host ?? '')
      return isLoopback(name) || known.has(name)
        ? null
        : { status: 403, message: 'this is not a name that the process is called by; http.names lists further ones' }
    },
  }
}

/** A name or address that only this machine can mean. */
export function isLoopback(host: string): boolean {
  const name = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'))
}

/** The name in a Host header, without its port, in small letters. What is no such header has no name. */
function hostNameOf(header: string): string {
  const text = header.trim().toLowerCase()
  const end = text.startsWith('[') ? text.indexOf(']') + 1 : text.indexOf(':')
  const name = end > 0 ? text.slice(0, end) : text
  const port = text.slice(name.length)
  if (!/^(?::\d{0,5})?$/.test(port)) return ''
  return name.endsWith('.') ? name.slice(0, -1) : name
}

/** What the header shows that could be the token. */
function credentialsOf(header: string | undefined): string[] {
  if (header === undefined) return []
  const blank = header.indexOf(' ')
  const scheme = header.slice(0, Math.max(0, blank)).toLowerCase()
  const value = header.slice(blank + 1).trim()
  if (scheme === 'bearer') return [value]
  if (scheme !== 'basic') return []
  const pair = Buffer.from(value, 'base64').toString()
  const colon = pair.indexOf(':')
  return colon < 0 ? [] : [pair.slice(colon + 1)]
}

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Longest address of a request, in characters. Headers and it together may take 16 KiB. */
export const LONGEST_URL = 8192
const HEADER_BYTES = 16_384
const MOST_HEADERS = 100
const MOST_CONNECTIONS = 1000
/** Pipelined requests that wait for the one before them: of one connection, and of all. Who sends more is cut off. */
const MOST_WAITING = 1000
const MOST_WAITING_IN_ALL = 5000

const REQUEST_MS = 30_000
const HEADERS_MS = 10_000
const IDLE_MS = 75_000
const SILENT_MS = 120_000

export interface Door {
  readonly server: Server
  /** Whether an answer is under way on this connection: nothing else may be written to it then. */
  isBusy(socket: Socket): boolean
}

/**
 * The server, with bounds on size and time. Requests of one connection are answered one after the other: the next one is not begun before the answer to
 * the one before it has left, so that a connection never holds more than one answer.
 */
export function openDoor(handle: (request: IncomingMessage, response: ServerResponse) => void): Door {
  interface Line {
    busy: boolean
    readonly waiting: [IncomingMessage, ServerResponse][]
  }
  const lines = new WeakMap<Socket, Line>()
  let inAll = 0

  const server = createServer({
    maxHeaderSize: HEADER_BYTES,
    requestTimeout: REQUEST_MS,
    headersTimeout: HEADERS_MS,
    keepAliveTimeout: IDLE_MS,
    connectionsCheckingInterval: 2000,
    // Refused in `http.ts`, with a message.
    requireHostHeader: false,
  })
  server.maxHeadersCount = MOST_HEADERS
  server.maxConnections = MOST_CONNECTIONS
  server.setTimeout(SILENT_MS)

  function lineOf(socket: Socket): Line {
    let line = lines.get(socket)
    if (!line) {
      const opened: Line = { busy: false, waiting: [] }
      line = opened
      lines.set(socket, line)
      socket.once('close', () => {
        inAll -= opened.waiting.length
        opened.waiting.length = 0
      })
    }
    return line
  }

  function begin(line: Line, request: IncomingMessage, response: ServerResponse): void {
    line.busy = true
    response.once('close', () => {
      line.busy = false
      const next = line.waiting.shift()
      if (next === undefined) return
      inAll -= 1
      begin(line, ...next)
    })
    handle(request, response)
  }

  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    const line = lineOf(socket)
    if (!line.busy) return begin(line, request, response)
    if (line.waiting.length >= MOST_WAITING || inAll >= MOST_WAITING_IN_ALL) {
      socket.destroy()
      return
    }
    inAll += 1
    line.waiting.push([request, response])
  })
  return { server, isBusy: socket => lines.get(socket)?.busy === true }
}
