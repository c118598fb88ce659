/** The tasks of a process under test: the product's, with a named point at each boundary between their stages. */
import { openRunner as open, type RunnerOptions, type TaskRunner } from '../../src/ingest/start.ts'
import { reach } from './points.ts'

export function openRunner(options: RunnerOptions): Promise<TaskRunner> {
  return open({ ...options, fault: boundary => reach(`stage ${boundary}`) })
}
