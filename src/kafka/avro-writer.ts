/**
 * Writers compiled from a schema: one function per record type, with direct access to the fields instead of avsc's walk over types and unions. They write the
 * same bytes as avsc, but only values that match the schema exactly. Everything else (a missing field, a wrong type, a buffer that is too small) they leave to
 * avsc, which knows defaults, finds the bad field and counts the missing bytes.
 */
import { compileFunction } from 'node:vm'

/** Writes the value at `at`. @returns the position after it; -1: not written, use avsc. The content of `buf` from `at` on is then undefined. */
export type Write = (value: unknown, buf: Buffer, at: number) => number

type Schema = string | readonly Schema[] | Node
type Field = { readonly name: string; readonly type: Schema }
interface Node {
  readonly type: Schema
  readonly name?: string
  readonly fields?: readonly Field[]
  readonly items?: Schema
  readonly values?: Schema
}

/**
 * @param schema Schema of a record. @returns null where it has a type that is not supported here (enums, fixed, floats, unions other than of null and one type,
 *   recursive records).
 */
export function writerFor(schema: object): Write | null {
  const { name = '' } = schema as Node
  let code: string
  try {
    code = new Compiler().statements(schema as Node, 'value')
  } catch (thrown) {
    if (thrown instanceof Unsupported) return null
    throw thrown
  }
  // The file name appears in profiles and stack traces.
  const written = compileFunction(`${code} return true`, ['value', 'pen'], { filename: `writer of ${name}` })
  const write = written as (value: unknown, pen: Pen) => boolean
  return (value, buf, at) => {
    pen.buf = buf
    pen.at = at
    return write(value, pen) && pen.at <= buf.length ? pen.at : -1
  }
}

class Unsupported extends Error {}

/** Generates statements that write a value, or return false. */
class Compiler {
  #variables = 0
  /** Types by name, and those being compiled now: a recursive record would never end. */
  readonly #named = new Map<string, Node>()
  readonly #open = new Set<Node>()

  statements(schema: Schema, value: string): string {
    if (typeof schema === 'string') return this.#primitive(schema, value)
    if (Array.isArray(schema)) return this.#union(schema as readonly Schema[], value)
    const node = schema as Node
    switch (node.type) {
      case 'record':
        return this.#record(node, value)
      case 'array':
        return this.#array(node, value)
      case 'map':
        return this.#map(node, value)
      default:
        return this.statements(node.type, value)
    }
  }

  #primitive(type: string, value: string): string {
    switch (type) {
      case 'string':
        return `if (typeof ${value} !== 'string' || !pen.string(${value})) return false;`
      case 'bytes':
        return `if (!pen.bytes(${value})) return false;`
      case 'int':
        return `if (typeof ${value} !== 'number' || (${value} | 0) !== ${value}) return false; pen.int(${value});`
      case 'long':
        return `if (!pen.long(${value})) return false;`
      case 'double':
        return `if (typeof ${value} !== 'number') return false; pen.double(${value});`
      case 'boolean':
        return `if (typeof ${value} !== 'boolean') return false; pen.byte(${value} ? 1 : 0);`
      default: {
        const node = this.#named.get(type)
        if (node === undefined) throw new Unsupported(type)
        return this.statements(node, value)
      }
    }
  }

  #union(types: readonly Schema[], value: string): string {
    const [first, second, third] = types
    if (first !== 'null' || second === undefined || third !== undefined) throw new Unsupported('union')
    return `if (${value} === null) pen.byte(0); else { pen.byte(2); ${this.statements(second, value)} }`
  }

  #record(node: Node, value: string): string {
    if (this.#open.has(node)) throw new Unsupported('a record in itself')
    if (node.name !== undefined) this.#named.set(node.name, node)
    this.#open.add(node)
    const fields = (node.fields ?? []).map(({ name, type }) => {
      if (!/^[A-Za-z_]\w*$/.test(name)) throw new Unsupported(name)
      const field = this.#variable()
      return `const ${field} = ${value}.${name}; ${this.statements(type, field)}`
    })
    this.#open.delete(node)
    return `if (typeof ${value} !== 'object' || ${value} === null) return false; ${fields.join('\n')}`
  }

  #array({ items = 'null' }: Node, value: string): string {
    const [at, item] = [this.#variable(), this.#variable()]
    return (
      `if (!Array.isArray(${value})) return false; if (${value}.length > 0) { pen.int(${value}.length); ` +
      `for (let ${at} = 0; ${at} < ${value}.length; ${at}++) { const ${item} = ${value}[${at}]; ${this.statements(items, item)} } } pen.byte(0);`
    )
  }

  #map({ values = 'null' }: Node, value: string): string {
    const [keys, at, entry] = [this.#variable(), this.#variable(), this.#variable()]
    return (
      `if (typeof ${value} !== 'object' || ${value} === null || Array.isArray(${value})) return false; ` +
      `const ${keys} = Object.keys(${value}); if (${keys}.length > 0) { pen.int(${keys}.length); ` +
      `for (let ${at} = 0; ${at} < ${keys}.length; ${at}++) { if (!pen.string(${keys}[${at}])) return false; ` +
      `const ${entry} = ${value}[${keys}[${at}]]; ${this.statements(values, entry)} } } pen.byte(0);`
    )
  }

  #variable(): string {
    return `v${this.#variables++}`
  }
}

