/** Malformed answers of Botmaker, by both of its APIs. */
import { describe } from 'vitest'
import { twiceNamed, withFields } from '../support/malformed-answers.ts'
import { malformedAnswers } from '../support/malformed-suite.ts'
import { subject, subjectV1 } from '../support/subjects/botmaker.ts'

describe('v2', () => {
  malformedAnswers({
    subject,
    streams: ['sessions'],
    first: 0,
    // Clients have met it for a period without sessions; it is believed when it comes twice.
    means: { '200 without a body': null, '200 with blanks': null },
    // What the list of agents says of a name is believed.
    rowsAt: /sessions/,
    own: [
      ...twiceNamed('items'),
      withFields('a next page at another host', ['SRC_FOREIGN_HOST'], () => ({
        nextPage: 'https://evil.invalid/v2.0/sessions?x=1',
      })),
      withFields('a next page at another host, without a scheme', ['SRC_FOREIGN_HOST'], () => ({
        nextPage: '//evil.invalid/sessions?x=1',
      })),
      withFields('a next page at another port', ['SRC_FOREIGN_HOST'], () => ({ nextPage: 'http://127.0.0.1:1/sessions?x=1' })),
      withFields('a next page that is a script', ['SRC_FOREIGN_HOST', 'SRC_MALFORMED', 'SRC_REFUSED'], () => ({
        nextPage: 'javascript:alert(1)?',
      })),
      withFields('a next page that leads nowhere', ['SRC_MALFORMED', 'SRC_REFUSED'], () => ({
        nextPage: '/sessions?next-page-token=nowhere',
      })),
      withFields('a next page that is a number', ['SRC_MALFORMED'], () => ({ nextPage: 7 })),
      withFields('a next page that is an object', ['SRC_MALFORMED'], () => ({ nextPage: { href: 'x' } })),
    ],
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
