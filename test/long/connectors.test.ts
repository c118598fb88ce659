/** The checks of the conformance suite that are too long for `npm test`, for each vendor. */
import { describe } from 'vitest'
import { SUBJECT_FILES, subjectsOf } from '../support/all-subjects.ts'
import { conforms } from '../support/conforms.ts'

const subjects = (await Promise.all(SUBJECT_FILES.map(subjectsOf))).flat()

describe.each(subjects)('%s', (_, subject) => {
  conforms(subject, 'long')
})
