/**
 * wolkvox Manager, API v2: chats, their messages, menu options and transfers, from five reports of `reports_manager.php`, and four optional ones.
 *
 * A report takes a range of the server's local time, has no paging, and answers 404 if it has no rows. Limits: one call at a time for each token (the seed; two
 * by the response codes), a thousand calls a day for each licence, 6,000 rows of `diagram_9` and 60,000 of any other report, 31 days and 60 s per call. Chats
 * are selected by their closing time (seen for `chat_1`, assumed for the others), up to 23 h after they began. Rows change afterwards, and none has an id. From
 * the vendor's docs and clients of the API, 2026-11; nothing here is measured.
 */
import { z } from 'zod'
import {
  contentId,
  defineConnector,
  type Draft,
  event,
  eventWithoutSession,
  FlowError,
  type Http,
  jsonOf,
  message,
  type Page,
  realTime,
  type RowContext,
  session,
  type SessionRef,
  texts,
  type Window,
  zoneOf,
} from '../../src/source/index.ts'
import {
  AROUND_TRANSFER_MS,
  asksOf,
  belongs,
  chatsAround,
  chatsOf,
  openingsOf,
  sessionOfTurns,
  threadOf,
  TURNS,
  turnsBefore,
} from './chats.ts'
import { filesOrWords } from './files.ts'
import { type Call, CallRow, type Case, CaseRow, HandledRow, type VoiceConversation, VoiceRow } from './optional.ts'
import { pii } from './pii.ts'
import { classify, jsonAfterWarnings, readInformation, readReport, type ReportSpec } from './reports.ts'
import {
  asReturned,
  type Asked,
  asUnnamed,
  channelWord,
  type Chat,
  ChatRow,
  ConversationRow,
  gathered,
  isMasked,
  isTrial,
  type Line,
  MenuOptionRow,
  receiverOf,
  routingPointOf,
  type Transfer,
  transferIn,
  TransferRow,
  type Turn,
  TurnRow,
  withBot,
  withChat,
} from './rows.ts'
import { momentOf, type ReportedTime, zoneNamed } from './wall.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const DEFAULT_STREAMS = ['diagram_9', 'chat_8', 'chat_2', 'diagram_13', 'chat_11'] as const
/** Calls, mail and social networks, and agents' notes: not every operation has them, and they cost calls of the daily allowance. */
const OPTIONAL_STREAMS = ['diagram_11', 'diagram_15', 'chat_1', 'chat_4'] as const

