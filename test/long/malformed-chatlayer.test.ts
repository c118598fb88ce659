/** Malformed answers of Chatlayer. */
import { twiceNamed, withFields } from '../support/malformed-answers.ts'
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/chatlayer.ts'

const HOUR = 3_600_000

/** A series is a row for each of its values. What it says of all of them is over the range that was asked for, and moves with that. */
const series = {
  most: (element: unknown) => (element as { values: unknown[] }).values.length,
  // "A value that is null is no point."
  silent: (edited: unknown) => {
    const values = (edited as { values?: unknown } | null)?.values
    return Array.isArray(values) ? values.filter(value => value === null).length : 0
  },
  loose: /^(series\.(mean|max|min|sum)|range_(start|end))$/,
}

malformedAnswers({
  subject,
  streams: ['events', 'flow', 'series', 'team-usage'],
  first: 0,
  after: 0,
  // No field is documented as required: an answer that leaves its list out is believed when it comes twice.
  means: { 'an object without anything': null, 'a key named __proto__ alone': null },
  ownOf: {
    events: [
      ...twiceNamed('events'),
      withFields('a token that comes again', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({ next_page_token: 'again' })),
      withFields('a token that is a number beyond 2^53', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({
        next_page_token: '@@12345678901234567891@@',
      })),
      withFields('a token without an end', ['SRC_REFUSED', 'SRC_RESUME_EXPIRED', 'SRC_TRUNCATED', 'SRC_UNREACHABLE'], () => ({
        next_page_token: 'x'.repeat(100_000),
      })),
      withFields('a token with half an emoji', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({
        next_page_token: 'half\uD83D',
      })),
    ],
  },
  rowsAt: { events: /events\/stream$/, flow: /\/flow$/, series: /./, 'team-usage': /./ },
  alone: {
    // A transition is a part of its conversation's row, which is asked for once more when it leaves the lookback: after the vendor has mended it.
    flow: {
      areParts: true,
      base: { lookbackMs: 84 * HOUR, pollIntervalMs: 6 * HOUR, lookbackIntervalMs: 6 * HOUR },
      againMs: 36 * HOUR,
    },
    series,
    'team-usage': series,
  },
})
