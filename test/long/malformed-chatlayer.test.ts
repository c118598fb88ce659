/** Malformed answers of Chatlayer. */
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/chatlayer.ts'

malformedAnswers({
  subject,
  streams: ['events', 'flow', 'series', 'team-usage'],
  first: 0,
  after: 0,
  // No field is documented as required: an answer that leaves its list out is believed when it comes twice.
  means: { 'an object without anything': null, 'a key named __proto__ alone': null },
  rowsOf: ['events'],
  equalRowsOf: ['events'],
  rowsAt: /events\/stream/,
})