const Config = z
  .strictObject({
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'takes an http or https address' })
      .optional()
      .describe('API root, such as https://wv0010.wolkvox.com/api/v2, or its host alone. Default: made of `server`'),
    server: z
      .string()
      .regex(/^(wv)?\d{1,5}$/i, 'takes the digits that the address bar of the Manager shows after wv, such as 0010')
      .optional()
      .describe('Server of the operation, such as 0010, in place of `base.url`'),
    token: z.string().min(1).meta({ secret: true }).describe('Token from Manager > Configuration > Integrations > Tokens'),
    timezone: z
      .string()
      .default('America/Bogota')
      .refine(name => zoneOf(name) !== null, 'takes the name of a zone, such as America/Bogota, or an offset, such as -05:00')
      .describe("Zone of the server's clock, in which all times are asked for and told"),
    streams: z
      .array(z.enum([...DEFAULT_STREAMS, ...OPTIONAL_STREAMS]))
      .min(1)
      .default([...DEFAULT_STREAMS])
      .describe(
        'Reports to read; also diagram_11 and diagram_15 (calls), chat_1 (what agents noted of chats) and chat_4 (mail and social networks). What one of them tells depends on which others are read',
      ),
    ivrDate: z
      .enum(['end', 'start'])
      .default('end')
      .describe(
        "What `end_date_rp` of `diagram_11` is: the end of the routing point's part, as its name says, or its start, as its description says",
      ),
    botId: z.string().min(1).optional().describe('bot_id of records whose routing point is not told. Default: the account'),
    findBots: z
      .boolean()
      .default(true)
      .describe(
        'Ask `chat_8` for the routing points of the chats in an answer of `chat_2`, which does not tell them; one more call',
      ),
    findChats: z
      .boolean()
      .default(true)
      .describe(
        'Where turns of `diagram_9` or chats of `chat_8` tell no chat (`conn_id` is 0 or -), ask the other report for what joins them; one more call or two, only where there are such',
      ),
    findTransfers: z
      .boolean()
      .default(true)
      .describe(
        'Ask `diagram_9` for turns that hand over to a person when `chat_8` is read, so that a session shows at once and not when its chat has closed; one more call each time',
      ),
    findReceivers: z
      .boolean()
      .default(true)
      .describe(
        'Ask `information.php` for the routing points where `chat_11` has a transfer whose receiver may be one: such a chat goes back to the bot; one more call',
      ),
    sessionGapMs: z
      .int()
      .min(1000)
      .default(HOUR)
      .describe('A silence longer than this ends a session that is made of the turns of `diagram_9`, milliseconds'),
    transferAnswers: z
      .array(z.string().min(1))
      .optional()
      .describe(
        'What in `routing_answer` is no words of the bot but the hand-over to a person, where it is not `transfer_skill` in one of its forms; letters and digits count, and which skill may follow (`transfer_skill:12`)',
      ),
    maxRowsTurns: z
      .int()
      .min(2)
      .default(6000)
      .describe('An answer of `diagram_9` with as many rows is taken as cut off, and the window is halved'),
    maxRows: z
      .int()
      .min(2)
      .default(60_000)
      .describe('An answer of another report than `diagram_9` with as many rows is taken as cut off, and the window is halved'),
    licences: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Licences of the operation; the vendor allows 1,000 calls a day for each. For `colloquy check` alone, which warns where the streams take more than a third of that: nothing is slowed down. Absent: not known',
      ),
    sendServer: z
      .boolean()
      .default(false)
      .describe("Send the server also in a header `wolkvox_server`, as the vendor's samples do"),
  })
  // Also if another key is wrong, so that every fault is reported at once.
  .refine(({ baseUrl, server }) => baseUrl !== undefined || server !== undefined, {
    path: ['baseUrl'],
    message: 'is required, or `server` in its place',
    when: () => true,
  })
type Config = z.output<typeof Config>
type Ctx = RowContext<Config>

/** Rows dated by their own time are found again for two hours: that also finds those of an hour that is repeated by a clock change. */
const DATED = {
  longestMs: DAY,
  smallestMs: SECOND,
  lagMs: MINUTE,
  // A thousand calls a day: rows are rarely read again.
  hotMs: 0,
  lookbackMs: 2 * HOUR,
  lookbackIntervalMs: HOUR,
  durableResume: true,
} as const
/** A chat appears when it has closed, which the vendor does 23 h after its beginning if nobody else did; the time it is selected by is unknown. */
const OF_CHATS = { ...DATED, lookbackMs: 26 * HOUR, lookbackIntervalMs: 3 * HOUR } as const

/** Rows dated by the end of a call. */
const OF_CALLS = { ...DATED, pollIntervalMs: 30 * MINUTE } as const

