/**
 * Rows of a page, each read on its own: a row that does not fit goes to rejects with the reason, and its page goes on.
 */
import { hash } from 'node:crypto'
import type { z } from 'zod'
import { asFlowError, type ErrorCode } from '../errors.ts'
import type { Stream } from '../source/contract.ts'
import type { RowContext } from '../source/records.ts'

export interface Row {
  readonly id: string
  /** As the stream's schema gives it. */
  readonly row: unknown
  /** As the vendor gave it. */
  readonly raw: unknown
  /** 16 bytes as latin1: what counts as a change of the row. */
  readonly fingerprint: string
}

/** A row, or a record in one, that cannot be published. */
export interface Reject {
  /** Empty where the row's id is not known. */
  readonly rowId: string
  readonly raw: unknown
  readonly code: ErrorCode
  readonly stage: 'decode' | 'normalise' | 'encode'
  /** Where in the row: names and indices with dots. */
  readonly path: string
  /** Why, in words that hold no value of the row. */
  readonly message: string
  /** 16 bytes as latin1: the same for the same content. */
  readonly mark: string
}

export interface Decoded {
  readonly rows: readonly Row[]
  readonly rejects: readonly Reject[]
}

export function decode(stream: Stream, raws: readonly unknown[], ctx: RowContext): Decoded {
  const rows: Row[] = []
  const rejects: Reject[] = []
  for (const raw of raws) {
    const parsed = stream.row.safeParse(raw)
    if (!parsed.success) {
      rejects.push(misfit(stream, raw, parsed.error))
      continue
    }
    try {
      const row = parsed.data as never
      const id = stream.identify(row)
      if (typeof id !== 'string' || id === '') {
        rejects.push(rejectOf(raw, '', 'ROW_UNMAPPABLE', 'decode', 'id', 'the row has no id'))
        continue
      }
      const said = stream.fingerprint ? stream.fingerprint(row, ctx) : row
      rows.push({ id, row, raw, fingerprint: markOf(typeof said === 'string' ? said : JSON.stringify(said)) })
    } catch (thrown) {
      rejects.push(unmappable(raw, rowIdOf(stream, raw), 'decode', thrown))
    }
  }
  return { rows, rejects }
}

/** The reject for a row whose reading threw. Words of foreign errors are left out: they may hold what the row says. */
export function unmappable(raw: unknown, rowId: string, stage: Reject['stage'], thrown: unknown, mark?: string): Reject {
  const error = asFlowError(thrown)
  if (error.code === 'BUG') {
    return rejectOf(
      raw,
      rowId,
      'ROW_UNMAPPABLE',
      stage,
      '',
      thrown instanceof Error ? thrown.name : 'a fault in the connector',
      mark,
    )
  }
  const path = typeof error.details['path'] === 'string' ? error.details['path'] : ''
  return rejectOf(raw, rowId, error.code, stage, path, error.details.hint ?? error.message, mark)
}

/** 128 bits of a text, as 16 latin1 characters: a third of the memory of a hex string, and quick to compare. */
export function markOf(text: string): string {
  return hash('sha256', text, 'binary').slice(0, 16)
}

function rejectOf(
  raw: unknown,
  rowId: string,
  code: ErrorCode,
  stage: Reject['stage'],
  path: string,
  message: string,
  mark = markOf(JSON.stringify(raw) ?? ''),
): Reject {
  return { rowId, raw, code, stage, path, message, mark }
}

const MOST_ISSUES = 5

function misfit(stream: Stream, raw: unknown, error: { readonly issues: readonly z.core.$ZodIssue[] }): Reject {
  const issues = error.issues.slice(0, MOST_ISSUES).map(issue => {
    const expected = 'expected' in issue ? ` (${String(issue.expected)} expected)` : ''
    // A connector's own checks say what is wrong in fixed words; those of zod may repeat the value.
    const why = issue.code === 'custom' ? issue.message : `${issue.code}${expected}`
    return { path: issue.path.map(String).join('.'), why }
  })
  const words = issues.map(({ path, why }) => (path === '' ? why : `${path}: ${why}`)).join('; ')
  const paths = issues.map(({ path }) => path).join(' ')
  return rejectOf(raw, rowIdOf(stream, raw), 'ROW_INVALID', 'decode', paths, words)
}

/** The id of a row that may not fit its schema; empty when it has none. */
function rowIdOf(stream: Stream, raw: unknown): string {
  try {
    const id: unknown = stream.identify(raw as never)
    return typeof id === 'string' ? id : ''
  } catch {
    return ''
  }
}