/** Node writes longer strings faster than a loop over characters. At most 64: the length must fit into one byte. */
const SHORT = 48
/** Beyond this a double has no room for the bit that zigzag adds. */
const MOST_LONG = 2 ** 51
const LOW_BITS = 2 ** 28

const double = new Float64Array(1)
const doubleBytes = new Uint8Array(double.buffer)

/**
 * The write position. Numbers may be written past the end, where nothing happens: the writer's end position shows it. Strings and bytes report that there is no
 * room.
 */
class Pen {
  buf: Buffer = Buffer.alloc(0)
  at = 0

  byte(value: number): void {
    this.buf[this.at++] = value
  }

  /** 32 bits, signed. */
  int(value: number): void {
    this.#varint((value << 1) ^ (value >> 31))
  }

  /** @returns false for what is not an integer, and for integers that need more care. */
  long(value: unknown): boolean {
    if (typeof value !== 'number' || !Number.isInteger(value) || value > MOST_LONG || value < -MOST_LONG) return false
    const zigzag = value < 0 ? -2 * value - 1 : 2 * value
    if (zigzag < LOW_BITS) {
      this.#varint(zigzag)
      return true
    }
    const high = Math.floor(zigzag / LOW_BITS)
    const low = zigzag - high * LOW_BITS
    const { buf, at } = this
    buf[at] = (low & 0x7f) | 0x80
    buf[at + 1] = ((low >>> 7) & 0x7f) | 0x80
    buf[at + 2] = ((low >>> 14) & 0x7f) | 0x80
    buf[at + 3] = (low >>> 21) | 0x80
    this.at = at + 4
    this.#varint(high)
    return true
  }

  double(value: number): void {
    double[0] = value
    for (let i = 0; i < 8; i++) this.buf[this.at + i] = doubleBytes[i] as number
    this.at += 8
  }

  string(text: string): boolean {
    const { buf, at } = this
    const { length } = text
    if (at + 5 + 3 * length > buf.length) return false
    if (length >= SHORT) return this.#longString(text)
    for (let i = 0; i < length; i++) {
      const char = text.charCodeAt(i)
      if (char > 0x7f) return this.#longString(text)
      buf[at + 1 + i] = char
    }
    buf[at] = length << 1
    this.at = at + 1 + length
    return true
  }

  /**
   * Writes first and measures then: the length is guessed as for ASCII, and the text is moved where the guess was too short. @returns false for a lone
   * surrogate, which avsc writes in two ways.
   */
  #longString(text: string): boolean {
    if (!text.isWellFormed()) return false
    const { buf, at } = this
    const guessed = sizeOfVarint(text.length << 1)
    const bytes = buf.write(text, at + guessed)
    const size = sizeOfVarint(bytes << 1)
    if (size !== guessed) buf.copyWithin(at + size, at + guessed, at + guessed + bytes)
    this.#varint(bytes << 1)
    this.at += bytes
    return true
  }

  bytes(value: unknown): boolean {
    if (!Buffer.isBuffer(value) || this.at + 5 + value.length > this.buf.length) return false
    this.#varint(value.length << 1)
    value.copy(this.buf, this.at)
    this.at += value.length
    return true
  }

  /** @param value 32 bits, unsigned, as a signed number where the highest is set. */
  #varint(value: number): void {
    const { buf } = this
    let { at } = this
    let rest = value
    while ((rest & ~0x7f) !== 0) {
      buf[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    buf[at++] = rest
    this.at = at
  }
}

function sizeOfVarint(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  return value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5
}

/** Shared by all writers: none of them awaits anything while it writes. */
const pen = new Pen()
