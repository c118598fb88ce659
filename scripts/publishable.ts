/**
 * What is published must not carry the Node binaries that the checkout brings along, and says from which commit it was made: `strip` changes package.json so
 * before packing, `restore` puts the file back as it was.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { headOf } from '../src/version.ts'

const file = new URL('../package.json', import.meta.url)
const kept = new URL('../.package.json.kept', import.meta.url)

if (process.argv[2] === 'strip') {
  const text = readFileSync(file, 'utf8')
  const manifest = JSON.parse(text) as {
    optionalDependencies?: Record<string, string>
    devDependencies?: unknown
    gitHead?: string
  }
  if (!existsSync(kept)) writeFileSync(kept, text)
  delete manifest.optionalDependencies
  delete manifest.devDependencies
  const head = headOf(fileURLToPath(new URL('..', import.meta.url)))
  if (head !== null) manifest.gitHead = head
  writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`)
} else if (existsSync(kept)) renameSync(kept, file)
