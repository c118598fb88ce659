/** The work behind each path of `/v1`: reads its parameters, and answers from what the server keeps. */
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import type { Metrics } from '../metrics.ts'
import { type AlertStore, parseAlertQuery } from './alerts.ts'
import { type Body, bodyOf, jsonBody, listBody, seriesBody } from './answer.ts'
import {
  answerBots,
  type Asked,
  type BotQuery,
  expectKnown,
  parseConversations,
  parseInsights,
  parseMessages,
  parseTeam,
} from './bot-analytics.ts'
import { findFlow, parseFlow, questionsOf } from './bot-flow.ts'
import { createDesk } from './desk.ts'
import { labelValues, MEASURE_LIST, parseValueQuery } from './discovery.ts'
import { ENDPOINTS, type EndpointPath } from './endpoints.ts'
import type { EventIndex } from './event-index.ts'
import { readParameters } from './parameters.ts'
import { answerQuery } from './query.ts'
import type { Completeness } from './reading.ts'
import { parseQuery } from './series-query.ts'
import { createSlices, type Steps } from '../slices.ts'
import { LABELS, type SeriesStore } from './store.ts'

/** What the server role adds to the listener. */
export interface Serve {
  readonly store: SeriesStore
  readonly alerts: AlertStore
  /** The alert rules in force with their settings, in the order of the config. */
  readonly rules: readonly object[]
  readonly completeness: Completeness
  /** Finds events of a conversation on their topic. */
  readonly events: EventIndex
  /** null until Kafka has been reached. */
  readonly clusterId: string | null
  /** Why series cannot be answered yet: half of them would look like fewer conversations. null: they can. */
  unready(): string | null
}

export interface Ask {
  readonly parameters: Readonly<Record<string, unknown>>
  /** Parts of the path by name. */
  readonly inPath: Readonly<Record<string, string>>
  /** Aborts when the client has gone or has its answer. */
  readonly gone: AbortSignal
  /** Called when an answer has taken too long: ends the connection. */
  readonly onOverdue: () => void
}

/** Why there is no answer now: 503. */
interface Refusal {
  readonly refused: string
  readonly retryAfterS?: number
}

/** @throws FlowError QUERY_INVALID (400), NOT_FOUND (404) */
export type Answer = (ask: Ask) => Promise<Body | Refusal>

export function createApi({
  serve,
  clock,
  metrics,
}: {
  readonly serve: Serve
  readonly clock: Clock
  readonly metrics: Metrics
}): Readonly<Record<EndpointPath, Answer>> {
  const slices = createSlices()
  const desk = createDesk(clock)

  /** Answers once everything has been read: from half of it, fewer conversations would be seen than there are. */
  const whenReady =
    (answer: Answer): Answer =>
    async ask => {
      const unready = serve.unready()
      return unready === null ? answer(ask) : { refused: unready }
    }

  /** Waits for a place, for work that may be long. */
  async function atDesk<T>({ gone, onOverdue }: Ask, work: () => Promise<T>): Promise<T | Refusal> {
    if (await desk.admit(gone, onOverdue)) return work()
    return { refused: 'too many queries wait already; ask again', retryAfterS: 1 }
  }

  const run = <T>({ gone }: Ask, steps: Steps<T>) => slices.run(steps, gone)

  /** Answers the same list to everybody. */
  const fixed =
    (path: EndpointPath, items: () => readonly unknown[]): Answer =>
    async ask => {
      readParameters(path, ENDPOINTS[path].parameters, ask.parameters)
      return run(ask, listBody(items()))
    }

  /** Series in the words of the bots' analytics API. */
  const bots = (parse: (asked: Asked) => BotQuery): Answer =>
    whenReady(async ask => {
      const query = parse({ ...ask, nowMs: clock.now() })
      return atDesk(ask, async () => run(ask, seriesBody(await run(ask, answerBots(query, serve.store, serve.completeness)))))
    })

  return {
    '/v1/series': whenReady(async ask => {
      const query = parseQuery(ask.parameters, clock.now())
      return atDesk(ask, async () => {
        const began = performance.now()
        const body = await run(ask, bodyOf(query, await run(ask, answerQuery(query, serve.store, serve.completeness))))
        metrics.observe('serve_query_seconds', {}, (performance.now() - began) / 1000)
        return body
      })
    }),

    '/v1/labels': fixed('/v1/labels', () => LABELS),

    '/v1/labels/{name}': whenReady(async ask => {
      const query = parseValueQuery(ask.inPath['name'] ?? '', ask.parameters, clock.now())
      return atDesk(ask, async () => run(ask, listBody(await run(ask, labelValues(query, serve.store, serve.completeness)))))
    }),

    '/v1/measures': fixed('/v1/measures', () => MEASURE_LIST),

    '/v1/alerts': whenReady(async ask => run(ask, listBody(serve.alerts.find(parseAlertQuery(ask.parameters, clock.now()))))),

    '/v1/rules': fixed('/v1/rules', () => serve.rules),

    '/v1/bots/{bot_id}/conversations': bots(parseConversations),
    '/v1/bots/{bot_id}/conversations/insights': bots(parseInsights),
    '/v1/bots/{bot_id}/messages': bots(parseMessages),
    // Not at the desk, where it would keep out what is answered from memory: one conversation is looked for at a time.
    '/v1/bots/{bot_id}/conversations/{conversation_id}/flow': whenReady(async ask => {
      const query = parseFlow({ ...ask, nowMs: clock.now() })
      await run(ask, expectKnown({ what: 'bot', id: query.botId }, serve.store, serve.completeness))
      const questions = await run(ask, questionsOf(query, serve.store, serve.completeness, serve.events.partitions))
      const flow = await findFlow(query, questions, serve.events, ask.gone).catch((error: unknown) => {
        // Also what Kafka refuses: rights on the events topic, which nothing else here needs.
        if (error instanceof FlowError && /^(?:KAFKA|REGISTRY)_/.test(error.code)) return { refused: error.message }
        throw error
      })
      return 'refused' in flow ? { ...flow, retryAfterS: 1 } : run(ask, jsonBody(flow))
    }),
    '/v1/teams/{team_id}/conversations': bots(parseTeam),
  }
}
