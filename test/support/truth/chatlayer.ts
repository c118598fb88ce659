/**
 * What the topics must hold of a world that Chatlayer has shown, with the default config, worked out from the world itself and the vendor's documents,
 * not from the connector, nor from the simulator's answers.
 */
import {
  BINS,
  channelTypeOf,
  type ChatlayerSimulator,
  conversationIdOf,
  GAP_MS,
  histogram,
  measured,
  OFFLOAD,
  OFFLOADING_OPENED,
  type Part,
  partsOf,
  type Stat,
  type TrackingEvent,
  trackingEventsOf,
  transitionsOf,
  type Version,
} from '../../../connectors/chatlayer/simulator.ts'
import type { Conversation } from '../../../src/sim/index.ts'
import type { Truth } from '../../../src/conformance/index.ts'
import { channelOf, contentId } from '../../../src/source/index.ts'
import type { Event } from '../../../src/records.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const EVENTS_LAG = 60_000
const STATS: readonly Stat[] = ['num_conversations', 'duration_seconds', 'num_messages']

export interface Reading {
  /** `start.at`: nothing that lies before is read. */
  readonly fromMs: number
  readonly versions: readonly Version[]
}

export function truthOf(simulator: ChatlayerSimulator, nowMs: number, of: Reading): Truth {
  const tracked = trackedBy(simulator, nowMs, of)
  const handOvers = handOversBy(simulator, tracked, nowMs, of)
  return {
    sessions: sessionsOf(tracked, handOvers, nowMs),
    messages: [],
    events: [
      ...tracked.map(eventOf),
      ...handOvers.map(({ event }) => event),
      ...flowsOf(simulator, tracked, nowMs, of),
      ...pointsOf(simulator, nowMs, of).map(({ value: _value, ...point }) => point),
    ],
  }
}

function* known({ world, team }: ChatlayerSimulator, nowMs: number, { versions }: Reading): Generator<Conversation> {
  const view = world.at(nowMs)
  for (let index = 0; index < view.count; index++) {
    const conversation = view.conversation(index)
    if (team.has(conversation) && versions.includes(team.versionOf(conversation))) yield conversation
  }
}

function botOf(botId: string, version: Version): string {
  return version === 'LIVE' ? botId : `${botId}@DRAFT`
}

function trackedBy(simulator: ChatlayerSimulator, nowMs: number, of: Reading): TrackingEvent[] {
  return [...known(simulator, nowMs, of)]
    .flatMap(conversation => trackingEventsOf(conversation, simulator.team, simulator.quirks))
    .filter(({ atMs, visibleAtMs }) => of.fromMs <= atMs && visibleAtMs <= nowMs && atMs < nowMs - EVENTS_LAG)
}

function eventOf({ id, event, botId, version, userId, channelType, atMs }: TrackingEvent): Partial<Event> {
  return {
    event_id: `${encodeURIComponent(botId)}@${version}/${id}@${new Date(atMs).toISOString()}`,
    bot_id: botOf(botId, version),
    type: 'other',
    name: event,
    occurred_at: atMs,
    occurred_at_estimated: false,
    channel: channelOf(channelType),
    user_id: userId,
  }
}

interface HandOver {
  readonly thread: string
  readonly atMs: number
  readonly event: Partial<Event>
}

/** "Send to offload provider", and the dialog of it that says that agents are there: reached within 15 minutes of an event, where they are looked for. */
function handOversBy(simulator: ChatlayerSimulator, tracked: readonly TrackingEvent[], nowMs: number, of: Reading): HandOver[] {
  const { world, team, quirks } = simulator
  const seen = Map.groupBy(tracked, threadOf)
  return [...known(simulator, nowMs, of)].flatMap(({ index }) => {
    const conversation = world.conversation(index)
    const { bot, channel, person } = conversation
    const version = team.versionOf(conversation)
    const id = conversationIdOf(conversation, team, quirks)
    const thread = threadOf({ botId: bot.id, version, conversationId: id })
    const events = seen.get(thread) ?? []
    return transitionsOf(conversation)
      .filter(({ to, atMs }) => [OFFLOAD.id, OFFLOADING_OPENED.id].includes(to.id) && atMs <= nowMs)
      .filter(({ atMs }) => events.some(event => Math.abs(event.atMs - atMs) <= GAP_MS))
      .map(({ id: transition, to, atMs }) => ({
        thread,
        atMs,
        event: {
          event_id: `${encodeURIComponent(bot.id)}@${version}/step/${contentId(bot.id, version, id, transition, atMs)}/agent_transferred`,
          bot_id: botOf(bot.id, version),
          type: 'agent_transferred' as const,
          name: to.id,
          occurred_at: atMs,
          occurred_at_estimated: false,
          channel: channelOf(channelTypeOf(channel)),
          user_id: person.id,
        },
      }))
  })
}

