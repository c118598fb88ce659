/** Whether the topics hold what the vendors have, each once, and the series what the topics hold. */
import { assertSound, differences, newest, type Read, said } from '../../src/conformance/topics.ts'
import type { Truth } from '../../src/conformance/index.ts'
import type { Event, Message, Session } from '../../src/records.ts'
import type { TopicNames } from '../../src/topics.ts'
import type { IndependentRecord } from '../support/independent/read-topics.ts'
import type { Recount } from '../support/recount.ts'

export interface Finding {
  /** Records of a vendor that are not there, or not as they last were; counts that are too low. */
  readonly lost: number
  /** Records that are there once too often, or that no vendor has; counts that are too high. */
  readonly twice: number
  readonly details: readonly string[]
}

/** A vendor's truth at two times: what it shows goes on while it is read, such as a point for each hour that ends. */
export interface Truths {
  /** When reading was asked for: this must be on the topics. */
  readonly due: Truth
  /** When the topics were read: no more than this may be on them. */
  readonly shown: Truth
}

const SHOWN = 3

export function checkTopics(
  records: readonly IndependentRecord[],
  of: { readonly names: TopicNames; readonly account: string; readonly truths: ReadonlyMap<string, Truths> },
): Finding {
  const { names, account, truths } = of
  const details: string[] = []
  let lost = 0
  let twice = 0
  const add = (what: string, of: { lost?: readonly string[]; twice?: readonly string[] }) => {
    lost += of.lost?.length ?? 0
    twice += of.twice?.length ?? 0
    for (const [word, list] of Object.entries(of))
      if (list.length > 0)
        details.push(`${what}: ${list.length} ${word}, such as ${list.slice(0, SHOWN).join(' and ').slice(0, 1500)}`)
  }
  const rejects = records.filter(({ topic }) => topic === names.rejects)
  add('rejects', { lost: rejects.map(({ value }) => JSON.stringify(value)) })

  const ours = new Set<string>([names.sessions, names.messages, names.events])
  const told = records.filter(({ topic }) => ours.has(topic))
  const strangers = told.filter(record => accountOf(record) !== account)
  add('accounts of earlier rounds', { twice: strangers.map(({ topic, offset, key }) => `${topic}@${offset} ${key}`) })

  for (const [vendor, { due, shown }] of truths) {
    const read = <T>(topic: string): Read<T>[] =>
      told
        .filter(record => record.topic === topic && vendorOf(record) === vendor && accountOf(record) === account)
        .map(({ partition, offset, key, value }) => ({ partition, offset, key: key ?? '', value: value as T | null }))
    const topics = {
      sessions: read<Session>(names.sessions),
      messages: read<Message>(names.messages),
      events: read<Event>(names.events),
      rejects: [],
    }
    try {
      assertSound(topics)
    } catch (error) {
      add(vendor, { twice: [(error as Error).message] })
    }
    add(`${vendor}, repeated`, {
      twice: [
        ...repeats(topics.sessions, session => session.session_key),
        ...repeats(topics.messages, message => message.message_key),
        ...repeats(topics.events, event => event.event_key),
      ],
    })
    const found = {
      sessions: newest(topics.sessions, session => session.session_key),
      messages: newest(topics.messages, message => message.message_key),
      events: newest(topics.events, event => event.event_key),
    }
    for (const kind of ['sessions', 'messages', 'events'] as const) {
      const { missing } = differences<object>(kind, due[kind], found[kind])
      const { extra } = differences<object>(kind, shown[kind], found[kind])
      add(`${vendor}, ${kind} (${due[kind].length})`, { lost: missing, twice: extra })
    }
  }
  return { lost, twice, details }
}

/** Records that say what the record of their key before them said. */
function repeats<T extends object>(records: readonly Read<T>[], keyOf: (record: T) => string): string[] {
  const last = new Map<string, string>()
  const found: string[] = []
  for (const { value } of records) {
    if (value === null) continue
    const key = keyOf(value)
    const words = said(value)
    if (last.get(key) === words) found.push(key)
    last.set(key, words)
  }
  return found
}

/** Keys of sessions and events begin with vendor and account; a null value has nothing else. */
function vendorOf({ key, value }: IndependentRecord): string {
  return (value?.['vendor'] as string | undefined) ?? key?.split(':')[0] ?? ''
}

function accountOf({ key, value }: IndependentRecord): string {
  return (value?.['account'] as string | undefined) ?? key?.split(':')[1] ?? ''
}

export function checkSeries(served: Recount, counted: Recount): Finding {
  const details: string[] = []
  let lost = 0
  let twice = 0
  for (const key of new Set([...served.keys(), ...counted.keys()])) {
    const missing = (counted.get(key) ?? 0) - (served.get(key) ?? 0)
    if (missing === 0) continue
    if (missing > 0) lost++
    else twice++
    if (details.length < SHOWN)
      details.push(`series ${key}: ${served.get(key) ?? 0} served, ${counted.get(key) ?? 0} on the topics`)
  }
  return { lost, twice, details }
}

export function sum(findings: readonly Finding[]): Finding {
  return {
    lost: findings.reduce((all, { lost }) => all + lost, 0),
    twice: findings.reduce((all, { twice }) => all + twice, 0),
    details: findings.flatMap(({ details }) => details),
  }
}
