/**
 * Kore.ai's credentials: a JSON Web Token in the header `auth`, signed with the app's client secret. An app may demand that each `jti` is used
 * once and that `exp` is at most an hour ahead, so every request gets a token of its own. Documented: header, `appId`, `sub`, the limits of
 * `jti`; assumed: that a token may be minted for each request.
 */
import { createPrivateKey, createPublicKey, createSecretKey, type JsonWebKey, type KeyObject, randomUUID } from 'node:crypto'
import { CompactEncrypt, SignJWT } from 'jose'

export const ALGORITHMS = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512'] as const
type Algorithm = (typeof ALGORITHMS)[number]

export interface JwtConfig {
  readonly clientId: string
  readonly clientSecret: string
  readonly jwtAlgorithm: Algorithm
  readonly jwtSub: string
  readonly jwtIssuer?: string | undefined
  readonly jwtAudience?: string | undefined
  readonly jwtClaims?: string | undefined
  readonly jwtTtlSeconds: number
  readonly jweKey?: string | undefined
  readonly jweKid?: string | undefined
  readonly jweEnc: (typeof CIPHERS)[number]
  readonly jweContent: 'jwt' | 'claims'
}

/** Content encryption, as documented. */
export const CIPHERS = ['A128CBC-HS256', 'A128GCM', 'A256GCM'] as const

/** Shortest RSA key, bits: the signature's standard rejects shorter ones. */
const LEAST_BITS = 2048

/** A token for one request at `nowMs`, valid for as long before as after it, for clock differences in both directions. */
export function tokenMaker(config: JwtConfig): (nowMs: number) => Promise<string> {
  const { clientId, jwtAlgorithm: alg, jwtSub, jwtIssuer, jwtAudience, jwtTtlSeconds } = config
  const key = keyOf(alg, config.clientSecret)
  const claims = {
    ...claimsOf(config.jwtClaims),
    appId: clientId,
    sub: jwtSub,
    ...(jwtIssuer === undefined ? {} : { iss: jwtIssuer }),
    ...(jwtAudience === undefined ? {} : { aud: jwtAudience }),
  }
  const encrypt = encryptor(config)
  return nowMs => {
    const iat = Math.floor(nowMs / 1000) - Math.floor(jwtTtlSeconds / 2)
    const all = { ...claims, iat, exp: iat + jwtTtlSeconds, jti: randomUUID() }
    if (encrypt !== null && config.jweContent === 'claims') return encrypt(JSON.stringify(all))
    const signed = new SignJWT(all).setProtectedHeader({ alg, typ: 'JWT' }).sign(key)
    return encrypt === null ? signed : signed.then(encrypt)
  }
}

/** null: tokens are not encrypted. */
function encryptor({ jweKey, jweKid, jweEnc, jweContent }: JwtConfig): ((words: string) => Promise<string>) | null {
  if (jweKey === undefined) return null
  const { key, kid: own } = encryptionKeyOf(jweKey)
  const kid = jweKid ?? own
  const header = {
    alg: 'RSA-OAEP',
    enc: jweEnc,
    typ: 'JWT',
    ...(jweContent === 'jwt' && { cty: 'JWT' }),
    ...(kid !== undefined && { kid }),
  }
  return words => new CompactEncrypt(Buffer.from(words)).setProtectedHeader(header).encrypt(key)
}

/** The platform's public key: a JWK as the console shows it, or PEM. Throws a TypeError for anything else. */
export function encryptionKeyOf(given: string): { readonly key: KeyObject; readonly kid: string | undefined } {
  let key: KeyObject
  let kid: string | undefined
  try {
    if (given.includes('PRIVATE KEY')) throw new TypeError('a private key')
    if (given.trimStart().startsWith('{')) {
      const jwk = JSON.parse(given) as JsonWebKey & { readonly kid?: unknown }
      key = createPublicKey({ key: jwk, format: 'jwk' })
      kid = typeof jwk.kid === 'string' ? jwk.kid : undefined
    } else key = createPublicKey(given.replaceAll(String.raw`\n`, '\n'))
  } catch {
    throw new TypeError("takes the platform's public RSA key, a JWK (JSON) or PEM")
  }
  requireRsa(key, '')
  return { key, kid }
}

/** The signing key. An environment variable may have the lines of a PEM joined by `\n`. Throws an error without the secret in it. */
export function keyOf(algorithm: Algorithm, secret: string): KeyObject {
  if (algorithm.startsWith('HS')) return createSecretKey(Buffer.from(secret))
  let key: KeyObject
  try {
    key = createPrivateKey(secret.replaceAll(String.raw`\n`, '\n'))
  } catch {
    throw new TypeError(`takes an RSA private key (PKCS#8 PEM) with ${algorithm}`)
  }
  requireRsa(key, ` with ${algorithm}`)
  return key
}

function requireRsa(key: KeyObject, when: string): void {
  if (key.asymmetricKeyType !== 'rsa') throw new TypeError(`takes an RSA ${key.type} key${when}, not another kind`)
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < LEAST_BITS)
    throw new TypeError(`takes an RSA ${key.type} key of ${LEAST_BITS} bits or more`)
}

/** Throws a TypeError if the text is not a JSON object. */
export function claimsOf(json: string | undefined): Readonly<Record<string, unknown>> {
  if (json === undefined) return {}
  let claims: unknown
  try {
    claims = JSON.parse(json)
  } catch {
    claims = null
  }
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) throw new TypeError('takes a JSON object')
  return claims as Readonly<Record<string, unknown>>
}
