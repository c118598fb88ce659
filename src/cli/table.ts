/** Tables for people. */

const WIDEST = 60

/** Rows below their heads, columns aligned; every cell on one line, cut to `widest` characters. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[], widest: number = WIDEST): string[] {
  const lines = [heads, ...rows.map(row => row.map(cell => oneLine(cell, widest)))]
  const widths = heads.map((_, column) => Math.max(...lines.map(line => (line[column] ?? '').length)))
  return lines.map(line =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** What a terminal can show in a cell: words of others may hold line ends and escape sequences. */
export function oneLine(text: string, widest: number = WIDEST): string {
  const plain = text.replace(/\p{C}+/gu, ' ')
  return plain.length > widest ? `${plain.slice(0, widest - 1)}…` : plain
}
