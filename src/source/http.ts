/**
 * All requests to a vendor go through here: authorisation, quota, retries, size and time limits, host pinning and the stop signal around undici, which only
 * transports bytes. Retries are our own, because a page must be whole or an error, POST is a read here too, and `Retry-After` is never shortened.
 *
 * Errors and log lines have the path without its query, status, code, attempt and wait. Never a header, a token, a query value or body text.
 */
import { type Dispatcher, request } from 'undici'
import type { z } from 'zod'
import { type Clock, steadyMs } from '../clock.ts'
import { directNetwork, type Network } from '../dispatcher.ts'
import { asFlowError, type ErrorDetails, FlowError } from '../errors.ts'
import { type Log, withoutSecrets } from '../log.ts'
import { decompress } from './decompress.ts'
import type { AuthArgs, CallOptions, Http, HttpSpec, Json, PlainFetch, Query } from './contract.ts'
import { ambiguousName, parseJson } from './json.ts'
import { inUrl } from './lenient.ts'
import type { Priority, QuotaGate } from './quota.ts'
import { boundedWaitMs, retryAfterMs } from './wait.ts'
import { watchdog } from './watchdog.ts'

export interface HttpDeps {
  readonly quota: QuotaGate
  /** Who goes first. */
  readonly priority: Priority
  /** Ends waits and requests at once, with STOPPED. */
  readonly signal: AbortSignal
  readonly clock: Clock
  /** Called with the vendor's time of each answer (`Date`), epoch milliseconds. */
  readonly onDate?: (dateMs: number) => void
  readonly log: Log
  /** Called for every request: `ok` or the error's code, seconds from start to last byte, seconds waited for quota. */
  readonly observe?: (request: { outcome: string; seconds: number; waitedSeconds: number }) => void
  /** Notified of what the client is doing, for `stream_state`. */
  readonly watch?: HttpWatch
  /** Proxies and certificates. Default: direct. */
  readonly network?: Network
  /** How long `auth` may run without calling us, milliseconds of real time. */
  readonly authPatienceMs?: number
  /** [0, 1), for jitter. */
  readonly random?: () => number
}

export interface HttpWatch {
  /** A wait begins, our own or requested by the vendor; call the result when it is over. */
  waits(): () => void
  /** A request starts; call the result when it is over: whether the vendor answered, with any status. */
  asks(): (isAnswered: boolean) => void
}

const MAX_BYTES = 64 * 1024 * 1024
const TIMEOUT_MS = 60_000
const TRIES = 5
/** Transient 401 come in bursts (Botmaker, seen by a client): a request is repeated this often, including after a refresh of the credentials. */
const REPEATS_OF_401 = 3
/** How often a request is repeated because its credentials had expired when it arrived. */
const MOST_ENDED = 8
const MOST_REDIRECTS = 5
const BACKOFF_MS = { first: 500, longest: 30_000 } as const
const RATE_LIMIT_BACKOFF_MS = { first: 1000, longest: 60_000 } as const
/** Answers of token endpoints are small. */
const TOKEN_MAX_BYTES = 1024 * 1024

/** undici's code for a header or an address that cannot be sent. */
const UNSENDABLE = 'UND_ERR_INVALID_ARG'

/** Outcomes of requests without an answer, or with an incomplete one. */
const UNANSWERED: ReadonlySet<string> = new Set(['SRC_UNREACHABLE', 'SRC_TIMEOUT', 'SRC_TRUNCATED', 'SRC_TLS', 'STOPPED'])

type Headers = Readonly<Record<string, string>>

interface Answer {
  readonly status: number
  readonly headers: Headers
  /** Decompressed. */
  readonly bytes: Buffer
}

interface Call {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly query: Query
  readonly body: Json | undefined
  readonly headers: Headers | undefined
}

/** State of the credentials of one `auth`, which all streams and scopes of a connector share. */
interface Credentials {
  /** Number of refreshes, so that concurrent requests refresh only once. */
  refreshes: number
  /** The latest credentials, by number of refreshes, that a request succeeded with. */
  taken: number
  refreshing: Promise<void> | null
}

const known = new WeakMap<object, Credentials>()

