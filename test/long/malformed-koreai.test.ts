/** Malformed answers of Kore.ai. */
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject } from '../support/subjects/koreai.ts'

malformedAnswers({ subject, streams: ['sessions', 'analytics'], first: 2, rowsAt: /getSessions|getAnalytics/ })