export default defineConnector({
  manifest: {
    id: 'wolkvox',
    title: 'wolkvox Manager',
    apiVersion: 'v2',
    docs: 'https://www.wolkvox.com/apis-v2/9-cdr-interaction-routing-and-chatbots/',
    quota: { concurrency: 1, gapMs: 2 * SECOND, sharedBy: 'token' },
    dailyLimit: { perUnit: 1000, unit: 'licence', key: 'licences', units: config => config.licences ?? null },
    pollIntervalMs: 5 * MINUTE,
    sessionStream: 'chat_8',
    optionalStreams: OPTIONAL_STREAMS,
    pii,
  },
  config: Config,

  http: config => ({
    baseUrl: rootOf(config),
    headers: { 'wolkvox-token': config.token, ...(config.sendServer && { wolkvox_server: serverOf(config) }) },
    classify,
    jsonIn: jsonAfterWarnings,
    // The vendor gives up a call after 60 s.
    timeoutMs: 90 * SECOND,
  }),

  streams: {
    diagram_9: {
      window: { ...DATED, pollIntervalMs: 10 * MINUTE },
      row: TurnRow,

      read: readTurns,

      requestsBeside: config => ({
        unknown:
          config.findChats && config.streams.includes('chat_8')
            ? ['one more call of chat_8 for each window with turns that tell no chat']
            : [],
      }),

      identify: row => row.id,

      /**
       * Everything that is published of the row. With `chat_8` all but the chat's id: one that is filled in later would move the turn to another session, and
       * its messages would be there twice.
       */
      fingerprint: (row, ctx) =>
        jsonOf(ctx.config.streams.includes('chat_8') ? { ...row, connId: null, afterMs: null } : row) ?? '',

      derive: config => {
        const publishes = !config.streams.includes('chat_8')
        return {
          gapMs: config.sessionGapMs,
          publishes,
          // Turns whose chat is known from another turn of their session go to that chat.
          ...(publishes ? {} : { sessionId: ({ key, firstAtMs, part }) => part ?? sessionOfTurns(key, firstAtMs) }),
          turn: (row, ctx) => ({
            key: threadOf(ctx.account, row),
            atMs: timeOfTurn(row, ctx),
            part: row.connId,
            afterMs: row.afterMs,
            botId: botOf(row, ctx),
            channel: channelWord(row.channel),
            userMessages: saidOf(row, ctx).filter(({ sender }) => sender === 'USER').length,
            botMessages: saidOf(row, ctx).filter(({ sender }) => sender === 'BOT').length,
            userId: userOf(row),
            channelUserId: row.customerPhone ?? row.sessionId,
            isTest: isTrial(row.channel) ? true : null,
            transferred: askedIn(row, ctx) !== null,
            queue: askedIn(row, ctx)?.skill ?? null,
            attributes: texts(attributesOf(row)),
          }),
        }
      },

      normalise: (row, ctx) => {
        const ref = sessionOfTurn(row, ctx)
        const { atMs, estimated } = momentOf(row.told, zoneNamed(ctx.config.timezone))
        const drafts: Draft[] = saidOf(row, ctx).map(said =>
          message(
            ref,
            {
              ...said,
              sentAt: atMs,
              sentAtEstimated: estimated,
              attributes: { ...attributesOf(row), ...said.attributes },
            },
            { answer: row.answer },
          ),
        )
        const isHandOver = askedIn(row, ctx) !== null
        if (isHandOver || drafts.length === 0)
          drafts.push(
            event(ref, {
              eventId: `${row.id}/e`,
              occurredAt: atMs,
              occurredAtEstimated: estimated,
              type: isHandOver ? 'agent_transfer_requested' : 'other',
              name: row.answer ?? 'a turn without words',
              userId: userOf(row),
              attributes: attributesOf(row),
            }),
          )
        return drafts
      },
    },

    chat_8: {
      feeds: ['session'],
      // It also searches for transfers, so it has the vendor's own pace.
      window: OF_CHATS,
      row: ChatRow,

      read: readChats,

      requestsBeside: config => {
        if (!config.streams.includes('diagram_9')) return {}
        return {
          // For old windows, turns are not requested.
          perPoll: config.findTransfers ? 1 : 0,
          unknown: [
            ...(config.findTransfers ? ['one or two more calls of diagram_9 for chats that were handed over'] : []),
            ...(config.findChats ? ['one or two more calls of diagram_9 and chat_8 for chats or turns that tell no chat'] : []),
          ],
        }
      },

      /** Adds the turns' data to a new or changed chat: its session, if no id names it, and when a person was requested. */
      async enrich({ config, rows, http, nowMs }) {
        const openings = await openingsOf(
          rows.filter(row => row.kind === 'chat'),
          { config, http },
          nowMs,
        )
        return rows.map(row => (row.kind === 'chat' && openings.has(row) ? { ...row, opening: openings.get(row) ?? null } : row))
      },
      enrichRows: 1000,

      /** The turn that represented the chat while it was open. */
      formerId: row => (row.kind === 'chat' ? (row.opening?.formerId ?? null) : null),

      identify: row => row.id,

      /** For an open chat only that a person was requested, once; for others the content of the chat's own row. */
      fingerprint: row => (row.kind === 'asked' ? row.id : (jsonOf({ ...row, isUnnamed: null, opening: null }) ?? '')),

      normalise: (row, ctx) => [row.kind === 'asked' ? openSession(row, ctx) : chatSession(row, ctx)],
    },

    chat_2: {
      feeds: ['message'],
      window: { ...OF_CHATS, pollIntervalMs: HOUR },
      row: ConversationRow,

      read: readConversations,

      requestsBeside: config => ({ perWindow: config.findBots && config.streams.includes('chat_8') ? 1 : 0 }),

      identify: row => row.connId,

      /** Without the routing point, which is another report's data. */
      fingerprint: row => jsonOf({ ...row, rpId: null }) ?? '',

      normalise: (row, ctx) => {
        const ref = ctx.session({ botId: botOf(row, ctx), sessionId: row.connId, channel: channelWord(row.channel) })
        const bot = ctx.config.streams.includes('diagram_9')
        return row.lines.flatMap((line, seq) => (bot && line.isWithBot ? [] : [messageOf(ref, line, seq, row.attributes, ctx)]))
      },
    },

    diagram_13: {
      feeds: ['event'],
      window: { ...DATED, pollIntervalMs: HOUR },
      row: MenuOptionRow,

      read: ({ config, window, http }) =>
        readReport(
          { api: 'diagram_13', row: MenuOptionRow, timeOf: row => row.told, idOf: row => row.id },
          { http, window, timezone: config.timezone, mostRows: config.maxRows },
        ),

      identify: row => row.id,

      normalise: (row, ctx) => {
        const fields = { type: 'menu_option', name: row.option ?? 'menu option', userId: row.userId }
        return [eventOf(row, { ...fields, attributes: { ...row.attributes, cod_opc_menu: row.option } }, ctx)]
      },
    },

    diagram_11: {
      feeds: ['session'],
      window: OF_CALLS,
      row: CallRow,
      read: ({ config, window, http }) =>
        readReport({ api: 'diagram_11', row: CallRow }, { http, window, timezone: config.timezone, mostRows: config.maxRows }),
      identify: row => row.connId,
      normalise: (row, ctx) => [callSession(row, ctx)],
    },

    diagram_15: {
      feeds: ['session', 'event'],
      window: OF_CALLS,
      row: VoiceRow,
      read: ({ config, window, http }) =>
        readReport({ api: 'diagram_15', row: VoiceRow }, { http, window, timezone: config.timezone, mostRows: config.maxRows }),
      identify: row => row.connectId,
      normalise: (row, ctx) => [voiceConversation(row, ctx)],
    },

    chat_1: {
      feeds: ['event'],
      window: OF_CHATS,
      row: HandledRow,
      read: ({ config, window, http }) =>
        readReport({ api: 'chat_1', row: HandledRow }, { http, window, timezone: config.timezone, mostRows: config.maxRows }),
      identify: row => row.id,

      /** The agent's note, at the chat's close. */
      normalise: (row, ctx) => {
        const zone = zoneNamed(ctx.config.timezone)
        const opened = momentOf(row.opened, zone)
        const closed = row.closed === null ? null : momentOf(row.closed, zone)
        const ref = ctx.session({ botId: botOf({}, ctx), sessionId: row.connId, channel: channelWord(row.channel) })
        return [
          event(ref, {
            eventId: row.id,
            occurredAt: closed?.atMs ?? opened.atMs + (row.duration ?? 0) * SECOND,
            occurredAtEstimated: closed === null || closed.estimated,
            type: row.code === null ? 'other' : 'tag_applied',
            name: row.code ?? 'chat handled',
            userId: row.customerId,
            attributes: row.attributes,
          }),
        ]
      },
    },

    chat_4: {
      feeds: ['session', 'message'],
      window: { ...DATED, lookbackMs: 7 * DAY, lookbackIntervalMs: 6 * HOUR, pollIntervalMs: HOUR },
      row: CaseRow,
      read: ({ config, window, http }) =>
        readReport(
          { api: 'chat_4', row: CaseRow, more: { attach_array: 'yes', include_attachments: 'false' } },
          { http, window, timezone: config.timezone, mostRows: config.maxRows },
        ),
      identify: row => row.caseId,
      normalise: caseOf,
    },

    chat_11: {
      feeds: ['event'],
      window: { ...DATED, pollIntervalMs: 30 * MINUTE },
      row: TransferRow,

      read: readTransfers,

      requestsBeside: config => ({
        unknown: config.findReceivers
          ? ['one more call for each window with a transfer whose receiver may be a routing point']
          : [],
      }),

      identify: row => row.id,

      /** An agent passes on a chat that was handed over before: to the bot, or, as one more request, to another agent or a skill. */
      normalise: (row, ctx) => {
        const fields =
          row.receiver !== null
            ? { type: 'flow_transition', name: 'chat returned to the bot' }
            : { type: row.isByAgent ? 'agent_transfer_requested' : 'agent_transferred', name: 'chat transferred' }
        return [eventOf(row, { ...fields, attributes: row.attributes }, ctx)]
      },
    },
  },
})

