/** Malformed answers of Kore.ai. */
import { totalFaults, twiceNamed, withFields } from '../support/malformed-answers.ts'
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
      ...totalFaults('total'),
      withFields('more that never comes', 'good', () => ({ moreAvailable: true })),
    ].map(fault => ({ ...fault, at })),
  },
})
