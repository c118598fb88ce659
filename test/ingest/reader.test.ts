import { expect, test } from 'vitest'
import type { PlanSpec } from '../../src/ingest/plan.ts'
import { beginCursor } from '../../src/ingest/plan.ts'
import { Reader } from '../../src/ingest/reader.ts'
import { silentLog } from '../../src/log.ts'
import { FlowError, type Json, type Stream } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'

const NOW = Date.parse('2026-11-01T12:00:00Z')

test('a listing that has moved is not gone on with from its place, however often it was begun again', async () => {
  const resumes: Json[] = []
  const stream = {
    async *read({ resume }: { resume: Json }) {
      resumes.push(resume)
      if (resume !== null) throw new FlowError('SRC_RESUME_EXPIRED')
      yield { rows: [{ id: 'a' }], resume: 'p2' }
      throw new FlowError('SRC_RESUME_EXPIRED')
    },
  }
  const spec: PlanSpec = {
    startAtMs: NOW - 3_600_000,
    pollIntervalMs: 60_000,
    lagMs: 0,
    lookbackMs: 0,
    lookbackIntervalMs: 60_000,
    hotMs: 0,
    mostPerHour: Infinity,
    settles: false,
    keepsCursor: false,
    longestMs: 86_400_000,
    smallestMs: 1000,
    durableResume: true,
    inOrder: true,
    followMs: 0,
  }
  const clock = handClock(NOW)
  const reader = new Reader(
    {
      stream: stream as unknown as Stream,
      config: {},
      scope: { name: 's', botId: null },
      http: {} as never,
      spec,
      clock,
      log: silentLog,
      openIds: () => [],
      timeOf: () => undefined,
    },
    beginCursor(spec, NOW, []),
  )
  let error: unknown = null
  for (let pages = 0; pages < 20 && error === null; pages++) {
    try {
      const step = await reader.next()
      if (step !== null) reader.accept(step)
    } catch (thrown) {
      error = thrown
    }
  }
  expect(error).toMatchObject({ code: 'SRC_RESUME_EXPIRED' })
  expect(reader.cursor.live).toMatchObject({ resume: null })
  expect(reader.cursor.live.toMs).not.toBeNull()
  expect(resumes.every(resume => resume === null)).toBe(true)
})
