/**
 * The config file while the process runs: read again when it or a file that it refers to has changed, and on SIGHUP. Nothing of it holds unless all of it is
 * right. Looked at every few seconds instead of asked of the system: a mounted ConfigMap is a link that is exchanged, of which no event tells.
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
  /** What runs now. */
  readonly setup: Setup
  /** Takes the connectors of the file as they are now. What it throws is logged, and tried again at the next look. */
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
      log.info({ connectors: Object.keys(read.setup.written).length }, 'config file read again')
    } catch (thrown) {
      log.warn(errorFields(asFlowError(thrown)), 'config file could not be taken, trying again')
    }
  }
  forget?.()
}

function tellFaults(log: Log, faults: readonly Fault[]): void {
  refuse(log, 'CFG_INVALID', faults)
  log.error({ faults: faults.length }, 'config file has faults: everything runs on as it was')
}

/** Sections that hold from the next start on. */
function tellLater(log: Log, before: Setup, now: Setup): void {
  const { connectors: _, ...old } = before.config
  const { connectors: __, ...next } = now.config
  const sections = Object.entries(next)
    .filter(([name, section]) => JSON.stringify(section) !== JSON.stringify(old[name as keyof typeof old]))
    .map(([name]) => name)
  if (sections.length > 0) log.warn({ sections }, 'these sections of the config file hold from the next start on')
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
