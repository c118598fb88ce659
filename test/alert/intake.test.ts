import { expect, test } from 'vitest'
import { createIntake } from '../../src/alert/intake.ts'
import type { Judge, Minute } from '../../src/alert/judge.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { createWatermarks } from '../../src/watermark.ts'
import { point } from '../serve/points.ts'
import { progressOf } from '../support/progress.ts'

const AT = '2026-11-01T10:00:00Z'
/** What the process before knew. */
const KNOWN = { partition: 0, offset: 4 }

function intake() {
  const taken: unknown[] = []
  const take = (kind: string) => (minute: Minute) => void taken.push([kind, minute.bucket_start, minute.values])
  const judge = { put: take('minute'), putHour: take('hour') } as unknown as Judge
  return { taken, intake: createIntake([DEFAULT_RULE], 1, vendor => (vendor === 'botmaker' ? { judge, taken: [5] } : undefined)) }
}

test('minutes and hours of our vendors reach the engine as what they are, days do not', () => {
  const { taken, intake: into } = intake()
  const counts = { sessions: 5, agent_transfers: 2 }
  into.put(point({ at: AT, ...counts }), KNOWN)
  into.put(point({ at: AT, bucket: '1h', ...counts, sessions: 90 }), KNOWN)
  into.put(point({ at: '2026-11-01T00:00:00Z', bucket: '1d', ...counts }), KNOWN)
  into.put(point({ at: AT, vendor: 'koreai', ...counts }), KNOWN)
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
  into.put(point({ at: AT, bucket: '1h', sessions: 5 }), KNOWN)
  expect(taken).toEqual([['hour', Date.parse(AT), { sessions: 5, agent_transfers: null }]])
})

test('what the process before did not know waits until the share has resumed', () => {
  const { taken, intake: into } = intake()
  into.put(point({ at: AT, sessions: 6 }), { partition: 0, offset: 5 })
  into.put(point({ at: AT, sessions: 5 }), KNOWN)
  const sessions = () => taken.map(each => (each as [string, number, { sessions: number }])[2].sessions)
  expect(sessions()).toEqual([5])
  into.putNews()
  into.put(point({ at: AT, sessions: 7 }), { partition: 0, offset: 6 })
  expect(sessions()).toEqual([5, 6, 7])
})
