/**
 * The text of a config file as plain values: bounded in size, depth and aliases, and every fault of the YAML in our own words, for the parser's may
 * repeat what the file says (`password: *hunter2` is an alias to it).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLError } from 'yaml'

/** Something wrong in the file. `path` is dotted, as in the file; for the file as a whole it is the file's name. Lines count from 1. */
export interface Fault {
  readonly path: string
  readonly message: string
  readonly line?: number
}

export interface FileValues {
  /** Plain values; undefined where the text is no YAML that can be read further. */
  readonly values: unknown
  readonly faults: readonly Fault[]
  /** Line of a dotted path; of its nearest parent where it is not in the file. */
  readonly lineOf: (path: string) => number | undefined
}

const MOST_BYTES = 1024 * 1024
const MOST_VALUES = 50_000
const MOST_LEVELS = 32
const MOST_FAULTS = 20

/** @throws Error with a sentence for a person: why the file cannot be read. */
export function readSmallFile(file: string): string {
  let bytes: Buffer
  try {
    bytes = bytesOf(file)
  } catch (error) {
    throw new Error(reasonOf(error), { cause: error })
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new Error('it is no text in UTF-8: save it as UTF-8')
  }
  if (text.includes('\0')) throw new Error('it is binary, where text in UTF-8 is expected')
  return text
}

function bytesOf(file: string): Buffer {
  const descriptor = openSync(file, 'r')
  try {
    const stat = fstatSync(descriptor)
    if (stat.isDirectory()) throw new Error('it is a folder: name a file in it')
    if (!stat.isFile()) throw new Error('it is no regular file (pipes and devices are not read)')
    // Some files (below /proc, say) have no size before they are read.
    const buffer = Buffer.alloc(MOST_BYTES + 1)
    let length = 0
    while (length < buffer.length) {
      const count = readSync(descriptor, buffer, length, buffer.length - length, null)
      if (count === 0) break
      length += count
    }
    if (length > MOST_BYTES) throw new Error('it is larger than 1 MiB: is it the right file?')
    return buffer.subarray(0, length)
  } finally {
    closeSync(descriptor)
  }
}

function reasonOf(error: unknown): string {
  const code = (error as { code?: string }).code
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES' || code === 'EPERM') return 'it may not be read: give this user the right to read it'
  if (code === 'EISDIR') return 'it is a folder: name a file in it'
  if (code === 'ENOTDIR') return 'a part of its path is no folder'
  if (code === 'ELOOP') return 'its links lead in a circle'
  if (code === 'ERR_INVALID_ARG_VALUE' || code === 'ENAMETOOLONG') return 'this is no name of a file'
  return code ?? (error instanceof Error ? error.message : String(error))
}

/** What each fault of YAML means and what cures it. */
const YAML_FAULTS: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias takes no tag or anchor: take it away',
  BAD_ALIAS: 'a value that begins with * is an alias, and there is no such anchor above it: put text in quotes',
  BAD_COLLECTION_TYPE: 'the tag does not fit the value: take the tag away',
  BAD_DIRECTIVE: 'a line that begins with % is a directive of YAML: put text in quotes',
  BAD_DQ_ESCAPE: 'a backslash in double quotes begins an escape that YAML does not know: use single quotes',
  BAD_INDENT: 'the indentation does not fit the lines around it: align the keys of one map',
  BAD_PROP_ORDER: 'anchors and tags stand in front of the value',
  BAD_SCALAR_START: 'a value cannot begin with this character: put it in quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'a key and its value stand where a value alone is expected: put a value with ": " in quotes, or start a new line',
  BLOCK_IN_FLOW: 'lines with indentation cannot stand inside { } or [ ]',
  DUPLICATE_KEY: 'keys are unique, and this one stands in the map before: keep one of them',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters: is a quote or a colon missing?',
  MISSING_CHAR: 'a character is missing: look for a quote, bracket, comma, or the blank after a colon, above this place',
  MULTILINE_IMPLICIT_KEY: 'a key stands on one line, followed by a colon and a blank',
  MULTIPLE_ANCHORS: 'a value has one anchor at most',
  MULTIPLE_DOCS: 'the file holds several documents: take the line --- away',
  MULTIPLE_TAGS: 'a value has one tag at most',
  NON_STRING_KEY: 'a key is text',
  RESOURCE_EXHAUSTION: 'the file is nested too deep, or too large',
  TAB_AS_INDENT: 'tabs do not indent in YAML: use blanks',
  TAG_RESOLVE_FAILED: 'a value that begins with ! is a tag, and this one is not known: take it away, or put text in quotes',
  UNEXPECTED_TOKEN: 'this cannot stand here: put text with special characters in quotes',
}

/**
 * @param path The file as it was named, for faults of the file as a whole.
 * @returns All faults of the YAML. Where keys stand twice, and nothing else is wrong, the values are there all the same.
 */
