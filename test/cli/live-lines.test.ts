import { expect, test } from 'vitest'
import { LiveLines, logAbove } from '../../src/cli/live-lines.ts'
import { createLog } from '../../src/log.ts'

const ESC = '\x1b'
const UP = new RegExp(`^${ESC}\\[(\\d+)A`)
const PARTS = new RegExp(`${ESC}\\[(\\d+)A\\r${ESC}\\[J|\\n|[^\\n${ESC}]+`, 'g')

/** As much of a terminal as these lines need: line ends, cursor up, clear to the end, and lines that wrap again when the width changes. */
function screen(columns: number, rows = 24) {
  /** Without their line ends. */
  let lines = ['']
  const wrapped = () => lines.flatMap(line => (line === '' ? [''] : (line.match(new RegExp(`.{1,${columns}}`, 'g')) ?? [])))
  return {
    columns: () => columns,
    rows: () => rows,
    resize: (to: number) => {
      columns = to
    },
    write(text: string) {
      for (const [part] of text.matchAll(PARTS)) {
        const up = UP.exec(part)
        if (up) {
          expect(lines.at(-1), 'the cursor is at the start of a line').toBe('')
          lines = [...wrapped().slice(0, wrapped().length - 1 - Number(up[1])), '']
        } else if (part === '\n') lines.push('')
        else lines[lines.length - 1] += part
      }
    },
    shown: () => lines.slice(0, -1),
  }
}

test('lines are drawn again in place, more or fewer of them', () => {
  const terminal = screen(20)
  const live = new LiveLines(terminal)
  terminal.write('before\n')
  live.draw(['one', 'two'])
  live.draw(['three'])
  expect(terminal.shown()).toEqual(['before', 'three'])
  live.draw(['four', '', 'five'])
  expect(terminal.shown()).toEqual(['before', 'four', '', 'five'])
  live.erase()
  live.erase()
  expect(terminal.shown()).toEqual(['before'])
})

test('a window that became narrower leaves nothing of the old lines', () => {
  const terminal = screen(20)
  const live = new LiveLines(terminal)
  live.draw(['x'.repeat(20), 'y'.repeat(12)])
  terminal.resize(8)
  live.draw(['new'])
  expect(terminal.shown()).toEqual(['new'])
})

test('no more is drawn than the window has room for', () => {
  const terminal = screen(20, 3)
  new LiveLines(terminal).draw(['1', '2', '3', '4'])
  expect(terminal.shown()).toEqual(['1', '2'])
})

test('a line of the log stands above what is drawn, and what is kept stays', () => {
  const terminal = screen(200)
  const live = new LiveLines(terminal)
  const log = logAbove(
    createLog('info', line => terminal.write(`${(JSON.parse(line) as { msg: string }).msg}\n`)),
    live,
  )
  live.draw(['table'])
  log.child({ child: 'run' }).warn({}, 'said')
  live.draw(['table again'])
  expect(terminal.shown()).toEqual(['said', 'table again'])
  live.keep()
  log.info({}, 'after')
  expect(terminal.shown()).toEqual(['said', 'table again', 'after'])
})
