import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import type { Readable } from 'node:stream'

/**
 * A child process that cannot outlive us. It runs under a small `sh` guard that reads a pipe from us: a line names a signal for the child, and the end of the
 * pipe, which also follows our own SIGKILL, kills it. Guard and child are a process group of their own, so that Ctrl-C in a terminal reaches only us and we
 * control the order of stopping.
 */
export interface Child {
  /** Resolves, never rejects, when the child has gone; exit code as in a shell (128 + signal when killed). */
  readonly exited: Promise<number>
  /** Whether it has gone already. */
  readonly gone: () => boolean
  /** The last lines it wrote on stdout and stderr, oldest first. */
  lastLines(): readonly string[]
  /** Sends it a signal, named without `SIG`: `STOP`, `CONT`, `TERM`, `KILL`. Does nothing when it has gone. */
  signal(name: 'STOP' | 'CONT' | 'TERM' | 'KILL'): void
  /** Ends it: SIGTERM and, after `graceMs`, SIGKILL; with `graceMs` 0 SIGKILL at once. Resolves when it has gone. May be called again. */
  stop(graceMs: number): Promise<void>
}

const KEPT_LINES = 60

const GUARD = `
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
( exec >/dev/null 2>&1; while read -r name <&3; do kill -s "$name" "$child"; done; kill -s KILL "$child" ) &
watch=$!
exec 3<&-
exec 2>/dev/null
wait "$child"
code=$?
kill -s KILL "$watch"
exit "$code"
`

export function startChild(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string | undefined>>; onLine?: (line: string) => void } = {},
): Child {
  const guard = spawn('/bin/sh', ['-c', GUARD, 'sh', command, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  })
  // A dead guard breaks the pipe; `exited` reports its death.
  guard.stdin.on('error', () => {})
  const lines: string[] = []
  const keep = (line: string) => {
    lines.push(line)
    if (lines.length > KEPT_LINES) lines.shift()
    options.onLine?.(line)
  }
  readLines(guard.stdout, keep)
  readLines(guard.stderr, keep)
  let gone = false
  const exited = new Promise<number>(resolve => {
    const done = (code: number | null) => {
      gone = true
      resolve(code ?? 137)
    }
    guard.once('close', done)
    guard.once('error', error => {
      keep(String(error))
      done(127)
    })
  })

  return {
    exited,
    gone: () => gone,
    lastLines: () => lines,
    signal: name => {
      if (!gone) guard.stdin.write(`${name}\n`)
    },
    async stop(graceMs) {
      if (gone) return
      if (graceMs > 0) {
        guard.stdin.write('TERM\n')
        const timer = setTimeout(() => guard.stdin.end(), graceMs)
        await exited
        clearTimeout(timer)
        return
      }
      guard.stdin.end()
      await exited
    },
  }
}

/** A folder that is removed when we release it, and also when we are killed. */
export interface ThrowAwayFolder {
  readonly path: string
  /** Removes it now. Its writers must have ended. May be called again. */
  remove(): Promise<void>
}

/** Processes killed together with us may still write for a moment, so it checks again before it exits. */
const KEEPER = `
while read -r _; do :; done
PATH=$PATH:/usr/bin:/bin
tries=0
while [ "$tries" -lt 50 ]; do
  rm -rf "$1" 2>/dev/null
  sleep 0.1
  [ -e "$1" ] || exit 0
  tries=$((tries + 1))
  sleep 0.1
done
`

/** The keeper starts before the folder is created, so that a kill never leaves it behind. */
export function throwAwayFolder(path: string): ThrowAwayFolder {
  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'sh', path], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  keeper.stdin.on('error', () => {})
  const gone = once(keeper, 'exit')
  gone.catch(() => {})
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return {
    path,
    async remove() {
      keeper.stdin.end()
      await gone
    },
  }
}

/** Calls back with each line; carriage returns, which progress displays use to overwrite themselves, end a line too. */
function readLines(stream: Readable, each: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const parts = `${rest}${text}`.split(/\r\n|\n|\r/)
    rest = parts.pop() ?? ''
    for (const part of parts) if (part.trim() !== '') each(part.trimEnd())
  })
  stream.on('end', () => {
    if (rest.trim() !== '') each(rest.trimEnd())
  })
}
