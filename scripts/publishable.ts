/**
 * What is published must not carry the Node binaries that the checkout brings along: `strip` takes them out of package.json before packing,
 * `restore` puts the file back as it was.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const file = new URL('../package.json', import.meta.url)
const kept = new URL('../.package.json.kept', import.meta.url)

if (process.argv[2] === 'strip') {
  const text = readFileSync(file, 'utf8')
  const manifest = JSON.parse(text) as { optionalDependencies?: Record<string, string>; devDependencies?: unknown }
  if (!existsSync(kept)) writeFileSync(kept, text)
  delete manifest.optionalDependencies
  delete manifest.devDependencies
  writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`)
} else if (existsSync(kept)) renameSync(kept, file)
