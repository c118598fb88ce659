/** The measures of the contract, counted from what stands on the topics, without sessions of tests: plainly, and with none of the aggregator's code. */
import { MEASURES, type Event, type Measure, type Message, type Session } from '../../src/records.ts'
import type { IndependentRecord } from './independent/read-topics.ts'

/** `measure|channel|hour` → value; hours with 0 are left out. */
export type Recount = Map<string, number>

export function recount(
  records: readonly IndependentRecord[],
  names: { sessions: string; messages: string; events: string },
): Recount {
  const counts: Recount = new Map()
  const add = (measure: Measure, channel: string | null, atMs: number, value: number) => {
    if (value === 0) return
    const key = `${measure}|${channel ?? 'other'}|${hourOf(atMs)}`
    counts.set(key, (counts.get(key) ?? 0) + value)
  }
  const newest = new Map<string, Session | null>()
  const counted = new Set<string>()
  const isFirst = (key: string) => counted.size < counted.add(key).size
  for (const record of records) {
    if (record.topic === names.sessions) newest.set(record.key ?? '', record.value as Session | null)
    if (record.topic === names.messages) {
      const message = record.value as unknown as Message
      const measure =
        { USER: 'messages_user', BOT: 'messages_bot', AGENT: 'messages_agent' }[message.sender as string] ?? 'messages_other'
      if (isFirst(`message ${message.message_key}`)) add(measure as Measure, message.channel, message.sent_at, 1)
    }
    if (record.topic === names.events) {
      const event = record.value as unknown as Event
      if (isFirst(`event ${event.event_key}`)) add('events', event.channel, event.occurred_at, 1)
    }
  }
  for (const session of newest.values()) {
    if (session === null || session.is_test === true) continue
    const { channel, started_at, ended_at, transferred_at, containment } = session
    add('sessions', channel, started_at, 1)
    add(`sessions_${containment.toLowerCase()}` as Measure, channel, started_at, 1)
    if (ended_at !== null) {
      add('sessions_ended', channel, ended_at, 1)
      add('duration_ms', channel, ended_at, ended_at - started_at)
    }
    if (transferred_at !== null || containment === 'AGENT')
      add('agent_transfers', channel, transferred_at ?? ended_at ?? started_at, 1)
  }
  return counts
}

/** The same from `/v1/series`, hour by hour and channel by channel, for every measure. */
export async function asServed(
  ask: (query: Record<string, string>) => Promise<SeriesData>,
  fromMs: number,
  untilMs: number,
): Promise<Recount> {
  const counts: Recount = new Map()
  for (const measure of MEASURES) {
    const range = { from: new Date(fromMs).toISOString(), until: new Date(untilMs).toISOString() }
    const { data } = await ask({ measure, bucket: '1h', group_by: 'channel', ...range })
    for (const { labels, values } of data.series)
      for (const [index, value] of values.entries())
        if (value !== null && value !== 0)
          counts.set(`${measure}|${labels['channel']}|${hourOf(Date.parse(data.x_values[index] ?? ''))}`, value)
  }
  return counts
}

interface SeriesData {
  readonly data: {
    readonly series: readonly { readonly labels: Record<string, string>; readonly values: readonly (number | null)[] }[]
    readonly x_values: readonly string[]
  }
}

function hourOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 13)
}
