/** Values nested deeper than any reader should follow. Every function here takes a value of any depth without deep recursion of its own. */

/** Most levels of objects and lists in a row. Vendors nest ten or so; readers of Avro and JSON give up at some hundreds. */
export const MOST_LEVELS = 100

/** Whether objects and lists are nested in each other more than `most` levels. */
export function isDeeper(value: unknown, most = MOST_LEVELS): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (most === 0) return true
  if (Array.isArray(value)) {
    for (const each of value) if (isDeeper(each, most - 1)) return true
    return false
  }
  for (const name in value) if (isDeeper((value as Record<string, unknown>)[name], most - 1)) return true
  return false
}

/** The value itself where it is not too deep, else a copy in which what lies deeper says so. */
export function cutDeep(value: unknown): unknown {
  return isDeeper(value) ? cut(value, MOST_LEVELS) : value
}

function cut(value: unknown, most: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (most === 0) return `left out: more than ${MOST_LEVELS} levels deep`
  if (Array.isArray(value)) return value.map(each => cut(each, most - 1))
  const copy = Object.create(null) as Record<string, unknown>
  for (const [name, each] of Object.entries(value)) copy[name] = cut(each, most - 1)
  return copy
}

/** The value as text, the same for the same content: JSON, or for what is too deep for that, its parts in order. Empty for undefined. */
export function textOf(value: unknown): string {
  if (!isDeeper(value)) return JSON.stringify(value) ?? ''
  const parts: string[] = []
  const left: unknown[] = [value]
  while (left.length > 0) {
    const next = left.pop()
    if (typeof next !== 'object' || next === null) parts.push(JSON.stringify(next) ?? 'null')
    else {
      const entries = Object.entries(next)
      parts.push(`${Array.isArray(next) ? '[' : '{'}${entries.length}`)
      for (const [name, each] of entries) left.push(each, name)
    }
  }
  return parts.join(',')
}
