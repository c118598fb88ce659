/** Lines at the end of a terminal that are redrawn in place. */
import { stripVTControlCharacters } from 'node:util'
import type { ChildOptions, Log, LogFields } from '../log.ts'
import type { Terminal } from './io.ts'

export class LiveLines {
  readonly #terminal: Pick<Terminal, 'columns' | 'rows' | 'write'>
  #drawn: readonly string[] = []

  constructor(terminal: Pick<Terminal, 'columns' | 'rows' | 'write'>) {
    this.#terminal = terminal
  }

  /** Replaces the drawn lines. Lines below the window are left out: what has scrolled away cannot be overwritten. */
  draw(lines: readonly string[]): void {
    const shown = lines.slice(0, Math.max(1, this.#terminal.rows() - 1))
    this.#terminal.write(`${this.#erasure()}${shown.map(line => `${line}\n`).join('')}`)
    this.#drawn = shown
  }

  /** Makes room for permanent lines, such as those of a log. */
  erase(): void {
    if (this.#drawn.length > 0) this.#terminal.write(this.#erasure())
    this.#drawn = []
  }

  /** Leaves the drawn lines in place. */
  keep(): void {
    this.#drawn = []
  }

  /** Counted again each time: in a window that has become narrower, a line takes more than one row. */
  #erasure(): string {
    const columns = Math.max(1, this.#terminal.columns())
    const rows = this.#drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0)
    return rows === 0 ? '' : `\x1b[${rows}A\r\x1b[J`
  }
}

/** Characters that a line takes on a terminal, without its colours. */
export function widthOf(line: string): number {
  return stripVTControlCharacters(line).length
}

/** The log, each line above the drawn lines. */
export function logAbove(log: Log, live: LiveLines): Log {
  const above = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: LogFields, msg: string) => {
    live.erase()
    log[level](fields, msg)
  }
  return {
    debug: above('debug'),
    info: above('info'),
    warn: above('warn'),
    error: above('error'),
    child: (fields: LogFields, options?: ChildOptions) => logAbove(log.child(fields, options), live),
    levels: log.levels,
  }
}
