/** Malformed answers of wolkvox, in each of its reports. */
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/wolkvox.ts'

malformedAnswers({
  subject,
  streams: ['diagram_9', 'chat_8', 'chat_2', 'diagram_13', 'chat_11'],
  first: 0,
  after: 0,
  means: { 'a warning of PHP before the JSON': 'good' },
  draws: 2,
  rowsQuery: stream => new RegExp(`api=${stream}(&|$)`),
})
