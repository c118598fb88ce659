import { onTestFinished } from 'vitest'
import { createLog } from '../../src/log.ts'
import { createHttp } from '../../src/source/http.ts'
import type { HttpSpec } from '../../src/source/index.ts'
import { createQuota } from '../../src/source/quota.ts'
import { handClock } from './clock.ts'

/**
 * A connector's client without limits, on a clock that begins at `nowMs` and passes by itself, though not while a vendor with a script has something
 * under way; waits have no jitter. Closed when the test is over.
 */
export function httpFor(spec: HttpSpec, nowMs: number, vendor?: { readonly underWay: number }) {
  const clock = handClock(nowMs, { autoAdvance: vendor === undefined || { quietMs: 5, busy: () => vendor.underWay > 0 } })
  const lines: string[] = []
  const http = createHttp(spec, {
    quota: createQuota({}, clock),
    priority: 0,
    signal: new AbortController().signal,
    clock,
    log: createLog('debug', line => lines.push(line)),
    random: () => 1,
  })
  onTestFinished(() => http.close())
  return { http, clock, lines }
}
