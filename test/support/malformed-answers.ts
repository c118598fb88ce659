/** Answers that no vendor documents, in the ways that servers, proxies and networks make them. */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { Answer, Spoil } from '../../src/conformance/proxy.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { type AnswerFault, MARK } from './malformed.ts'

const HTML = `<!doctype html><title>Sign in</title><p>Dear ${MARK}, please log in</p>`
type Headers = Answer['headers']

const change = (how: (answer: Answer) => Partial<Answer> | { readonly raw: Buffer }): (() => Spoil) => {
  return () => ({ kind: 'change', change: how })
}
const body = (how: (text: string) => string | Buffer, headers: Headers = {}) =>
  change(answer => ({ body: Buffer.from(how(answer.body.toString())), headers }))
const raw = (head: string, how: (body: Buffer) => Buffer | string = whole => whole) =>
  change(({ body: whole }) => ({ raw: Buffer.concat([Buffer.from(head.replaceAll('\n', '\r\n')), Buffer.from(how(whole))]) }))
const status = (code: number, text = '', headers: Record<string, string> = {}): (() => Spoil) => {
  return () => ({ kind: 'answer', status: code, body: text, headers })
}
const JSON_TYPE = 'content-type: application/json\n'
const lengthOf = (whole: Buffer, more = 0) => `content-length: ${whole.length + more}\n\n`

const good = (name: string, spoil: (nth: number) => Spoil): AnswerFault => ({ name, becomes: 'good', spoil })
const bad = (name: string, code: ErrorCode | readonly ErrorCode[], spoil: (nth: number) => Spoil): AnswerFault => ({
  name,
  becomes: typeof code === 'string' ? [code] : code,
  spoil,
})

const chunks = (whole: Buffer, size: number, more = '') => {
  const parts: Buffer[] = []
  for (let at = 0; at < whole.length; at += size) {
    const piece = whole.subarray(at, at + size)
    parts.push(Buffer.from(`${piece.length.toString(16)}${more}\r\n`), piece, Buffer.from('\r\n'))
  }
  return Buffer.concat(parts)
}

