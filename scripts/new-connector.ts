/**
 * `npm run new-connector NAME [-- --into FOLDER]`: a connector, its simulator, its notes and a test that runs the conformance suite, in a folder of
 * its own below `connectors/` (or FOLDER): a small invented vendor that passes, to be changed into the true one. Its README is generated.
 *
 * NAME is lower case with digits and dashes: `acme-chat`. Exit codes: 0 written, 2 called wrongly or the folder is there.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

function refuse(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}

function called() {
  try {
    return parseArgs({ options: { into: { type: 'string', default: here('../connectors') } }, allowPositionals: true })
  } catch (error) {
    return refuse(String(error instanceof Error ? error.message : error))
  }
}

const { values, positionals } = called()
const [name = '', ...more] = positionals
if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) || more.length > 0)
  refuse('usage: npm run new-connector NAME; NAME is lower case letters and digits with dashes between them, such as acme-chat')
const folder = join(values.into, name)
if (existsSync(folder)) refuse(`${folder} is there already`)

const words = name.split('-').map(word => `${word[0]?.toUpperCase()}${word.slice(1)}`)
const named = (text: string) =>
  text.replaceAll('AcmeChat', words.join('')).replaceAll('Acme Chat', words.join(' ')).replaceAll('acme-chat', name)

mkdirSync(folder, { recursive: true })
for (const file of readdirSync(here('scaffold'))) {
  const from = join(here('scaffold'), file)
  const to = join(folder, named(file))
  writeFileSync(to, named(readFileSync(from, 'utf8')))
  process.stdout.write(`${to}\n`)
}
process.stdout.write(`
Next:
  npm run generate                                           its README and the list of connectors
  npx vitest run --project conformance connectors/${name}     the conformance suite
  npm run colloquy -- simulate ${name}                        its simulator
docs/writing-a-connector.md says what to mind.
`)
