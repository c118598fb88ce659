/**
 * Sessions of the page server (`server.ts`), as a connector from outside the repository would be written. Rows never change, but they are read again inside the
 * lookback that the config sets, as those of a vendor whose rows do.
 */
import { z } from 'zod'
import { defineConnector, iso, session } from '../../src/source/index.ts'

const PAGE_ROWS = 1000

const Row = z.object({
  seq: z.string(),
  id: z.string(),
  createdAt: z.iso.datetime(),
  closedAt: z.iso.datetime(),
  bot: z.object({ id: z.string() }),
  channel: z.string(),
  channelId: z.string(),
  user: z.object({ id: z.string(), name: z.string(), locale: z.string(), country: z.string() }),
  startingCause: z.string(),
  status: z.string(),
  containment: z.string(),
  queue: z.string(),
  agent: z.string(),
  counts: z.object({ user: z.int(), bot: z.int(), agent: z.int() }),
  satisfaction: z.number(),
  topics: z.array(z.string()),
  variables: z.record(z.string(), z.string()),
  link: z.string(),
  test: z.boolean(),
})

const Page = z.object({ items: z.array(z.unknown()), next: z.string().nullable() })

const CONTAINMENT: Readonly<Record<string, string>> = { selfService: 'SELF_SERVICE', dropOff: 'DROP_OFF', agent: 'AGENT' }

export default defineConnector({
  manifest: {
    id: 'pages',
    title: 'Pages',
    apiVersion: '1',
    docs: 'https://vendor.example/docs/sessions',
    quota: {},
    pollIntervalMs: 60_000,
    sessionStream: 'sessions',
  },
  config: z.strictObject({ baseUrl: z.url().describe('Root of the page server, no trailing slash') }),
  http: config => ({ baseUrl: config.baseUrl }),
  streams: {
    sessions: {
      window: { longestMs: 3_600_000, lagMs: 1000, lookbackMs: 0, durableResume: true },
      row: Row,

      async *read({ window, resume, http }) {
        let after = typeof resume === 'string' ? resume : null
        do {
          const page: z.output<typeof Page> = await http.getJson('/sessions', { ...iso(window), after, limit: PAGE_ROWS }, Page)
          after = page.next
          yield { rows: page.items, resume: after }
        } while (after !== null)
      },

      identify: row => row.id,

      normalise: (row, ctx) => {
        const of = ctx.session({ botId: row.bot.id, sessionId: row.id, channel: row.channel, language: row.user.locale })
        return [
          session(of, {
            startedAt: row.createdAt,
            endedAt: row.closedAt,
            status: row.status,
            containment: CONTAINMENT[row.containment],
            userId: row.user.id,
            queue: row.queue,
            agentName: row.agent,
            userMessages: row.counts.user,
            botMessages: row.counts.bot,
            agentMessages: row.counts.agent,
            satisfaction: row.satisfaction,
            topics: row.topics,
            variables: row.variables,
            isTest: row.test,
            link: row.link,
            startingCause: row.startingCause,
            attributes: { channelId: row.channelId, userName: row.user.name, country: row.user.country },
          }),
        ]
      },
    },
  },
})
