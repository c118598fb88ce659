/** A checkout of its own, by links: what is written into its `connectors/` is nowhere else. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Checkout {
  readonly folder: string
  /** Runs the binary of that checkout: links are kept, so that its own `connectors/` is beside it. */
  readonly colloquy: (...argv: string[]) => SpawnSyncReturns<string>
  readonly remove: () => void
}

export function checkoutByLinks(): Checkout {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-sixth-'))
  mkdirSync(join(folder, 'connectors'))
  for (const part of ['src', 'schemas', 'scripts', 'node_modules']) symlinkSync(join(ROOT, part), join(folder, part))
  for (const file of ['package.json', 'vitest.config.ts']) cpSync(join(ROOT, file), join(folder, file))
  return {
    folder,
    colloquy: (...argv) =>
      spawnSync(process.execPath, ['--preserve-symlinks', '--preserve-symlinks-main', join(folder, 'src/main.ts'), ...argv], {
        encoding: 'utf8',
        cwd: folder,
      }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
