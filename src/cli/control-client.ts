/** Client of a worker's REST API (Kafka Connect's), for the commands that control a running group. */
import { request } from 'undici'
import { systemClock } from '../clock.ts'
import { type Fault, loadConfig } from '../config.ts'
import { openNetwork } from '../dispatcher.ts'
import { FlowError } from '../errors.ts'
import { hideSecret } from '../log.ts'
import { isLoopback } from '../serve/door.ts'
import type { Io } from './io.ts'

export interface ControlClient {
  /** @returns The JSON of the answer; null if it is empty. @throws FlowError CONTROL_UNREACHABLE, CONTROL_REFUSED, NOT_FOUND */
  ask(method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<unknown>
  close(): Promise<void>
}

interface Address {
  readonly url: URL
  /** Value of the header Authorization; null: it is not sent. */
  readonly authorization: string | null
  readonly ca?: string | undefined
}

const DEFAULT_URL = 'http://127.0.0.1:8083'
/** Kafka Connect itself allows 90 s for a request. */
const TIMEOUT_MS = 100_000
/** During a rebalance a request is retried, for this long in all. */
const PATIENCE_MS = 30_000
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 5_000
const LONGEST_MESSAGE = 2_000
const REBALANCE_EXPECTED = 'rebalance is expected'

/**
 * The worker's address and credentials: `--url` and `--token`, else the section `http` of the config file, else the worker of this machine and
 * `COLLOQUY_HTTP_TOKEN`.
 */
export function readAddress(
  { url, config, token }: { url?: string | undefined; config?: string | undefined; token?: string | undefined },
  { env }: Pick<Io, 'env'>,
): { ok: true; address: Address } | { ok: false; code: 'CALL_INVALID' | 'CFG_INVALID'; faults: Fault[] } {
  const file = config === undefined ? null : readFile(config, env, url !== undefined)
  if (file !== null && 'faults' in file) return { ok: false, code: 'CFG_INVALID', faults: file.faults }
  const written = url ?? file?.url ?? DEFAULT_URL
  const parsed = URL.parse(written)
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.search !== '' || parsed.hash !== '') {
    const message = `takes the http or https address of a worker, such as ${DEFAULT_URL}`
    return { ok: false, code: 'CALL_INVALID', faults: [{ path: '--url', message }] }
  }
  const { username, password } = parsed
  if (username !== '' || password !== '') {
    if (token !== undefined) {
      const message = 'is given in addition to credentials in --url; give one of the two'
      return { ok: false, code: 'CALL_INVALID', faults: [{ path: '--token', message }] }
    }
    const pair = `${decoded(username)}:${decoded(password)}`
    hideSecret(decoded(password))
    parsed.username = ''
    parsed.password = ''
    const authorization = `Basic ${Buffer.from(pair).toString('base64')}`
    return { ok: true, address: { url: parsed, authorization, ca: file?.ca } }
  }
  const shown = token ?? file?.token ?? env['COLLOQUY_HTTP_TOKEN']
  if (shown === undefined || shown === '') return { ok: true, address: { url: parsed, authorization: null, ca: file?.ca } }
  hideSecret(shown)
  return { ok: true, address: { url: parsed, authorization: `Bearer ${shown}`, ca: file?.ca } }
}

/** Only `http` and `tls` of the file matter here: the caller need not have the secrets of connectors. */
function readFile(
  path: string,
  env: Io['env'],
  hasUrl: boolean,
): { faults: Fault[] } | { url: string; token?: string | undefined; ca?: string | undefined } {
  const loaded = loadConfig(path, env)
  const faults = loaded.ok ? [] : loaded.faults.filter(fault => fault.path === path || /^(http|tls)(\.|$)/.test(fault.path))
  const { http, ca } = loaded
  if (faults.length > 0 || http === undefined) return { faults }
  if (http.port === 0 && !hasUrl) {
    const message = 'is 0, a free port that only the log of the worker shows: give its address with --url'
    return { faults: [{ path: 'http.port', message }] }
  }
  const host = http.host === '0.0.0.0' ? '127.0.0.1' : http.host === '::' ? '::1' : http.host
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${http.port}`, token: http.token, ca }
}

export function openControl(
  { url, authorization, ca }: Address,
  { env, signal, log }: Pick<Io, 'env' | 'signal' | 'log'>,
): ControlClient {
  // A worker of this machine is never behind a proxy.
  const network = openNetwork({ env: isLoopback(url.hostname) ? {} : env, ca })
  const connections = network.connections()
  const root = url.pathname.replace(/\/+$/, '')

  async function once(method: Parameters<ControlClient['ask']>[0], path: string, body: object | undefined) {
    const headers = {
      accept: 'application/json',
      ...(authorization === null ? {} : { authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    try {
      const answer = await request(`${url.origin}${root}${path}`, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        dispatcher: connections.dispatcherFor(url),
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      })
      return { status: answer.statusCode, text: await answer.body.text() }
    } catch (error) {
      if (signal.aborted) throw new FlowError('STOPPED')
      throw new FlowError('CONTROL_UNREACHABLE', { url: url.href, hint: reasonOf(error) }, error)
    }
  }

  return {
    async ask(method, path, body) {
      let waitedMs = 0
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
        const { status, text } = await once(method, path, body)
        const answer = jsonOf(text)
        if (status >= 200 && status < 300) {
          if (answer === undefined)
            throw new FlowError('CONTROL_REFUSED', {
              url: url.href,
              hint: 'the answer is not JSON: is this the address of a worker?',
            })
          return answer
        }
        const message = messageOf(answer, text)
        const isInMotion = status === 409 || (status === 500 && message.includes(REBALANCE_EXPECTED))
        if (!isInMotion || waitedMs >= PATIENCE_MS) throw refusal(status, message)
        if (waitedMs === 0) log.info({ status, error: message }, 'retrying during a rebalance of the group')
        await systemClock.sleep(pauseMs, signal)
        if (signal.aborted) throw new FlowError('STOPPED')
        waitedMs += pauseMs
      }
    },
    close: () => connections.close(),
  }
}

function refusal(status: number, message: string): FlowError {
  return new FlowError(status === 404 ? 'NOT_FOUND' : 'CONTROL_REFUSED', { status, hint: message })
}

/** undefined: the text is not JSON. Empty text is null. */
function jsonOf(text: string): unknown {
  if (text.trim() === '') return null
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function messageOf(answer: unknown, text: string): string {
  const { message } = (answer ?? {}) as { message?: unknown }
  const words = typeof message === 'string' && message !== '' ? message : text.trim()
  return words === '' ? 'the worker gave no reason' : words.slice(0, LONGEST_MESSAGE)
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string }
  if (code === 'ECONNREFUSED') return 'nothing listens there'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'there is no such host'
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || (error as Error).name === 'TimeoutError') return 'no answer in time'
  return code ?? message ?? 'unknown'
}

/** Unchanged if a percent sign was not meant as an escape. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
