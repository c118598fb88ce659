import { createPublicKey, createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { compactDecrypt, jwtVerify } from 'jose'
import { Random, type Reply, type Request } from '../../../src/sim/index.ts'
import { refused } from './answers.ts'
import type { Quirks } from './quirks.ts'

export type Algorithm = 'HS256' | 'HS384' | 'HS512' | 'RS256' | 'RS384' | 'RS512'

/** How far ahead `exp` may be, and how long a used `jti` is remembered, if the app enforces `jti`. Documented. */
const JTI_MS = 3_600_000

/** The vendor's app: a client id, and the key that verifies its tokens. */
export class App {
  readonly clientId: string
  /** The client's signing key: the shared secret, or a PKCS#8 PEM. */
  readonly clientSecret: string
  readonly #algorithm: Algorithm
  readonly #key: KeyObject
  readonly #quirks: Quirks
  readonly #spent = new Map<string, number>()
  /** If the app enforces encryption: the private half of the platform's key. */
  readonly #decryption: KeyObject | null
  /** The public half, as the console shows it; null: tokens are not encrypted. */
  readonly encryptionKey: string | null

  constructor(seed: number, algorithm: Algorithm, quirks: Quirks) {
    const random = new Random(seed, 3, 8)
    this.#algorithm = algorithm
    this.#quirks = quirks
    this.clientId = `cs-${random.uuid()}`
    const pair = quirks.enforceJwe === null ? null : generateKeyPairSync('rsa', { modulusLength: 2048 })
    this.#decryption = pair?.privateKey ?? null
    this.encryptionKey =
      pair === null ? null : JSON.stringify({ ...pair.publicKey.export({ format: 'jwk' }), kid: 'k-simulated' })
    if (algorithm.startsWith('HS')) {
      this.clientSecret = `sim-secret-${random.id(40)}=`
      this.#key = createSecretKey(Buffer.from(this.clientSecret))
    } else {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      this.clientSecret = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
      this.#key = createPublicKey(privateKey)
    }
  }

  /** null when the request may pass, else the error answer. */
  async check(request: Request, nowMs: number): Promise<Reply | null> {
    const token = request.headers['auth']
    if (typeof token !== 'string' || token === '') return refused(401, 'the auth header is missing')
    let claims: Readonly<Record<string, unknown>>
    try {
      claims = await this.#claimsOf(token, nowMs)
    } catch (error) {
      return refused(401, `error verifying the jwt: ${error instanceof Error ? error.message : 'invalid'}`)
    }
    if (claims['appId'] !== this.clientId) return refused(401, 'error verifying the jwt: unknown appId')
    if (typeof claims['sub'] !== 'string' || claims['sub'] === '') return refused(401, 'error verifying the jwt: no sub')
    return this.#quirks.enforceJti ? this.#once(claims, nowMs) : null
  }

  async #claimsOf(token: string, nowMs: number): Promise<Readonly<Record<string, unknown>>> {
    let words = token
    if (this.#decryption !== null) {
      const { plaintext, protectedHeader } = await compactDecrypt(token, this.#decryption)
      if (protectedHeader['kid'] !== 'k-simulated') throw new Error('unknown kid')
      words = Buffer.from(plaintext).toString()
      if (this.#quirks.enforceJwe === 'claims') return JSON.parse(words) as Readonly<Record<string, unknown>>
    }
    return (await jwtVerify(words, this.#key, { algorithms: [this.#algorithm], currentDate: new Date(nowMs) })).payload
  }

  #once({ jti, exp }: Readonly<Record<string, unknown>>, nowMs: number): Reply | null {
    if (typeof exp !== 'number' || exp * 1000 > nowMs + JTI_MS)
      return refused(401, 'error verifying the jwt: if "jti" claim "exp" must be <= 1 hour(s)')
    for (const [id, untilMs] of this.#spent) if (untilMs <= nowMs) this.#spent.delete(id)
    if (typeof jti !== 'string' || this.#spent.has(jti)) return refused(401, 'error verifying the jwt: possibly a replay')
    this.#spent.set(jti, nowMs + JTI_MS)
    return null
  }
}
