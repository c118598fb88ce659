/** Values nested deeper than any reader should follow. Every function here takes a value of any depth without deep recursion of its own. */

import { isDeeper } from '../source/json.ts'

/** Most levels of objects and lists in a row. Vendors nest ten or so; readers of Avro and JSON give up at some hundreds. */
export const MOST_LEVELS = 100

/** Whether the value is nested too deep for a row. */
export function isTooDeep(value: unknown): boolean {
  return isDeeper(value, MOST_LEVELS)
}

/** The value itself where it is not too deep, else a copy in which what lies deeper says so. */
export function cutDeep(value: unknown): unknown {
  return isTooDeep(value) ? cut(value, MOST_LEVELS) : value
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
  if (!isTooDeep(value)) return JSON.stringify(value) ?? ''
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
