import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { createJudge, type Judge } from '../../src/alert/judge.ts'
import { slotsIn } from '../../src/alert/local-time.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { brief, type ChannelSpec, marksOf, START, world } from './world.ts'

const ZONE = 'Europe/Madrid'
const HOUR_MS = 3_600_000
const hourOf = (iso: string) => Date.parse(iso) / HOUR_MS

test('a slot is the hour of the local week, Monday first, also on both sides of a change of the clocks', () => {
  const slotOf = slotsIn(ZONE)
  expect(slotOf(hourOf('2026-10-19T07:00:00Z'))).toBe(9)
  expect(slotOf(hourOf('2026-10-26T08:00:00Z'))).toBe(9)
  // 02:30 comes twice on the last Sunday of October, and not at all on that of March.
  expect([slotOf(hourOf('2026-10-25T00:00:00Z')), slotOf(hourOf('2026-10-25T01:00:00Z'))]).toEqual([6 * 24 + 2, 6 * 24 + 2])
  expect([slotOf(hourOf('2026-03-29T00:00:00Z')), slotOf(hourOf('2026-03-29T01:00:00Z'))]).toEqual([6 * 24 + 1, 6 * 24 + 3])
  expect(slotsIn('UTC')(hourOf('2026-10-26T08:00:00Z'))).toBe(8)
})

describe('an account whose people call at nine in the morning, where the clocks are set back on the 25th of October', () => {
  const BUSY: ChannelSpec = { bot: 'shop', channel: 'web', sessions: 6 }
  /** The seeded world begins on a Monday of June; this is a Monday too. */
  const shiftMs = Date.parse('2026-10-05T00:00:00Z') - START
  const mornings = Array.from({ length: 22 }, (_, day) => {
    const from = DateTime.fromISO('2026-10-05T09:00:00', { zone: ZONE }).plus({ days: day }).toMillis() - shiftMs
    return { from, until: from + HOUR_MS, share: 5 }
  })
  const minutes = world([BUSY], 22, mornings).map(minute => ({ ...minute, bucket_start: minute.bucket_start + shiftMs }))
  const from = { [JSON.stringify(['acme', 'main', 'shop'])]: Date.parse('2026-10-24T00:00:00Z') }
  const judged = (judge: Judge) => {
    for (const minute of minutes) judge.put(minute)
    return judge.judge(marksOf(minutes)(Date.parse('2026-10-27T00:00:00Z')), null)
  }

  test('its mornings are usual in its own zone, before the change and after it', () => {
    const zones: string[] = []
    const zoneOf = (vendor: string, account: string) => {
      zones.push(`${vendor}/${account}`)
      return ZONE
    }
    expect(judged(createJudge({ rules: [DEFAULT_RULE], from, zoneOf }))).toEqual([])
    expect(new Set(zones)).toEqual(new Set(['acme/main']))
  })

  test('by the hours of another zone, the first morning after the change is a rise', () => {
    const [fired] = judged(createJudge({ rules: [DEFAULT_RULE], from }))
    expect(brief(fired === undefined ? [] : [fired])).toEqual(['FIRING shop/web'])
    expect(Math.abs((fired?.starts_at ?? 0) - Date.parse('2026-10-25T08:00:00Z'))).toBeLessThan(HOUR_MS / 4)
  })
})
