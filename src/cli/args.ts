/** Parses a command's arguments. Commander knows the grammar; here every error of a call is collected, where commander ends at the first. */
import { Command, Option } from 'commander'
import type { Fault } from '../config.ts'
import { nearestOf } from '../did-you-mean.ts'

/** The values of an option, for the message about a wrong one. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean' | 'int'
  readonly required?: boolean
  /** For `int`: smallest and largest value. */
  readonly range?: readonly [number, number]
  /** For `string`: the valid values, if they are a closed set; a comma list of them when `list` is true. */
  readonly of?: readonly string[]
  readonly list?: boolean
}

export type Parsed<S extends Record<string, OptionSpec>> = {
  [K in keyof S]: S[K]['type'] extends 'boolean' ? boolean : S[K]['type'] extends 'int' ? number | undefined : string | undefined
}

/** The option for commander. @param value Name of its value in help. */
export function optionOf(name: string, { type }: OptionSpec, { help = '', value = 'VALUE' } = {}): Option {
  return new Option(`--${name}${type === 'boolean' ? '' : ` <${value}>`}`, help)
}

/** Continues after an error: the listeners of `readArgs` see what is wrong. */
class Reader extends Command {
  override error(): never {
    return undefined as never
  }
}

/**
 * Parses a command's arguments. Every error is found, not only the first: those of options in the order of the call, then what is missing, then extra words.
 *
 * @param positionals Least and most number of words that are not options.
 */
export function readArgs<const S extends Record<string, OptionSpec>>(
  argv: readonly string[],
  specs: S,
  positionals: { readonly names: string; readonly least: number; readonly most: number } = { names: '', least: 0, most: 0 },
): { ok: true; values: Parsed<S>; words: string[] } | { ok: false; faults: Fault[] } {
  const faults: Fault[] = []
  const values: Record<string, string | number | boolean | undefined> = {}
  const given = new Set<string>()
  const reader = new Reader()
  for (const [name, spec] of Object.entries(specs)) {
    const path = `--${name}`
    reader.addOption(optionOf(name, spec))
    reader.on(`option:${name}`, (value: string | undefined) => {
      const fault = given.has(name) ? 'is given twice; name it once' : valueFault(spec, value, argv.includes(`${path}=${value}`))
      given.add(name)
      if (fault !== null) faults.push({ path, message: fault })
      else values[name] = spec.type === 'boolean' ? true : spec.type === 'int' ? Number(value) : value
    })
  }
  const { operands, unknown } = reader.parseOptions([...argv])
  const rest = splitUnknown(unknown)
  const words = [...operands, ...rest.words]
  faults.push(...rest.options.map(option => optionFault(option, specs)))
  faults.sort((a, b) => placeIn(argv, a.path) - placeIn(argv, b.path))

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

/** What commander did not accept, from the first unknown option on. */
function splitUnknown(unknown: readonly string[]): { options: string[]; words: string[] } {
  const end = unknown.includes('--') ? unknown.indexOf('--') : unknown.length
  const before = unknown.slice(0, end)
  const isOption = (word: string) => word.length > 1 && word.startsWith('-')
  return { options: before.filter(isOption), words: [...before.filter(word => !isOption(word)), ...unknown.slice(end + 1)] }
}

function optionFault(option: string, specs: Record<string, OptionSpec>): Fault {
  const [path = option] = option.split('=')
  const names = Object.keys(specs)
  // A known option with an unexpected value takes none.
  if (Object.hasOwn(specs, path.slice(2))) return { path, message: 'takes no value' }
  const nearest = nearestOf(path.replace(/^-+/, ''), names)
  const there =
    names.length === 0 ? 'are none' : `${names.length === 1 ? 'is' : 'are'} ${names.map(name => `--${name}`).join(', ')}`
  return { path, message: `is not an option here; ${nearest === undefined ? `there ${there}` : `did you mean --${nearest}?`}` }
}

function placeIn(argv: readonly string[], path: string): number {
  return argv.findIndex(word => word === path || word.startsWith(`${path}=`))
}

/** @param isInline It was written as `--name=value`, so that it may begin with dashes. */
function valueFault(spec: OptionSpec, value: string | undefined, isInline: boolean): string | null {
  if (spec.type === 'boolean') return null
  if (value === undefined || value === '' || (value.startsWith('--') && !isInline)) return 'needs a value'
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
  if (unknown.length === 0) return null
  return `takes ${spec.list === true ? 'a comma list of' : 'one of'} ${spec.of.join(', ')}, not ${unknown.join(', ')}${didYouMean(unknown[0] ?? '', spec.of)}`
}

/** `; did you mean …?`, or nothing if no known word is near. */
export function didYouMean(word: string, known: readonly string[]): string {
  const nearest = nearestOf(word, known)
  return nearest === undefined ? '' : `; did you mean ${nearest}?`
}
