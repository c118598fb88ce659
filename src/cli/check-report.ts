/** Output of `colloquy check`: a JSON line for each finding, or on a terminal text with a heading for each section. */
import { styleText } from 'node:util'
import { oneLine } from './table.ts'

export interface Finding {
  readonly finding: 'ok' | 'info' | 'warning' | 'fault'
  /** Where: a section of the config file, or the subject of the check. */
  readonly what: string
  readonly [field: string]: unknown
}

export interface Counts {
  readonly faults: number
  readonly warnings: number
}

export interface CheckReport {
  /** @param section Its heading; the findings of a section come one after another. */
  add(section: string, finding: Finding): void
  counts(): Counts
}

export function jsonReport(print: (line: string) => void): CheckReport {
  return counted(finding => print(JSON.stringify(finding)))
}

/** One line a finding, below the heading of its section. */
export function textReport(print: (line: string) => void, { colours }: { readonly colours: boolean }): CheckReport {
  let last: string | null = null
  return counted((finding, section) => {
    if (section !== last) {
      if (last !== null) print('')
      print(colours ? styleText('bold', section, { validateStream: false }) : section)
      last = section
    }
    print(findingLine(section, finding, colours))
  })
}

function counted(write: (finding: Finding, section: string) => void): CheckReport {
  const counts = { faults: 0, warnings: 0 }
  return {
    add(section, finding) {
      if (finding.finding === 'fault') counts.faults += 1
      if (finding.finding === 'warning') counts.warnings += 1
      write(finding, section)
    },
    counts: () => ({ ...counts }),
  }
}

/** The last line: `all good`, or the number of faults and warnings. */
export function verdictOf({ faults, warnings }: Counts): string {
  const count = (n: number, word: string) => `${n} ${word}${n === 1 ? '' : 's'}`
  if (faults > 0) return `${count(faults, 'fault')}, ${count(warnings, 'warning')}`
  return warnings === 0 ? 'all good' : `no faults, ${count(warnings, 'warning')}`
}

const COLOURS = { ok: 'green', info: 'blue', warning: 'yellow', fault: 'red' } as const
const WIDEST_KIND = 'warning'.length
/** Findings quote vendors' answers. */
const LONGEST = 2_000

function findingLine(section: string, finding: Finding, colours: boolean): string {
  const kind = finding.finding.padEnd(WIDEST_KIND)
  const shown = colours ? styleText(COLOURS[finding.finding], kind, { validateStream: false }) : kind
  return `  ${shown}  ${oneLine(wordsOf(section, finding), LONGEST)}`
}

/** The text of a finding: where, what, and what to do. Figures already in its text are left out. */
function wordsOf(section: string, { finding: _finding, what, ...fields }: Finding): string {
  const { stream, scope, topics, code, error, info, warning, cure, answers, newest, reasons, ...figures } = fields
  const words = [info, warning, error].filter(each => each !== undefined)
  const place = [
    what === section ? [] : what.startsWith(`${section}.`) ? what.slice(section.length + 1) : what,
    stream === undefined ? [] : [stream, scope].join('/'),
    topics ?? [],
  ].flat()
  const said = [
    answers === true ? (newest === null ? 'answers, has no rows' : `answers, newest: ${text(newest)}`) : [],
    Array.isArray(reasons) ? scheduleWords(figures, reasons as readonly Reason[]) : [],
    words,
    reasons === undefined && words.length === 0 ? figureWords(figures) : [],
  ].flat()
  const sentence = [place.map(text).join(', '), said.map(text).join('; ')].filter(Boolean).join(': ')
  return `${sentence}${code === undefined ? '' : ` (${text(code)})`}${cure === undefined ? '' : `. ${text(cure)}`}`
}

type Reason = Readonly<Record<'stream' | 'why', string>>

function scheduleWords({ requestsPerHour, requestsPerDay, quotaPerHour }: Fields, reasons: readonly Reason[]): string[] {
  const quota = quotaPerHour === null ? 'the quota has no limit' : `of ${text(quotaPerHour)} that the quota allows`
  return [
    `at least ${text(requestsPerHour)} requests an hour, ${quota}, and ${text(requestsPerDay)} a day`,
    ...reasons.map(({ stream, why }) => `${stream}: ${why}`),
  ]
}

type Fields = Readonly<Record<string, unknown>>

function figureWords(fields: Fields): string[] {
  const shown = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)
  return shown.map(([name, value]) => `${name} ${[value].flat().map(text).join(', ')}`)
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