export function parseFile(text: string, path: string): FileValues {
  const lines = new LineCounter()
  const noLine = () => undefined
  let document: Document.Parsed
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  } catch {
    // The parser descends into the text and runs out of stack.
    return {
      values: undefined,
      faults: [{ path, message: `is nested deeper than ${MOST_LEVELS} levels: flatten it` }],
      lineOf: noLine,
    }
  }
  const { line: lineAt, place } = index(document, lines)
  const lineOf = (at: string): number | undefined => {
    for (let up = at; up !== ''; up = up.slice(0, Math.max(0, up.lastIndexOf('.')))) {
      const line = lineAt.get(up)
      if (line !== undefined) return line
    }
    return undefined
  }
  const told = (error: YAMLError): Fault => {
    const { line, col } = lines.linePos(error.pos[0])
    const near = place(error.pos[0])
    const message = YAML_FAULTS[error.code] ?? 'this is no YAML: put text with special characters in quotes'
    const isKey = error.code === 'DUPLICATE_KEY' && near !== ''
    const context = near === '' || isKey ? '' : ` (near ${near})`
    return { path: isKey ? near : path, message: `line ${line}, column ${col}: ${message}${context}`, line }
  }
  const all = [...document.errors, ...document.warnings]
  const faults = all.slice(0, MOST_FAULTS).map(told)
  if (all.some(({ code }) => code !== 'DUPLICATE_KEY')) return { values: undefined, faults, lineOf }
  try {
    return { values: plainValues(document, lines), faults, lineOf }
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error
    return { values: undefined, faults: [...faults, { path, message: error.message, ...error.at }], lineOf }
  }
}

class TooMuch extends Error {
  readonly at: { readonly line?: number }
  constructor(message: string, at: { readonly line?: number }) {
    super(message)
    this.at = at
  }
}

/**
 * YAML nodes as plain values. A number that JavaScript would write otherwise than the file does (leading zeros, more digits than a double
 * holds) stays text: it is an id, not a count.
 *
 * @throws TooMuch where aliases multiply, lead in a circle, or lead nowhere, and where the file is nested too deep
 */
function plainValues(document: Document.Parsed, lines: LineCounter): unknown {
  let count = 0
  let aliases = 0
  function plain(node: Node | null | undefined, level: number): unknown {
    if (node === null || node === undefined) return null
    const at = node.range ? { line: lines.linePos(node.range[0]).line } : {}
    if (++count > MOST_VALUES)
      throw new TooMuch(
        aliases > 0
          ? `its aliases multiply to more than ${MOST_VALUES} values: write the values out`
          : `has more than ${MOST_VALUES} values: is it the right file?`,
        {},
      )
    if (level > MOST_LEVELS)
      throw new TooMuch(
        aliases > 0
          ? `is nested deeper than ${MOST_LEVELS} levels: does an alias stand inside its own anchor?`
          : `is nested deeper than ${MOST_LEVELS} levels: flatten it`,
        at,
      )
    if (isScalar(node)) {
      if (typeof node.value === 'bigint') return node.source ?? String(node.value)
      if (typeof node.value === 'number' && node.source !== undefined && String(node.value) !== node.source) return node.source
      // Tags such as !!timestamp and !!binary make objects; what was written is what is meant.
      if (typeof node.value === 'object' && node.value !== null) return node.source ?? null
      return node.value
    }
    if (isSeq(node)) return node.items.map(item => plain(item as Node, level + 1))
    if (isMap(node))
      return Object.fromEntries(node.items.map(pair => [keyText(pair.key), plain(pair.value as Node | null, level + 1)]))
    if (!isAlias(node)) return null
    aliases++
    const meant = node.resolve(document)
    if (meant === undefined) throw new TooMuch(YAML_FAULTS['BAD_ALIAS'] ?? '', at)
    return plain(meant, level + 1)
  }
  return plain(document.contents, 0)
}

/** Where in the text each dotted path stands, and which path stands at, or last before, a place in the text. */
function index(document: Document.Parsed, lines: LineCounter) {
  const line = new Map<string, number>()
  const starts: { readonly offset: number; readonly path: readonly string[] }[] = []
  const add = (path: readonly string[], offset: number) => {
    const dotted = path.join('.')
    // A key that stands twice is looked for where it stands first.
    if (!line.has(dotted)) line.set(dotted, lines.linePos(offset).line)
    starts.push({ offset, path })
  }
  const visit = (node: Node | null | undefined, at: readonly string[]): void => {
    if (at.length > MOST_LEVELS) return
    if (isMap(node)) {
      for (const pair of node.items) {
        const path = [...at, keyText(pair.key)]
        const start = isScalar(pair.key) ? pair.key.range?.[0] : undefined
        if (start !== undefined) add(path, start)
        visit(pair.value as Node | null, path)
      }
    } else if (isSeq(node)) {
      for (const [number, item] of (node.items as Node[]).entries()) {
        if (item?.range) add([...at, String(number)], item.range[0])
        visit(item, [...at, String(number)])
      }
    }
  }
  visit(document.contents, [])
  return {
    line,
    place: (offset: number) => knownPart(starts.findLast(start => start.offset <= offset)?.path ?? []),
  }
}

/** Keys whose values are secrets even when they stand in the file in clear. */
export const SECRET_KEY = /(password|secret|token|key)$/i

/**
 * The path as far as it surely holds keys: where the YAML is wrong, a value may have been read as one (`password: hunter2: x`, or lines that run
 * together).
 */
function knownPart(path: readonly string[]): string {
  const secret = path.findIndex(key => SECRET_KEY.test(key)) + 1
  const odd = path.findIndex(key => !/^[\w.-]{1,64}$/.test(key))
  return path.slice(0, Math.min(secret || path.length, odd < 0 ? path.length : odd)).join('.')
}

const keyText = (key: unknown): string => (isScalar(key) ? (key.source ?? String(key.value)) : '(no text)')
