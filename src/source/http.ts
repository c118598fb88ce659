/**
 * The one way to a vendor: authorisation, quota, retries, size and time limits, host pinning and the stop signal around undici, which only
 * carries bytes. Retries are our own, because a page must be whole or an error, POST is a read here too, and `Retry-After` is never cut short.
 *
 * Errors and log lines name the path without its query, status, code, attempt and wait. Never a header, a token, a query value or body text.
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
import { inUrl } from './liberal.ts'
import type { Priority, QuotaGate } from './quota.ts'
import { boundedWaitMs, retryAfterMs } from './wait.ts'
import { watchdog } from './watchdog.ts'

export interface HttpDeps {
  readonly quota: QuotaGate
  /** Whose turn comes first. */
  readonly priority: Priority
  /** Ends waits and requests at once, with STOPPED. */
  readonly signal: AbortSignal
  readonly clock: Clock
  /** Told the vendor's time as each answer gives it (`Date`), epoch milliseconds. */
  readonly onDate?: (dateMs: number) => void
  readonly log: Log
  /** Told of every request that was made: `ok` or the error's code, seconds from start to last byte, seconds waited for quota. */
  readonly observe?: (of: { outcome: string; seconds: number; waitedSeconds: number }) => void
  /** Told what the client is about, for `stream_state`. */
  readonly watch?: HttpWatch
  /** Proxies and certificates. Default: directly. */
  readonly network?: Network
  /** How long `auth` may be busy with nothing that we do for it, milliseconds of real time. */
  readonly authPatienceMs?: number
  /** [0, 1), for jitter. */
  readonly random?: () => number
}

export interface HttpWatch {
  /** A wait that is our own or that the vendor asked for begins; call the result when it is over. */
  waits(): () => void
  /** A request goes out; call the result when it is over: whether the vendor answered, with whatever status. */
  asks(): (isAnswered: boolean) => void
}

const MAX_BYTES = 64 * 1024 * 1024
const TIMEOUT_MS = 60_000
const TRIES = 5
/** Transient 401 come in bursts (Botmaker, seen by a client): so often a request is repeated, a refresh of the credentials included. */
const REPEATS_OF_401 = 3
/** So often a request is repeated because its credentials had ended by the time it came. */
const MOST_ENDED = 8
const MOST_REDIRECTS = 5
const BACKOFF_MS = { first: 500, longest: 30_000 } as const
const RATE_LIMIT_BACKOFF_MS = { first: 1000, longest: 60_000 } as const
/** What a token endpoint answers is small. */
const TOKEN_MAX_BYTES = 1024 * 1024

/** undici's word for a header or an address that cannot be sent. */
const UNSENDABLE = 'UND_ERR_INVALID_ARG'

/** Outcomes of requests that the vendor did not answer, or not whole. */
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

/** What is known of the credentials of one `auth`, which all streams and scopes of a connector share. */
interface Credentials {
  /** How often they were refreshed, so that requests under way together refresh them once. */
  refreshes: number
  /** The newest of these, by the number of refreshes, with which a request was answered. */
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
      throw new FlowError('CFG_INVALID', { hint: 'the address to renew credentials at is not an http or https address' })
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

  /** What a vendor issues may be no credentials that a header can carry: others are fetched then, and the config is not at fault. */
  async function sendable(of: Exchange): Promise<Answer> {
    try {
      return await exchange(of)
    } catch (thrown) {
      const { code, details } = asFlowError(thrown)
      if (code !== 'CFG_INVALID' || details['reason'] !== UNSENDABLE || spec.auth?.refresh === undefined) throw thrown
      throw new FlowError('SRC_UNAUTHORISED', { ...details, hint: 'the credentials hold what no header can carry' })
    }
  }

  /** A call of `auth`, ended where it hangs by itself. */
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

