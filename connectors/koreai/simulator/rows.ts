import type { Conversation, WorldEvent, WorldMessage } from '../../../src/sim/index.ts'
import { accountId, agentIdOf, analyticsIdOf, contactIdOf, hex, messageIdOf, type VendorSession, uuid } from './account.ts'
import type { Quirks } from './quirks.ts'

const TAGS_BY_ID_MS = 14 * 86_400_000
const iso = (ms: number) => new Date(ms).toISOString()

/** @param byIdAtMs Set if the session was requested by its id: then tags of sessions older than 14 days are lost. Documented. */
export function sessionRow(session: VendorSession, quirks: Quirks, byIdAtMs: number | null): Record<string, unknown> {
  const { rows } = quirks
  const count = (value: number) => (quirks.counts === 'string' ? String(value) : value)
  const tagsLost = byIdAtMs !== null && session.startMs <= byIdAtMs - TAGS_BY_ID_MS
  const containment = session.containment === null ? null : spelt(session.containment, quirks)
  const sessionType = session.isInteractive ? 'interactive' : 'non-interactive'
  const isDeveloper = session.conversation.person.isTest
  return {
    sessionId: session.sessionId,
    botId: session.botId,
    channel: session.channel,
    userId: session.userId,
    start_time: iso(session.startMs),
    ...(session.isClosed || quirks.activeEndTime === 'last_activity' ? { end_time: iso(session.lastMs) } : {}),
    session_lang: [session.conversation.language],
    ...(rows === 'v8' ? (containment === null ? {} : { sessionType: containment }) : { sessionType }),
    isDeveloper: quirks.developer === 'number' ? Number(isDeveloper) : isDeveloper,
    ...(rows === 'current' ? { sessionStatus: session.isClosed ? 'closed' : 'active' } : {}),
    tags: {
      userTags: session.userTags,
      sessionTags: tagsLost ? [] : session.sessionTags,
      ...(rows === 'current' ? { altText: [] } : {}),
    },
    noOfMessagesExchanged: count(session.messages.length),
    noOfTasksExecuted: count(session.tasks),
    ...(rows === 'v8' || containment === null ? {} : { containmentType: containment }),
  }
}

function spelt(word: NonNullable<VendorSession['containment']>, { containmentCase }: Quirks): string {
  if (containmentCase === 'lower') return word.toLowerCase()
  return containmentCase === 'list' && word === 'selfService' ? 'Selfservice' : word
}

export interface MessageOptions {
  readonly agentsInfo: boolean
  readonly traceId: boolean
}

/** The older samples' fields and the newer ones' together. `createdBy` is the end user whoever speaks; outgoing messages stay `pending`. */
export function messageRow(
  message: WorldMessage,
  session: VendorSession,
  options: MessageOptions,
  quirks: Quirks,
): Record<string, unknown> {
  const isIncoming = message.sender === 'user'
  const at = iso(message.atMs + quirks.clockAheadMs)
  const { conversation, userId, channel } = session
  const isDeveloper = Number(conversation.person.isTest)
  return {
    _id: messageIdOf(message),
    channels: [{ type: channel, channelUId: conversation.person.handle }],
    type: isIncoming ? 'incoming' : 'outgoing',
    status: isIncoming ? 'received' : 'pending',
    createdBy: userId,
    lmodifiedBy: userId,
    createdOn: at,
    lmodifiedOn: at,
    botId: session.botId,
    orgId: `o-${uuid('organisation')}`,
    accountId: accountId(),
    isBB: 0,
    ms: message.kind === 'template' ? 0 : message.attachment === null ? 1 : 3,
    [quirks.messageChannel]: channel,
    isD: isDeveloper,
    components: componentsOf(message),
    timestampValue: message.atMs + quirks.clockAheadMs + 12,
    lang: conversation.language,
    sessionId: session.sessionId,
    resourceid: 'messagestore',
    tags: { messageTags: [], userTags: session.userTags, sessionTags: [] },
    ...(options.agentsInfo && message.agent !== null
      ? {
          author: {
            _id: hex(`agent ${message.agent.id}`, 24),
            userId: agentIdOf(message.agent),
            firstName: message.agent.name,
            lastName: '',
            type: 'AGENT',
          },
        }
      : {}),
    ...(options.traceId && isIncoming ? { traceId: uuid(`trace ${message.id}`) } : {}),
  }
}

