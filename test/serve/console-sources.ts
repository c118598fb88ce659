import type { ConsoleSources } from '../../src/console.ts'
import { FlowError } from '../../src/errors.ts'

const nothing = { value: null, readMs: null, problem: null }

/** What a process without the worker role knows, whose Kafka has not answered yet. */
export const noSources: ConsoleSources = {
  connectors: () => ({ control: { isThere: false, why: 'This process has no worker role.' }, connectors: [] }),
  letters: async () => nothing,
  letter: async (partition, offset) => {
    throw new FlowError('NOT_FOUND', { hint: `there is no dead letter ${partition}:${offset}` })
  },
  topics: async () => nothing,
  subjects: async () => nothing,
}