interface Reading {
  readonly config: Config
  readonly window: Window
  readonly http: Http
}

/**
 * A turn may have no chat id (`0` in the vendor's sample). `chat_8` shows which chat a customer had at which time, but only after it has closed; so it is
 * requested only if there are such turns.
 */
async function* readTurns({ nowMs, ...reading }: Reading & { readonly nowMs: number }): AsyncIterable<Page> {
  const { config, window, http } = reading
  const asks = config.findChats && config.streams.includes('chat_8')
  const how = { http, window, timezone: config.timezone, mostRows: config.maxRowsTurns }
  for await (const page of readReport(TURNS, how)) {
    const turns = page.rows.map(turnWithoutChat)
    if (!asks || turns.every(turn => turn === null)) {
      yield page
      continue
    }
    const chats = Map.groupBy(await chatsAround(reading, nowMs), chat => chat.sessionId)
    const rows = page.rows.map((raw, place) => {
      const turn = turns[place] ?? null
      return turn === null ? raw : withChat(raw, belongs(turn, chats.get(turn.sessionId) ?? [], config, nowMs))
    })
    yield { ...page, rows }
  }
}

function turnWithoutChat(raw: unknown): Turn | null {
  const turn = TurnRow.safeParse(raw)
  return turn.success && turn.data.connId === null ? turn.data : null
}

