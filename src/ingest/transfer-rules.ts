/**
 * `transfer.rules` applied to the drafts of one row, in the one row path: a record that a rule matches gets an event of the rule's type beside it, and
 * `agent_transferred` makes the session of the row AGENT. See `Transfers` for the rules themselves.
 *
 * Everything here follows from the row alone, so that a row that is read again gives the same events with the same ids, and a session's time of
 * transfer does not move while the messages that it comes from stay.
 */
import { type Event, eventKeyOf } from '../records.ts'
import { contentId } from '../source/content-id.ts'
import type { Draft } from '../source/contract.ts'
import { type Said, TRANSFER_TYPES, type Transfers, type TransferSource, type TransferType } from '../source/transfers.ts'

/** What matched in one record: the types, each with the name of its event. */
type Matched = ReadonlyMap<TransferType, string>

const SAID = ['event', 'flow', 'step', 'tag', 'answer', 'intent'] as const satisfies readonly (keyof Said)[]

/**
 * The drafts with what the rules add to them. Changes sessions in place.
 *
 * @param publishedId Of a session, as it leaves the door: ids of events are made of it, so that they tell nothing that is masked.
 */
export function applyTransfers(
  drafts: readonly Draft[],
  rules: Transfers,
  publishedId: (sessionId: string) => string,
): readonly Draft[] {
  const bare = drafts.some(draft => draft.said !== undefined) ? drafts.map(withoutSaid) : drafts
  if (rules.isEmpty) return bare
  const all: Draft[] = [...bare]
  const told = eventsIn(drafts)
  for (const draft of drafts) {
    const matched = matchedBy(draft, rules)
    for (const [type, name] of matched) {
      if (type === 'agent_transferred') transferSession(draft, drafts)
      if (draft.said?.isTimeDue === true && draft.said.atMs === null) continue
      const place = placeOf(draft, type)
      const by = told.get(place)
      // The connector made this event itself, or a record of another kind did that stands for the same moment.
      if (by !== undefined && by !== draft.kind) continue
      told.set(place, draft.kind)
      all.push({ kind: 'event', record: eventOf(draft, type, name, publishedId) })
    }
  }
  return all
}

/** When the row's conversation was handed to a person, by the rules: the earliest message or event that says so, epoch milliseconds. */
export function transferredAt(drafts: readonly Draft[], rules: Transfers): number | null {
  if (rules.isEmpty) return null
  let leastMs: number | null = null
  for (const draft of drafts) {
    const atMs = timeOf(draft)
    if (atMs === null || (leastMs !== null && atMs >= leastMs)) continue
    if (matchedBy(draft, rules).has('agent_transferred')) leastMs = atMs
  }
  return leastMs
}

function withoutSaid(draft: Draft): Draft {
  if (draft.kind === 'session') return { kind: 'session', record: draft.record }
  return draft.kind === 'message' ? { kind: 'message', record: draft.record } : { kind: 'event', record: draft.record }
}

function matchedBy(draft: Draft, rules: Transfers): Matched {
  const matched = new Map<TransferType, string>()
  const look = (source: TransferSource, text: string | null | undefined, name: string = source) => {
    for (const type of rules.matches(source, text)) if (!matched.has(type)) matched.set(type, name)
  }
  const { kind, record, said } = draft
  if (kind === 'message') {
    look('message.type', record.type)
    look('message.text', record.text)
    look('intent', record.intent)
  } else if (kind === 'event') look('event', record.name, record.name)
  else {
    for (const { name, value } of record.tags) {
      look('tag', name)
      if (value !== null) look('tag', `${name}=${value}`)
    }
  }
  for (const name of rules.attributes) look(`attribute.${name}`, record.attributes[name])
  if (said !== undefined) {
    for (const source of SAID) {
      const texts = said[source]
      if (texts === undefined || texts === null) continue
      for (const text of typeof texts === 'string' ? [texts] : texts) look(source, text, source === 'event' ? text : source)
    }
  }
  return matched
}

/** When what the record says happened; null for a session: nothing in it says when it was transferred but `transferred_at` itself. */
function timeOf(draft: Draft): number | null {
  if (draft.said?.atMs !== undefined) return draft.said.atMs
  if (draft.kind === 'session') return null
  return draft.kind === 'message' ? draft.record.sent_at : draft.record.occurred_at
}

/** The session of the row that the draft belongs to is the agent's, from the draft's time on unless it was before. */
function transferSession(draft: Draft, drafts: readonly Draft[]): void {
  const atMs = timeOf(draft)
  for (const { kind, record } of drafts) {
    if (kind !== 'session' || record.session_key !== draft.record.session_key) continue
    record.containment = 'AGENT'
    if (atMs !== null && (record.transferred_at === null || atMs < record.transferred_at)) record.transferred_at = atMs
  }
}

/** The time of the record itself, where nothing else is said. */
function recordTimeOf({ kind, record }: Draft): number {
  return kind === 'session' ? record.started_at : kind === 'message' ? record.sent_at : record.occurred_at
}

function placeOf(draft: Draft, type: TransferType): string {
  const { record } = draft
  return `${type} ${timeOf(draft) ?? recordTimeOf(draft)} ${record.session_key ?? record.bot_id}`
}

/** The transfers that the connector tells itself. */
function eventsIn(drafts: readonly Draft[]): Map<string, Draft['kind'] | 'own'> {
  const told = new Map<string, Draft['kind'] | 'own'>()
  for (const draft of drafts) {
    if (draft.kind !== 'event') continue
    const type = TRANSFER_TYPES.find(each => each === draft.record.type)
    if (type !== undefined) told.set(placeOf(draft, type), 'own')
  }
  return told
}

/** Beside a session that says it was transferred, but not when, the event is at its start, which does not move. */
function eventOf(draft: Draft, type: TransferType, name: string, publishedId: (sessionId: string) => string): Event {
  const { kind, record } = draft
  const session = record.session_id === null ? null : publishedId(record.session_id)
  const own = kind === 'session' ? '' : kind === 'message' ? record.message_id : record.event_id
  const eventId = `rule-${contentId(session, kind, own, type)}`
  return {
    event_key: eventKeyOf(record.vendor, record.account, eventId),
    session_key: record.session_key,
    vendor: record.vendor,
    account: record.account,
    bot_id: record.bot_id,
    session_id: record.session_id,
    event_id: eventId,
    connector: record.connector,
    revision: 1,
    observed_at: record.observed_at,
    occurred_at: timeOf(draft) ?? recordTimeOf(draft),
    occurred_at_estimated:
      kind === 'session' ||
      draft.said?.atMs !== undefined ||
      (kind === 'message' ? record.sent_at_estimated : record.occurred_at_estimated),
    type,
    name,
    channel: record.channel,
    language: record.language,
    user_id: kind === 'message' ? null : record.user_id,
    attributes: {},
  }
}
