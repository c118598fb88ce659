/** Keycloak's token endpoint for one realm: the grants `password` and `refresh_token`, form-encoded, with the errors of RFC 6749. */
import { Random, type Reply, type Request } from '../../../src/sim/index.ts'
import type { Quirks } from './quirks.ts'

interface Grant {
  readonly untilMs: number
}

export class Tokens {
  readonly username = 'colloquy@example.com'
  readonly password: string
  readonly clientId = 'eva-cockpit'
  readonly #random: Random
  readonly #quirks: Quirks
  readonly #clock: () => number
  readonly #access = new Map<string, Grant>()
  readonly #refresh = new Map<string, Grant>()

  /** @param clock Clock for lifetimes, epoch milliseconds. */
  constructor(seed: number, quirks: Quirks, clock: () => number) {
    this.#random = new Random(seed, 4, 61)
    this.#quirks = quirks
    this.#clock = clock
    this.password = `sim-password-${this.#random.id(16)}`
  }

  accepts(request: Request): boolean {
    const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    const grant = given === undefined ? undefined : this.#access.get(given)
    return grant !== undefined && this.#clock() < grant.untilMs
  }

  /** From now on every access token is rejected; refresh tokens stay valid. */
  expireAccess() {
    this.#access.clear()
  }

  expireRefresh() {
    this.#refresh.clear()
  }

  answer(request: Request): Reply {
    if (!request.headers['content-type']?.startsWith('application/x-www-form-urlencoded'))
      return oauthError(400, 'invalid_request', 'Missing form parameter: grant_type')
    const form = new URLSearchParams(request.body)
    if (form.get('client_id') !== this.clientId) return oauthError(401, 'invalid_client', 'Invalid client credentials')
    const grant = form.get('grant_type')
    if (grant === 'refresh_token') return this.#renew(form.get('refresh_token') ?? '')
    if (grant !== 'password') return oauthError(400, 'unsupported_grant_type', 'Unsupported grant_type')
    return form.get('username') === this.username && form.get('password') === this.password
      ? this.#grant()
      : oauthError(401, 'invalid_grant', 'Invalid user credentials')
  }

  #renew(token: string): Reply {
    const grant = this.#refresh.get(token)
    if (grant === undefined || this.#clock() >= grant.untilMs) return oauthError(400, 'invalid_grant', 'Token is not active')
    if (this.#quirks.refreshToken === 'rotating') this.#refresh.delete(token)
    return this.#grant()
  }

  #grant(): Reply {
    const { expiresInS, refreshExpiresInS, refreshToken } = this.#quirks
    const nowMs = this.#clock()
    const access = `sim-access-${this.#random.id(320)}`
    const refresh = `sim-refresh-${this.#random.id(320)}`
    this.#access.set(access, { untilMs: nowMs + expiresInS * 1000 })
    if (refreshToken !== 'none') this.#refresh.set(refresh, { untilMs: nowMs + refreshExpiresInS * 1000 })
    const body = {
      access_token: access,
      expires_in: expiresInS,
      ...(refreshToken === 'none' ? {} : { refresh_expires_in: refreshExpiresInS, refresh_token: refresh }),
      token_type: 'Bearer',
      'not-before-policy': 0,
      session_state: this.#random.uuid(),
      scope: 'profile email',
    }
    return { status: 200, headers: { 'cache-control': 'no-store' }, body: JSON.stringify(body) }
  }
}

function oauthError(status: number, error: string, description: string): Reply {
  return { status, body: JSON.stringify({ error, error_description: description }) }
}
