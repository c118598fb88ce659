import { COUNTRIES, FIRST_NAMES, LAST_NAMES } from './words.ts'
import type { BotSpec, Conversation, Incident, Person, PersonState } from './model.ts'
import { Random } from './random.ts'
import { makeConversation } from './timeline.ts'
import type { Channel } from '../records.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

export interface WorldOptions {
  readonly seed: number
  /** Conversations that start in `[fromMs, untilMs)`. */
  readonly sessions: number
  readonly fromMs: number
  readonly untilMs: number
  /** From `liveFromMs` on, this many conversations start a minute, each 30 s to 5 min long, without end. Default 0: none. */
  readonly livePerMinute?: number
  /** Default `untilMs`, and never before it. */
  readonly liveFromMs?: number
  readonly bots?: readonly BotSpec[]
  /** Default: two hours on one channel in the history, and nine minutes on it soon after `liveFromMs`. */
  readonly incidents?: readonly Incident[]
  /** Share of conversations that ask for a person, outside incidents. */
  readonly transferShare?: number
  readonly neverClosedShare?: number
  /** Share of conversations whose person was there before. */
  readonly returningShare?: number
  /** How many conversations stay in memory, about 15 kB each; the others are computed again on demand. Default 4096. */
  readonly kept?: number
}

/**
 * The complete conversations. Conversation `index` is a function of the options and the index only; they are ordered by their start, no two starting in the
 * same millisecond of the history.
 */
export interface World {
  readonly options: Required<WorldOptions>
  readonly bots: readonly BotSpec[]
  /** The conversation in its final state. */
  conversation(index: number): Conversation
  /** The world as it is known at `nowMs`. */
  at(nowMs: number): WorldView
}

/** What is known at one moment: started conversations, with the messages and events up to then. */
export interface WorldView {
  readonly nowMs: number
  /** How many conversations have started. */
  readonly count: number
  /** Index of the first conversation that starts at or after `ms`; `count` when none has. */
  indexAt(ms: number): number
  /** @throws RangeError when it has not started yet. */
  conversation(index: number): Conversation
  /** Whether it is final. For caches between requests; the future must not show. */
  isOver(index: number): boolean
  /** Those that start in `[fromMs, untilMs)`, in that order. */
  between(fromMs: number, untilMs: number): Generator<Conversation, void, undefined>
  /** What is known of the person of a conversation. */
  person(key: number): PersonState
  /** The state of `person(key)` stays the same until then, as far as its conversations up to now can show; Infinity: they are over. */
  personChangesAtMs(key: number): number
  /** Indices of a person's conversations, newest first. */
  conversationsOf(key: number): number[]
}

const SALT = { root: 1, person: 2, conversation: 3, start: 4 } as const
const RECENT = 4000

export function createWorld(options: WorldOptions): World {
  const all = withDefaults(options)
  const { seed, sessions, bots } = all
  const starts = historyStarts(all)
  const spacingMs = all.livePerMinute > 0 ? MINUTE / all.livePerMinute : Infinity
  const people = new People(all, startOf)
  const kept: (Conversation | undefined)[] = Array.from({ length: all.kept })

  function startOf(index: number): number {
    if (index < sessions) return starts[index] as number
    const slot = index - sessions
    return all.liveFromMs + Math.floor((slot + new Random(seed, index, SALT.start).between(0, 0.9)) * spacingMs)
  }

  /** How many start before `ms`. */
  function countBefore(ms: number): number {
    let low = 0
    let high = sessions
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((starts[middle] as number) < ms) low = middle + 1
      else high = middle
    }
    if (low < sessions || spacingMs === Infinity || ms <= all.liveFromMs) return low
    const slot = Math.floor((ms - all.liveFromMs) / spacingMs)
    let index = sessions + slot
    while (index > sessions && startOf(index - 1) >= ms) index--
    while (startOf(index) < ms) index++
    return index
  }

  function conversation(index: number): Conversation {
    if (!Number.isInteger(index) || index < 0 || (index >= sessions && spacingMs === Infinity))
      throw new RangeError(`the world has no conversation ${index}`)
    const known = kept[index % all.kept]
    if (known?.index === index) return known
    const person = people.of(index)
    const startedAtMs = startOf(index)
    const made = makeConversation(new Random(seed, index, SALT.conversation), {
      index,
      person,
      startedAtMs,
      pace: index < sessions ? 'life' : 'demo',
      transferShare: incidentAt(all.incidents, startedAtMs, person.channel)?.transferShare ?? all.transferShare,
      neverClosedShare: all.neverClosedShare,
    })
    kept[index % all.kept] = made
    return made
  }

  function at(nowMs: number): WorldView {
    const count = countBefore(nowMs + 1)
    const view: WorldView = {
      nowMs,
      count,
      indexAt: ms => (ms > nowMs ? count : countBefore(ms)),
      conversation(index) {
        if (index >= count) throw new RangeError(`conversation ${index} has not started at ${nowMs}`)
        return asKnown(conversation(index), nowMs)
      },
      isOver: index => conversation(index).lastAtMs <= nowMs,
      *between(fromMs, untilMs) {
        const until = view.indexAt(untilMs)
        for (let index = view.indexAt(fromMs); index < until; index++) yield view.conversation(index)
      },
      conversationsOf: key => people.conversationsOf(key, count),
      person(key) {
        return stateOf(view.conversationsOf(key).map(index => view.conversation(index)))
      },
      personChangesAtMs(key) {
        let changesAtMs = Infinity
        for (const index of view.conversationsOf(key)) {
          const { messages, events, lastAtMs } = conversation(index)
          if (lastAtMs <= nowMs) continue
          for (const { atMs } of [...messages, ...events]) if (atMs > nowMs && atMs < changesAtMs) changesAtMs = atMs
        }
        return changesAtMs
      },
    }
    return view
  }

  return { options: all, bots, conversation, at }
}

