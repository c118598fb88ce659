import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { trustedClock } from '../../src/ingest/now.ts'
import { createLog, silentLog } from '../../src/log.ts'
import { type Connector, defineConnector, type Page, session } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

/** A clock whose owner may set it, beside a steady one. */
function machine() {
  let passedMs = 0
  let offMs = 0
  const clock: Clock = { now: () => NOON + passedMs + offMs, steady: () => passedMs, sleep: async () => {} }
  return {
    clock,
    pass: (ms: number) => void (passedMs += ms),
    set: (ms: number) => void (offMs = ms),
    real: () => NOON + passedMs,
  }
}

describe('a clock that jumps ahead', () => {
  test('is not followed: time goes on from before the jump, until the clock is right again', () => {
    const { clock, pass, set } = machine()
    const trusted = trustedClock(clock, silentLog)
    pass(MINUTE)
    expect(trusted.now()).toBe(NOON + MINUTE)
    set(30 * 24 * HOUR)
    pass(MINUTE)
    expect(trusted.now()).toBe(NOON + 2 * MINUTE)
    set(0)
    pass(MINUTE)
    expect(trusted.now()).toBe(NOON + 3 * MINUTE)
  })

  test('is right where the vendor says so: the machine slept', () => {
    const { clock, pass, set, real } = machine()
    const trusted = trustedClock(clock, silentLog)
    trusted.vouch(NOON)
    set(8 * HOUR)
    expect(trusted.now()).toBe(NOON)
    pass(1000)
    trusted.vouch(real() + 8 * HOUR)
    expect(trusted.now()).toBe(real() + 8 * HOUR)
  })

  test('may have jumped before the process began: the first answer of the vendor shows it', () => {
    const { clock, pass, set, real } = machine()
    set(5 * HOUR)
    const trusted = trustedClock(clock, silentLog)
    expect(trusted.now()).toBe(NOON + 5 * HOUR)
    trusted.vouch(real())
    pass(MINUTE)
    expect(trusted.now()).toBe(real())
  })

  test('is believed after an hour where no vendor contradicts it, and never where one does', () => {
    for (const vouches of [false, true]) {
      const { clock, pass, set, real } = machine()
      const trusted = trustedClock(clock, silentLog)
      set(5 * HOUR)
      trusted.now()
      for (let minute = 0; minute <= 60; minute++) {
        pass(MINUTE)
        if (vouches) trusted.vouch(real())
        trusted.now()
      }
      expect(trusted.now() - real()).toBe(vouches ? 0 : 5 * HOUR)
    }
  })

  test('an old date of a cache, or none that can be read, takes nothing back', () => {
    const { clock, pass, real } = machine()
    const trusted = trustedClock(clock, silentLog)
    trusted.vouch(real())
    pass(HOUR)
    trusted.vouch(real() - 30 * MINUTE)
    trusted.vouch(Number.NaN)
    expect(trusted.now()).toBe(real())
  })
})

/** One vendor that shows a row as soon as it began, and says what time it is. */
function connectorOf(real: Clock, vouch: (ms: number) => void): Connector {
  return defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: 24 * HOUR, lagMs: 0, lookbackMs: 0, durableResume: true },
        row: z.object({ id: z.string(), at: z.iso.datetime() }),
        async *read({ window }): AsyncGenerator<Page> {
          vouch(real.now())
          const rows = []
          for (let ms = NOON; ms < Math.min(window.untilMs, real.now()); ms += 10 * MINUTE) {
            if (ms >= window.fromMs) rows.push({ id: `r${(ms - NOON) / MINUTE}`, at: new Date(ms).toISOString() })
          }
          yield { rows, resume: null }
        },
        identify: row => row.id,
        normalise: (row, ctx) => [
          session(ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' }), { startedAt: row.at }),
        ],
      },
    },
  })
}

test('a process that starts with its clock a day ahead publishes every row, and says nothing of a time that has not come', async () => {
  const real = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  let aheadMs = 24 * HOUR
  const local: Clock = {
    now: () => real.now() + aheadMs,
    steady: () => real.now(),
    sleep: (ms, signal) => real.sleep(ms, signal),
  }
  const trusted = trustedClock(local, createLog('error'))
  const kafka = memoryKafka()
  const life = startLife({
    kafka,
    connector: connectorOf(real, ms => trusted.vouch(ms)),
    clock: trusted,
    base: { startAtMs: NOON },
  })
  await real.sleep(3 * HOUR)
  aheadMs = 0
  await real.sleep(HOUR)
  await life.stop()
  const { sessions, progress } = await topicsOf(kafka)
  expect(sessions.map(({ value }) => value.session_id)).toEqual(Array.from({ length: 24 }, (_, index) => `r${index * 10}`))
  const ahead = progress.slice(1).filter(({ value }) => value.complete_until > real.now())
  expect(ahead).toEqual([])
})