function credentialsOf({ auth }: HttpSpec): Credentials {
  const fresh = { refreshes: 0, taken: -1, refreshing: null }
  if (auth === undefined) return fresh
  const found = known.get(auth) ?? fresh
  known.set(auth, found)
  return found
}

export function createHttp(spec: HttpSpec, deps: HttpDeps): Http & { close(): Promise<void> } {
  const { quota, clock, signal, log, observe, random = Math.random, network = directNetwork } = deps
  const { watch = { waits: () => () => {}, asks: () => () => {} } } = deps
  const base = baseOf(spec.baseUrl)
  const maxBytes = spec.maxBytes ?? MAX_BYTES
  const timeoutMs = spec.timeoutMs ?? TIMEOUT_MS
  const tries = Math.max(1, spec.tries ?? TRIES)
  const connections = network.connections()

  const credentials = credentialsOf(spec)

  const plainFetch: PlainFetch = async ({ method, url, headers = {}, body }) => {
    const sent = { 'user-agent': 'colloquy', accept: 'application/json', ...lowerCase(headers) }
    const address = URL.parse(url)
    if (address === null || !/^https?:$/.test(address.protocol))
      throw new FlowError('CFG_INVALID', { hint: 'the address for renewing credentials is not an http or https address' })
    const answer = await sendable({
      dispatcher: connections.dispatcherFor(address),
      method,
      url: address,
      headers: sent,
      body,
      maxBytes: TOKEN_MAX_BYTES,
      timeoutMs,
      signal,
    })
    return { status: answer.status, headers: answer.headers, body: read(answer, spec).body }
  }

  /** A vendor may issue credentials that a header cannot carry: then others are fetched, and the config is not at fault. */
  async function sendable(request: Exchange): Promise<Answer> {
    try {
      return await exchange(request)
    } catch (thrown) {
      const { code, details } = asFlowError(thrown)
      if (code !== 'CFG_INVALID' || details['reason'] !== UNSENDABLE || spec.auth?.refresh === undefined) throw thrown
      throw new FlowError('SRC_UNAUTHORISED', {
        ...details,
        hint: 'the credentials contain characters that a header cannot carry',
      })
    }
  }

  /** A call of `auth`, ended if it hangs by itself. */
  function ofAuth<T>(call: string, work: (at: AuthArgs) => T | Promise<T>): Promise<T> {
    const dog = watchdog(deps.authPatienceMs)
    const fetch: PlainFetch = request => dog.busy(() => plainFetch(request))
    return dog.watch(call, () => work({ nowMs: clock.now(), fetch, signal }))
  }

  async function refresh(seen: number): Promise<void> {
    if (seen !== credentials.refreshes) return
    credentials.refreshing ??= ofAuth('auth.refresh', at => spec.auth?.refresh?.(at.fetch, signal, at))
      .then(() => void credentials.refreshes++)
      .finally(() => (credentials.refreshing = null))
    await credentials.refreshing
  }

  /** Repeats the request until it is answered or its attempts are used up. */
  async function call<S extends z.ZodType>(request: Call, page: S, options: CallOptions<z.output<S>>): Promise<z.output<S>> {
    const url = target(base, request.path, request.query)
    const shown = options.shownPath ?? shownPathOf(url, base, request.path)
    const mayRepeat = ({ retry }: FlowError) => retry === 'after' || (retry === 'now' && options.repeatable !== false)
    let refused = 0
    let ended = 0
    const sent = { refreshes: 0 }
    for (let attempt = 1; ; attempt++) {
      try {
        return await once(request, url, shown, page, options, sent)
      } catch (thrown) {
        let error = asFlowError(thrown)
        let again = false
        if (error.retry === 'refresh' && error.details.status !== 403) {
          // Credentials that worked for another request since, or were refreshed meanwhile, have expired, as some do after a number of requests; credentials
          // that never worked are refreshed once.
          const mayRefresh = spec.auth?.refresh !== undefined
          const isOld = credentials.taken >= sent.refreshes || sent.refreshes !== credentials.refreshes
          const hasEnded = mayRefresh && refused > 0 && isOld
          if (hasEnded) ended++
          else refused++
          again = refused <= REPEATS_OF_401 && ended <= MOST_ENDED
          if (again && mayRefresh && (hasEnded || refused === 1)) {
            try {
              await refresh(sent.refreshes)
              log.info({ path: shown, attempt }, 'refreshed credentials')
              continue
            } catch (failure) {
              error = asFlowError(failure)
              again = error.retry === 'refresh' ? again : mayRepeat(error) && attempt < tries
            }
          }
        } else if (mayRepeat(error)) {
          again = attempt < tries
        } else throw error
        const askedMs = boundedWaitMs(error.details)
        const waitMs = askedMs ?? backoffMs(error, attempt)
        if (error.code === 'SRC_RATE_LIMITED') quota.holdUntil(clock.now() + waitMs)
        const { waitMs: _, ...others } = error.details
        const isAsked = askedMs !== undefined || error.code === 'SRC_RATE_LIMITED'
        const details = { ...others, ...(isAsked ? { waitMs } : {}), attempt }
        if (!again) throw new FlowError(error.code, details, error.cause)
        log.warn({ code: error.code, ...details, waitMs: Math.round(waitMs) }, 'failed request, retrying')
        const over = watch.waits()
        await clock.sleep(waitMs, signal)
        over()
        // A stop that ended the sleep also ends the next wait for quota.
      }
    }
  }

  /** Full jitter, doubling; after a 429 never less than the due wait, as an early request is another 429. */
  function backoffMs(error: FlowError, attempt: number): number {
    const asked = error.retry === 'after'
    const { first, longest } = asked ? RATE_LIMIT_BACKOFF_MS : BACKOFF_MS
    const fullMs = Math.min(longest, first * 2 ** (attempt - 1))
    return asked ? fullMs * (1 + random() / 4) : fullMs * random()
  }

  /**
   * One request under quota, and its redirects on the vendor's own host.
   *
   * @param sent Called with the number of the refresh whose credentials the request used.
   */
  async function once<S extends z.ZodType>(
    request: Call,
    first: URL,
    shown: string,
    page: S,
    options: CallOptions<z.output<S>>,
    sent: { refreshes: number },
  ): Promise<z.output<S>> {
    let url = first
    for (let hops = 0; ; hops++) {
      const askedMs = steadyMs(clock)
      const over = watch.waits()
      const release = await quota.acquire(deps.priority, signal).finally(over)
      const startMs = steadyMs(clock)
      let outcome = 'ok'
      const answered = watch.asks()
      try {
        // Credentials that are being replaced would only be rejected.
        await credentials.refreshing?.catch(() => {})
        sent.refreshes = credentials.refreshes
        const headers = {
          'user-agent': 'colloquy',
          accept: 'application/json',
          'accept-encoding': 'gzip, deflate, br, zstd',
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...lowerCase(spec.headers),
          ...lowerCase(request.headers),
          ...lowerCase(options.headers),
          ...lowerCase(spec.auth && (await ofAuth('auth.headers', at => (spec.auth as Auth).headers(at)))),
        }
        const body = request.body === undefined ? undefined : JSON.stringify(request.body)
        const dispatcher = connections.dispatcherFor(url)
        const answer = await sendable({
          dispatcher,
          method: request.method,
          url,
          shown,
          headers,
          body,
          maxBytes,
          timeoutMs,
          signal,
        })
        const next = redirect(answer, url, shown, request.method)
        if (next === null) return settle(answer, shown, page, options)
        if (hops >= MOST_REDIRECTS)
          throw new FlowError('SRC_REFUSED', { path: shown, status: answer.status, hint: 'redirected in a circle' })
        url = pinned(base, next, shown)
      } catch (thrown) {
        outcome = asFlowError(thrown).code
        throw thrown
      } finally {
        release()
        answered(!UNANSWERED.has(outcome))
        if (outcome === 'ok') credentials.taken = Math.max(credentials.taken, sent.refreshes)
        observe?.({ outcome, seconds: (steadyMs(clock) - startMs) / 1000, waitedSeconds: (startMs - askedMs) / 1000 })
      }
    }
  }

  /** The page of an answer, or its error. */
  function settle<S extends z.ZodType>(answer: Answer, path: string, page: S, options: CallOptions<z.output<S>>): z.output<S> {
    const { status, headers } = answer
    if (headers['date'] !== undefined) deps.onDate?.(Date.parse(headers['date']))
    // Answers to partial or conditional requests, which we never send: neither is valid, whatever the call accepts as empty.
    if (status === 206)
      throw new FlowError('SRC_TRUNCATED', { path, status, hint: 'a partial answer to a request for the whole' })
    if (status >= 300 && status < 400)
      throw new FlowError('SRC_REFUSED', { path, status, hint: 'a redirect that cannot be followed' })
    const { body, words, empty, json } = read(answer, spec)
    const classified = spec.classify?.({ status, headers, body, nowMs: clock.now() })
    if (classified !== undefined) {
      const { code, waitMs: asked, ...more } = classified
      const waitMs = boundedWaitMs({ ...more, waitMs: asked }) ?? retryAfterMs(headers, clock.now())
      throw new FlowError(code, { path, status, ...more, ...wait(waitMs) })
    }
    const saysEmpty = options.emptyStatus?.includes(status) === true && (status >= 400 || empty)
    if (status >= 400 && !saysEmpty) throw refusal(status, headers, body, path)
    // A 204 is explicitly empty; a success without a body may have lost it.
    if (empty || saysEmpty || status === 204) {
      if ((saysEmpty || status === 204) && Object.hasOwn(options, 'empty')) return options.empty as z.output<S>
      throw new FlowError('SRC_MALFORMED', { path, status, hint: 'an answer without the body that it should have' })
    }
    if (!json)
      throw new FlowError('SRC_MALFORMED', { path, status, contentType: mediaType(headers), hint: 'the body is not JSON' })
    const ambiguous = ambiguousName(words, body)
    if (ambiguous !== null) {
      const name = NAME.test(ambiguous) ? ambiguous : '*'
      throw new FlowError('SRC_MALFORMED', { path, status, hint: `${name} stands twice in the answer, with different values` })
    }
    const parsed = page.safeParse(body)
    if (parsed.success) return parsed.data
    throw new FlowError('SRC_MALFORMED', {
      path,
      status,
      issues: issuesOf(parsed.error),
      hint: 'the body has an unexpected form',
    })
  }

  function refusal(status: number, headers: Headers, body: unknown, path: string): FlowError {
    const details: ErrorDetails = { path, status, vendorCode: vendorCodeOf(body) }
    if (status === 429) return new FlowError('SRC_RATE_LIMITED', { ...details, ...wait(retryAfterMs(headers, clock.now())) })
    if (status === 503) return new FlowError('SRC_SERVER_ERROR', { ...details, ...wait(retryAfterMs(headers, clock.now())) })
    if (status >= 500) return new FlowError('SRC_SERVER_ERROR', details)
    if (status === 401 || status === 403) return new FlowError('SRC_UNAUTHORISED', details)
    if (status === 407)
      return new FlowError('SRC_UNREACHABLE', {
        ...details,
        hint: 'the proxy asks for credentials: write them into the address of the proxy, http://user:password@host:port',
      })
    if (status === 408) return new FlowError('SRC_TIMEOUT', details)
    return new FlowError('SRC_REFUSED', details)
  }

  return {
    getJson: (path, query, page, options = {}) =>
      call({ method: 'GET', path, query, body: undefined, headers: undefined }, page, options),
    postJson: (path, { query = {}, body, headers }, page, options = {}) =>
      call({ method: 'POST', path, query, body, headers }, page, options),
    close: () => connections.close(),
  }
}

