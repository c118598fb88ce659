import type { Agent, BotSpec, Conversation, Course, MessageKind, Person, Topic, WorldEvent, WorldMessage } from './model.ts'
import { type Random, TRIPLES } from './random.ts'
import { AGENT_NAMES, PHRASES, type Phrases } from './words.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/**
 * Speed of conversations. `life`: minutes to hours, closes up to two days late (98.8 % within one day of the start, all within 46 hours, so that a lookback of
 * two days sees each). `demo`: everything within 30 s to 5 min.
 */
export type Pace = 'life' | 'demo'

export interface TimelineSpec {
  readonly index: number
  readonly person: Person
  readonly startedAtMs: number
  readonly pace: Pace
  readonly transferShare: number
  readonly neverClosedShare: number
}

/** One whole conversation. Draws from `random` only, so it is a function of its seeds. */
export function makeConversation(random: Random, spec: TimelineSpec): Conversation {
  const { person } = spec
  const id = random.id(20)
  const cause = person.channel === 'whatsapp' && random.chance(0.15) ? 'campaign' : 'user'
  const course = courseOf(random, cause, spec.transferShare)
  const line = new Timeline(random, spec)
  if (cause === 'campaign') line.campaign()
  if (course !== 'silent') {
    if (cause === 'user') line.greeting()
    line.turns(course)
    if (course === 'transferred' || course === 'queued') line.handover(course)
    else line.ending(course)
  }
  const closedAtMs = line.close(course)
  return {
    index: spec.index,
    id,
    person,
    bot: person.bot,
    channel: person.channel,
    language: person.language,
    cause,
    course,
    startedAtMs: spec.startedAtMs,
    messages: line.messages,
    events: line.events,
    closedAtMs,
    lastAtMs: line.atMs,
  }
}

function courseOf(random: Random, cause: 'user' | 'campaign', transferShare: number): Course {
  if (cause === 'campaign' && random.chance(0.5)) return 'silent'
  if (random.chance(transferShare)) return random.chance(0.1) ? 'queued' : 'transferred'
  return random.chance(0.28) ? 'abandoned' : 'solved'
}

/** The agents of a bot; the same for every conversation. */
export function agentsOf(bot: BotSpec): readonly Agent[] {
  return AGENT_NAMES.map((name, number) => ({ id: `agent-${bot.id}-${number + 1}`, name }))
}

const SPEED = {
  life: { userMs: 28 * SECOND, agentMs: 55 * SECOND, waitMs: 4 * MINUTE, longestGapMs: 10 * MINUTE, busyMs: 4 * HOUR },
  demo: { userMs: 10 * SECOND, agentMs: 10 * SECOND, waitMs: 8 * SECOND, longestGapMs: 20 * SECOND, busyMs: 150 * SECOND },
} as const

const COLOURS = ['red', 'green', 'blue', 'grey']

class Timeline {
  readonly messages: WorldMessage[] = []
  readonly events: WorldEvent[] = []
  atMs: number
  #topic: Topic
  #queue: string | null = null
  #agent: Agent | null = null
  /** Ids of a conversation share their beginning; the three letters after it are a number, shuffled. */
  readonly #idStart: string
  #ids = 0
  readonly #random: Random
  readonly #spec: TimelineSpec
  readonly #words: Phrases
  readonly #speed: (typeof SPEED)[Pace]

  constructor(random: Random, spec: TimelineSpec) {
    this.#random = random
    this.#idStart = random.id(17)
    this.#spec = spec
    this.#words = PHRASES[spec.person.language] ?? (PHRASES['en'] as Phrases)
    this.#speed = SPEED[spec.pace]
    this.#topic = random.pick(spec.person.bot.topics)
    this.atMs = spec.startedAtMs
  }

