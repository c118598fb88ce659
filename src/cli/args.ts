import { parseArgs } from 'node:util'
import type { Fault } from '../config.ts'

/** What an option takes, for the message when it does not get it. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean' | 'int'
  readonly required?: boolean
  /** For `int`: the least and greatest value taken. */
  readonly range?: readonly [number, number]
  /** For `string`: the values taken, where they are a closed set; a comma list of them when `list` is true. */
  readonly of?: readonly string[]
  readonly list?: boolean
}

export type Parsed<S extends Record<string, OptionSpec>> = {
  [K in keyof S]: S[K]['type'] extends 'boolean' ? boolean : S[K]['type'] extends 'int' ? number | undefined : string | undefined
}

/**
 * Reads a command's arguments. Every fault is found, not only the first.
 *
 * @param positionals Least and most number of words that are not options.
 */
export function readArgs<const S extends Record<string, OptionSpec>>(
  argv: readonly string[],
  specs: S,
  positionals: { readonly names: string; readonly least: number; readonly most: number } = { names: '', least: 0, most: 0 },
): { ok: true; values: Parsed<S>; words: string[] } | { ok: false; faults: Fault[] } {
  const faults: Fault[] = []
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      { type: spec.type === 'boolean' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true })
  const values: Record<string, string | number | boolean | undefined> = {}
  const given = new Set<string>()
  const words: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value)
    if (token.kind !== 'option') continue
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined
    if (spec === undefined) {
      faults.push({ path: token.rawName, message: `is not an option here; there ${knownOptions(specs)}` })
      continue
    }
    if (given.has(token.name)) {
      faults.push({ path: token.rawName, message: 'is given twice; name it once' })
      continue
    }
    given.add(token.name)
    if (spec.type === 'boolean') {
      if (token.value !== undefined) faults.push({ path: token.rawName, message: 'takes no value' })
      values[token.name] = true
      continue
    }
    if (token.value === undefined || token.value === '' || (!token.inlineValue && token.value.startsWith('--'))) {
      faults.push({ path: token.rawName, message: 'needs a value' })
      continue
    }
    const fault = valueFault(spec, token.value)
    if (fault !== null) faults.push({ path: token.rawName, message: fault })
    else values[token.name] = spec.type === 'int' ? Number(token.value) : token.value
  }
  for (const [name, spec] of Object.entries(specs)) {
    if (spec.type === 'boolean') values[name] ??= false
    if (spec.required === true && values[name] === undefined && !faults.some(fault => fault.path === `--${name}`))
      faults.push({ path: `--${name}`, message: 'is missing' })
  }
  if (words.length < positionals.least) faults.push({ path: positionals.names, message: 'is missing' })
  if (words.length > positionals.most)
    faults.push({
      path: words.slice(positionals.most).join(' '),
      message: positionals.most === 0 ? 'is not expected here' : 'is one word too many',
    })
  return faults.length > 0 ? { ok: false, faults } : { ok: true, values: values as Parsed<S>, words }
}

function knownOptions(specs: Record<string, OptionSpec>): string {
  const names = Object.keys(specs).map(name => `--${name}`)
  return names.length === 0 ? 'are none' : `${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}`
}

function valueFault(spec: OptionSpec, value: string): string | null {
  if (spec.type === 'int') {
    const [least, most] = spec.range ?? [0, Number.MAX_SAFE_INTEGER]
    const number = Number(value)
    return /^\d+$/.test(value) && number >= least && number <= most
      ? null
      : `takes a whole number from ${least} to ${most}, not ${JSON.stringify(value)}`
  }
  if (spec.of === undefined) return null
  const given = spec.list === true ? value.split(',') : [value]
  const unknown = given.filter(word => !spec.of?.includes(word))
  return unknown.length === 0
    ? null
    : `takes ${spec.list === true ? 'a comma list of' : 'one of'} ${spec.of.join(', ')}, not ${unknown.join(', ')}`
}
