/** The subjects of the conformance suite in `subjects/`, by file. */
import { readdirSync } from 'node:fs'
import type { Subject } from '../../src/conformance/index.ts'

const SUBJECTS = new URL('subjects/', import.meta.url)

/** Files of subjects, without their ending, in the alphabet's order. */
export const SUBJECT_FILES: readonly string[] = readdirSync(SUBJECTS)
  .filter(file => file.endsWith('.ts'))
  .map(file => file.slice(0, -'.ts'.length))
  .sort()

/** What a file exports, with a title: `subject`, and others of the same connector (`subjectV1`). */
export async function subjectsOf(file: string): Promise<[title: string, subject: Subject][]> {
  const exported = (await import(new URL(`${file}.ts`, SUBJECTS).href)) as Record<string, Subject>
  return Object.entries(exported)
    .filter(([name]) => name.startsWith('subject'))
    .toSorted(([a], [b]) => a.length - b.length)
    .map(([name, subject]) => [
      `${subject.connector.manifest.title}${name === 'subject' ? '' : `, ${name.slice('subject'.length)}`}`,
      subject,
    ])
}