type Auth = NonNullable<HttpSpec['auth']>

interface Exchange {
  readonly dispatcher: Dispatcher
  readonly method: 'GET' | 'POST'
  readonly url: URL
  /** The path as errors show it; default: unchanged. */
  readonly shown?: string
  readonly headers: Headers
  readonly body: string | undefined
  readonly maxBytes: number
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** One request on the wire: its complete answer with any status, or a FlowError. */
async function exchange(exchanged: Exchange): Promise<Answer> {
  const { dispatcher, method, url, headers, maxBytes, timeoutMs, signal } = exchanged
  const path = exchanged.shown ?? url.pathname
  if (signal.aborted) throw new FlowError('STOPPED', { path })
  const abort = new AbortController()
  const stop = () => abort.abort()
  signal.addEventListener('abort', stop, { once: true })
  const timer = setTimeout(stop, timeoutMs)
  let status: number | undefined
  try {
    const response = await request(url, { dispatcher, method, headers, body: exchanged.body ?? null, signal: abort.signal })
    status = response.statusCode
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) throw tooLarge(path, status, maxBytes)
      chunks.push(chunk)
    }
    const flat = flatten(response.headers)
    // A body with neither length nor chunks ends with the connection: an empty one is as likely a break as an end.
    const framed =
      flat['content-length'] !== undefined || flat['transfer-encoding'] !== undefined || status === 204 || status === 304
    if (size === 0 && !framed) throw new FlowError('SRC_TRUNCATED', { path, status })
    const raw = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size)
    const bytes = await decompress(raw, flat['content-encoding'], maxBytes).catch((thrown: unknown) => {
      throw thrown instanceof FlowError ? new FlowError(thrown.code, { path, status, ...thrown.details }) : thrown
    })
    return { status, headers: flat, bytes }
  } catch (thrown) {
    if (thrown instanceof FlowError) throw thrown
    if (signal.aborted) throw new FlowError('STOPPED', { path })
    if (abort.signal.aborted) throw new FlowError('SRC_TIMEOUT', { path, status, timeoutMs })
    throw transportFault(thrown, path, status)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

/** Classifies a failure below HTTP. Its message is not passed on: it may contain what we sent. */
function transportFault(thrown: unknown, path: string, status: number | undefined): FlowError {
  const reasons = reasonsOf(thrown)
  const reason = reasons[0]
  const details = { path, status, reason }
  const is = (...patterns: RegExp[]) => reasons.some(each => patterns.some(pattern => pattern.test(each)))
  const words = thrown instanceof Error ? thrown.message : ''
  if (is(/^UND_ERR_(DESTROYED|CLOSED)$/)) return new FlowError('STOPPED', { path })
  if (/^Proxy response \((\d+)\)|^Proxy Authentication Required/.test(words))
    return new FlowError('SRC_UNREACHABLE', {
      path,
      reason: 'PROXY_REFUSED',
      hint: /407/.test(words)
        ? 'the proxy asks for credentials: write them into the address of the proxy, http://user:password@host:port'
        : `the proxy refuses a connection to the vendor (${/\d{3}/.exec(words)?.[0]})`,
    })
  if (reason === UNSENDABLE)
    return new FlowError('CFG_INVALID', {
      ...details,
      hint: 'a header or the address cannot be sent; is there a line break in a credential?',
    })
  if (is(...TLS_FAULTS)) return new FlowError('SRC_TLS', { ...details, hint: tlsHint(reasons) })
  if (is(/^UND_ERR_HEADERS_OVERFLOW$|^HPE_HEADER_OVERFLOW$/))
    return new FlowError('SRC_MALFORMED', { ...details, hint: 'the headers of the answer are larger than 16 KiB' })
  if (is(/^UND_ERR_RES_EXCEEDED_MAX_SIZE$/)) return new FlowError('SRC_TOO_LARGE', details)
  if (status !== undefined) return new FlowError('SRC_TRUNCATED', details)
  if (is(/^HPE_/, /^UND_ERR_RES_CONTENT_LENGTH_MISMATCH$/))
    return new FlowError('SRC_MALFORMED', { ...details, hint: 'the server at this address does not speak HTTP' })
  if (reason === undefined) return new FlowError('BUG', { path }, thrown)
  const hint = UNREACHABLE_HINTS.find(([pattern]) => is(pattern))?.[1]
  return new FlowError('SRC_UNREACHABLE', { ...details, ...(hint === undefined ? {} : { hint }) })
}

/** Codes of the error, of the errors that it aggregates (one for each address of a host) and of its causes. */
function reasonsOf(thrown: unknown, depth = 0): string[] {
  if (!(thrown instanceof Error) || depth > 4) return []
  // The parser's errors have no code of their own.
  const coded = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined
  const own = coded ?? (thrown.name === 'HTTPParserError' ? 'HPE_INVALID' : undefined)
  const parts = thrown instanceof AggregateError ? (thrown.errors as unknown[]) : []
  return [...(own === undefined ? [] : [own]), ...[...parts, thrown.cause].flatMap(each => reasonsOf(each, depth + 1))]
}

const TLS_FAULTS = [
  /^ERR_TLS_/,
  /^ERR_SSL_/,
  /^EPROTO$/,
  /CERT/,
  /^UNABLE_TO_(GET|VERIFY|DECRYPT|DECODE)_/,
  /^(INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|CRL_)/,
  /^UND_ERR_PRX_TLS$/,
  // Errors that OpenSSL has no name for, such as a signature that is too weak.
  /^UNSPECIFIED$/,
]

function tlsHint(reasons: readonly string[]): string {
  const words = reasons.join(' ')
  if (/EXPIRED/.test(words)) return 'the certificate of the vendor has expired'
  if (/NOT_YET_VALID/.test(words)) return 'the certificate of the vendor is not valid yet; is the clock of this machine right?'
  if (/ALTNAME|HOSTNAME/.test(words)) return 'the certificate is for another host name; is base.url right?'
  if (/SELF_SIGNED|UNABLE_TO_|INVALID_CA/.test(words))
    return 'the certificate is not signed by a trusted CA; set its CA with tls.ca in the config file, or NODE_EXTRA_CA_CERTS'
  return 'no secure connection could be made; does the address speak https, and a TLS version that is still in use?'
}

const UNREACHABLE_HINTS: readonly (readonly [RegExp, string])[] = [
  [/^(ENOTFOUND|EAI_NONAME|EAI_NODATA)$/, 'cannot connect: unknown host name'],
  [/^EAI_/, 'cannot connect: the lookup of the host name failed'],
  [/^ECONNREFUSED$/, 'cannot connect: nothing listens at this address'],
  [/^(EHOSTUNREACH|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL)$/, 'cannot connect: there is no route to this address'],
  [/^(UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/, 'cannot connect: no connection within 10 s'],
  [/^(ECONNRESET|EPIPE|ECONNABORTED|UND_ERR_SOCKET)$/, 'the connection was closed before an answer came'],
  [/^(EMFILE|ENFILE)$/, 'cannot connect: this process has too many files open'],
]

function tooLarge(path: string, status: number, maxBytes: number): FlowError {
  return new FlowError('SRC_TOO_LARGE', { path, status, maxBytes })
}

/** The body as JSON if it is JSON, or contains it as this vendor is known to do, else as text. */
function read(answer: Answer, spec: HttpSpec): { body: unknown; words: string; empty: boolean; json: boolean } {
  const words = textOf(answer)
  if (words.trim() === '') return { body: undefined, words, empty: true, json: false }
  try {
    return { body: parseJson(words), words, empty: false, json: true }
  } catch {
    const inner = spec.jsonIn?.(words)
    if (inner === undefined) return { body: words, words, empty: false, json: false }
    return { body: parseJson(inner), words: inner, empty: false, json: true }
  }
}

function textOf({ bytes, headers }: Answer): string {
  const charset = /charset="?([\w-]+)/i.exec(headers['content-type'] ?? '')?.[1]?.toLowerCase()
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') {
    try {
      return new TextDecoder(charset).decode(bytes)
    } catch {
      // An unknown charset: JSON is UTF-8 by its standard.
    }
  }
  const bom = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return bytes.toString('utf8', bom ? 3 : 0)
}

function mediaType(headers: Headers): string {
  return /^[\w.+/-]{1,80}/.exec(headers['content-type'] ?? '')?.[0] ?? 'none'
}

function wait(waitMs: number | undefined): { waitMs?: number } {
  return waitMs === undefined ? {} : { waitMs }
}

/** Words typical of API error codes: without one of them, it may be somebody's name. */
const CODE_WORD =
  /error|exception|invalid|unauthori[sz]ed|forbidden|not|too|missing|denied|limit|expired|bad|request|failed|failure|timeout|unavailable|conflict|required|exceeded|gone|internal|unknown|unsupported|fault/i

function isCode(text: string): boolean {
  if (!/^[A-Za-z0-9][\w.-]{0,63}$/.test(text) || /\d{7}/.test(text)) return false
  return (
    /^\d+$/.test(text) ||
    /^[A-Z0-9]+([_.-][A-Z0-9]+)*$/.test(text) ||
    /^[a-z0-9]+(_[a-z0-9]+)+$/.test(text) ||
    CODE_WORD.test(text)
  )
}

/** The vendor's own error code, from the usual places; only if it looks like a code, never a sentence, a telephone number or one of our secrets. */
function vendorCodeOf(body: unknown): string | undefined {
  const root = entry(body)
  const places = [entry(root.errors, 0), entry(root.error), root]
  for (const place of places) {
    for (const value of [place.code, place.errorCode, place.error_code, place.error, place.status]) {
      const code = typeof value === 'number' ? String(value) : value
      if (typeof code === 'string' && isCode(code) && withoutSecrets(code) === code) return code
    }
  }
  return undefined
}

function entry(value: unknown, index?: number): Record<string, unknown> {
  const found = index !== undefined && Array.isArray(value) ? (value[index] as unknown) : value
  return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : {}
}

/** Other names could be data (keys of a map). */
const NAME = /^[A-Za-z_]\w{0,39}$/

/** Where a body does not match its schema, and how: paths and kinds, no values. Names that could be data are removed. */
function issuesOf(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map(
      ({ path, code }) =>
        `${path.map(part => (NAME.test(String(part)) || /^\d+$/.test(String(part)) ? String(part) : '*')).join('.') || '.'}: ${code}`,
    )
    .join(', ')
}

function baseOf(baseUrl: string): URL {
  const base = URL.parse(baseUrl.replace(/\/+$/, ''))
  if (base === null || !/^https?:$/.test(base.protocol))
    throw new FlowError('CFG_INVALID', { hint: 'base.url is not an http or https address' })
  return base
}

/** The address of a call: below the base, or an absolute link on the base's host. */
export function target(base: URL, path: string, query: Query): URL {
  const absolute = /^([a-z][a-z0-9+.-]*:)?\/\//i.test(path)
  const root = `${base.origin}${base.pathname === '/' ? '' : base.pathname}`
  const url = absolute
    ? pinned(base, path, base.pathname)
    : new URL(`${root}${path === '' || path.startsWith('/') ? '' : '/'}${path}`)
  const more = queryText(query)
  if (more !== '') url.search = url.search === '' ? more : `${url.search}&${more}`
  return url
}

/** The path of a call. For a link from the vendor, only the parts that cannot be ids. */
function shownPathOf(url: URL, base: URL, path: string): string {
  if (!/^([a-z][a-z0-9+.-]*:)?\/\//i.test(path)) return url.pathname
  const own = base.pathname === '/' ? '' : base.pathname
  if (!url.pathname.startsWith(`${own}/`)) return '/…'
  const parts = url.pathname.slice(own.length).split('/')
  return own + parts.map(part => (/^[a-z]{0,20}([_-][a-z]{1,20}){0,3}$/.test(part) ? part : '…')).join('/')
}

/** The link, if it is on the base's host; http becomes https where the base is https. */
function pinned(base: URL, link: string, path: string): URL {
  const url = URL.parse(link, base.href)
  if (url === null) throw new FlowError('SRC_MALFORMED', { path, hint: 'a link that is not an address' })
  if (url.protocol === 'http:' && base.protocol === 'https:') url.protocol = 'https:'
  if (!/^https?:$/.test(url.protocol) || url.host !== base.host)
    throw new FlowError('SRC_FOREIGN_HOST', { path, host: url.host, hint: `links are followed on ${base.host} only` })
  url.username = ''
  url.password = ''
  url.hash = ''
  return url
}

function queryText(query: Query): string {
  const pairs: string[] = []
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue
    for (const one of typeof value === 'object' ? value : [value]) pairs.push(`${inUrl(name)}=${inUrl(String(one))}`)
  }
  return pairs.join('&')
}

/** The target of a redirect, resolved against the request's address; null if it is not a redirect. */
function redirect(answer: Answer, from: URL, shown: string, method: string): string | null {
  if (![301, 302, 303, 307, 308].includes(answer.status)) return null
  const location = answer.headers.location
  const url = location === undefined ? null : URL.parse(location, from.href)
  if (url === null || (method === 'POST' && answer.status < 307))
    throw new FlowError('SRC_REFUSED', { path: shown, status: answer.status, hint: 'a redirect that cannot be followed' })
  return url.href
}

function flatten(headers: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) flat[name] = typeof value === 'string' ? value : value.join(', ')
  return flat
}

function lowerCase(headers: Headers | undefined): Headers {
  return headers === undefined
    ? {}
    : Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
