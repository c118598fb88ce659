/** A real Chromium without a window. The Debian package chromium has it; `.ci/run` installs it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** For so long scripts of the page may run and ask, milliseconds of the page's own time. */
const LOADED_MS = 3_000
const TIMEOUT_MS = 60_000

/** @returns the document of a page after its scripts have asked for what they show, as HTML. */
export async function documentOf(url: string): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), 'colloquy-browser-'))
  try {
    const { stdout } = await promisify(execFile)(
      'chromium',
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        `--user-data-dir=${profile}`,
        `--virtual-time-budget=${LOADED_MS}`,
        '--dump-dom',
        url,
      ],
      { timeout: TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 },
    )
    return stdout
  } finally {
    rmSync(profile, { recursive: true, force: true })
  }
}
