/**
 * Empty answers. Only what the vendor's docs show as empty completes a window; everything else without rows is an error, because an error of the vendor, or of
 * something between us, looks the same. Forms that the docs leave open are accepted when they come twice.
 */
import { bool, text } from './lenient.ts'
import { isObject } from './loose.ts'

/**
 * Asks again if the answer is empty in a form that the docs leave open (no body, a missing list). The second answer counts.
 *
 * @param isOpen Whether the answer has such a form.
 */
export async function twice<T>(ask: () => Promise<T>, isOpen: (answer: T) => boolean): Promise<T> {
  const first = await ask()
  return isOpen(first) ? ask() : first
}

/** Values that do not mean an error. */
const GOOD: ReadonlySet<string> = new Set(['0', '200', 'ok', 'success', 'none', 'false', '[]', '{}'])
const BAD: ReadonlySet<string> = new Set(['fail', 'failed', 'failure', 'error', 'ko', 'exception', 'unauthorized', 'forbidden'])

/**
 * Whether a successful answer reports an error in its body: `{"error":…}`, `{"errors":[…]}`, `{"status":"fail"}`, `{"success":false}`,
 * `{"code":…,"message":…}`. For answers without rows: next to rows, such a field does not matter.
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
