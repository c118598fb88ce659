/** What the topics must hold of a world that Botmaker has shown, and that is over: every conversation older than the lookback. */
import type { BotmakerSimulator } from '../../../connectors/botmaker/simulator.ts'
import type { Truth } from '../../../src/conformance/index.ts'
import { expectedOf } from '../botmaker-truth.ts'

export function truthOf(simulator: BotmakerSimulator, nowMs: number, version: 'v1' | 'v2' = 'v2'): Truth {
  const { sessions, messages, events } = expectedOf(simulator, version, nowMs)
  return {
    sessions: [...sessions.values()],
    messages: [...messages].map(([message_key, message]) => ({ message_key, ...message })),
    events: events.map(told => {
      const [session_key = '', name = '', occurred_at] = told.split('|')
      return { session_key, name, occurred_at: Number(occurred_at) }
    }),
  }
}
