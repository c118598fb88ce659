/** Malformed answers of Syntphony. */
import { tokenFaults, twiceNamed, withFields } from '../support/malformed-answers.ts'
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
      // Where there are rows it is not believed; where there are none it is an error.
      withFields('a total that is too small', ['SRC_MALFORMED'], () => ({ totalElements: 1 })),
      withFields('a total below zero', 'good', () => ({ totalElements: -1 })),
      withFields('a total in words', 'good', () => ({ totalElements: 'many' })),
      withFields('a total that is too large', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({ totalElements: 1_000_000 })),
      withFields('a total that falls', ['SRC_RESUME_EXPIRED'], nth => ({ totalElements: 1_000_000 - nth })),
      withFields('a last page that never comes', ['SRC_MALFORMED', 'SRC_RESUME_EXPIRED'], () => ({
        last: false,
        totalPages: 1_000_000,
        totalElements: 1_000_000,
      })),
    ].map(fault => ({ ...fault, at })),
    ...tokenFaults(/openid-connect/),
  ],
})