  campaign() {
    this.#say('bot', 'template', this.#words.campaign)
    if (this.#random.chance(0.06))
      this.#happen({ kind: 'failure', reason: 'recipient not reachable', messageId: this.messages[0]?.id ?? '' })
  }

  greeting() {
    this.#say('user', 'text', this.#words.hello)
    this.#botThinks()
    this.#say('bot', this.#random.chance(0.4) ? 'buttons' : 'text', this.#words.welcome)
  }

  /** Question and answer, some understood, some not, some with a file. */
  turns(course: Course) {
    const random = this.#random
    const [least, most] = course === 'solved' ? [3, 9] : [2, 7]
    const turns = this.#spec.pace === 'demo' ? random.int(1, 6) : random.int(least, most)
    for (let turn = 0; turn < turns && !this.#late(); turn++) {
      this.#userThinks()
      if (turn > 0 && random.chance(0.2)) this.#topic = random.pick(this.#spec.person.bot.topics)
      const fallback = random.chance(course === 'solved' ? 0.08 : 0.2)
      if (random.chance(0.05)) this.#attach('user', random.pick(['image', 'audio', 'file'] as const))
      else if (random.chance(0.15)) this.#say('user', 'button_click', [this.#topic.name])
      else this.#say('user', 'text', turn === 0 || random.chance(0.5) ? this.#words.ask : this.#words.replies)
      this.atMs += random.int(20, 300)
      this.#happen({
        kind: 'intent',
        topic: this.#topic,
        fallback,
        confidence: Math.round((fallback ? random.between(0.05, 0.45) : random.between(0.55, 0.99)) * 1000) / 1000,
      })
      if (!fallback && random.chance(0.35)) this.#variable()
      this.#botThinks()
      if (fallback) this.#say('bot', 'text', this.#words.unclear)
      else if (random.chance(0.04)) this.#attach('bot', random.pick(['image', 'file', 'video'] as const))
      else this.#say('bot', random.chance(0.2) ? 'buttons' : 'text', this.#words.answer)
      if (!fallback && random.chance(0.12)) this.#happen({ kind: 'tag', name: `topic-${this.#topic.id}` })
    }
  }

  /** Asks for a person; unless nobody comes, one takes over and may pass the conversation on. */
  handover(course: 'transferred' | 'queued') {
    const random = this.#random
    const { bot } = this.#spec.person
    this.#userThinks()
    this.#say('user', 'text', this.#words.wantsPerson)
    this.#botThinks()
    this.#say('bot', 'text', this.#words.handover)
    this.#queue = random.pick(bot.queues)
    this.#happen({ kind: 'transfer_requested', queue: this.#queue })
    if (course === 'queued') return
    this.atMs += Math.ceil(SECOND + Math.min(random.exponential(this.#speed.waitMs), this.#speed.longestGapMs * 3))
    const agents = agentsOf(bot)
    this.#assign(random.pick(agents))
    const turns = this.#spec.pace === 'demo' ? random.int(1, 4) : random.int(1, 6)
    for (let turn = 0; turn < turns && !this.#late(); turn++) {
      this.#agentThinks()
      this.#say('agent', 'text', this.#words.agentSays)
      if (turn === 0) this.#happen({ kind: 'agent_replied', agent: this.#agent as Agent })
      this.#userThinks()
      if (random.chance(0.06)) this.#attach('user', 'image')
      else this.#say('user', 'text', turn + 1 === turns ? this.#words.thanks : this.#words.replies)
      if (turn === 0 && turns > 2 && random.chance(0.12)) this.#assign(random.pick(agents))
    }
    this.#happen({ kind: 'tag', name: 'spoke-to-agent' })
  }

  ending(course: Course) {
    this.#happen({ kind: 'task', topic: this.#topic, done: course === 'solved' })
    if (course !== 'solved' || this.#random.chance(0.4)) return
    this.#userThinks()
    this.#say('user', 'text', this.#words.thanks)
    if (this.#random.chance(0.3)) this.#rate()
  }

  /** Closes now, late, or never; sometimes somebody writes after the close. Returns when it closed. */
  close(course: Course): number | null {
    const random = this.#random
    const { startedAtMs, pace, neverClosedShare } = this.#spec
    if (random.chance(neverClosedShare)) return null
    const byAgent = this.#agent !== null && random.chance(0.7) ? this.#agent : null
    if (pace === 'demo') this.atMs = Math.max(this.atMs + random.int(2 * SECOND, 15 * SECOND), startedAtMs + 30 * SECOND)
    else if (random.chance(0.012)) this.atMs = startedAtMs + DAY + random.int(1, 21 * HOUR)
    else {
      const quietMs = byAgent === null ? 10 * MINUTE + random.exponential(40 * MINUTE) : random.between(5 * SECOND, 3 * MINUTE)
      this.atMs = Math.ceil(Math.min(this.atMs + quietMs, startedAtMs + DAY - random.int(1, 5 * MINUTE)))
    }
    const closedAtMs = this.atMs
    const typification =
      byAgent === null
        ? course === 'solved'
          ? 'resolved by bot'
          : 'timeout'
        : random.pick(['resolved', 'follow-up', 'no answer'])
    this.#happen({ kind: 'closed', typification, by: byAgent })
    if (course !== 'silent' && random.chance(0.015)) {
      this.#agent = null
      this.#queue = null
      this.atMs += random.int(5 * SECOND, pace === 'demo' ? 20 * SECOND : 20 * MINUTE)
      this.#say('user', 'text', this.#words.thanks)
      this.#rate()
    }
    return closedAtMs
  }

  #late(): boolean {
    return this.atMs - this.#spec.startedAtMs > this.#speed.busyMs
  }

  #userThinks() {
    const waitMs = Math.min(2 * SECOND + this.#random.exponential(this.#speed.userMs), this.#speed.longestGapMs)
    this.atMs += Math.ceil(waitMs)
    if (this.#spec.pace === 'life' && this.#random.chance(0.004)) this.atMs += this.#random.int(HOUR, 6 * HOUR)
  }

  #botThinks() {
    this.atMs += this.#random.int(300, 2500)
  }

  #agentThinks() {
    this.atMs += Math.ceil(Math.min(3 * SECOND + this.#random.exponential(this.#speed.agentMs), this.#speed.longestGapMs))
  }

  #assign(agent: Agent) {
    this.#agent = agent
    this.#happen({ kind: 'transferred', queue: this.#queue ?? '', agent })
  }

  #variable() {
    const random = this.#random
    const [name, value] = random.pick([
      ['orderNumber', String(random.int(1000, 99_999))],
      ['colour', random.pick(COLOURS)],
      ['contactEmail', this.#spec.person.email],
      ['note', `side "A": ${random.int(1, 9)}/9`],
    ] as const)
    this.#happen({ kind: 'variable', name, value })
  }

  #rate() {
    this.atMs += this.#random.int(50, 500)
    this.#happen({ kind: 'satisfaction', score: this.#random.int(1, 5) })
  }

  #say(sender: WorldMessage['sender'], kind: MessageKind, phrases: readonly string[]) {
    const text = this.#fill(this.#random.pick(phrases))
    const buttons =
      kind === 'buttons'
        ? this.#spec.person.bot.topics.slice(0, 3).map(topic => topic.name)
        : kind === 'button_click'
          ? [text]
          : []
    this.#push({ sender, kind, text, attachment: null, buttons })
  }

  #attach(sender: WorldMessage['sender'], kind: 'image' | 'audio' | 'video' | 'file') {
    const ending = { image: 'jpg', audio: 'ogg', video: 'mp4', file: 'pdf' }[kind]
    const url = `https://files.example.com/${this.#random.id(12)}.${ending}`
    const caption = this.#random.chance(0.3) ? this.#fill('%t %n') : null
    this.#push({ sender, kind, text: '', attachment: { kind, url, caption }, buttons: [] })
  }

  #push(message: Pick<WorldMessage, 'sender' | 'kind' | 'text' | 'attachment' | 'buttons'>) {
    this.messages.push({
      id: this.#id(),
      atMs: this.atMs,
      ...message,
      topic: message.sender === 'agent' ? null : this.#topic,
      agent: message.sender === 'agent' ? this.#agent : null,
      queue: this.#queue,
    })
  }

  #happen(event: DistributiveOmit<WorldEvent, 'id' | 'atMs'>) {
    this.events.push({ id: this.#id(), atMs: this.atMs, ...event })
  }

  #id(): string {
    this.#ids++
    return `${this.#idStart}${TRIPLES[(this.#ids * 7919) & 0x7fff]}`
  }

  #fill(phrase: string): string {
    return phrase.includes('%') ? phrase.replace('%t', this.#topic.name).replace('%n', String(this.#random.int(2, 9999))) : phrase
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
