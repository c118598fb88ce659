/**
 * Answers that hold nothing. Only what the vendor's documents show as "nothing" completes a window; everything else without rows is an error, because an error of the
 * vendor, or of something between us, looks the same. Shapes that the documents leave open are believed when they come twice.
 */
import { bool, text } from './liberal.ts'
import { isObject } from './loose.ts'

/**
 * Asks again where the answer is nothing in a shape that the documents leave open (no body, a list that is left out). The second answer counts.
 *
 * @param isOpen Whether the answer is such a one.
 */
export async function twice<T>(ask: () => Promise<T>, isOpen: (answer: T) => boolean): Promise<T> {
  const first = await ask()
  return isOpen(first) ? ask() : first
}

/** Words of an answer for what is no error. */
const GOOD: ReadonlySet<string> = new Set(['0', '200', 'ok', 'success', 'none', 'false', '[]', '{}'])
const BAD: ReadonlySet<string> = new Set(['fail', 'failed', 'failure', 'error', 'ko', 'exception', 'unauthorized', 'forbidden'])

/**
 * Whether a good answer says in its body that it is an error: `{"error":…}`, `{"errors":[…]}`, `{"status":"fail"}`, `{"success":false}`, `{"code":…,"message":…}`. For
 * answers without rows: beside rows, such a word is the vendor's own affair.
 */
export function saysFault(body: unknown): boolean {
  if (!isObject(body)) return false
  const { error, errors, status, success, ok, code, message } = body
  if (says(error) || says(errors)) return true
  if (BAD.has((text(status) ?? '').trim().toLowerCase()) || Number(text(status) ?? 0) >= 400) return true
  if ((success !== undefined && bool(success) === false) || (ok !== undefined && bool(ok) === false)) return true
  return message !== undefined && says(code)
}

function says(value: unknown): boolean {
  const words = text(value)
  return words !== null && !GOOD.has(words.trim().toLowerCase())
}
