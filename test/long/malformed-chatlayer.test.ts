/** Malformed answers of Chatlayer. */
import { twiceNamed, withFields } from '../support/malformed-answers.ts'
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/chatlayer.ts'

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
  rowsOf: ['events'],
  equalRowsOf: ['events'],
  rowsAt: /events\/stream/,
})
