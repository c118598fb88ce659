import type { Progress } from '../../src/records.ts'

/** Progress of one page with one row; what a test is about, it tells itself. */
export function progressOf(of: Partial<Progress>): Progress {
  return {
    connector: 'c',
    stream: 'sessions',
    scope: 'all',
    vendor: 'v',
    account: 'a',
    bot_id: null,
    lane: 'live',
    window_from: 0,
    window_until: 0,
    complete_until: 0,
    pages: 1,
    rows: 1,
    emitted: 1,
    unchanged: 0,
    rejected: 0,
    newest_at: null,
    committed_at: 0,
    through: [],
    covered: [],
    feeds: [],
    source_partitions: null,
    ...of,
  }
}
