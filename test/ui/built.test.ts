import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { own } from '../support/product.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Digests by path: the files are long. */
function digestsOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(each => each.isFile())
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name)
      return [path.slice(folder.length + 1), createHash('sha256').update(readFileSync(path)).digest('hex')]
    }),
  )
}

test('ui/built is what `npm run build:ui` makes of ui/', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-ui-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const argv = ['node_modules/vite/bin/vite.js', 'build', '-c', 'ui/vite.config.ts', '--outDir', folder]
  // Without NODE_ENV of the test, which makes another build.
  await promisify(execFile)(process.execPath, argv, { cwd: root, env: own('PATH', 'HOME') })
  expect(digestsOf(folder)).toEqual(digestsOf(join(root, 'ui/built')))
})
