/** What an answer of this vendor may leave out, and what it may not. */

/**
 * An answer without a body is not documented; something between us may make one. It is believed when it comes twice.
 *
 * @param ask Gets what stands for such an answer.
 */
export async function answered<T extends object>(ask: (empty: T) => Promise<T>, nothing: T): Promise<T> {
  const first = await ask(nothing)
  return first === nothing ? ask(nothing) : first
}

/** Every list may be absent, so an error that comes with 200 would look like an answer that has none. */
export function noError(body: Readonly<Record<string, unknown>>): boolean {
  return !('error' in body || ('code' in body && 'message' in body))
}