/** Chats, and turns that ask for a person in open chats. Turns are requested first: a chat that closes meanwhile comes as a chat. */
async function* readChats({ nowMs, ...reading }: Reading & { readonly nowMs: number }): AsyncIterable<Page> {
  const { config, window, http } = reading
  const turns = await turnsBefore(reading, nowMs)
  const isUnnamed = turns.some(({ turn }) => turn.connId === null)
  for await (const page of readReport(
    { api: 'chat_8', row: ChatRow },
    { http, window, timezone: config.timezone, mostRows: config.maxRows },
  )) {
    const chats = page.rows.flatMap(raw => {
      const row = ChatRow.safeParse(raw)
      return row.success && row.data.kind === 'chat' ? [row.data] : []
    })
    const asked = turns.length === 0 ? [] : await asksOf(reading, turns, chats, nowMs)
    yield { ...page, rows: [...asked, ...(isUnnamed ? page.rows.map(asUnnamed) : page.rows)] }
  }
}

/** No row says whether the receiver is a routing point: if one may be, the operation's routing points are requested. */
async function* readTransfers({ config, window, http }: Reading): AsyncIterable<Page> {
  const spec: ReportSpec<Transfer> = {
    api: 'chat_11',
    row: TransferRow,
    timeOf: (row: Transfer) => row.told,
    idOf: (row: Transfer) => row.id,
  }
  for await (const page of readReport(spec, { http, window, timezone: config.timezone, mostRows: config.maxRows })) {
    const asks = config.findReceivers && page.rows.some(raw => receiverOf(raw) !== null)
    const points = new Set(asks ? (await readInformation('routing_points', http)).map(routingPointOf) : [])
    yield { ...page, rows: page.rows.map(raw => (points.has(receiverOf(raw) ?? '') ? asReturned(raw) : raw)) }
  }
}

/** `chat_2` has no routing point, `chat_8` has: both select chats by the same time, as far as is known, so the same window is requested. */
async function* readConversations(reading: Reading): AsyncIterable<Page> {
  const { config, window, http } = reading
  const how = { http, window, timezone: config.timezone, mostRows: config.maxRows }
  for await (const page of readReport({ api: 'chat_2', row: ConversationRow }, how)) {
    const asks = page.rows.length > 0 && config.findBots && config.streams.includes('chat_8')
    const bots = new Map((asks ? await chatsOf(reading) : []).map(({ id, rpId }) => [id, rpId]))
    yield { ...page, rows: gathered(page.rows).map(raw => withBot(raw, bots)) }
  }
}

