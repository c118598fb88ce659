/**
 * The console's files, as Vite has built them from `ui/` (`npm run build:ui`): read once, served from memory. Names of assets carry a hash of their content,
 * so they may be kept for ever; the document that names them is asked for again each time.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { extname } from 'node:path'
import type { Body } from './answer.ts'

/** Only files of our own: nothing inline, nothing from elsewhere. */
export const CONSOLE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

export interface ConsoleFiles {
  /** The one document of all pages. */
  readonly document: Body
  /** By name. */
  readonly assets: ReadonlyMap<string, Body>
}

let kept: ConsoleFiles | undefined

/** The folder lies in `ui/built` beside `src` in a checkout, and beside `dist` in the package. */
export function consoleFiles(): ConsoleFiles {
  kept ??= read(findFolder())
  return kept
}

function findFolder(): URL {
  for (const up of ['../../ui/built/', '../../../ui/built/']) {
    const folder = new URL(up, import.meta.url)
    try {
      readFileSync(new URL('index.html', folder))
      return folder
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new Error('the console (ui/built) is not in the package')
}

function read(folder: URL): ConsoleFiles {
  const bodyOf = (path: string): Body => {
    const content = readFileSync(new URL(path, folder))
    const etag = `W/"${createHash('sha256').update(content).digest('base64url').slice(0, 27)}"`
    const contentType = TYPES[extname(path)] ?? 'application/octet-stream'
    return { contentType, pieces: [content], length: content.length, etag }
  }
  const names = readdirSync(new URL('assets/', folder))
  return { document: bodyOf('index.html'), assets: new Map(names.map(name => [name, bodyOf(`assets/${name}`)])) }
}