/**
 * Calls `make` once for each conversation for as long as the world keeps it: simulators return the same ones in request after request.
 *
 * @param make A function of the conversation only, as far as it is known: not of the moment.
 */
export function onceEach<T extends object | null>(make: (conversation: Conversation) => T): (conversation: Conversation) => T {
  const made = new WeakMap<Conversation, T>()
  return conversation => {
    let value = made.get(conversation)
    if (value === undefined) {
      value = make(conversation)
      made.set(conversation, value)
    }
    return value
  }
}

interface Part {
  readonly conversation: Conversation
  /** It is the part that is known in `[fromMs, untilMs)`. */
  readonly fromMs: number
  readonly untilMs: number
}

/** By the whole conversation, the part requested last. */
const parts = new WeakMap<Conversation, Part>()

/** The part of a conversation that had happened by `nowMs`: the same object for as long as nothing more has, and the whole when that is all of it. */
function asKnown(whole: Conversation, nowMs: number): Conversation {
  if (whole.lastAtMs <= nowMs) return whole
  let part = parts.get(whole)
  if (part === undefined || nowMs < part.fromMs || nowMs >= part.untilMs) {
    part = partAt(whole, nowMs)
    parts.set(whole, part)
  }
  return part.conversation
}

function partAt(whole: Conversation, nowMs: number): Part {
  const messages = whole.messages.filter(({ atMs }) => atMs <= nowMs)
  const events = whole.events.filter(({ atMs }) => atMs <= nowMs)
  const closedAtMs = whole.closedAtMs !== null && whole.closedAtMs <= nowMs ? whole.closedAtMs : null
  const lastAtMs = Math.max(whole.startedAtMs, messages.at(-1)?.atMs ?? 0, events.at(-1)?.atMs ?? 0)
  const comeMs = [...whole.messages, ...whole.events].flatMap(({ atMs }) => (atMs > nowMs ? [atMs] : []))
  return {
    conversation: { ...whole, messages, events, closedAtMs, lastAtMs },
    fromMs: Math.max(lastAtMs, closedAtMs ?? 0),
    untilMs: Math.min(...comeMs, closedAtMs === null ? (whole.closedAtMs ?? Infinity) : Infinity),
  }
}

/** @param conversations Of one person, newest first, as known. */
function stateOf(conversations: readonly Conversation[]): PersonState {
  const newest = conversations[0] as Conversation
  const tags = new Set<string>()
  const variables: Record<string, string> = {}
  let lastUserMessageAtMs: number | null = null
  const steps = conversations.flatMap(({ events }) => events).sort((a, b) => a.atMs - b.atMs)
  for (const event of steps) {
    if (event.kind === 'tag') tags.add(event.name)
    if (event.kind === 'variable') variables[event.name] = event.value
  }
  for (const { messages } of conversations)
    for (const { sender, atMs } of messages)
      if (sender === 'user') lastUserMessageAtMs = Math.max(lastUserMessageAtMs ?? atMs, atMs)
  let queue: string | null = null
  let agent: PersonState['agent'] = null
  if (newest.closedAtMs === null)
    for (const event of newest.events) {
      if (event.kind === 'transfer_requested') queue = event.queue
      if (event.kind === 'transferred') agent = event.agent
    }
  return {
    person: newest.person,
    conversations: conversations.length,
    lastStartedAtMs: newest.startedAtMs,
    lastUserMessageAtMs,
    tags: [...tags],
    variables,
    queue,
    agent,
  }
}