  /** The call until it is answered or its patience is spent. */
  async function call<S extends z.ZodType>(of: Call, page: S, options: CallOptions<z.output<S>>): Promise<z.output<S>> {
    const url = target(base, of.path, of.query)
    const shown = options.shownPath ?? shownPathOf(url, base, of.path)
    const mayRepeat = ({ retry }: FlowError) => retry === 'after' || (retry === 'now' && options.repeatable !== false)
    let refused = 0
    let ended = 0
    const sent = { refreshes: 0 }
    for (let attempt = 1; ; attempt++) {
      try {
        return await once(of, url, shown, page, options, sent)
      } catch (thrown) {
        let error = asFlowError(thrown)
        let again = false
        if (error.retry === 'refresh' && error.details.status !== 403) {
          // What worked for another request since, or was refreshed meanwhile, has ended, as some do after so many requests; what never worked is refreshed once.
          const mayRefresh = spec.auth?.refresh !== undefined
          const isOld = credentials.taken >= sent.refreshes || sent.refreshes !== credentials.refreshes
          const hasEnded = mayRefresh && refused > 0 && isOld
          if (hasEnded) ended++
          else refused++
          again = refused <= REPEATS_OF_401 && ended <= MOST_ENDED
          if (again && mayRefresh && (hasEnded || refused === 1)) {
            try {
              await refresh(sent.refreshes)
              log.info({ path: shown, attempt }, 'credentials refreshed')
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
        const { waitMs: _, ...told } = error.details
        const isAsked = askedMs !== undefined || error.code === 'SRC_RATE_LIMITED'
        const details = { ...told, ...(isAsked ? { waitMs } : {}), attempt }
        if (!again) throw new FlowError(error.code, details, error.cause)
        log.warn({ code: error.code, ...details, waitMs: Math.round(waitMs) }, 'request failed, trying again')
        const over = watch.waits()
        await clock.sleep(waitMs, signal)
        over()
        // A stop that ended the sleep ends the next wait for quota, too.
      }
    }
  }

  /** Full jitter, doubling; after a 429 never less than what is due, as an early request is another 429. */
  function backoffMs(error: FlowError, attempt: number): number {
    const asked = error.retry === 'after'
    const { first, longest } = asked ? RATE_LIMIT_BACKOFF_MS : BACKOFF_MS
    const fullMs = Math.min(longest, first * 2 ** (attempt - 1))
    return asked ? fullMs * (1 + random() / 4) : fullMs * random()
  }

  /**
   * One request under quota, and those that the vendor redirects it to on its own host.
   *
   * @param sent Is told with the credentials of which refresh the request went out.
   */
  async function once<S extends z.ZodType>(
    of: Call,
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
        // With what is being replaced it would only be refused.
        await credentials.refreshing?.catch(() => {})
        sent.refreshes = credentials.refreshes
        const headers = {
          'user-agent': 'colloquy',
          accept: 'application/json',
          'accept-encoding': 'gzip, deflate, br, zstd',
          ...(of.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...lowerCase(spec.headers),
          ...lowerCase(of.headers),
          ...lowerCase(options.headers),
          ...lowerCase(spec.auth && (await ofAuth('auth.headers', at => (spec.auth as Auth).headers(at)))),
        }
        const body = of.body === undefined ? undefined : JSON.stringify(of.body)
        const dispatcher = connections.dispatcherFor(url)
        const answer = await sendable({ dispatcher, method: of.method, url, shown, headers, body, maxBytes, timeoutMs, signal })
        const next = redirect(answer, url, shown, of.method)
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

  /** What an answer means: the page, or the error that it stands for. */
  function settle<S extends z.ZodType>(answer: Answer, path: string, page: S, options: CallOptions<z.output<S>>): z.output<S> {
    const { status, headers } = answer
    if (headers['date'] !== undefined) deps.onDate?.(Date.parse(headers['date']))
    // Of what nobody asked for in parts or by a condition: neither is the answer, whatever the call takes for nothing.
    if (status === 206)
      throw new FlowError('SRC_TRUNCATED', { path, status, hint: 'a part of an answer, where the whole was asked for' })
    if (status >= 300 && status < 400)
      throw new FlowError('SRC_REFUSED', { path, status, hint: 'a redirect that cannot be followed' })
    const { body, words, empty, json } = read(answer, spec)
    const told = spec.classify?.({ status, headers, body, nowMs: clock.now() })
    if (told !== undefined) {
      const { code, waitMs: asked, ...more } = told
      const waitMs = boundedWaitMs({ ...more, waitMs: asked }) ?? retryAfterMs(headers, clock.now())
      throw new FlowError(code, { path, status, ...more, ...wait(waitMs) })
    }
    const saysEmpty = options.emptyStatus?.includes(status) === true && (status >= 400 || empty)
    if (status >= 400 && !saysEmpty) throw refusal(status, headers, body, path)
    // 204 says so; a good answer that has lost its body says nothing.
    if (empty || saysEmpty || status === 204) {
      if ((saysEmpty || status === 204) && Object.hasOwn(options, 'empty')) return options.empty as z.output<S>
      throw new FlowError('SRC_MALFORMED', { path, status, hint: 'an answer without a body, where one was promised' })
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
    throw new FlowError('SRC_MALFORMED', { path, status, issues: issuesOf(parsed.error), hint: 'the body has another form' })
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
  /** The path as errors name it; default: as it is. */
  readonly shown?: string
  readonly headers: Headers
  readonly body: string | undefined
  readonly maxBytes: number
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** One request on the wire, whole: answered with any status, or a FlowError. */
async function exchange(of: Exchange): Promise<Answer> {
  const { dispatcher, method, url, headers, maxBytes, timeoutMs, signal } = of
  const path = of.shown ?? url.pathname
  if (signal.aborted) throw new FlowError('STOPPED', { path })
  const abort = new AbortController()
  const stop = () => abort.abort()
  signal.addEventListener('abort', stop, { once: true })
  const timer = setTimeout(stop, timeoutMs)
  let status: number | undefined
  try {
    const response = await request(url, { dispatcher, method, headers, body: of.body ?? null, signal: abort.signal })
    status = response.statusCode
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) throw tooLarge(path, status, maxBytes)
      chunks.push(chunk)
    }
    const flat = flatten(response.headers)
    // A body that is told neither its length nor its chunks ends when the connection does: nothing at all is then as likely a break as an end.
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

/** What a failure below HTTP stands for. Its message is not passed on: it may hold what we sent. */
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
    return new FlowError('SRC_MALFORMED', { ...details, hint: 'what answers does not speak HTTP' })
  if (reason === undefined) return new FlowError('BUG', { path }, thrown)
  const hint = UNREACHABLE_HINTS.find(([pattern]) => is(pattern))?.[1]
  return new FlowError('SRC_UNREACHABLE', { ...details, ...(hint === undefined ? {} : { hint }) })
}

/** Codes of the error, of those that it gathers (one for each address of a host) and of its causes. */
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
  // What OpenSSL has no name for, such as a signature that is too weak.
  /^UNSPECIFIED$/,
]

function tlsHint(reasons: readonly string[]): string {
  const words = reasons.join(' ')
  if (/EXPIRED/.test(words)) return 'the certificate of the vendor has expired'
  if (/NOT_YET_VALID/.test(words)) return 'the certificate of the vendor is not valid yet; is the clock of this machine right?'
  if (/ALTNAME|HOSTNAME/.test(words)) return 'the certificate is for another host name; is base.url right?'
  if (/SELF_SIGNED|UNABLE_TO_|INVALID_CA/.test(words))
    return 'the certificate is signed by nobody whom we trust; name its CA with tls.ca in the config file, or NODE_EXTRA_CA_CERTS'
  return 'no secure connection could be made; does the address speak https, and a TLS version that is still in use?'
}

const UNREACHABLE_HINTS: readonly (readonly [RegExp, string])[] = [
  [/^(ENOTFOUND|EAI_NONAME|EAI_NODATA)$/, 'cannot connect: the host name is not known'],
  [/^EAI_/, 'cannot connect: the host name could not be looked up'],
  [/^ECONNREFUSED$/, 'cannot connect: nothing listens at this address'],
  [/^(EHOSTUNREACH|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL)$/, 'cannot connect: there is no route to this address'],
  [/^(UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/, 'cannot connect: no connection within 10 s'],
  [/^(ECONNRESET|EPIPE|ECONNABORTED|UND_ERR_SOCKET)$/, 'the connection was closed before an answer came'],
  [/^(EMFILE|ENFILE)$/, 'cannot connect: this process has too many files open'],
]

function tooLarge(path: string, status: number, maxBytes: number): FlowError {
  return new FlowError('SRC_TOO_LARGE', { path, status, maxBytes })
}

/** The body as JSON where it is JSON, or has it in it as the vendor is known to do, else as text. */
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
      // An unknown name: JSON is UTF-8 by its standard.
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

/** A word that APIs make codes of: without one of them, it may be somebody's name. */
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

/** The vendor's own error code, from the places where APIs keep it; only what looks like a code, never a sentence, a telephone number or a secret of ours. */
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

/** Where a body leaves its schema, and how: paths and kinds, no values. Names that could be data are cut out. */
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

/** The path of a call. Of a link that the vendor gave, only what can be no id. */
function shownPathOf(url: URL, base: URL, path: string): string {
  if (!/^([a-z][a-z0-9+.-]*:)?\/\//i.test(path)) return url.pathname
  const own = base.pathname === '/' ? '' : base.pathname
  if (!url.pathname.startsWith(`${own}/`)) return '/…'
  const parts = url.pathname.slice(own.length).split('/')
  return own + parts.map(part => (/^[a-z]{0,20}([_-][a-z]{1,20}){0,3}$/.test(part) ? part : '…')).join('/')
}

/** The link, where it stays on the base's host; http becomes https where the base is https. */
function pinned(base: URL, link: string, path: string): URL {
  const url = URL.parse(link, base.href)
  if (url === null) throw new FlowError('SRC_MALFORMED', { path, hint: 'a link that is no address' })
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

/** Where an answer sends us on, resolved against the address it came from; null where it does not. */
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
