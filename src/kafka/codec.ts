/** Encodes and decodes records: Avro in Confluent framing (0x00, schema id as big-endian int32, body). No requests once the ids are known. */
import avsc from 'avsc'
import { FlowError } from '../errors.ts'
import { ALERT_STATES, CHANNELS, CONTAINMENTS, EVENT_TYPES, LANES, SENDERS, SESSION_STATUSES } from '../records.ts'
import { type Write, writerFor } from './avro-writer.ts'
import type { Registry } from './registry.ts'

const MAGIC = 0
const FRAME_BYTES = 5
const SLAB_BYTES = 256 * 1024

/** The last field about how a record was read, rather than about its content. */
const HEAD_ENDS_WITH = 'observed_at'

export interface Encoder<T> {
  readonly schemaId: number
  /**
   * Writes frame and body at `pos`.
   * @returns the position after it; or, negative, how many bytes were missing (the content of `buf` from `pos` on is then undefined).
   * @throws FlowError RECORD_INVALID names the field, but not its value.
   */
  encodeInto(value: T, buf: Buffer, pos: number): number
  /** The same as a buffer of its own, cut from a shared slab. */
  encode(value: T): Buffer
  /**
   * Where the fields after `observed_at` begin in the buffer of the last successful `encodeInto`; in a record without that field, where the body begins. Two
   * records of one row that differ only before it have the same content.
   */
  readonly lastTailStart: number
  /** Records written by avsc, at several times the cost, because the compiled writer does not take them. */
  readonly leftToAvsc: number
}

export interface Decoder<T> {
  /** Fetches the schemas of ids not seen before. An id unknown to the registry is left to `decode`. @throws FlowError REGISTRY_UNREACHABLE */
  prepare(values: readonly (Buffer | null)[]): Promise<void>
  /** @throws FlowError CODEC_INVALID: not framed, truncated, with trailing bytes, or of a schema that cannot be read with ours */
  decode(value: Buffer): T
}

interface RecordSchema {
  readonly type: 'record'
  readonly name: string
  readonly namespace?: string
  readonly fields: readonly { readonly name: string }[]
}

const OPTIONS = { wrapUnions: false } as const

/** Fields of each record that hold a value of a closed set; null is left to Avro. */
const CLOSED: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  Session: { status: SESSION_STATUSES, containment: CONTAINMENTS, channel: CHANNELS },
  Message: { sender: SENDERS, channel: CHANNELS },
  Event: { type: EVENT_TYPES, channel: CHANNELS },
  Progress: { lane: LANES },
  SeriesPoint: { channel: CHANNELS },
  Alert: { state: ALERT_STATES, channel: CHANNELS },
}

interface Halves {
  readonly schema: RecordSchema
  readonly head: Half
  readonly tail: Half
}

/** A part of a record's fields. */
interface Half {
  readonly type: avsc.Type
  /** Null: no writer for this schema; avsc writes everything. */
  readonly write: Write | null
}

/** @param names Types that this half may refer to. */
function halfOf(schema: object, names: Record<string, avsc.Type>): Half {
  return { type: avsc.Type.forSchema(schema as avsc.Schema, { ...OPTIONS, registry: names }), write: writerFor(schema) }
}

/** By schema text. Types hold no state, and compiling them takes longer than encoding thousands of records. */
const compiled = new Map<string, Halves>()

/** Avro writes a record's fields one after the other, so two records with half of the fields each give the same bytes. */
function halvesOf(schemaText: string): Halves {
  const known = compiled.get(schemaText)
  if (known) return known
  const schema = JSON.parse(schemaText) as RecordSchema
  const splitAt = schema.fields.findIndex(field => field.name === HEAD_ENDS_WITH) + 1
  const named = {}
  const halves = {
    schema,
    head: halfOf(part(schema, 'Head', 0, splitAt), named),
    tail: halfOf(part(schema, 'Tail', splitAt, schema.fields.length), named),
  }
  compiled.set(schemaText, halves)
  return halves
}