/** Content of one message, in one component or several. The form of media is not documented: a url next to the caption is assumed. */
function componentsOf(message: WorldMessage): unknown[] {
  const component = (place: number, cT: string, data: Record<string, unknown>) => ({
    _id: `cp-${uuid(`component ${message.id} ${place}`)}`,
    cT,
    data,
    thumbnails: [],
  })
  const { attachment } = message
  if (attachment !== null)
    return [
      component(0, attachment.kind === 'file' ? 'attachment' : attachment.kind, { url: attachment.url }),
      ...(attachment.caption === null ? [] : [component(1, 'text', { text: attachment.caption })]),
    ]
  if (message.kind === 'template') return [component(0, 'alert', { text: message.text })]
  const text = component(0, 'text', { text: message.text })
  return message.kind === 'buttons'
    ? [text, ...message.buttons.map((each, i) => component(i + 1, 'text', { text: each }))]
    : [text]
}

/** The text that a client should find in the message. */
export function textOf(message: WorldMessage): string | null {
  if (message.attachment !== null) return message.attachment.caption
  return message.kind === 'buttons' ? [message.text, ...message.buttons].join('\n') : message.text
}

export const ANALYTICS = ['successintent', 'failintent', 'successtask', 'failtask', 'performance', 'unhandledutterance'] as const
/** The documented values of `filters.channel`; the answer to others is not documented. */
export const ANALYTICS_CHANNELS: readonly string[] =
  'msteams twitter spark rtm facebook slack kore email sms ringcentral jabber yammer alexa twiliovoice telegram ivr ivrVoice smartassist line liveperson googleactions hangoutchat mattermost rcs'.split(
    ' ',
  )
export type AnalyticsType = (typeof ANALYTICS)[number]

/** The list that contains an event; null: none does. */
export function analyticsTypeOf(event: WorldEvent): AnalyticsType | null {
  if (event.kind === 'task') return event.done ? 'successtask' : 'failtask'
  if (event.kind === 'failure') return 'performance'
  if (event.kind !== 'intent') return null
  if (!event.fallback) return 'successintent'
  return Number.parseInt(hex(event.id, 1), 16) % 2 === 0 ? 'failintent' : 'unhandledutterance'
}

export function analyticsRow(event: WorldEvent, session: VendorSession, quirks: Quirks): Record<string, unknown> {
  const { conversation } = session
  const message = conversation.messages.findLast(({ sender, atMs }) => sender === 'user' && atMs <= event.atMs)
  const topic = event.kind === 'intent' || event.kind === 'task' ? event.topic : null
  const matched = event.kind === 'intent' && !event.fallback ? event.topic.name : null
  return {
    _id: analyticsIdOf(event),
    ...(message === undefined ? {} : { messageId: messageIdOf(message), utterance: message.text }),
    sessionId: session.sessionId,
    ...(matched === null ? {} : { intent: matched }),
    userId: session.userId,
    channelUId: conversation.person.handle,
    language: conversation.language,
    timestamp: iso(event.atMs + quirks.clockAheadMs),
    pinned: false,
    channel: session.channel,
    winningIntent: matched === null ? [] : [matched],
    isAmbiguous: false,
    ambiguousIntents: [],
    ...(topic === null ? {} : { taskName: topic.name, taskId: `dg-${uuid(`task ${topic.id}`)}` }),
    flow: [],
    customTags: { userTags: session.userTags, sessionTags: [], messageTags: [] },
    ...(event.kind === 'failure'
      ? { nodeName: 'send', type: 'service', status: 'failure', statusCode: '500', responseTime: '1204' }
      : {
          NLAnalysis: {
            result: matched === null ? 'failintent' : 'successintent',
            bot: conversation.bot.title,
            input: [message?.text],
          },
        }),
  }
}