/** For a turn whose session must be found. */
function timeOfTurn({ told }: Turn, ctx: Ctx): number {
  const { atMs } = momentOf(told, zoneNamed(ctx.config.timezone))
  if (realTime(atMs, ctx) === null)
    throw new FlowError('ROW_UNMAPPABLE', { path: 'date', hint: 'date is a placeholder, not a time' })
  return atMs
}

/** The chat, if the turn has its id and `chat_8` has the chat; else the session that the turn was found to belong to. */
function sessionOfTurn(row: Turn, ctx: Ctx): SessionRef {
  if (row.connId !== null && ctx.config.streams.includes('chat_8'))
    return ctx.session({ botId: botOf(row, ctx), sessionId: row.connId, channel: channelWord(row.channel) })
  if (ctx.derived !== null) return ctx.derived
  throw new FlowError('ROW_UNMAPPABLE', { path: 'conn_id', hint: 'the turn belongs to no session' })
}

/** Content of a turn, the question first. A masked answer of the customer comes in the field of the bot's answer, and replaces the question. */
function saidOf({ id, query, answer }: Turn, { config }: Ctx) {
  const isAnswerMasked = isMasked(answer)
  const question = query ?? (isAnswerMasked ? answer : null)
  const masked = isMasked(question) ? { masked: true } : isAnswerMasked ? { routing_answer: answer } : {}
  const bot = isAnswerMasked || transferIn(answer, config.transferAnswers) !== null ? null : answer
  return [
    ...(question === null
      ? []
      : [{ messageId: `${id}/q`, seq: 0, sender: 'USER', ...filesOrWords(question), attributes: masked }]),
    ...(bot === null ? [] : [{ messageId: `${id}/a`, seq: 1, sender: 'BOT', ...filesOrWords(bot), attributes: {} }]),
  ]
}

/** The bot and, if `chat_8` is read, the session have their own fields; without it the chat is shown only here. */
function attributesOf({ attributes, connId }: Turn): Readonly<Record<string, unknown>> {
  return { ...attributes, conn_id: connId }
}

function askedIn({ answer }: Turn, { config }: Ctx): { readonly skill: string | null } | null {
  return transferIn(answer, config.transferAnswers)
}

/** A chat with a request for a person that has not closed: a turn shows it, and the chat's row completes it. */
function openSession({ turn, first }: Asked, ctx: Ctx): Draft {
  const zone = zoneNamed(ctx.config.timezone)
  const [asked, begun] = [momentOf(turn.told, zone), momentOf(first, zone)]
  const sessionId = turn.connId ?? sessionOfTurns(threadOf(ctx.account, turn), begun.atMs)
  return session(ctx.session({ botId: botOf(turn, ctx), sessionId, channel: channelWord(turn.channel) }), {
    startedAt: Math.min(begun.atMs, asked.atMs),
    status: 'OPEN',
    containment: 'AGENT',
    userId: userOf(turn),
    channelUserId: turn.customerPhone ?? turn.sessionId,
    transferredAt: asked.atMs,
    queue: askedIn(turn, ctx)?.skill ?? null,
    isTest: isTrial(turn.channel) ? true : null,
    attributes: { ...attributesOf(turn), transferred_at: TOLD_BY_TURN },
  })
}

const TOLD_BY_TURN = 'a turn of diagram_9'

