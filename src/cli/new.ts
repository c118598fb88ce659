/**
 * `colloquy new NAME [--into DIR]`: a connector of a small invented vendor, its simulator, notes, the subject of the conformance suite and a test, in a folder
 * of its own, as a starting point.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FlowError } from '../errors.ts'
import { readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { type Io, refuse } from './io.ts'
import { OWN_CONNECTORS } from './own-folder.ts'

export async function newCommand(argv: string[], io: Pick<Io, 'stdout' | 'log'>): Promise<number> {
  const args = readArgs(argv, COMMANDS.new.options, COMMANDS.new.words)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const [name = ''] = args.words
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    const message =
      'is not a connector name: it takes lower case letters and digits, with dashes between words, such as acme-chat'
    return refuse(io.log, 'CALL_INVALID', [{ path: name, message }])
  }
  const parent = resolve(args.values.into ?? OWN_CONNECTORS ?? '.')
  const folder = join(parent, name)
  if (existsSync(folder)) return refuse(io.log, 'CALL_INVALID', [{ path: name, message: `${folder} is there already` }])
  const isOwn = parent === OWN_CONNECTORS
  for (const file of writeScaffold(name, folder, isOwn)) io.stdout(file)
  for (const line of nextSteps(isOwn ? name : shownPath(folder), isOwn)) io.stdout(line)
  return 0
}

/** @returns the written files */
function writeScaffold(name: string, folder: string, isOwn: boolean): string[] {
  const scaffold = scaffoldFolder()
  const words = name.split('-').map(word => `${word[0]?.toUpperCase()}${word.slice(1)}`)
  const named = (text: string) =>
    text.replaceAll('AcmeChat', words.join('')).replaceAll('Acme Chat', words.join(' ')).replaceAll('acme-chat', name)
  const texts = readdirSync(scaffold).map(file => [named(file), named(readFileSync(join(scaffold, file), 'utf8'))] as const)
  const files = isOwn
    ? texts
    : [['package.json', manifestOf(name)], ...texts.map(([file, text]) => [file, withPackageNames(text)])]
  mkdirSync(folder, { recursive: true })
  return files.map(([file = '', text = '']) => {
    writeFileSync(join(folder, file), text)
    return join(folder, file)
  })
}

/** Separate, because `npm init` writes "type": "commonjs" into the folder above. */
function manifestOf(name: string): string {
  return `${JSON.stringify({ name, private: true, type: 'module' }, null, 2)}\n`
}

/** In a checkout next to `src`, in the package next to `dist`. */
function scaffoldFolder(): string {
  const places = ['../../scripts/scaffold', '../../../scripts/scaffold'].map(path =>
    fileURLToPath(new URL(path, import.meta.url)),
  )
  const found = places.find(place => existsSync(place))
  if (found === undefined) throw new FlowError('BUG', { hint: `the scaffold is in none of ${places.join(', ')}` })
  return found
}

/** Outside the checkout, its imports come from the package. */
function withPackageNames(text: string): string {
  return text
    .replaceAll("'../../src/source/index.ts'", "'colloquy'")
    .replaceAll(/'\.\.\/\.\.\/src\/(sim|conformance)\/index\.ts'/g, "'colloquy/$1'")
}

function nextSteps(place: string, isOwn: boolean): string[] {
  return [
    '',
    'Next:',
    `  colloquy conformance ${place}   run the conformance suite`,
    `  colloquy simulate ${place}      start its simulator`,
    ...(isOwn ? ['  npm run generate   write its README'] : [`  connector.class: ${place}   in the config file, relative to it`]),
    'See docs/writing-a-connector.md.',
  ]
}

/** In a form for a call or the config file: relative paths begin with a dot. */
function shownPath(folder: string): string {
  const path = relative(process.cwd(), folder)
  return path.startsWith('..') ? folder : `.${sep}${path}`
}
