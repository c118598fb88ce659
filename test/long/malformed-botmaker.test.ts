/** Malformed answers of Botmaker, by both of its APIs. */
import { describe } from 'vitest'
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject, subjectV1 } from '../support/subjects/botmaker.ts'

describe('v2', () => {
  malformedAnswers({
    subject,
    streams: ['sessions'],
    first: 0,
    // Clients have met it for a period without sessions; it is believed when it comes twice.
    means: { '200 without a body': null, '200 with blanks': null },
  })
})
describe('v1', () => {
  malformedAnswers({
    subject: subjectV1,
    streams: ['sessions'],
    first: 1,
    // An export that is not ready is asked for again after the time that is told.
    means: { '503 that asks for 57 years': ['SRC_NOT_READY'] },
    rowsAt: /download-page/,
  })
})