function chatSession(row: Chat, ctx: Ctx): Draft {
  const zone = zoneNamed(ctx.config.timezone)
  const { opening } = row
  const start = momentOf(row.start, zone)
  const moment = row.end === null ? null : momentOf(row.end, zone)
  const end = moment !== null && realTime(moment.atMs, ctx) !== null ? moment : null
  // An hour that the clock shows twice can give an end before the start.
  const endedAt = end === null ? null : Math.max(end.atMs, start.atMs)
  const handedMs = row.wentToAgent && row.timeOnChatbot !== null ? start.atMs + row.timeOnChatbot * SECOND : null
  // The turn's time, because the session may have been published with it; if the two do not match, it was another request.
  const turnMs = opening?.askedMs ?? null
  const isTurns = turnMs !== null && Math.abs(turnMs - (handedMs ?? turnMs)) <= AROUND_TRANSFER_MS
  const askedMs = row.wentToAgent ? (isTurns ? turnMs : handedMs) : null
  const thread = threadOf(ctx.account, row)
  const firstMs = opening?.firstMs ?? null
  const sessionId = firstMs === null ? (row.connId ?? sessionOfTurns(thread, start.atMs)) : sessionOfTurns(thread, firstMs)
  return session(ctx.session({ botId: botOf(row, ctx), sessionId, channel: channelWord(row.channel) }), {
    startedAt: start.atMs,
    endedAt,
    endedAtEstimated: end !== null && (end.estimated || end.atMs < start.atMs),
    status: end === null ? 'OPEN' : 'CLOSED',
    containment: row.wentToAgent ? 'AGENT' : containedIn(row, end !== null),
    interactive: row.customerChars === null ? null : row.customerChars > 0,
    userId: userOf(row),
    channelUserId: row.customerPhone ?? row.sessionId,
    transferredAt: askedMs === null ? null : Math.min(askedMs, endedAt ?? Infinity),
    queue: row.wentToAgent ? (opening?.skill ?? null) : null,
    agentId: row.agentId,
    agentName: row.agentName,
    totalMessages: row.timesChatted,
    isTest: isTrial(row.channel) ? true : null,
    attributes: {
      ...row.attributes,
      go_to_agent: row.goToAgent,
      customer_chars: row.customerChars,
      ...(sessionId !== row.connId && { conn_id: row.connId }),
      ...(start.estimated && { started_at: 'the clock showed this twice, or never' }),
      ...(askedMs !== null && { transferred_at: isTurns ? TOLD_BY_TURN : 'start_date + time_on_chatbot' }),
    },
  })
}

function messageOf(ref: SessionRef, line: Line, seq: number, chat: Line['attributes'], ctx: Ctx): Draft {
  const { atMs, estimated } = momentOf(line.told, zoneNamed(ctx.config.timezone))
  return message(ref, {
    messageId: line.id,
    sentAt: atMs,
    sentAtEstimated: estimated,
    seq,
    sender: line.sender,
    ...line.said,
    agentName: line.sender === 'AGENT' ? line.fromName : null,
    attributes: { ...chat, from_name: line.fromName, ...line.attributes },
  })
}

function eventOf(
  row: {
    readonly id: string
    readonly told: ReportedTime
    readonly connId: string | null
    readonly rpId?: string | null
    readonly channel: string | null
  },
  fields: {
    readonly type: string
    readonly name: string
    readonly userId?: string | null
    readonly attributes: Readonly<Record<string, unknown>>
  },
  ctx: Ctx,
): Draft {
  const { atMs, estimated } = momentOf(row.told, zoneNamed(ctx.config.timezone))
  const channel = channelWord(row.channel)
  const all = {
    eventId: row.id,
    occurredAt: atMs,
    occurredAtEstimated: estimated,
    ...fields,
    attributes: { ...fields.attributes, channel: row.channel },
  }
  const botId = botOf(row, ctx)
  return row.connId === null
    ? eventWithoutSession(ctx, { ...all, botId, channel })
    : event(ctx.session({ botId, sessionId: row.connId, channel }), all)
}

/** For a chat that stayed with the bot. The vendor does not say whether the customer was satisfied or gave up. */
function containedIn({ goToAgent, customerChars }: Chat, isOver: boolean): string {
  return !isOver || goToAgent === null || customerChars === 0 ? 'UNKNOWN' : 'SELF_SERVICE'
}

function botOf(row: { readonly rpId?: string | null }, ctx: Ctx): string {
  return row.rpId ?? ctx.config.botId ?? ctx.account
}

function userOf(row: Pick<Turn, 'customerId' | 'customerPhone' | 'sessionId'>): string | null {
  return row.customerId ?? row.customerPhone ?? row.sessionId
}

function rootOf({ baseUrl, server }: Config): string {
  if (baseUrl === undefined) return `https://wv${digitsOf(server ?? '')}.wolkvox.com/api/v2`
  const { origin, pathname } = new URL(baseUrl)
  const path = pathname.replace(/\/[^/]*\.php$/, '').replace(/\/+$/, '')
  return `${origin}${path === '' ? '/api/v2' : path}`
}

function serverOf({ baseUrl, server }: Config): string {
  return server === undefined ? (/^https?:\/\/wv(\d+)\./i.exec(baseUrl ?? '')?.[1] ?? '') : digitsOf(server)
}

