/**
 * Watches the config file: it is read again when it or a file that it refers to has changed, and on SIGHUP. It takes effect only if all of it is valid. Checked
 * every few seconds instead of by file events: a mounted ConfigMap is a link that is exchanged, without an event.
 */
import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import type { Clock } from '../clock.ts'
import type { Fault } from '../config.ts'
import { readSmallFile } from '../config-file.ts'
import { asFlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import { type Io, refuse } from './io.ts'
import { readSetup, type Setup } from './setup.ts'

export interface FileWatchOptions {
  readonly path: string
  readonly io: Pick<Io, 'env' | 'log' | 'onHangUp' | 'signal' | 'stdout' | 'entry'>
  /** The current setup. */
  readonly setup: Setup
  /** Applies the current connectors of the file. Its errors are logged, and it is called again at the next check. */
  readonly changed: (setup: Setup) => Promise<void>
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  readonly everyMs?: number
}

const EVERY_MS = 5_000

/** Resolves when the signal has aborted. */
export async function watchFile(options: FileWatchOptions): Promise<void> {
  const { path, io, changed, clock, log, signal, everyMs = EVERY_MS } = options
  let running = options.setup
  let seen = fingerprint(path)
  let woken = Promise.withResolvers<void>()
  let isAsked = false
  const forget = io.onHangUp?.(() => {
    isAsked = true
    woken.resolve()
  })
  while (!signal.aborted) {
    await Promise.race([woken.promise, clock.sleep(everyMs, signal)])
    const now = fingerprint(path)
    if (signal.aborted || (now === seen && !isAsked)) continue
    isAsked = false
    woken = Promise.withResolvers<void>()
    const read = await readSetup(path, io)
    if (!read.ok) {
      seen = now
      tellFaults(log, read.faults)
      continue
    }
    try {
      await changed(read.setup)
      seen = now
      tellLater(log, running, read.setup)
      running = { ...running, connectors: read.setup.connectors, written: read.setup.written }
      log.info({ connectors: Object.keys(read.setup.written).length }, 'reloaded config file')
    } catch (thrown) {
      log.warn(errorFields(asFlowError(thrown)), 'failed to apply config file, retrying')
    }
  }
  forget?.()
}

function tellFaults(log: Log, faults: readonly Fault[]): void {
  refuse(log, 'CFG_INVALID', faults)
  log.error({ faults: faults.length }, 'rejected invalid config file; nothing changes')
}

/** Sections that take effect at the next start. */
function tellLater(log: Log, before: Setup, now: Setup): void {
  const { connectors: _, ...old } = before.config
  const { connectors: __, ...next } = now.config
  const sections = Object.entries(next)
    .filter(([name, section]) => JSON.stringify(section) !== JSON.stringify(old[name as keyof typeof old]))
    .map(([name]) => name)
  if (sections.length > 0) log.warn({ sections }, 'found changes that take effect at the next start')
}

/** Of the file and of all files that it refers to. */
function fingerprint(path: string): string {
  const hash = createHash('sha256')
  const folder = dirname(resolve(path))
  const text = textOf(path)
  hash.update(text)
  for (const [, name = ''] of text.matchAll(/\$\{file:([^}]*)\}/g)) hash.update(`\0${textOf(resolve(folder, name.trim()))}`)
  return hash.digest('hex')
}

function textOf(path: string): string {
  try {
    return readSmallFile(path)
  } catch (error) {
    return `\0${(error as Error).message}`
  }
}
