import { expect, test } from 'vitest'
import { createIntake } from '../../src/alert/intake.ts'
import type { Judge, Minute } from '../../src/alert/judge.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { createWatermarks } from '../../src/watermark.ts'
import { point } from '../serve/points.ts'
import { progressOf } from '../support/progress.ts'

const AT = '2026-11-01T10:00:00Z'

function intake() {
  const taken: unknown[] = []
  const take = (kind: string) => (minute: Minute) => void taken.push([kind, minute.bucket_start, minute.values])
  const judge = { put: take('minute'), putHour: take('hour') } as unknown as Judge
  return { taken, intake: createIntake([DEFAULT_RULE], 1, vendor => (vendor === 'botmaker' ? judge : undefined)) }
}

test('minutes and hours of our vendors reach the engine as what they are, days do not', () => {
  const { taken, intake: into } = intake()
  const counts = { sessions: 5, agent_transfers: 2 }
  into.put(point({ at: AT, ...counts }))
  into.put(point({ at: AT, bucket: '1h', ...counts, sessions: 90 }))
  into.put(point({ at: '2026-11-01T00:00:00Z', bucket: '1d', ...counts }))
  into.put(point({ at: AT, vendor: 'koreai', ...counts }))
  expect(taken).toEqual([
    ['minute', Date.parse(AT), counts],
    ['hour', Date.parse(AT), { ...counts, sessions: 90 }],
  ])
  expect([...into.bots.keys()]).toEqual(['botmaker:acme:b1'])
})

test('transfers that cannot be known are null in hours too', () => {
  const { taken, intake: into } = intake()
  const watermarks = createWatermarks(() => true)
  watermarks.apply(progressOf({ vendor: 'botmaker', account: 'acme', bot_id: null, feeds: ['session', 'no_transfer'] }))
  into.look({ watermarks })
  into.put(point({ at: AT, bucket: '1h', sessions: 5 }))
  expect(taken).toEqual([['hour', Date.parse(AT), { sessions: 5, agent_transfers: null }]])
})