/** Odd, but whole: read as if nothing were. */
export const ODD: readonly AnswerFault[] = [
  good(
    'a byte order mark',
    body(text => `\uFEFF${text}`),
  ),
  good(
    'blanks around the JSON',
    body(text => `\r\n\t  ${text}  \n\n`),
  ),
  good(
    'gzip',
    change(({ body: whole }) => ({ body: gzipSync(whole), headers: { 'content-encoding': 'gzip' } })),
  ),
  good(
    'GZIP twice, told as a list',
    change(({ body: whole }) => ({ body: gzipSync(gzipSync(whole)), headers: { 'content-encoding': 'GZIP , gzip' } })),
  ),
  good(
    'deflate',
    change(({ body: whole }) => ({ body: deflateSync(whole), headers: { 'content-encoding': 'deflate' } })),
  ),
  good(
    'brotli',
    change(({ body: whole }) => ({ body: brotliCompressSync(whole), headers: { 'content-encoding': 'br' } })),
  ),
  good(
    'zstd',
    change(({ body: whole }) => ({ body: zstdCompressSync(whole), headers: { 'content-encoding': 'zstd' } })),
  ),
  good(
    'JSON that says it is HTML',
    change(() => ({ headers: { 'content-type': 'text/html; charset=utf-8' } })),
  ),
  good(
    'JSON without a content type',
    change(() => ({ headers: { 'content-type': undefined } })),
  ),
  good(
    'a content type that is none',
    change(() => ({ headers: { 'content-type': ';;;=,/' } })),
  ),
  good(
    'a charset that nobody knows',
    change(() => ({ headers: { 'content-type': 'application/json; charset=klingon-7' } })),
  ),
  good(
    'UTF-16, told so',
    body(text => Buffer.from(text, 'utf16le'), { 'content-type': 'application/json; charset=utf-16le' }),
  ),
  good(
    'Latin 1, told so',
    body(text => Buffer.from(ascii(text), 'latin1'), { 'content-type': 'application/json; charset=iso-8859-1' }),
  ),
  good('every letter beyond ASCII escaped', body(ascii)),
  good(
    'HTTP/1.0 with a length',
    change(({ body: whole }) => ({
      raw: Buffer.concat([Buffer.from(`HTTP/1.0 200 OK\r\n${JSON_TYPE}${lengthOf(whole)}`.replaceAll(/\r?\n/g, '\r\n')), whole]),
    })),
  ),
  good('HTTP/1.0 that ends with its connection', raw(`HTTP/1.0 200 OK\n${JSON_TYPE}\n`)),
  good(
    'chunks of 900 bytes, with extensions and a trailer',
    raw(`HTTP/1.1 200 OK\n${JSON_TYPE}transfer-encoding: chunked\n\n`, whole =>
      Buffer.concat([chunks(whole, 900, ';x=y'), Buffer.from('0\r\nx-sum: 1\r\n\r\n')]),
    ),
  ),
  good(
    'an answer after 100 Continue and 103 Early Hints',
    change(({ body: whole }) => ({
      raw: Buffer.concat([
        Buffer.from(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 Fine\r\ncontent-length: ${whole.length}\r\n\r\n`),
        whole,
      ]),
    })),
  ),
  good(
    'a date of the year 1970',
    change(() => ({ headers: { date: 'Thu, 01 Jan 1970 00:00:00 GMT' } })),
  ),
  good(
    'a date that is none',
    change(() => ({ headers: { date: 'yesterday' } })),
  ),
  good(
    'a header of 9,000 letters',
    change(() => ({ headers: { 'x-trace': 'x'.repeat(9_000) } })),
  ),
  good(
    'Retry-After beside a good answer',
    change(() => ({ headers: { 'retry-after': '99999999' } })),
  ),
]

function ascii(text: string): string {
  return text.replace(/[^\0-\x7f]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Of the whole wire: what a client must not take for an answer. */
export const BROKEN: readonly AnswerFault[] = [
  bad(
    'half of the JSON',
    'SRC_MALFORMED',
    body(text => text.slice(0, Math.floor(text.length / 2))),
  ),
  bad(
    'JSON without its last letter',
    'SRC_MALFORMED',
    body(text => text.trimEnd().slice(0, -1)),
  ),
  bad(
    'a letter after the JSON',
    'SRC_MALFORMED',
    body(text => `${text}x`),
  ),
  bad(
    'the JSON twice',
    'SRC_MALFORMED',
    body(text => text + text),
  ),
  bad(
    'a warning of PHP before the JSON',
    'SRC_MALFORMED',
    body(text => `<br /><b>Warning</b>: ${MARK}\n${text}`),
  ),
  bad(
    'a NUL after the JSON',
    'SRC_MALFORMED',
    body(text => `${text}\0`),
  ),
  bad(
    'NaN in the JSON',
    'SRC_MALFORMED',
    body(text => text.replace(/^\s*\{/, '{"took":NaN,')),
  ),
  bad(
    'Infinity in the JSON',
    'SRC_MALFORMED',
    body(text => text.replace(/^\s*\{/, '{"took":-Infinity,')),
  ),
  bad(
    'undefined in the JSON',
    'SRC_MALFORMED',
    body(text => text.replace(/^\s*\{/, '{"took":undefined,')),
  ),
  bad(
    'single quotes',
    'SRC_MALFORMED',
    body(text => text.replaceAll('"', "'")),
  ),
  bad(
    'JSONP',
    'SRC_MALFORMED',
    body(text => `callback(${text});`),
  ),
  bad(
    'a raw line break in a string',
    'SRC_MALFORMED',
    body(text => text.replace(/^\s*\{/, '{"a":"x\ny",')),
  ),
  bad(
    'JSON in JSON',
    'SRC_MALFORMED',
    body(text => JSON.stringify(text)),
  ),
  bad(
    'UTF-16 that is not told',
    'SRC_MALFORMED',
    body(text => Buffer.from(text, 'utf16le')),
  ),
  bad(
    'null',
    'SRC_MALFORMED',
    body(() => 'null'),
  ),
  bad(
    'a number',
    'SRC_MALFORMED',
    body(() => '42'),
  ),
  bad(
    'a text',
    'SRC_MALFORMED',
    body(() => `"${MARK}"`),
  ),
  bad(
    'true',
    'SRC_MALFORMED',
    body(() => 'true'),
  ),
  bad(
    'an empty list',
    'SRC_MALFORMED',
    body(() => '[]'),
  ),
  bad(
    'an object without anything',
    'SRC_MALFORMED',
    body(() => '{}'),
  ),
  bad(
    'a list in a list, 100,000 levels deep',
    'SRC_MALFORMED',
    body(() => `${'['.repeat(100_000)}${']'.repeat(100_000)}`),
  ),
  bad(
    'an object in an object, 5,000 levels deep',
    'SRC_MALFORMED',
    body(() => `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`),
  ),
  bad(
    '10,000 keys, none of them known',
    'SRC_MALFORMED',
    body(() => JSON.stringify(Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`${MARK} ${at}`, at])))),
  ),
  bad(
    'a key named __proto__ alone',
    'SRC_MALFORMED',
    body(() => '{"__proto__":{"items":[],"content":[],"sessions":[],"data":[],"events":[],"result":[]}}'),
  ),
  bad('a log-in page with 200', 'SRC_MALFORMED', status(200, HTML, { 'content-type': 'text/html' })),
  bad(
    'XML with 200',
    'SRC_MALFORMED',
    status(200, `<?xml version="1.0"?><fault>${MARK}</fault>`, { 'content-type': 'text/xml' }),
  ),
  bad('OK with 200', 'SRC_MALFORMED', status(200, 'OK', { 'content-type': 'text/plain' })),
  bad('a body that breaks off', 'SRC_TRUNCATED', () => ({ kind: 'cut' })),
  bad('a connection that ends', 'SRC_UNREACHABLE', () => ({ kind: 'hang_up' })),
  bad(
    'gzip that is told and not there',
    ['SRC_MALFORMED', 'SRC_TRUNCATED'],
    change(() => ({ headers: { 'content-encoding': 'gzip' } })),
  ),
  bad(
    'gzip that breaks off',
    ['SRC_MALFORMED', 'SRC_TRUNCATED'],
    change(({ body: whole }) => ({ body: gzipSync(whole).subarray(0, -9), headers: { 'content-encoding': 'gzip' } })),
  ),
  bad(
    'gzip with a wrong sum',
    ['SRC_MALFORMED', 'SRC_TRUNCATED'],
    change(({ body: whole }) => ({ body: wrongSum(gzipSync(whole)), headers: { 'content-encoding': 'gzip' } })),
  ),
  bad(
    'gzip that is not told',
    'SRC_MALFORMED',
    change(({ body: whole }) => ({ body: gzipSync(whole) })),
  ),
  bad(
    'an encoding that nobody knows',
    'SRC_MALFORMED',
    change(() => ({ headers: { 'content-encoding': 'x-rot13' } })),
  ),
  bad(
    'a length that is too long',
    'SRC_TRUNCATED',
    change(({ body: whole }) => ({
      raw: Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${whole.length + 10}\r\n\r\n`), whole]),
    })),
  ),
  bad(
    'a length that is too short',
    ['SRC_MALFORMED', 'SRC_TRUNCATED', 'SRC_UNREACHABLE'],
    change(({ body: whole }) => ({
      raw: Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${whole.length - 2}\r\n\r\n`), whole]),
    })),
  ),
  bad('a negative length', 'SRC_MALFORMED', raw('HTTP/1.1 200 OK\ncontent-length: -1\n\n')),
  bad('a length in words', 'SRC_MALFORMED', raw('HTTP/1.1 200 OK\ncontent-length: plenty\n\n')),
  bad('two lengths', 'SRC_MALFORMED', raw('HTTP/1.1 200 OK\ncontent-length: 2\ncontent-length: 3\n\n')),
  bad(
    'chunks whose size is no number',
    ['SRC_MALFORMED', 'SRC_TRUNCATED'],
    raw('HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\nzz\n'),
  ),
  bad(
    'chunks without an end',
    'SRC_TRUNCATED',
    raw('HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n', whole => chunks(whole, 5_000)),
  ),
  bad(
    'chunks beside a length',
    'SRC_MALFORMED',
    raw('HTTP/1.1 200 OK\ncontent-length: 5\ntransfer-encoding: chunked\n\n', whole => chunks(whole, 5_000)),
  ),
  bad('headers of 40,000 letters', 'SRC_MALFORMED', raw(`HTTP/1.1 200 OK\nx-a: ${'a'.repeat(40_000)}\n\n`)),
  bad('a header line without a colon', ['SRC_MALFORMED', 'SRC_UNREACHABLE'], raw('HTTP/1.1 200 OK\nnonsense\n\n')),
  bad('a status line that is none', 'SRC_MALFORMED', raw(`220 mail.example ESMTP ${MARK}\n`)),
  bad('HTTP of a version that is none', 'SRC_MALFORMED', raw('HTTP/9.9 200 OK\ncontent-length: 2\n\n{}')),
  bad('a status in words', 'SRC_MALFORMED', raw('HTTP/1.1 okay OK\ncontent-length: 2\n\n{}')),
  bad(
    'an alert of TLS',
    'SRC_MALFORMED',
    change(() => ({ raw: Buffer.from([0x15, 3, 3, 0, 2, 2, 0x46]) })),
  ),
  bad(
    'headers, and then nothing',
    ['SRC_TRUNCATED', 'SRC_UNREACHABLE'],
    raw('HTTP/1.1 200 OK\n', () => 'x'),
  ),
  bad(
    '206 with a part of it',
    'SRC_TRUNCATED',
    change(({ body: whole }) => ({
      status: 206,
      headers: { 'content-range': `bytes 0-${whole.length - 1}/${2 * whole.length}` },
    })),
  ),
  bad('206 without anything', ['SRC_TRUNCATED', 'SRC_MALFORMED'], status(206)),
  bad('300 without anything', ['SRC_REFUSED', 'SRC_MALFORMED'], status(300)),
  bad('200 without a body', 'SRC_MALFORMED', status(200)),
  bad('200 with blanks', 'SRC_MALFORMED', status(200, ' \n\t ')),
  bad('201 without a body', 'SRC_MALFORMED', status(201)),
  bad('205 without a body', 'SRC_MALFORMED', status(205)),
  bad('304 without anything', ['SRC_REFUSED', 'SRC_MALFORMED'], status(304)),
  bad('305 without anything', ['SRC_REFUSED', 'SRC_MALFORMED'], status(305)),
  bad('301 to nowhere', 'SRC_REFUSED', status(301)),
  bad('308 to a script', ['SRC_FOREIGN_HOST', 'SRC_REFUSED'], status(308, HTML, { location: 'javascript:alert(1)' })),
  bad('307 to another host', 'SRC_FOREIGN_HOST', status(307, HTML, { location: 'https://login.invalid/' })),
  bad('307 to another port', 'SRC_FOREIGN_HOST', status(307, '', { location: 'http://127.0.0.1:1/' })),
  bad('308 in a circle', 'SRC_REFUSED', nth => ({
    kind: 'answer',
    status: 308,
    body: '',
    headers: { location: `/round/${nth % 2}` },
  })),
  ...[402, 403, 405, 410, 418, 451].map(code =>
    bad(
      `${code} with HTML`,
      code === 403 ? ['SRC_UNAUTHORISED', 'SRC_SERVER_ERROR'] : 'SRC_REFUSED',
      status(code, HTML, { 'content-type': 'text/html' }),
    ),
  ),
  bad('401 with HTML', 'SRC_UNAUTHORISED', status(401, HTML, { 'content-type': 'text/html' })),
  bad('408 without anything', 'SRC_TIMEOUT', status(408)),
  ...[500, 501, 502, 503, 504, 520, 599].map(code => bad(`${code} without a body`, 'SRC_SERVER_ERROR', status(code))),
  bad('500 with the stack of the vendor', 'SRC_SERVER_ERROR', status(500, `{"error":"${MARK}","stack":"Error\\n    at x.js:1"}`)),
  bad('503 that asks for 57 years', 'SRC_SERVER_ERROR', status(503, '', { 'retry-after': '1800000000' })),
  ...[
    'none',
    '0',
    '-5',
    '1.5',
    'soon',
    '30, 30',
    '"30"',
    '120 seconds',
    '1e400',
    '99999999999999999999999999',
    '1800000000',
    '1800000000000',
    'Sun, 29 Nov 2026 13:45:00',
    'Fri, 31 Dec 9999 23:59:59 GMT',
    'Thu, 01 Jan 1970 00:00:00 GMT',
    '2026-13-45T99:99:99Z',
    '\t',
  ].map(after =>
    bad(
      `429 with Retry-After ${after === '\t' ? 'blank' : after}`,
      'SRC_RATE_LIMITED',
      status(429, HTML, after === 'none' ? {} : { 'retry-after': after }),
    ),
  ),
  bad(
    'an error with 200',
    ERROR_CODES(),
    body(() => `{"error":{"code":500,"message":"${MARK}"}}`),
  ),
  bad(
    'a list of errors with 200',
    ERROR_CODES(),
    body(() => `{"errors":[{"code":"E17","msg":"${MARK}"}]}`),
  ),
  bad(
    'success false with 200',
    ERROR_CODES(),
    body(() => `{"success":false,"message":"${MARK}"}`),
  ),
  bad(
    'a status that is an error, with 200',
    ERROR_CODES(),
    body(() => `{"status":"error","message":"${MARK}"}`),
  ),
]

/** What comes, but slowly. */
export const SLOW: readonly AnswerFault[] = [
  good('a drip of 30 pieces', () => ({ kind: 'drip', pieces: 30, everyMs: 3 })),
  good('a drip of 3 pieces, each of them late', () => ({ kind: 'drip', pieces: 3, everyMs: 60 })),
  { ...bad('a drip without end', 'SRC_TIMEOUT', () => ({ kind: 'drip', pieces: 1_000, everyMs: 40 })), timeoutMs: 300 },
  { ...bad('nothing at all', 'SRC_TIMEOUT', () => ({ kind: 'hang' })), timeoutMs: 300 },
]

/** The list under this name twice: which of them is meant, nobody knows. */
export const twiceNamed = (list: string): readonly AnswerFault[] => [
  bad(
    'its list twice, the last one empty',
    'SRC_MALFORMED',
    body(text => text.trimEnd().replace(/\}$/, `,${JSON.stringify(list)}:[]}`)),
  ),
  bad(
    'its list twice, the first one empty',
    'SRC_MALFORMED',
    body(text => text.trimStart().replace(/^\{/, `{${JSON.stringify(list)}:[],`)),
  ),
]

/** Each answer with other fields beside its list. */
export function withFields(name: string, becomes: AnswerFault['becomes'], fieldsOf: (nth: number) => object): AnswerFault {
  return {
    name,
    becomes,
    spoil: nth => ({
      kind: 'change',
      change: ({ body: whole }) => {
        const answer = JSON.parse(whole.toString()) as object
        return { body: Buffer.from(JSON.stringify({ ...answer, ...fieldsOf(nth) }).replaceAll(/"@@(.*?)@@"/g, '$1')) }
      },
    }),
  }
}

/** Totals that lie, under this name. Where there are rows one that is too small is not believed; where there are none it is an error. */
export const totalFaults = (total: string): readonly AnswerFault[] => [
  withFields('a total that is too small', ['SRC_MALFORMED'], () => ({ [total]: 1 })),
  withFields('a total below zero', 'good', () => ({ [total]: -1 })),
  withFields('a total in words', 'good', () => ({ [total]: 'many' })),
  withFields('a total that is too large', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({ [total]: 1_000_000 })),
]

/** What a token endpoint may answer in place of a token. */
export function tokenFaults(at: RegExp): readonly AnswerFault[] {
  const token = (name: string, becomes: AnswerFault['becomes'], fields: object) => withFields(name, becomes, () => fields)
  return [
    token('a token without an end', 'good', { expires_in: 0 }),
    token('a token with an end in words', 'good', { expires_in: 'soon', refresh_expires_in: {} }),
    token('a token that has ended', 'good', { expires_in: -5, refresh_expires_in: -5 }),
    token('a token with an end beyond all numbers', 'good', { expires_in: '@@1e400@@', refresh_expires_in: 'NaN' }),
    token('no token', ['SRC_MALFORMED'], { access_token: null }),
    token('an empty token', ['SRC_MALFORMED'], { access_token: ' ' }),
    token('a token with a line break', ['SRC_UNAUTHORISED'], { access_token: 'a\r\nb: c' }),
    token('a token that no header carries', ['SRC_UNAUTHORISED'], { access_token: 'token\u20ac' }),
    token('a token that is an object', ['SRC_UNAUTHORISED'], { access_token: { value: MARK } }),
    bad('a log-in page', 'SRC_MALFORMED', status(200, HTML, { 'content-type': 'text/html' })),
    bad('nothing', 'SRC_MALFORMED', status(200)),
    bad('half a token', 'SRC_TRUNCATED', () => ({ kind: 'cut' })),
    bad('a connection that ends', 'SRC_UNREACHABLE', () => ({ kind: 'hang_up' })),
    bad('a redirect to a log-in page', 'SRC_REFUSED', status(302, HTML, { location: 'https://login.invalid/' })),
    bad('a refusal', 'SRC_UNAUTHORISED', status(400, `{"error":"invalid_grant","error_description":"${MARK}"}`)),
    bad('an unknown address', 'SRC_REFUSED', status(404, HTML)),
    bad('429 that asks for 57 years', 'SRC_RATE_LIMITED', status(429, '', { 'retry-after': '1800000000' })),
    bad('500 with HTML', 'SRC_SERVER_ERROR', status(500, HTML)),
    bad('2 MB', 'SRC_TOO_LARGE', status(200, JSON.stringify({ access_token: 'a'.repeat(2_000_000) }))),
  ].map(fault => ({ ...fault, name: `at the token endpoint: ${fault.name}`, at }))
}

function ERROR_CODES(): readonly ErrorCode[] {
  return ['SRC_MALFORMED', 'SRC_SERVER_ERROR', 'SRC_REFUSED']
}

function wrongSum(packed: Buffer): Buffer {
  const copy = Buffer.from(packed)
  const at = copy.length - 8
  copy[at] = (copy[at] as number) ^ 0xff
  return copy
}
