/**
 * A user's token from Keycloak: the grant `password` first (documented), `refresh_token` while the refresh token lives (documented, its form fields are
 * OAuth's), then `password` again. All streams share one value: requests with an expired token share one renewal.
 *
 * The text of a token endpoint's answer may repeat what it was sent, so none of it is passed on.
 */
import { type AuthArgs, FlowError, type HttpSpec, number, retryAfterMs, text } from '../../src/source/index.ts'

export interface CredentialsConfig {
  readonly tokenUrl: string
  readonly clientId: string
  readonly clientSecret?: string | undefined
  readonly username: string
  readonly password: string
}

interface Tokens {
  readonly access: string
  /** null: there is none. */
  readonly refresh: string | null
  /** When another one is fetched, epoch milliseconds. */
  readonly renewAtMs: number
  /** When the refresh token expires, epoch milliseconds; Infinity: unknown. */
  readonly refreshUntilMs: number
}

/** An access token is renewed this long before its end, or in the last quarter of its life if that is shorter. */
const MARGIN_MS = 30_000
/** Rejected credentials are not sent again for this long: Keycloak locks users who fail too often. */
const REFUSED_MS = 60_000

export function credentials(config: CredentialsConfig): NonNullable<HttpSpec['auth']> {
  let tokens: Tokens | null = null
  let renewing: Promise<Tokens> | null = null
  let refused: { readonly untilMs: number; readonly error: FlowError } | null = null

  async function fetchTokens(at: AuthArgs): Promise<Tokens> {
    if (refused !== null && at.nowMs < refused.untilMs) throw refused.error
    const { refresh = null, refreshUntilMs = 0 } = tokens ?? {}
    if (refresh !== null && at.nowMs < refreshUntilMs) {
      const renewed = await grant(config, { grant_type: 'refresh_token', refresh_token: refresh }, at)
      if (renewed !== 'refused') return (tokens = renewed)
    }
    tokens = null
    const { username, password } = config
    const first = await grant(config, { grant_type: 'password', username, password }, at)
    if (first === 'refused') {
      const error = new FlowError('SRC_UNAUTHORISED', {
        hint: 'the token endpoint refused the user: username, password, client.id',
      })
      refused = { untilMs: at.nowMs + REFUSED_MS, error }
      throw error
    }
    return (tokens = first)
  }

  /** Joins the renewal in progress; when that ends because another caller was stopped, starts its own. */
  async function renew(at: AuthArgs): Promise<Tokens> {
    const joined = renewing !== null
    renewing ??= fetchTokens(at).finally(() => (renewing = null))
    try {
      return await renewing
    } catch (thrown) {
      if (!joined || !(thrown instanceof FlowError) || thrown.code !== 'STOPPED' || at.signal.aborted) throw thrown
      return renew(at)
    }
  }

  return {
    async headers(at) {
      const { access } = tokens !== null && at.nowMs < tokens.renewAtMs ? tokens : await renew(at)
      return { authorization: `Bearer ${access}` }
    },
    async refresh(_fetch, _signal, at) {
      await renew(at)
    },
  }
}

/** @returns 'refused' when the credentials are wrong or no longer valid. */
async function grant(
  { tokenUrl: url, clientId, clientSecret }: CredentialsConfig,
  fields: Readonly<Record<string, string>>,
  { fetch, nowMs }: AuthArgs,
): Promise<Tokens | 'refused'> {
  const form = new URLSearchParams({
    client_id: clientId,
    ...(clientSecret === undefined ? {} : { client_secret: clientSecret }),
    ...fields,
  })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const { status, headers: answered, body } = await fetch({ method: 'POST', url, headers, body: form.toString() })
  const answer = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  if (status === 401 || status === 403 || (status === 400 && /_(grant|client)$/.test(text(answer['error']) ?? '')))
    return 'refused'
  // The password still works, whatever a server says about an expired refresh token.
  if (fields['grant_type'] === 'refresh_token' && status >= 400 && status < 500 && ![408, 429].includes(status)) return 'refused'
  if (status >= 300) throw failure(status, answered, nowMs)
  const access = text(answer['access_token'])
  if (access === null)
    throw new FlowError('SRC_MALFORMED', { status, hint: 'the token endpoint answered without an access_token' })
  const lifeMs = lifetimeMs(answer['expires_in'])
  return {
    access,
    refresh: text(answer['refresh_token']),
    renewAtMs: nowMs + lifeMs - Math.min(MARGIN_MS, lifeMs / 4),
    refreshUntilMs: nowMs + lifetimeMs(answer['refresh_expires_in']),
  }
}

/** Keycloak returns 0 for a token without an end. */
function lifetimeMs(seconds: unknown): number {
  const lifetime = number(seconds)
  return lifetime === null || lifetime <= 0 ? Number.MAX_SAFE_INTEGER : lifetime * 1000
}

function failure(status: number, headers: Readonly<Record<string, string>>, nowMs: number): FlowError {
  const hint = 'at the token endpoint'
  if (status === 429) {
    const waitMs = retryAfterMs(headers, nowMs)
    return new FlowError('SRC_RATE_LIMITED', { status, hint, ...(waitMs === undefined ? {} : { waitMs }) })
  }
  if (status >= 500) return new FlowError('SRC_SERVER_ERROR', { status, hint })
  // No `status`: requests for a conversation treat 404 as one that is gone.
  return new FlowError('SRC_REFUSED', {
    vendorCode: String(status),
    hint: 'the token endpoint refused the request; is token.url right?',
  })
}
