import { Random, type Conversation, type World, type WorldMessage } from '../../../src/sim/index.ts'
import { type Account, contactIdOf, firstIndex, isShown, sessionIdOf, startOf, shownAs } from './account.ts'
import type { Quirks } from './quirks.ts'

const DAY = 86_400_000

interface Export {
  readonly fromMs: number
  readonly firstIndex: number
  /** The export shows the world at this time. */
  readonly asOfMs: number
  readonly total: number
  notReady: number
}

interface ExportPosition {
  readonly export: Export
  readonly madeAtMs: number
  /** The next conversation to look at. */
  index: number
}

/** The exports of API v1: each begins with a call that names a time, and is fetched page by page with tokens that live one day. */
export class Exports {
  readonly #world: World
  readonly #account: Account
  readonly #quirks: Quirks
  readonly #pageSize: number
  readonly #tokens: Random
  readonly #places = new Map<string, ExportPosition>()

  constructor(world: World, account: Account, quirks: Quirks, pageSize: number) {
    this.#world = world
    this.#account = account
    this.#quirks = quirks
    this.#pageSize = pageSize
    this.#tokens = new Random(world.options.seed, 1, 8)
  }

  start(fromMs: number, nowMs: number): Record<string, unknown> {
    const view = this.#world.at(nowMs)
    const index = firstIndex(view, fromMs, this.#quirks.windowEdges === 'open', this.#quirks)
    let total = 0
    for (let each = index; each < view.count; each++) if (this.#shows(view.conversation(each), nowMs)) total++
    const pageToken = this.#place({
      export: { fromMs, firstIndex: index, asOfMs: nowMs, total, notReady: this.#quirks.notReadyCalls },
      madeAtMs: nowMs,
      index,
    })
    return {
      hasMore: true,
      pageToken,
      note: 'The data is being prepared, which takes a while. Go on with /download-page.',
      dateFrom: new Date(fromMs).toISOString(),
    }
  }

  /** @returns Null for an unknown or expired token. */
  page(token: string, nowMs: number): Record<string, unknown> | null {
    const place = this.#places.get(token)
    if (place === undefined || nowMs - place.madeAtMs >= DAY) return null
    const { export: job } = place
    if (job.notReady > 0) {
      job.notReady--
      return { hasMore: true, sessions: [] }
    }
    const view = this.#world.at(job.asOfMs)
    const rows: Conversation[] = []
    let index = this.#quirks.ignoresToken ? job.firstIndex : place.index
    for (; index < view.count && rows.length < this.#pageSize; index++) {
      const conversation = view.conversation(index)
      if (this.#shows(conversation, job.asOfMs)) rows.push(conversation)
    }
    let hasMore = false
    for (let ahead = index; ahead < view.count && !hasMore; ahead++) hasMore = this.#shows(view.conversation(ahead), job.asOfMs)
    const pageToken =
      hasMore && this.#quirks.pageToken === 'rotating' ? this.#place({ export: job, madeAtMs: nowMs, index }) : undefined
    if (this.#quirks.pageToken === 'sticky') place.index = index
    return {
      fromDate: new Date(rows[0]?.startedAtMs ?? job.fromMs).toISOString(),
      toDate: new Date(rows.at(-1)?.startedAtMs ?? job.asOfMs).toISOString(),
      pageRows: rows.length,
      totalRows: job.total,
      hasMore,
      ...(pageToken === undefined ? {} : { pageToken }),
      sessions: rows.map(conversation => this.#session(conversation)),
    }
  }

  #shows(conversation: Conversation, nowMs: number): boolean {
    return this.#account.has(conversation) && isShown(conversation, nowMs, this.#quirks)
  }

  #place(place: ExportPosition): string {
    const token = this.#tokens.uuid()
    this.#places.set(token, place)
    return token
  }

  #session(conversation: Conversation): Record<string, unknown> {
    const { person, messages, events } = conversation
    const channel = this.#account.channelOf(person)
    const count = (sender: WorldMessage['sender']) => messages.filter(message => message.sender === sender).length
    const topics = new Set(events.flatMap(event => (event.kind === 'intent' && !event.fallback ? [event.topic.name] : [])))
    const [user, bot, agent] = [count('user'), count('bot'), count('agent')]
    return {
      variables: this.#variables(conversation),
      sessionDate: new Date(startOf(conversation, this.#quirks)).toISOString(),
      botMessages: bot,
      userHasTalked: this.#quirks.booleans === 'string' ? String(user > 0) : user > 0,
      topics: this.#topics([...topics]),
      sessionId: sessionIdOf(conversation),
      platformContactId: contactIdOf(person, channel),
      userCreationTime: new Date(person.createdAtMs).toISOString(),
      sessionMessages: messages.map(message => this.#message(message)),
      customerId: person.id,
      userMessages: user,
      operatorMessages: agent,
      // The documents' own sample leaves the operator's messages out of this sum.
      sessionMessagesQty: user + bot,
      sessionStartingCause: conversation.cause === 'campaign' ? 'WhatsAppTemplate' : 'Organic',
      channelId: channel.id,
      conversation: `https://go.botmaker.com/#/chats/${person.id}`,
      events: events.flatMap(event => {
        const shown = shownAs(event)
        if (shown === null) return []
        const info = event.kind === 'variable' ? { key: event.name, value: event.value } : (shown.info ?? {})
        return [
          {
            eventName: event.kind === 'variable' ? 'put-var' : shown.name,
            eventCreationTime: new Date(event.atMs).toISOString(),
            info: Object.entries(info).map(([name, value]) => ({
              name,
              value: typeof value === 'string' ? value : JSON.stringify(value),
            })),
          },
        ]
      }),
    }
  }

  #message(message: WorldMessage): Record<string, unknown> {
    const nothing = this.#quirks.nulls === 'everywhere' ? 'null' : null
    const kind = message.attachment?.kind
    const urls = (urlsOf: typeof kind) => {
      if (kind !== urlsOf) return this.#quirks.nulls === 'null' ? null : 'null'
      const url = message.attachment?.url ?? ''
      return this.#quirks.urls === 'array' ? [url] : url
    }
    return {
      creationTime: new Date(message.atMs).toISOString(),
      messageId: message.id,
      messageType: kind === undefined ? 'Text' : `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`,
      message: kind === undefined ? message.text : (message.attachment?.caption ?? nothing),
      msgFrom: message.sender,
      imagesUrls: urls('image'),
      audiosUrls: urls('audio'),
      videosUrls: urls('video'),
      filesUrls: urls('file'),
      ruleName: message.sender === 'bot' ? (message.topic?.name ?? nothing) : nothing,
      operator: message.agent?.name ?? nothing,
      queue: message.queue ?? nothing,
    }
  }

  #topics(topics: readonly string[]): unknown {
    if (this.#quirks.topics === 'map') return Object.fromEntries(topics.map(topic => [topic, true]))
    return topics.map(topic => (this.#quirks.topics === 'strings' ? topic : { topicKey: topic }))
  }

  #variables(conversation: Conversation): unknown {
    const values = new Map<string, string>()
    for (const event of conversation.events) if (event.kind === 'variable') values.set(event.name, event.value)
    if (this.#quirks.variables === 'map') return Object.fromEntries(values)
    return [...values].map(([name, value]) => (this.#quirks.variables === 'strings' ? `${name}:${value}` : { [name]: value }))
  }
}
