/** What an answer of this vendor may leave out, and what it may not. */
import { text } from '../../src/source/index.ts'

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
  const { error, code } = body
  const saysError = error !== false && text(error) !== null
  const saysFault = 'code' in body && 'message' in body && !GOOD.has(text(code) ?? '')
  return !saysError && !saysFault
}

/** Codes of an answer that is none of an error: of gRPC, and of HTTP. */
const GOOD: ReadonlySet<string> = new Set(['0', '200', 'OK'])
