/**
 * JSON without losing digits: a number beyond 2^53 is kept as the text that the vendor wrote, because two ids that differ in their last digit would become one
 * number.
 */

/** Where a number may be that a double cannot hold: 16 digits or an exponent, right after what can precede a value. Including `^` would take twice the time. */
const SUSPECT = /[\s:,[]-?(?:\d{16}|\d+(?:\.\d+)?[eE])/
/** Anything but a single number. */
const NESTED = /^\s*[{[]/

/**
 * Like `JSON.parse`, but a number whose magnitude is above `Number.MAX_SAFE_INTEGER` becomes the text of its literal (`"12345678901234567890"`,
 * `"1e400"`). All other numbers stay numbers.
 *
 * The literals are quoted before parsing. A reviver with `context.source` would do the same, but it recurses: a deeply nested value, which
 * `JSON.parse` alone survives, overflows the stack there and takes its whole page with it.
 *
 * @throws SyntaxError as `JSON.parse` does.
 */
export function parseJson(text: string): unknown {
  return JSON.parse(SUSPECT.test(text) || !NESTED.test(text) ? quoteLargeNumbers(text) : text)
}

/** Text that is not JSON stays text that is not JSON: a quoted literal never makes it valid. */
function quoteLargeNumbers(text: string): string {
  const parts: string[] = []
  let keptTo = 0
  const next = /["\d-]/g
  for (let found = next.exec(text); found !== null; found = next.exec(text)) {
    if (found[0] === '"') {
      next.lastIndex = stringEnd(text, found.index)
      continue
    }
    const end = numberEnd(text, found.index)
    next.lastIndex = end
    const literal = text.slice(found.index, end)
    if (!LITERAL.test(literal) || Math.abs(Number(literal)) <= Number.MAX_SAFE_INTEGER) continue
    parts.push(text.slice(keptTo, found.index), '"', literal, '"')
    keptTo = end
  }
  parts.push(text.slice(keptTo))
  return parts.join('')
}

/** A number in JSON's grammar. Length does not matter here: rows are limited where they are decoded. */
const LITERAL = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/** The position after the closing quote of the string that opens at `start`; the end of the text if it never closes. */
function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0
    while (text.charCodeAt(quote - 1 - slashes) === 92) slashes++
    if (slashes % 2 === 0) return quote + 1
  }
  return text.length
}

/** More names than an answer has next to its rows. */
const MANY_NAMES = 50

/**
 * A name that occurs twice in the outermost object with two different values; null if there is none. `JSON.parse` takes the last one, others the first: a list
 * of rows or a token of the next page could be missed silently.
 */
export function ambiguousName(text: string, parsed: unknown): string | null {
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return null
  const names = Object.keys(parsed)
  if (names.length === 0 || (names.length <= MANY_NAMES && !oneStandsTwice(text, names))) return null
  const values = new Map<string, string>()
  const next = /["{}[\],]/g
  let depth = 0
  let name: string | null = null
  let valueAt = 0
  for (let found = next.exec(text); found !== null; found = next.exec(text)) {
    const [sign] = found
    if (sign === '"') {
      next.lastIndex = stringEnd(text, found.index)
      if (depth !== 1 || name !== null) continue
      name = JSON.parse(text.slice(found.index, next.lastIndex)) as string
      valueAt = text.indexOf(':', next.lastIndex) + 1
      continue
    }
    if (depth === 1 && name !== null && (sign === ',' || sign === '}')) {
      const value = text.slice(valueAt, found.index).trim()
      if ((values.get(name) ?? value) !== value) return name
      values.set(name, value)
      name = null
    }
    if (sign === '{' || sign === '[') depth++
    else if (sign !== ',') depth--
  }
  return null
}

/** Whether one of the names occurs twice anywhere in the text: one pass over an answer of many rows for all of them. */
function oneStandsTwice(text: string, names: readonly string[]): boolean {
  const met = new Set<string>()
  const anyName = new RegExp(names.map(name => RegExp.escape(JSON.stringify(name))).join('|'), 'g')
  for (const [found] of text.matchAll(anyName)) {
    if (met.has(found)) return true
    met.add(found)
  }
  return false
}

/** By hand: a pattern over millions of digits would overflow the stack of the regex engine. */
function numberEnd(text: string, start: number): number {
  let end = start + 1
  while (end < text.length && '0123456789.eE+-'.includes(text.charAt(end))) end++
  return end
}

/** Whether objects and lists are nested more than `most` levels deep (a plain value has none, `[]` has one). Looks no deeper than that. */
export function isDeeper(value: unknown, most: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (most === 0) return true
  if (Array.isArray(value)) {
    for (const each of value) if (isDeeper(each, most - 1)) return true
    return false
  }
  for (const name in value) if (isDeeper((value as Record<string, unknown>)[name], most - 1)) return true
  return false
}
