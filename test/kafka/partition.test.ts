import { Partitioners } from 'kafkajs'
import { expect, test } from 'vitest'
import { partitionOf } from '../../src/kafka/partition.ts'

test('a key is on the partition that the partitioner of Kafka chooses', () => {
  const partitioner = Partitioners.DefaultPartitioner()
  const keys = [
    '',
    'a',
    'ab',
    'abc',
    'abcd',
    'botmaker:acme:bot-1',
    'ü:ñ:日本',
    '😀',
    ...Array.from({ length: 500 }, (_, n) => `v:acc:${n ** 3}`),
  ]
  for (const partitions of [1, 6, 7, 50]) {
    const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
      partitionId,
      leader: 1,
      partitionErrorCode: 0,
      replicas: [1],
      isr: [1],
    }))
    for (const key of keys) {
      const wanted = partitioner({ topic: 't', partitionMetadata, message: { key, value: null } })
      expect([key, partitionOf(key, partitions)]).toEqual([key, wanted])
    }
  }
})

test('known murmur2 values of the Java client', () => {
  // murmur2 of "21", "foobar" and "a-little-bit-long-string" in Kafka's own tests: -973932308, -790332482, -985981536.
  expect(partitionOf('21', 2 ** 31)).toBe(-973_932_308 & 0x7fffffff)
  expect(partitionOf('foobar', 2 ** 31)).toBe(-790_332_482 & 0x7fffffff)
  expect(partitionOf('a-little-bit-long-string', 2 ** 31)).toBe(-985_981_536 & 0x7fffffff)
})
