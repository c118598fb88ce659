import { expect, test } from 'vitest'
import { SharedReads } from '../../src/ingest/shared-read.ts'
import type { Kafka, Writer } from '../../src/kafka/port.ts'

const NOTHING: Pick<Kafka, 'readToEnd' | 'watermarks'> = { readToEnd: async () => 0, watermarks: async () => [] }

test('whoever is stopped while it waits for its turn does not fence any more, and the others take theirs', async () => {
  const reads = new SharedReads(NOTHING, new AbortController().signal)
  const fenced: number[] = []
  const slow = Promise.withResolvers<void>()
  const stops = Array.from({ length: 40 }, () => new AbortController())
  const claims = stops.map(({ signal }, index) => {
    const writer = {
      fence: async () => {
        fenced.push(index)
        await slow.promise
      },
    }
    return reads.gathering(writer as Writer, signal).fence()
  })
  const first = [...fenced]
  expect(first.length).toBeLessThan(30)
  // Two that wait, and one whose fence is under way.
  const stopped = [30, 39]
  for (const index of [0, ...stopped]) stops[index]?.abort()
  for (const index of stopped) await expect(claims[index]).rejects.toMatchObject({ code: 'STOPPED' })
  slow.resolve()
  await Promise.all(claims.filter((_, index) => !stopped.includes(index)))
  expect(fenced).toEqual(stops.map((_, index) => index).filter(index => !stopped.includes(index)))

  const late = reads.gathering({ fence: async () => expect.fail('it fences') } as unknown as Writer, AbortSignal.abort())
  await expect(late.fence()).rejects.toMatchObject({ code: 'STOPPED' })
})