function threadOf(of: { readonly botId: string; readonly version: Version; readonly conversationId: string | null }): string {
  return JSON.stringify([of.botId, of.version, of.conversationId])
}

/** A conversation that rests for longer than 15 minutes is over. Ids are left out: they depend on which event was seen first. */
function sessionsOf(tracked: readonly TrackingEvent[], handOvers: readonly HandOver[], nowMs: number): Truth['sessions'] {
  const threads = Map.groupBy(
    tracked.filter(({ conversationId }) => conversationId !== null),
    threadOf,
  )
  return [...threads].flatMap(([key, thread]) => {
    const of = thread[0] as TrackingEvent
    const handed = handOvers.filter(({ thread }) => thread === key).map(({ atMs }) => ({ ...of, atMs, isHandOver: true }))
    const turns = [...thread.map(event => ({ ...event, isHandOver: false })), ...handed]
    const sessions: (typeof turns)[] = []
    for (const turn of turns.toSorted((a, b) => a.atMs - b.atMs)) {
      const session = sessions.at(-1)
      if (session === undefined || turn.atMs - (session.at(-1) as TrackingEvent).atMs > GAP_MS) sessions.push([turn])
      else session.push(turn)
    }
    return sessions.map(events => {
      const [first, last] = [events[0] as TrackingEvent, events.at(-1) as TrackingEvent]
      const transferredAtMs = events.find(({ isHandOver }) => isHandOver)?.atMs ?? null
      const over = last.atMs + GAP_MS < nowMs - EVENTS_LAG
      return {
        bot_id: botOf(first.botId, first.version),
        started_at: first.atMs,
        ended_at: over ? last.atMs : null,
        ended_at_estimated: over,
        status: over ? ('CLOSED' as const) : ('OPEN' as const),
        containment: transferredAtMs === null ? ('UNKNOWN' as const) : ('AGENT' as const),
        transferred_at: transferredAtMs,
        channel: channelOf(first.channelType) ?? 'other',
        channel_raw: first.channelType,
        user_id: first.userId,
        is_test: first.version === 'DRAFT',
        user_messages: null,
        bot_messages: null,
        agent_messages: null,
      }
    })
  })
}

/** Transitions within an hour of an event of their conversation, where it was seen: there is no other way to learn of a conversation. */
function flowsOf(simulator: ChatlayerSimulator, tracked: readonly TrackingEvent[], nowMs: number, of: Reading): Partial<Event>[] {
  const { world, team, quirks } = simulator
  const seen = Map.groupBy(
    tracked.filter(({ atMs }) => atMs < nowMs - EVENTS_LAG - GAP_MS),
    ({ botId, version, conversationId }) => `${botId} ${version} ${conversationId}`,
  )
  return [...known(simulator, nowMs, of)].flatMap(({ index }) => {
    const conversation = world.conversation(index)
    const { bot, channel, person } = conversation
    const version = team.versionOf(conversation)
    const id = conversationIdOf(conversation, team, quirks)
    const events = seen.get(`${bot.id} ${version} ${id}`) ?? []
    return transitionsOf(conversation)
      .filter(({ atMs }) => atMs <= nowMs && events.some(event => event.atMs - HOUR <= atMs && atMs < event.atMs + HOUR))
      .map(transition => ({
        event_id: contentId(bot.id, version, id, transition.id, transition.atMs),
        bot_id: botOf(bot.id, version),
        type: 'flow_transition' as const,
        name: 'flow_transition',
        occurred_at: transition.atMs,
        occurred_at_estimated: false,
        channel: channelOf(channelTypeOf(channel)),
        user_id: person.id,
      }))
  })
}

/**
 * Every point of every series, with its value: of hours, days and bins that ended, and have settled. Where the vendor leaves out buckets in which no
 * series of an answer has anything, there are none of those.
 */
