/**
 * An answer as bytes: JSON or CSV, written in small steps, with its tag, and packed as the client can take it.
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { constants, createBrotliCompress, createGzip } from 'node:zlib'
import type { AnsweredSeries, SeriesAnswer } from './query.ts'
import type { SeriesQuery } from './series-query.ts'
import type { Steps } from '../slices.ts'

export interface Body {
  readonly contentType: string
  readonly pieces: readonly Buffer[]
  /** Of all pieces. */
  readonly length: number
  /** A weak tag: the same content has the same tag, however it is packed and whichever process answers. */
  readonly etag: string
}

/** Values that are written between two pauses, and characters of one piece, about. */
const VALUES_A_STEP = 4096
const PIECE = 65_536

export function bodyOf(query: SeriesQuery, answer: SeriesAnswer): Steps<Body> {
  return body(query.format === 'csv' ? 'text/csv; charset=utf-8' : JSON_TYPE, partsOf(query, answer))
}

/** Series in the shape that they have. */
export function seriesBody(answer: AnySeries): Steps<Body> {
  return body(JSON_TYPE, jsonParts(answer))
}

/** What series of any shape have in common: their values may be many. */
interface AnySeries {
  readonly data: {
    readonly series: readonly { readonly labels: object; readonly values: readonly (number | null)[] }[]
    readonly series_labels: readonly string[]
    readonly x_values: readonly string[]
  }
  readonly complete_until: string | null
}

/** `{"data": […]}`. */
export function listBody(items: readonly unknown[]): Steps<Body> {
  return body(JSON_TYPE, listParts(items))
}

/** A value of bounded size as JSON. */
export function jsonBody(value: unknown): Steps<Body> {
  return body(JSON_TYPE, [JSON.stringify(value)])
}

const JSON_TYPE = 'application/json; charset=utf-8'

function* body(contentType: string, parts: Iterable<string>): Steps<Body> {
  const pieces: Buffer[] = []
  const hash = createHash('sha256')
  let length = 0
  let text = ''
  const flush = () => {
    const bytes = Buffer.from(text)
    text = ''
    length += bytes.length
    hash.update(bytes)
    pieces.push(bytes)
  }
  for (const part of parts) {
    text += part
    if (text.length >= PIECE) flush()
    yield
  }
  flush()
  return { contentType, pieces, length, etag: `W/"${hash.digest('base64url').slice(0, 27)}"` }
}

function* listParts(items: readonly unknown[]): Generator<string> {
  yield '{"data":['
  for (const [at, item] of items.entries()) yield (at === 0 ? '' : ',') + JSON.stringify(item)
  yield ']}'
}

function partsOf(query: SeriesQuery, answer: SeriesAnswer): Generator<string> {
  if (query.shape === 'rows') return query.format === 'csv' ? csvRows(query, answer) : jsonRows(answer)
  return query.format === 'csv' ? csvParts(query, answer) : jsonParts(answer)
}

function* jsonParts({ data, complete_until }: AnySeries): Generator<string> {
  yield '{"data":{"series":['
  for (const [index, { labels, values, ...rest }] of data.series.entries()) {
    yield `${index === 0 ? '' : ','}{"labels":${JSON.stringify(labels)},"values":`
    yield* arrayParts(values)
    yield `,${JSON.stringify(rest).slice(1)}`
  }
  yield '],"series_labels":'
  yield* arrayParts(data.series_labels)
  yield ',"x_values":'
  yield* arrayParts(data.x_values)
  yield `},"complete_until":${JSON.stringify(complete_until)}}`
}

function* arrayParts(values: readonly (number | string | null)[]): Generator<string> {
  yield '['
  for (let at = 0; at < values.length; at += VALUES_A_STEP)
    yield (at === 0 ? '' : ',') + JSON.stringify(values.slice(at, at + VALUES_A_STEP)).slice(1, -1)
  yield ']'
}

