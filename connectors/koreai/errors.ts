/** Meaning of the vendor's own error answers. Texts and envelope are documented, their status codes are not: so the text decides, whatever the status. */

import type { HttpSpec } from '../../src/source/index.ts'
import { isObject } from '../../src/source/index.ts'

type Classify = NonNullable<HttpSpec['classify']>

const MINUTE_MS = 60_000
/** `vendorCode` of a refusal that means "nothing found": read as a page without rows. */
export const NOTHING_FOUND = 'nothing_found'

const NOTHING = /\bno (sessions?|messages?|conversations?|records?|results?|data)( (was|were))? (found|available)\b/i

/** Lists of rows: an answer with one is not an error, whatever its texts. */
const ROWS = ['sessions', 'messages', 'result', 'conversationInfo', 'results']

const CREDENTIALS_HINT =
  'client.id, client.secret and jwt.algorithm must be those of the app, and the app must have the scope of this call, published'
const LIMIT_HINT = 'if it was asked for too many rows, lower page.size or messages.page.size'

export const classify: Classify = ({ status, headers, body }) => {
  const fields = isObject(body) ? body : {}
  if (ROWS.some(name => name in fields)) return undefined
  const { words, code } = errorOf(body)
  const waitMs = (ms: number) => (headers['retry-after'] === undefined ? { waitMs: ms } : {})
  if (/per[- ]minute rate limit/i.test(words)) return { code: 'SRC_RATE_LIMITED', vendorCode: 'per_minute', ...waitMs(MINUTE_MS) }
  if (/hourly rate limit/i.test(words)) return { code: 'SRC_RATE_LIMITED', vendorCode: 'hourly', ...waitMs(15 * MINUTE_MS) }
  // The answer does not say which limit it was: waiting for the shorter one is enough to find out.
  if (status === 429) return { code: 'SRC_RATE_LIMITED', ...waitMs(MINUTE_MS) }
  if (/possibly a replay/i.test(words)) return { code: 'SRC_UNAUTHORISED', vendorCode: 'jwt_replay' }
  const vendorCode = code === null ? {} : { vendorCode: String(code) }
  if (status === 401 || status === 403) return { code: 'SRC_UNAUTHORISED', ...vendorCode, hint: CREDENTIALS_HINT }
  if (status >= 400 && status < 500) {
    if (NOTHING.test(words)) return { code: 'SRC_REFUSED', vendorCode: NOTHING_FOUND }
    if (/\blimit\b/i.test(words)) return { code: 'SRC_REFUSED', ...vendorCode, hint: LIMIT_HINT }
  }
  if (status >= 300) return undefined
  // An error in an answer with status 200: its own code decides.
  if (code === 401 || code === 403) return { code: 'SRC_UNAUTHORISED', vendorCode: String(code), hint: CREDENTIALS_HINT }
  if (code === 429) return { code: 'SRC_RATE_LIMITED', vendorCode: '429', ...waitMs(MINUTE_MS) }
  if (code !== null && code >= 500 && code < 600) return { code: 'SRC_SERVER_ERROR', vendorCode: String(code) }
  if (code !== null && code >= 400) return { code: 'SRC_REFUSED', vendorCode: String(code) }
  return undefined
}

/** `{"errors":[{"msg":…,"code":…}]}`, or similar forms. */
function errorOf(body: unknown): { words: string; code: number | null } {
  if (typeof body === 'string') return { words: body, code: null }
  if (!isObject(body)) return { words: '', code: null }
  const errors = Array.isArray(body['errors']) ? body['errors'] : [body['error'], body]
  const parts = errors.filter(isObject)
  const texts = [...errors, ...parts.flatMap(part => [part['msg'], part['message'], part['error']])]
  const code = parts.map(part => Number(part['code'])).find(Number.isInteger) ?? null
  return { words: texts.filter(each => typeof each === 'string').join(' '), code }
}