/** One conversation: when it was handed over (`""`: not), and its messages, by `skip` and `limit`. */
export function detailsOf(
  session: VendorSession,
  quirks: Quirks,
  page: { readonly skip: number; readonly limit: number },
): Record<string, unknown> {
  const handOff = session.events.find(({ kind }) => kind === 'transfer_requested')
  const { person } = session.conversation
  return {
    conversationInfo: {
      userId: session.userId,
      sessionStartTime: iso(session.startMs),
      agentHandOffTime: handOff === undefined || quirks.handOff === 'unknown' ? '' : iso(handOff.atMs + quirks.clockAheadMs),
      userDetails: { firstName: person.firstName, lastName: person.lastName, phoneNumber: null },
      currentTask: 'null',
      sessionId: session.sessionId,
    },
    conversationFlow: tasksOf(session.conversation),
    conversationHistory: session.messages.slice(page.skip, page.skip + page.limit).map(message => {
      const { type, status, createdOn, components } = messageRow(message, session, { agentsInfo: false, traceId: false }, quirks)
      return { type, status, createdOn, components }
    }),
  }
}

function tasksOf({ events }: Conversation): unknown[] {
  return events.flatMap(event =>
    event.kind === 'task' && event.done
      ? [{ status: 'completedTask', messageStoreId: hex(event.id, 24), taskName: event.topic.name }]
      : [],
  )
}

/** A conversation of the contact center; null if no person was requested. Fields as in the docs' samples; their relation is assumed. */
export function contactRow(session: VendorSession, quirks: Quirks): Record<string, unknown> | null {
  const at = (ms: number) => iso(ms + quirks.clockAheadMs)
  const asked = session.events.find(event => event.kind === 'transfer_requested')
  const taken = session.events.filter(event => event.kind === 'transferred')
  if (asked?.kind !== 'transfer_requested') return null
  const queueId = `qu-${uuid(`queue ${asked.queue}`)}`
  const [first, ...later] = taken
  return {
    startSessionTime: iso(session.startMs),
    botSessionId: session.sessionId,
    botId: session.botId,
    userId: session.userId,
    orgId: `o-${uuid('organisation')}`,
    source: session.channel,
    _id: contactIdOf(session),
    participants: taken.map(({ agent, atMs }) => ({
      queueId,
      queueName: asked.queue,
      queueStartTime: at(asked.atMs),
      agentId: agentIdOf(agent),
      name: agent.name,
      status: 'ACTIVE',
      assignedAt: at(atMs),
      startTimeStamp: at(atMs),
    })),
    transferDetails: later.map(({ agent, atMs }, i) => ({
      fromAgent: agentIdOf(taken[i]?.agent ?? agent),
      transferredType: 'AGENT',
      transferredTo: [{ type: 'AGENT', id: agentIdOf(agent), name: agent.name, emailId: '' }],
      transferredBy: agentIdOf(taken[i]?.agent ?? agent),
      priority: 'LOW',
      transferredAt: at(atMs),
    })),
    status: session.isClosed ? 'CLOSED' : first === undefined ? 'OPEN' : 'ACTIVE',
    isDeveloper: session.conversation.person.isTest,
    accountId: accountId(),
    phoneNumber: session.conversation.person.handle,
    language: session.conversation.language,
    queues: [{ type: 'ASSIGNED', status: 'ACTIVE', id: queueId, name: asked.queue, startTime: at(asked.atMs) }],
    startTime: at(asked.atMs),
    ...(session.isClosed ? { endTime: iso(session.lastMs) } : {}),
    ...(first === undefined ? {} : { acceptedAt: at(first.atMs) }),
    notes: [],
    skills: [],
  }
}
