/** Tables for people. */
import Table from 'cli-table3'

const WIDEST = 60

/** Columns side by side, without borders. */
const PLAIN = {
  chars: Object.fromEntries(
    ['top', 'bottom', 'left', 'right']
      .flatMap(side => [side, `${side}-mid`])
      .concat('top-left', 'top-right', 'bottom-left', 'bottom-right', 'mid', 'mid-mid')
      .map(place => [place, '']),
  ),
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
}

export interface TableStyle {
  /** Characters that a cell is cut to. */
  readonly widest?: number
  /** Whether all columns but the first are right-aligned, as numbers are. */
  readonly numbers?: boolean
}

/** Rows below their heads, columns aligned; every cell on one line. Cells may have colours, if `widest` is Infinity. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  { widest = WIDEST, numbers = false }: TableStyle = {},
): string[] {
  const shown = new Table({
    ...PLAIN,
    chars: { ...PLAIN.chars, middle: '  ' },
    head: [...heads],
    colAligns: heads.map((_, column) => (numbers && column > 0 ? 'right' : 'left')),
  })
  for (const row of rows) shown.push(row.map(cell => (widest === Infinity ? cell : oneLine(cell, widest))))
  return shown
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
}

/** Text for a terminal cell: text of others may contain line ends and escape sequences. */
export function oneLine(text: string, widest: number = WIDEST): string {
  const plain = text.replace(/\p{C}+/gu, ' ')
  return plain.length > widest ? `${plain.slice(0, widest - 1)}…` : plain
}
