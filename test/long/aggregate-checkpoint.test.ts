import { expect, test } from 'vitest'
import { checkpointHistory } from '../aggregate/checkpoint-history.ts'

// Each seed is another history; a failure names its seed.
test.each(Array.from({ length: 20 }, (_, i) => 100 + i))(
  'restarts from files that are sound, damaged, lost, of others or too old have the state of the topics (seed %i)',
  async seed => {
    const { checkpoint, topics } = await checkpointHistory(seed, 40)
    expect(Math.min(checkpoint, topics)).toBeGreaterThan(0)
  },
)
