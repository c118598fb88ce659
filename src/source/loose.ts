/** JSON as it comes: objects whose fields nobody has announced, and values that may be no objects at all. */
import { z } from 'zod'
import { put } from './liberal.ts'

/**
 * `z.looseObject`, which loses a field that is named `__proto__`: this one keeps it.
 *
 * @param shape The fields that are known. The others come as they are.
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

/** An object of JSON, whose fields may be anything. */
export type Loose = Readonly<Record<string, unknown>>

/** Whether a value of JSON is an object: a list and null are none. */
export function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object, or one without fields where the value is something else. */
export function objectOf(value: unknown): Loose {
  return isObject(value) ? value : {}
}
