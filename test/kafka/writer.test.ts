import { describe, expect, test } from 'vitest'
import { BATCH_OVERHEAD, sizeOfRecord } from '../../src/kafka/wire.ts'
import { cut } from '../../src/kafka/writer.ts'

const records = (count: number, bytes: number) =>
  Array.from({ length: count }, (_, n) => ({ key: Buffer.from(String(n)), value: Buffer.alloc(bytes) }))

describe('splitting the records of a partition', () => {
  test('keeps every batch below the limit, leaves no record out, and returns their size', () => {
    const all = records(5_000, 700)
    const batches = cut({ topic: 't', partition: 0, records: all }, 100_000)
    expect(batches.flatMap(batch => all.slice(batch.start, batch.end))).toEqual(all)
    for (const { start, end, bytes } of batches) {
      expect(bytes).toBeLessThanOrEqual(100_000)
      const reckoned = all.slice(start, end).reduce((sum, record, index) => sum + sizeOfRecord(record, index), BATCH_OVERHEAD)
      expect(bytes).toBe(reckoned)
    }
    expect(batches.length).toBeLessThan(40)
  })

  test('takes time in proportion to the records: 400,000 in one write', () => {
    const all = records(400_000, 0)
    const batches = cut({ topic: 't', partition: 0, records: all }, 1_000_000)
    expect(batches.at(-1)?.end).toBe(400_000)
  })

  test('a record larger than any batch is an error with its size', () => {
    const all = [...records(3, 10), { key: Buffer.from('k'), value: Buffer.alloc(1_000) }]
    expect(() => cut({ topic: 't', partition: 4, records: all }, 1_000)).toThrow(
      expect.objectContaining({
        code: 'RECORD_TOO_LARGE',
        details: expect.objectContaining({ topic: 't', partition: 4, index: 3 }) as unknown,
      }),
    )
  })

  test('a partition without records gets no batch', () => {
    expect(cut({ topic: 't', partition: 0, records: [] }, 1_000)).toEqual([])
  })
})