/** @param schemaText Schema of a record, as registered under `id`. */
export function encoderFor<T extends object>(schemaText: string, id: number): Encoder<T> {
  const { schema, head, tail } = halvesOf(schemaText)
  const closed = Object.entries(CLOSED[schema.name] ?? {}).map(([field, words]) => ({ field, words: new Set<unknown>(words) }))
  let tailStart = 0
  let leftToAvsc = 0
  let slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  let used = 0

  function encodeInto(value: T, buf: Buffer, pos: number): number {
    for (const { field, words } of closed) {
      const word = (value as Record<string, unknown>)[field]
      if (word !== null && word !== undefined && !words.has(word)) throw invalid(schema.name, field, 'a value of its closed set')
    }
    if (pos + FRAME_BYTES <= buf.length) {
      buf[pos] = MAGIC
      buf.writeInt32BE(id, pos + 1)
    }
    try {
      let start = head.write?.(value, buf, pos + FRAME_BYTES) ?? -1
      let end = start < 0 ? -1 : (tail.write?.(value, buf, start) ?? -1)
      if (end >= 0) {
        tailStart = start
        return end
      }
      const middle = head.type.encode(value, buf, pos + FRAME_BYTES)
      start = middle < 0 ? buf.length - middle : middle
      end = tail.type.encode(value, buf, start)
      if (end < 0) return end
      tailStart = start
      leftToAvsc++
      return end
    } catch {
      // avsc's message contains the value, which may be personal data.
      throw fault(value) ?? new FlowError('RECORD_INVALID', { record: schema.name })
    }
  }

  /** Rejects the record; reports the first invalid field. */
  function fault(value: T): FlowError | null {
    let found: FlowError | null = null
    const errorHook = (path: string[], _any: unknown, type: avsc.Type) => {
      found ??= invalid(schema.name, path.join('.'), nameOf(type))
    }
    for (const { type } of [head, tail]) if (found === null) type.isValid(value, { errorHook })
    return found
  }

  return {
    schemaId: id,
    encodeInto,
    encode: value => {
      for (;;) {
        const end = encodeInto(value, slab, used)
        if (end >= 0) {
          const encoded = slab.subarray(used, end)
          used = end
          return encoded
        }
        slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, slab.length - used - end))
        used = 0
      }
    },
    get lastTailStart() {
      return tailStart
    },
    get leftToAvsc() {
      return leftToAvsc
    },
  }
}

function part(schema: RecordSchema, name: string, from: number, until: number): object {
  const { type, namespace, fields } = schema
  return {
    type,
    name: `${schema.name}${name}`,
    ...(namespace === undefined ? {} : { namespace }),
    fields: fields.slice(from, until),
  }
}

function invalid(record: string, field: string, wanted: string): FlowError {
  return new FlowError('RECORD_INVALID', { hint: `${record}.${field} is not ${wanted}`, record, field })
}

function nameOf(type: avsc.Type): string {
  const schema = type.schema() as unknown
  return typeof schema === 'string' ? `of type ${schema}` : `of type ${(schema as { name?: string }).name ?? type.typeName}`
}

/** `reason`: why values with this schema id cannot be decoded. */
type Reading = { readonly resolver: avsc.Resolver } | { readonly reason: string }

/** @param readerSchemaText Schema to read with: may lack fields that were written, and may add fields with defaults. */
export function decoderFor<T>(registry: Pick<Registry, 'schemaById'>, readerSchemaText: string): Decoder<T> {
  const type = avsc.Type.forSchema(JSON.parse(readerSchemaText) as avsc.Schema, { ...OPTIONS, registry: {} })
  const readings = new Map<number, Reading>()
  let lastId = -1

  async function learn(id: number): Promise<void> {
    let written: string
    try {
      written = await registry.schemaById(id)
    } catch (error) {
      if (error instanceof FlowError && error.code === 'NOT_FOUND') return
      throw error
    }
    try {
      const writer = avsc.Type.forSchema(JSON.parse(written) as avsc.Schema, { ...OPTIONS, registry: {} })
      readings.set(id, { resolver: type.createResolver(writer) })
    } catch (error) {
      readings.set(id, { reason: `it cannot be read with ours (${error instanceof Error ? error.message : 'not Avro'})` })
    }
  }

  return {
    prepare: async values => {
      let unknown: Set<number> | null = null
      for (const value of values) {
        const id = value === null ? null : idOf(value)
        if (id === null || id === lastId) continue
        if (readings.has(id)) lastId = id
        else unknown = (unknown ?? new Set()).add(id)
      }
      for (const id of unknown ?? []) await learn(id)
    },
    decode: value => {
      const id = idOf(value)
      if (id === null) throw new FlowError('CODEC_INVALID', { hint: 'it does not start with a schema id', bytes: value.length })
      const reading = readings.get(id)
      if (reading === undefined || 'reason' in reading) {
        const reason = reading === undefined ? 'the registry does not know it' : reading.reason
        throw new FlowError('CODEC_INVALID', { hint: `written with schema ${id}: ${reason}`, schemaId: id })
      }
      let read: { value: unknown; offset: number }
      try {
        read = type.decode(value, FRAME_BYTES, reading.resolver)
      } catch {
        throw new FlowError('CODEC_INVALID', { hint: 'the body does not match its schema', schemaId: id, bytes: value.length })
      }
      if (read.offset !== value.length) {
        const hint = read.offset < 0 ? 'the body is truncated' : 'there are bytes after the body'
        throw new FlowError('CODEC_INVALID', { hint, schemaId: id, bytes: value.length })
      }
      return read.value as T
    },
  }
}

/** Null where the value is not framed. */
function idOf(value: Buffer): number | null {
  return value.length >= FRAME_BYTES && value[0] === MAGIC ? value.readInt32BE(1) : null
}
