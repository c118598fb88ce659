import { hash } from 'node:crypto'

type Part = string | number | boolean | null | undefined

/** An id for something without one from the vendor: 22 characters computed from its content; equal parts in the same order give the same id on any machine. */
export function contentId(...parts: readonly Part[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64url').slice(0, 22)
}

/**
 * Content ids for the items of one row, where two items may be equal: the second gets `.1` appended, the third `.2`, in order of calls. Create one per row and
 * kind, and pass the items in an order that does not change from one read to the next.
 */
export function contentIds(): (...parts: readonly Part[]) => string {
  const seen = new Map<string, number>()
  return (...parts) => {
    const id = contentId(...parts)
    const ordinal = seen.get(id) ?? 0
    seen.set(id, ordinal + 1)
    return ordinal === 0 ? id : `${id}.${ordinal}`
  }
}
