/**
 * Acme Chat: conversations with their messages and hand-overs, from `GET /v2/conversations`.
 *
 * Filtered and sorted by `opened_at`, oldest first; a conversation changes until it is closed. Rows may appear late. Say here what the vendor's
 * documents promise, where they say it and when you read it, and mark what is only assumed.
 */
import { z } from 'zod'
import { defineConnector, event, FlowError, message, session } from '../../src/source/index.ts'

const HOUR_MS = 3_600_000

const Config = z.strictObject({
  baseUrl: z.url({ protocol: /^https?$/, error: 'takes an http or https address' }).describe('API root, no trailing slash'),
  apiKey: z.string().min(1).meta({ secret: true }).describe('Key with the scope conversations:read'),
  pageSize: z.int().min(1).max(200).default(200).describe('Rows a request'),
})

/** What the vendor gives beside these fields is kept in attributes. */
const Row = z.looseObject({
  id: z.string().min(1),
  bot: z.string().min(1),
  channel: z.string().nullish(),
  language: z.string().nullish(),
  user: z.string().nullish(),
  opened_at: z.iso.datetime({ offset: true }),
  closed_at: z.iso.datetime({ offset: true }).nullish(),
  handed_over_at: z.iso.datetime({ offset: true }).nullish(),
  messages: z
    .array(
      z.looseObject({
        id: z.string().min(1),
        at: z.iso.datetime({ offset: true }),
        author: z.string(),
        text: z.string().nullish(),
      }),
    )
    .nullish(),
})

/** Only what paging needs; each row is decoded on its own, so that one bad row does not lose its page. */
const Page = z.looseObject({ data: z.array(z.unknown()), next: z.string().nullish() })

const SENDER: Readonly<Record<string, string>> = { contact: 'USER', bot: 'BOT', operator: 'AGENT' }

export default defineConnector({
  manifest: {
    id: 'acme-chat',
    title: 'Acme Chat',
    apiVersion: 'v2',
    docs: 'https://docs.acme-chat.example/v2/conversations',
    quota: { perSecond: 10, sharedBy: 'apiKey' },
    pollIntervalMs: 60_000,
    sessionStream: 'conversations',
  },
  config: Config,
  http: config => ({ baseUrl: config.baseUrl, headers: { authorization: `Bearer ${config.apiKey}` } }),

  streams: {
    conversations: {
      window: { longestMs: 24 * HOUR_MS, lagMs: 90_000, lookbackMs: 48 * HOUR_MS, durableResume: true },
      row: Row,

      /** Every row of the window, page by page. The framework chooses windows, waits, retries and stops; this only reads. */
      async *read({ config, window, resume, http }) {
        // Whether the vendor counts the ends in is not known: asked for a little more, it gives them either way, and repeats are dropped.
        const from = new Date(window.fromMs - 1).toISOString()
        const until = new Date(window.untilMs + 1).toISOString()
        let after = resume as string | null
        const seen = new Set<string | null>()
        do {
          if (seen.has(after)) throw new FlowError('SRC_MALFORMED', { hint: 'next leads back to a page that was read' })
          seen.add(after)
          const page = await http.getJson('/v2/conversations', { from, until, after, limit: config.pageSize }, Page)
          after = page.next ?? null
          yield { rows: page.data, resume: after }
        } while (after !== null)
      },

      identify: row => row.id,

      normalise: (row, ctx) => {
        const { id, bot, channel, language, user, opened_at, closed_at, handed_over_at, messages, ...more } = row
        const of = ctx.session({ botId: bot, sessionId: id, channel: channel ?? null, language: language ?? null })
        const said = messages ?? []
        const count = (author: string) => said.filter(each => each.author === author).length
        return [
          session(of, {
            startedAt: opened_at,
            endedAt: closed_at,
            status: closed_at ? 'CLOSED' : 'OPEN',
            containment: handed_over_at ? 'AGENT' : 'UNKNOWN',
            transferredAt: handed_over_at,
            userId: user,
            interactive: messages ? count('contact') > 0 : null,
            userMessages: messages && count('contact'),
            botMessages: messages && count('bot'),
            agentMessages: messages && count('operator'),
            totalMessages: messages?.length,
            attributes: more,
          }),
          ...said.map(({ id: messageId, at, author, text, ...rest }, seq) =>
            message(of, { messageId, sentAt: at, seq, sender: SENDER[author] ?? author, type: 'text', text, attributes: rest }),
          ),
          ...(handed_over_at
            ? [
                event(of, {
                  eventId: `${id}/handed-over`,
                  occurredAt: handed_over_at,
                  type: 'agent_transferred',
                  name: 'handed over',
                }),
              ]
            : []),
        ]
      },
    },
  },
})
