/** Malformed answers of Syntphony. */
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/syntphony.ts'

malformedAnswers({ subject, streams: ['conversations'], first: 1, spare: /openid-connect/, rowsAt: /conversations\/list/ })