/** Assigns conversations to people. Filled in order of index, because a returning person is one of those before. */
class People {
  readonly #options: Required<WorldOptions>
  readonly #startOf: (index: number) => number
  #known = 0
  /** By index: the person's first conversation, and the one before this. */
  #root = new Int32Array(1024)
  #previous = new Int32Array(1024)
  /** By a first conversation: the newest. */
  #newest = new Int32Array(1024)

  constructor(options: Required<WorldOptions>, startOf: (index: number) => number) {
    this.#options = options
    this.#startOf = startOf
  }

  of(index: number): Person {
    return this.#person(this.#rootOf(index))
  }

  conversationsOf(key: number, count: number): number[] {
    if (count > 0) this.#rootOf(count - 1)
    const found: number[] = []
    for (let index = this.#newest[this.#rootOf(key)] as number; index >= 0; index = this.#previous[index] as number)
      if (index < count) found.push(index)
    return found
  }

  #rootOf(index: number): number {
    while (this.#known <= index) this.#add()
    return this.#root[index] as number
  }

  #add() {
    const index = this.#known
    if (index === this.#root.length) {
      this.#root = twice(this.#root)
      this.#previous = twice(this.#previous)
      this.#newest = twice(this.#newest)
    }
    const random = new Random(this.#options.seed, index, SALT.root)
    const returning = index > 0 && random.chance(this.#options.returningShare)
    const root = returning ? (this.#root[index - random.int(1, Math.min(index, RECENT))] as number) : index
    this.#root[index] = root
    this.#previous[index] = returning ? (this.#newest[root] as number) : -1
    this.#newest[root] = index
    this.#known++
  }

  #person(key: number): Person {
    const { seed, bots, fromMs } = this.#options
    const random = new Random(seed, key, SALT.person)
    const bot = random.weighted(bots)
    const channel = random.weighted(bot.channels).name
    const firstName = random.pick(FIRST_NAMES)
    const lastName = random.pick(LAST_NAMES)
    const email = `${plain(firstName)}.${plain(lastName)}.${key}@example.com`
    const startedAtMs = this.#startOf(key)
    return {
      key,
      id: random.id(20),
      firstName,
      lastName,
      email,
      country: random.pick(COUNTRIES),
      handle: handleOn(channel, random, email),
      createdAtMs: random.chance(0.3) ? fromMs - random.int(DAY, 400 * DAY) : startedAtMs,
      bot,
      channel,
      language: random.weighted(bot.languages).code,
      isTest: random.chance(0.015),
    }
  }
}

function twice(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2)
  larger.set(array)
  return larger
}

function plain(name: string): string {
  return name
    .normalize('NFD')
    .replaceAll(/[^a-zA-Z]/g, '')
    .toLowerCase()
}

function handleOn(channel: Channel, random: Random, email: string): string {
  // +999 is assigned to no country.
  if (channel === 'whatsapp' || channel === 'sms' || channel === 'voice') return `999${random.int(100_000_000, 999_999_999)}`
  if (channel === 'email') return email
  if (channel === 'web') return random.id(26)
  return String(random.int(10_000_000, 99_999_999)) + String(random.int(1_000_000, 9_999_999))
}

function incidentAt(incidents: readonly Incident[], ms: number, channel: Channel): Incident | undefined {
  return incidents.find(
    incident => incident.fromMs <= ms && ms < incident.untilMs && (incident.channel === null || incident.channel === channel),
  )
}

/** The starts of the history, ascending: as many as requested, spread over the days as people come (independently of each other). */
function historyStarts(options: Required<WorldOptions>): Float64Array {
  const { seed, sessions, fromMs, untilMs, incidents } = options
  const starts = new Float64Array(sessions)
  if (sessions === 0) return starts
  if (untilMs - fromMs < sessions * 2) throw new RangeError('the history is too short for so many conversations')
  const stepMs = Math.min(5 * MINUTE, untilMs - fromMs)
  const steps = Math.ceil((untilMs - fromMs) / stepMs)
  const below = new Float64Array(steps + 1)
  for (let step = 0; step < steps; step++) {
    const ms = fromMs + step * stepMs
    const volume = incidents.find(incident => incident.fromMs <= ms && ms < incident.untilMs)?.volume ?? 1
    below[step + 1] = (below[step] as number) + rhythm(ms) * volume * Math.min(1, (untilMs - ms) / stepMs)
  }
  const total = below[steps] as number
  const random = new Random(seed, sessions, SALT.start)
  for (let index = 0; index < sessions; index++) starts[index] = random.next() * total
  starts.sort()
  let step = 0
  let last = fromMs - 1
  for (let index = 0; index < sessions; index++) {
    const place = starts[index] as number
    while ((below[step + 1] as number) <= place) step++
    const share = (place - (below[step] as number)) / ((below[step + 1] as number) - (below[step] as number))
    const end = Math.min(untilMs, fromMs + (step + 1) * stepMs)
    const start = fromMs + step * stepMs
    last = Math.max(last + 1, Math.floor(start + share * (end - start)))
    starts[index] = last
  }
  // The shifts above may have pushed the last ones over the end.
  for (let index = sessions - 1, most = untilMs - 1; index >= 0 && (starts[index] as number) > most; index--, most--)
    starts[index] = most
  return starts
}

/** Traffic level, 0.1 to 1: low at night (UTC), highest in the afternoon, lower at weekends. */
function rhythm(ms: number): number {
  const hour = (ms % DAY) / HOUR
  const day = (Math.floor(ms / DAY) + 4) % 7
  const byHour = 0.55 - 0.45 * Math.cos(((hour - 4) / 24) * 2 * Math.PI)
  return byHour * (day === 0 || day === 6 ? 0.6 : 1)
}

function withDefaults(options: WorldOptions): Required<WorldOptions> {
  const { fromMs, untilMs } = options
  const livePerMinute = options.livePerMinute ?? 0
  const liveFromMs = Math.max(options.liveFromMs ?? untilMs, untilMs)
  const incidentFromMs = fromMs + Math.floor(((untilMs - fromMs) * 0.7) / HOUR) * HOUR
  const usual: Incident = {
    fromMs: incidentFromMs,
    untilMs: incidentFromMs + 2 * HOUR,
    channel: 'whatsapp',
    transferShare: 0.65,
    volume: 1.8,
  }
  // Long and strong enough for an alert within minutes: transfers become known some minutes after their session began.
  const soon: Incident = { ...usual, fromMs: liveFromMs + MINUTE, untilMs: liveFromMs + 10 * MINUTE, transferShare: 0.85 }
  return {
    ...options,
    livePerMinute,
    liveFromMs,
    bots: options.bots ?? BOTS,
    incidents: options.incidents ?? (livePerMinute > 0 ? [usual, soon] : [usual]),
    transferShare: options.transferShare ?? 0.18,
    neverClosedShare: options.neverClosedShare ?? 0.14,
    returningShare: options.returningShare ?? 0.5,
    kept: options.kept ?? 4096,
  }
}

export const BOTS: readonly BotSpec[] = [
  {
    id: 'orders',
    title: 'Order desk',
    weight: 5,
    languages: [
      { code: 'es', weight: 7 },
      { code: 'pt', weight: 3 },
    ],
    channels: [
      { name: 'whatsapp', weight: 5 },
      { name: 'web', weight: 3 },
      { name: 'instagram', weight: 1 },
      { name: 'messenger', weight: 1 },
    ],
    topics: [
      { id: 'track', name: 'envío' },
      { id: 'invoice', name: 'factura' },
      { id: 'return', name: 'devolución' },
      { id: 'identity', name: 'Identidad' },
      { id: 'home-delivery', name: 'compras a domicilio' },
    ],
    queues: ['ventas', 'devoluciones'],
  },
  {
    id: 'support',
    title: 'Technical support',
    weight: 3,
    languages: [{ code: 'en', weight: 1 }],
    channels: [
      { name: 'web', weight: 5 },
      { name: 'whatsapp', weight: 2 },
      { name: 'messenger', weight: 2 },
      { name: 'telegram', weight: 1 },
    ],
    topics: [
      { id: 'login', name: 'login' },
      { id: 'router', name: 'router light' },
      { id: 'outage', name: 'outage map' },
      { id: 'plan', name: 'change of plan' },
    ],
    queues: ['first level', 'second level', 'outages'],
  },
  {
    id: 'bookings',
    title: 'Bookings',
    weight: 2,
    languages: [
      { code: 'de', weight: 4 },
      { code: 'fr', weight: 4 },
      { code: 'en', weight: 2 },
    ],
    channels: [
      { name: 'web', weight: 5 },
      { name: 'whatsapp', weight: 3 },
      { name: 'telegram', weight: 2 },
    ],
    topics: [
      { id: 'reserve', name: 'reservation' },
      { id: 'cancel', name: 'cancellation' },
      { id: 'hours', name: 'opening hours' },
    ],
    queues: ['front desk'],
  },
]