export function pointsOf(
  simulator: ChatlayerSimulator,
  nowMs: number,
  of: Reading,
): (Partial<Event> & { readonly value: number })[] {
  const { team, quirks } = simulator
  const both: Reading = { ...of, versions: ['LIVE', 'DRAFT'] }
  const parts = [...known(simulator, nowMs, both)].flatMap(conversation => partsOf(conversation, team))
  const counted = (times: readonly number[], startMs: number, endMs: number) => {
    const count = times.filter(atMs => startMs <= atMs && atMs < endMs && atMs <= nowMs).length
    return count > 0 && nowMs < endMs + quirks.correctedAfterMs ? count - 1 : count
  }
  const point = (told: Told): Partial<Event> & { value: number } => ({
    event_id: contentId(
      told.endpoint,
      told.scope,
      told.bucket,
      told.groupBy,
      told.stat ?? null,
      JSON.stringify(told.labels ?? {}),
      told.bin === undefined ? told.atMs : `${told.atMs} ${told.bin}`,
    ),
    bot_id: told.botId,
    type: 'metric_point',
    name: told.endpoint,
    occurred_at: told.atMs,
    occurred_at_estimated: told.bin !== undefined,
    channel: channelOf(told.labels?.['channel_type']),
    user_id: null,
    value: told.value,
  })
  const shown = <P extends { readonly value: number }>(answer: readonly P[]): readonly P[] =>
    quirks.emptyBuckets === 'left out' && answer.every(({ value }) => value === 0) ? [] : answer
  const startsOf = (some: readonly Part[]) => some.map(({ startMs }) => startMs)

  const ofBots = team.bots.flatMap(bot =>
    of.versions.flatMap(version => {
      const mine = parts.filter(part => part.botId === bot.id && part.version === version)
      const base = { scope: `${bot.id}@${version}`, botId: botOf(bot.id, version) }
      const hours = endsBetween(HOUR, of.fromMs, nowMs - 2 * HOUR).flatMap(endMs => {
        const atMs = endMs - HOUR
        const hour = { ...base, bucket: '1h', atMs }
        const sent = counted(
          mine.flatMap(part => part.messages),
          atMs,
          endMs,
        )
        return [
          ...shown(
            bot.channels.map(({ name }) => {
              const channel_type = channelTypeOf(name)
              const starts = startsOf(mine.filter(part => part.channelType === channel_type))
              const value = counted(starts, atMs, endMs)
              return point({ ...hour, endpoint: 'conversations', groupBy: 'channel_type', labels: { channel_type }, value })
            }),
          ),
          ...shown([point({ ...hour, endpoint: 'messages', groupBy: null, value: sent })]),
        ]
      })
      const days = endsBetween(DAY, of.fromMs, nowMs - 2 * HOUR).flatMap(endMs => {
        const atMs = endMs - DAY
        const within = mine.filter(({ startMs }) => atMs <= startMs && startMs < endMs)
        return STATS.flatMap(stat =>
          shown(
            histogram(BINS[stat], measured(stat, within)).map((value, place) => {
              const bin = String(BINS[stat][place])
              return point({ ...base, endpoint: 'conversations/insights', bucket: null, groupBy: null, stat, atMs, bin, value })
            }),
          ),
        )
      })
      return [...hours, ...days]
    }),
  )

  const ofTeam = endsBetween(DAY, of.fromMs, nowMs - DAY).flatMap(endMs =>
    shown(
      team.bots.flatMap(bot =>
        both.versions.flatMap(version =>
          bot.channels.map(({ name }) => {
            const labels = { bot_id: bot.id, bot_version: version, channel_type: channelTypeOf(name) }
            const mine = parts.filter(
              part => part.botId === bot.id && part.version === version && part.channelType === labels.channel_type,
            )
            return point({
              scope: team.id,
              botId: botOf(bot.id, version),
              endpoint: 'teams/conversations',
              bucket: '1d',
              groupBy: 'bot_id,bot_version,channel_type',
              labels,
              atMs: endMs - DAY,
              value: counted(startsOf(mine), endMs - DAY, endMs),
            })
          }),
        ),
      ),
    ),
  )
  return [...ofBots, ...ofTeam]
}

interface Told {
  readonly scope: string
  readonly botId: string
  readonly endpoint: string
  readonly bucket: string | null
  readonly groupBy: string | null
  readonly stat?: Stat
  readonly labels?: Readonly<Record<string, string>>
  readonly atMs: number
  /** Of a histogram. */
  readonly bin?: string
  readonly value: number
}

/** The multiples of `lengthMs` in `(from, until]`. */
function endsBetween(lengthMs: number, fromMs: number, untilMs: number): number[] {
  const ends: number[] = []
  for (let endMs = (Math.floor(fromMs / lengthMs) + 1) * lengthMs; endMs <= untilMs; endMs += lengthMs) ends.push(endMs)
  return ends
}
