/** JSON as it comes: objects with unknown fields, and values that may not be objects at all. */
import { z } from 'zod'
import { put } from './lenient.ts'

/**
 * Like `z.looseObject`, which loses a field named `__proto__`: this one keeps it.
 *
 * @param shape The known fields. The others are kept as they come.
 */
export function looseObject<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = z.looseObject(shape)
  return z.unknown().transform((raw, ctx): z.output<typeof known> => {
    const parsed = known.safeParse(raw)
    if (!parsed.success) {
      for (const issue of parsed.error.issues) ctx.issues.push({ ...issue, input: undefined })
      return z.NEVER
    }
    const fields = raw as Readonly<Record<string, unknown>>
    if (Object.hasOwn(fields, '__proto__')) put(parsed.data as Record<string, unknown>, '__proto__', fields['__proto__'])
    return parsed.data
  })
}

/** A JSON object with any fields. */
export type Loose = Readonly<Record<string, unknown>>

/** Whether a JSON value is an object; lists and null are not. */
export function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object, or an empty one if the value is something else. */
export function objectOf(value: unknown): Loose {
  return isObject(value) ? value : {}
}