/** YAML reads an unquoted 0010 as the number 10. */
function digitsOf(server: string): string {
  return server.replace(/^wv/i, '').padStart(4, '0')
}

/** A call, from the routing point to its end. */
function callSession(row: Call, ctx: Ctx): Draft {
  const { atMs, estimated } = momentOf(row.told, zoneNamed(ctx.config.timezone))
  const onRpMs = (row.timeOnRp ?? 0) * SECOND
  const [startedAt, leftAt] = ctx.config.ivrDate === 'end' ? [atMs - onRpMs, atMs] : [atMs, atMs + onRpMs]
  const totalMs = row.totalTime === null ? leftAt - startedAt + (row.timeWithAgent ?? 0) * SECOND : row.totalTime * SECOND
  return session(ctx.session({ botId: botOf(row, ctx), sessionId: row.connId, channel: 'voice' }), {
    startedAt,
    endedAt: Math.max(startedAt + totalMs, leftAt),
    endedAtEstimated: estimated || row.totalTime === null,
    status: 'CLOSED',
    containment: row.wentToAgent === null ? 'UNKNOWN' : row.wentToAgent ? 'AGENT' : 'SELF_SERVICE',
    userId: row.customerId ?? row.phone,
    channelUserId: row.phone,
    transferredAt: row.wentToAgent === true ? leftAt : null,
    queue: row.skillId,
    agentId: row.agentId,
    agentName: row.agentName,
    outcome: row.outcome,
    attributes: row.attributes,
  })
}

/** A session; or, if `diagram_11` has the sessions of calls, an event of one. */
function voiceConversation(row: VoiceConversation, ctx: Ctx): Draft {
  const { atMs, estimated } = momentOf(row.told, zoneNamed(ctx.config.timezone))
  const ref = ctx.session({ botId: botOf(row, ctx), sessionId: row.connectId, channel: 'voice' })
  if (ctx.config.streams.includes('diagram_11'))
    return event(ref, {
      eventId: contentId('diagram_15', row.connectId),
      occurredAt: atMs,
      occurredAtEstimated: estimated,
      type: 'other',
      name: 'voice conversation',
      attributes: row.attributes,
    })
  return session(ref, {
    startedAt: atMs - (row.ivrTime ?? 0) * SECOND,
    endedAt: atMs,
    endedAtEstimated: estimated,
    status: 'CLOSED',
    containment: 'UNKNOWN',
    attributes: row.attributes,
  })
}

/** A case of mail or a social network: the message, and the answer. Its id has a prefix, because chats have numbers, too. */
function caseOf(row: Case, ctx: Ctx): Draft[] {
  const zone = zoneNamed(ctx.config.timezone)
  const created = momentOf(row.created, zone)
  const closed = row.closed === null ? null : momentOf(row.closed, zone)
  const isOver = closed !== null || /^(?:close|archive)/i.test(row.status ?? '')
  const sessionId = `case-${row.caseId}`
  const ref = ctx.session({ botId: botOf({}, ctx), sessionId, channel: row.channel })
  const drafts: Draft[] = [
    session(ref, {
      startedAt: created.atMs,
      endedAt: closed === null ? null : Math.max(closed.atMs, created.atMs),
      endedAtEstimated: closed?.estimated ?? false,
      status: isOver ? 'CLOSED' : 'OPEN',
      containment: row.agentName === null ? 'UNKNOWN' : 'AGENT',
      userId: row.from,
      channelUserId: row.from,
      queue: row.skillId,
      agentName: row.agentName,
      satisfaction: row.rating,
      outcome: row.code,
      attributes: { ...row.attributes, status: row.status },
    }),
  ]
  if (row.body !== null)
    drafts.push(
      message(ref, {
        messageId: `${sessionId}/q`,
        sentAt: created.atMs,
        sentAtEstimated: created.estimated,
        seq: 0,
        sender: 'USER',
        ...filesOrWords(row.body),
      }),
    )
  if (row.answer !== null)
    drafts.push(
      message(ref, {
        messageId: `${sessionId}/a`,
        sentAt: closed?.atMs ?? created.atMs,
        // No field has the time of the answer.
        sentAtEstimated: true,
        seq: 1,
        sender: 'AGENT',
        ...filesOrWords(row.answer),
        agentName: row.agentName,
      }),
    )
  return drafts
}
