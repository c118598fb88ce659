/** Empty answers of this vendor: which are accepted. */
import { saysFault, twice } from '../../src/source/index.ts'

/**
 * An answer without a body is not documented, and a missing list is left open, as no field is documented as required; something in between may cause either. So
 * it is accepted when it comes twice.
 *
 * @param ask Receives the value that represents an answer without a body.
 * @param list Returns the answer's list; undefined or null if it is missing.
 */
export function answered<T extends object>(ask: (empty: T) => Promise<T>, nothing: T, list: (answer: T) => unknown): Promise<T> {
  return twice(
    () => ask(nothing),
    answer => (list(answer) ?? null) === null,
  )
}

/**
 * Whether the body is a valid answer: every list may be absent, so an error with status 200 would look like an empty answer. Without its list it must have no
 * other fields than the documented ones.
 */
export function isAnswer(body: Readonly<Record<string, unknown>>, list: unknown, names: readonly string[]): boolean {
  if (Array.isArray(list) && list.length > 0) return true
  if (saysFault(body)) return false
  // Values of an envelope that mean success.
  const envelope = 'code' in body ? ['code', 'message', 'details', 'error', 'errors'] : ['error', 'errors']
  return Array.isArray(list) || Object.keys(body).every(name => names.includes(name) || envelope.includes(name))
}
