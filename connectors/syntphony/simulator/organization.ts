/** One organization with one environment: its names of the bots, channels, flows and conversations of the world. Pure functions of the world. */
import type { Channel } from '../../../src/records.ts'
import { type BotSpec, type Conversation, Random, type World, type WorldMessage } from '../../../src/sim/index.ts'

export interface Organization {
  readonly seed: number
  /** Also the realm. */
  readonly name: string
  readonly orgUuid: string
  readonly envUuid: string
  readonly bots: readonly Bot[]
}

export interface Bot {
  readonly uuid: string
  readonly spec: BotSpec
  readonly channels: ReadonlyMap<Channel, ChannelInfo>
}

export interface ChannelInfo {
  readonly uuid: string
  readonly name: string
  readonly botUuid: string
  readonly description: string
}

const SALT = 62
const CHANNEL_NAMES: Partial<Record<Channel, string>> = { web: 'Web', whatsapp: 'WhatsApp', sms: 'SMS', msteams: 'Teams' }

export function organizationOf(world: World, name: string): Organization {
  const { seed } = world.options
  const uuid = (place: number) => new Random(seed, place, SALT).uuid()
  return {
    seed,
    name,
    orgUuid: uuid(1),
    envUuid: uuid(2),
    bots: world.bots.map((spec, number) => {
      const botUuid = uuid(100 * (number + 1))
      const channels = spec.channels.map(({ name }, place): [Channel, ChannelInfo] => [
        name,
        {
          uuid: uuid(100 * (number + 1) + place + 1),
          name: CHANNEL_NAMES[name] ?? `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
          botUuid,
          description: `${spec.title} on ${name}`,
        },
      ])
      return { uuid: botUuid, spec, channels: new Map(channels) }
    }),
  }
}

export function botOf({ bots }: Organization, conversation: Conversation): Bot {
  return bots.find(({ spec }) => spec.id === conversation.bot.id) as Bot
}

export function channelInfoOf(organization: Organization, conversation: Conversation): ChannelInfo {
  return botOf(organization, conversation).channels.get(conversation.channel) as ChannelInfo
}

export function sessionCodeOf({ seed }: Pick<Organization, 'seed'>, { index }: Conversation): string {
  return new Random(seed, index, 63).uuid()
}

/** The user's key in the customer's own systems. */
export function businessKeyOf({ person }: Conversation): string {
  return person.handle
}

/** Flows in the order of visits; a flow that is entered again is listed again. */
export function flowsOf({ events }: Conversation): string[] {
  const flows = ['Welcome']
  for (const event of events) {
    const flow =
      event.kind === 'intent' && !event.fallback
        ? `Flow ${event.topic.name}`
        : event.kind === 'transfer_requested'
          ? HANDOVER
          : null
    if (flow !== null && flow !== flows.at(-1)) flows.push(flow)
  }
  return flows
}

/** The name of the flow, and of the answer, that hands over to a person. */
export const HANDOVER = 'Agent handover'

/** The answer that hands the conversation over to a person: given when one is requested. null: none, as far as is known. */
export function handoverOf({ messages, events }: Conversation): WorldMessage | null {
  const asked = events.find(({ kind }) => kind === 'transfer_requested')
  return (asked && messages.findLast(({ sender, atMs }) => sender === 'bot' && atMs <= asked.atMs)) ?? null
}

/** Name of the answer to a message of the user; null: it has none, or there is no answer. */
export function answerNameOf(conversation: Conversation, answer: WorldMessage | undefined): string | null {
  if (answer !== undefined && answer.id === handoverOf(conversation)?.id) return HANDOVER
  return answer?.topic ? `Answer ${answer.topic.id}` : null
}

export function tagsOf({ seed }: Pick<Organization, 'seed'>, { events }: Conversation): { name: string; uuid: string }[] {
  const names = new Set(events.flatMap(event => (event.kind === 'tag' ? [event.name] : [])))
  return [...names].map(name => ({ name, uuid: new Random(seed, sumOf(name), 64).uuid() }))
}

export function satisfactionOf({ events }: Conversation): number | null {
  const rating = events.findLast(event => event.kind === 'satisfaction')
  return rating?.kind === 'satisfaction' ? rating.score : null
}

/** Seconds from the start to the newest message, rounded down. */
export function durationOf({ startedAtMs, messages }: Conversation, toldStartMs = startedAtMs): number {
  return Math.max(0, Math.floor(((messages.at(-1)?.atMs ?? startedAtMs) - toldStartMs) / 1000))
}

/** What the engine understood in a message of the user; null if it was not asked, or has not answered yet. */
export function understoodIn({ messages, events }: Conversation, message: WorldMessage) {
  if (message.sender !== 'user') return null
  const nextAtMs = messages.find(({ atMs }) => atMs > message.atMs)?.atMs ?? Infinity
  const event = events.find(({ kind, atMs }) => kind === 'intent' && atMs > message.atMs && atMs <= nextAtMs)
  return event?.kind === 'intent'
    ? { name: event.fallback ? 'none' : event.topic.id.toUpperCase(), missed: event.fallback, confidence: event.confidence }
    : null
}

/** The list of messages leaves out images, gifs, videos and documents. */
export function isListed(message: WorldMessage): boolean {
  return message.sender === 'user' && (message.attachment === null || message.attachment.kind === 'audio')
}

export function wordsOf(message: WorldMessage): string {
  return message.attachment?.url ?? message.text
}

function sumOf(text: string): number {
  let sum = 7
  for (let place = 0; place < text.length; place++) sum = (Math.imul(sum, 31) + text.charCodeAt(place)) | 0
  return sum >>> 0
}
