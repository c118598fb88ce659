/** Malformed answers of Syntphony. */
import { tokenFaults, totalFaults, twiceNamed, withFields } from '../support/malformed-answers.ts'
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/syntphony.ts'

const at = /conversations\/list/

malformedAnswers({
  subject,
  streams: ['conversations'],
  first: 1,
  spare: /openid-connect/,
  rowsAt: at,
  own: [
    ...[
      ...twiceNamed('content'),
      ...totalFaults('totalElements'),
      withFields('a total that falls', ['SRC_RESUME_EXPIRED', 'SRC_MALFORMED'], nth => ({ totalElements: 1_000_000 - nth })),
      withFields('a last page that never comes', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({
        last: false,
        totalPages: 1_000_000,
        totalElements: 1_000_000,
      })),
    ].map(fault => ({ ...fault, at })),
    ...tokenFaults(/openid-connect/),
  ],
})