/** One line a bucket and group: `bucket_start`, the labels, and a column for each measure; a value that is not known is empty. */
function* csvParts({ groupBy, measures }: SeriesQuery, { data }: SeriesAnswer): Generator<string> {
  yield `${['bucket_start', ...groupBy, ...measures].join(',')}\r\n`
  for (let at = 0; at < data.series.length; at += measures.length) {
    const group = data.series.slice(at, at + measures.length)
    const labels = groupBy.map(label => `,${csvText(group[0]?.labels[label] ?? '')}`).join('')
    let lines = ''
    for (const [index, x] of data.x_values.entries()) {
      lines += `${x}${labels}`
      for (const { values } of group) lines += `,${values[index] ?? ''}`
      lines += '\r\n'
      if (index % 512 === 511) {
        yield lines
        lines = ''
      }
    }
    yield lines
  }
}

/** Rows that are written between two pauses. */
const ROWS_A_STEP = 512

/**
 * One value a row, in the order of time: Grafana makes lines of such rows only where their times rise.
 *
 * @param between What stands between two rows.
 */
function* rows(
  { data }: SeriesAnswer,
  between: string,
  rowOf: (labels: AnsweredSeries['labels']) => (time: string, value: number | null) => string,
): Generator<string> {
  const writers: ((time: string, value: number | null) => string)[] = []
  for (const { labels } of data.series) if (writers.push(rowOf(labels)) % ROWS_A_STEP === 0) yield ''
  let text = ''
  let written = 0
  for (const [index, time] of data.x_values.entries()) {
    for (const [at, write] of writers.entries()) {
      text += (written === 0 ? '' : between) + write(time, data.series[at]?.values[index] ?? null)
      if (++written % ROWS_A_STEP !== 0) continue
      yield text
      text = ''
    }
  }
  yield text
}

function* jsonRows(answer: SeriesAnswer): Generator<string> {
  yield '['
  yield* rows(answer, ',', labels => {
    const own = JSON.stringify(labels).slice(1, -1)
    const middle = own === '' ? '' : `,${own}`
    return (time, value) => `{"time":"${time}"${middle},"value":${value}}`
  })
  yield ']'
}

/** One line a value: `time`, the labels, `measure` where there are several, `value`. */
function* csvRows({ groupBy, measures }: SeriesQuery, answer: SeriesAnswer): Generator<string> {
  const names = [...groupBy, ...(measures.length > 1 ? (['measure'] as const) : [])]
  yield `${['time', ...names, 'value'].join(',')}\r\n`
  yield* rows(answer, '', labels => {
    const own = names.map(name => `,${csvText(labels[name] ?? '')}`).join('')
    return (time, value) => `${time}${own},${value ?? ''}\r\n`
  })
}

const csvText = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Whether the client has it already. */
export function isKnown(etag: string, ifNoneMatch: string | undefined): boolean {
  const opaque = (tag: string) => (tag.startsWith('W/') ? tag.slice(2) : tag)
  return (ifNoneMatch ?? '').split(',').some(each => each.trim() === '*' || opaque(each.trim()) === opaque(etag))
}

const LEAST_PACKED = 1024

/** The bytes to send, packed off the main thread where the client takes that; what is small stays as it is. */
export function packed(body: Body, acceptEncoding: string | undefined): { encoding: string | null; stream: Readable } {
  const plain = Readable.from(body.pieces, { objectMode: false })
  const encoding = body.length < LEAST_PACKED ? null : encodingOf(acceptEncoding ?? '')
  if (encoding === null) return { encoding, stream: plain }
  const packer = encoding === 'br' ? createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }) : createGzip()
  return { encoding, stream: plain.pipe(packer) }
}

/** The better one of those that the header gives most weight to; null: unpacked. */
function encodingOf(header: string): 'br' | 'gzip' | null {
  const weights = new Map<string, number>()
  for (const part of header.split(',')) {
    const [name = '', ...parameters] = part.split(';').map(each => each.trim().toLowerCase())
    const q = parameters.find(each => each.startsWith('q='))
    const weight = q === undefined ? 1 : Number(q.slice(2))
    weights.set(name, Number.isFinite(weight) ? weight : 0)
  }
  const weightOf = (name: string) => weights.get(name) ?? weights.get('*') ?? 0
  const [br, zip] = [weightOf('br'), Math.max(weightOf('gzip'), weights.get('x-gzip') ?? 0)]
  const plain = weights.get('identity') ?? 0
  if (Math.max(br, zip) <= 0 || plain > Math.max(br, zip)) return null
  return br >= zip ? 'br' : 'gzip'
}
