/** What an answer of this vendor may leave out, and what it may not. */
import { saysFault, twice } from '../../src/source/index.ts'

/**
 * An answer without a body is not documented, and one that leaves its list out is left open, as no field is documented as required; something between us may make either. So it is
 * believed when it comes twice.
 *
 * @param ask Receives the value that represents an answer without a body.
 * @param list Of an answer its list; undefined or null where it is left out.
 */
export function answered<T extends object>(ask: (empty: T) => Promise<T>, nothing: T, list: (answer: T) => unknown): Promise<T> {
  return twice(
    () => ask(nothing),
    answer => (list(answer) ?? null) === null,
  )
}

/**
 * Whether the answer may be one: every list may be absent, so an error that comes with 200 would look like an answer that has none. One without its list must hold no other
 * fields than the documented ones.
 */
export function isAnswer(body: Readonly<Record<string, unknown>>, list: unknown, names: readonly string[]): boolean {
  if (Array.isArray(list) && list.length > 0) return true
  if (saysFault(body)) return false
  // Words of an envelope that says that all is well.
  const envelope = 'code' in body ? ['code', 'message', 'details', 'error', 'errors'] : ['error', 'errors']
  return Array.isArray(list) || Object.keys(body).every(name => names.includes(name) || envelope.includes(name))
}
