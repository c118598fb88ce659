import { expect, test } from 'vitest'
import { durabilityWarnings } from '../../src/kafka/durability.ts'

const hintsOf = (replicas: number, minInsync: number, brokers = 3) =>
  durabilityWarnings([{ topic: 't', replicas, minInsync }], brokers).map(({ hint }) => hint)

test.each([
  [3, 2, 3],
  [5, 3, 5],
  [1, 1, 1],
])('%i replicas with min.insync.replicas %i on %i brokers give no warning', (replicas, minInsync, brokers) => {
  expect(hintsOf(replicas, minInsync, brokers)).toEqual([])
})

test.each([
  [1, 1, 'there is one replica'],
  [1, 2, 'nothing can be written; set it with kafka-configs.sh --alter --add-config min.insync.replicas=1'],
  [3, 4, 'nothing can be written; set it with kafka-configs.sh --alter --add-config min.insync.replicas=2'],
  [
    3,
    1,
    'may exist on one broker only, and is lost with it; set it with kafka-configs.sh --alter --add-config min.insync.replicas=2',
  ],
  [2, 2, 'stops all writes; set it with kafka-configs.sh --alter --add-config min.insync.replicas=1'],
  [3, 3, 'stops all writes; set it with kafka-configs.sh --alter --add-config min.insync.replicas=2'],
])('%i replicas with min.insync.replicas %i give a warning with the fix', (replicas, minInsync, hint) => {
  expect(hintsOf(replicas, minInsync)).toEqual([expect.stringContaining(hint)])
})

test('topics with the same warning are listed together', () => {
  const topics = ['a', 'b', 'c'].map(topic => ({ topic, replicas: 3, minInsync: topic === 'b' ? 2 : 1 }))
  expect(durabilityWarnings(topics, 3).map(warning => warning.topics)).toEqual([['a', 'c']])
})
