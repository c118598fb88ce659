import type { ConsoleSources } from '../../src/console.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { DEFAULT_RULE, RuleConfig, ruleOf, shownRule } from '../../src/rules.ts'
import { createAlertStore } from '../../src/serve/alerts.ts'
import type { Serve } from '../../src/serve/api.ts'
import { type HttpServer, type RoleHealth, startHttp } from '../../src/serve/http.ts'
import { createStore } from '../../src/serve/store.ts'
import { makeAlert } from '../alert/make.ts'
import { handClock } from '../support/clock.ts'
import type { EventIndex } from '../../src/serve/event-index.ts'
import { noSources } from './console-sources.ts'
import { completenessOf, noEvents, point, T } from './points.ts'

export const NOW = '2026-11-02T00:00:00Z'

/** A server with two days of two bots, one of them of a vendor that cannot know transfers, with alerts and rules of each kind. */
export async function startWorld({
  events = noEvents,
  ...of
}: {
  token?: string
  events?: EventIndex
  sources?: ConsoleSources
  health?: () => readonly RoleHealth[]
} = {}): Promise<{ server: HttpServer; serve: Serve }> {
  const store = createStore()
  for (let hour = 0; hour < 48; hour++) {
    const at = T(NOW) - (hour + 1) * 3_600_000
    const sessions = { sessions: 4, sessions_agent: 1, sessions_self_service: 3, sessions_ended: 2, duration_ms: 90_000 }
    store.put(point({ at, agent_transfers: hour % 3, messages_user: 9, ...sessions }))
    store.put(point({ at, vendor: 'syntphony', bot_id: 'b,2', channel: 'voice', language: '', sessions: 2, events: 1 }))
  }
  const read = { covered: [['2026-10-25T00:00:00Z', NOW]] as [string, string][], completeUntil: NOW, feeds: 'session' }
  const alerts = createAlertStore()
  alerts.put(makeAlert({ starts_at: T(NOW) - 3_600_000 }))
  alerts.put(makeAlert({ alert_id: 'pooled', starts_at: T(NOW) - 7_200_000, channel: null, probability: null }))
  const burn = RuleConfig.parse({ measure: 'sessions_drop_off', per: 'sessions', budget: 0.1 })
  const serve: Serve = {
    store,
    alerts,
    rules: [DEFAULT_RULE, ruleOf('count', RuleConfig.parse({ measure: 'events' })), ruleOf('burn', burn)].map(shownRule),
    completeness: completenessOf(read, { ...read, vendor: 'syntphony', tells: false }),
    events,
    clusterId: null,
    unready: () => null,
  }
  const server = await startHttp({
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    clock: handClock(NOW),
    version: '0.1.0',
    health: () => [],
    serve,
    sources: noSources,
    ...of,
  })
  return { server, serve }
}
