/** Malformed answers of Kore.ai. */
import { twiceNamed, withFields } from '../support/malformed-answers.ts'
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/koreai.ts'

const at = /getSessions/

malformedAnswers({
  subject,
  streams: ['sessions', 'analytics'],
  first: 2,
  rowsAt: /getSessions|getAnalytics/,
  ownOf: {
    sessions: [
      ...twiceNamed('sessions'),
      // Where there are rows it is not believed; where there are none it is an error.
      withFields('a total that is too small', ['SRC_MALFORMED'], () => ({ total: 1 })),
      withFields('a total below zero', 'good', () => ({ total: -1 })),
      withFields('a total in words', 'good', () => ({ total: 'many' })),
      withFields('a total that is too large', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({ total: 1_000_000 })),
      withFields('more that never comes', 'good', () => ({ moreAvailable: true })),
    ].map(fault => ({ ...fault, at })),
  },
})
