/** The ingest of a process under test: the product's, with a named point at each boundary between its stages. */
import { type Ingest, type IngestOptions, startIngest as start } from '../../src/ingest/start.ts'
import { reach } from './points.ts'

export function startIngest(options: IngestOptions): Promise<Ingest> {
  return start({ ...options, fault: boundary => reach(`stage ${boundary}`) })
}
