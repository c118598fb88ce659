/** Child processes that a benchmark measures from outside (Linux): their first line, their port, their CPU and memory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

export interface Child {
  readonly process: ChildProcess
  firstLine(): Promise<string>
  readonly port: Promise<number>
  readonly ended: Promise<unknown>
  lastLine(): string
  /** The next message that it sends when it is sent this one. */
  ask<T>(question?: object | string): Promise<T>
}

export function startChild(first: string, rest: readonly string[]): Child {
  const child = spawn(process.execPath, [first, ...rest], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  let last = ''
  const port = Promise.withResolvers<number>()
  if (child.stdout === null || child.stderr === null) throw new Error('a child without output')
  createInterface({ input: child.stderr }).on('line', line => {
    last = line
    const found = /"port":(\d+)/.exec(line)
    if (found) port.resolve(Number(found[1]))
    if (/"level":"(warn|error)"/.test(line) || !line.startsWith('{')) process.stderr.write(`${line}\n`)
  })
  const lines = createInterface({ input: child.stdout })
  return {
    process: child,
    firstLine: () =>
      new Promise((resolve, reject) => {
        lines.once('line', resolve)
        lines.once('close', () => reject(new Error(`${rest[0]} ended before it said anything: ${last}`)))
      }),
    port: port.promise,
    ended: new Promise(resolve => {
      child.once('exit', resolve)
    }),
    lastLine: () => last,
    ask: <T>(question: object | string = 'tell') =>
      new Promise<T>(resolve => {
        child.once('message', told => resolve(told as T))
        child.send(question)
      }),
  }
}

/** User and system time of a process, microseconds (ticks of 10 ms). */
export function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

/** The most memory that it ever had. */
export function peakKiBOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}
