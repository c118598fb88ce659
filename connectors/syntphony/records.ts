/** The records of one conversation besides its session. Records without a time of their own get the start of the conversation, marked as estimated. */
import { contentId, contentIds, type Draft, event, message, type Said, type SessionRef } from '../../src/source/index.ts'
import { answeredAtOf, type Conversation, type Turn } from './rows.ts'

/** Times are never derived from the order of messages. */
function timeOf({ startedAtMs }: Conversation, turn: Turn) {
  return { atMs: turn.atMs ?? startedAtMs, isEstimated: turn.atMs === null }
}

/** Time of what a rule finds in a turn: see `Said`. */
type Found = Pick<Said, 'atMs' | 'isTimeDue'>

/** Without `atMs`: at the turn's own time. */
function foundAtOf(turns: readonly Turn[], seq: number, isTimeDue: boolean): Found {
  return turns[seq]?.atMs === null ? { atMs: answeredAtOf(turns, seq), isTimeDue } : {}
}

/**
 * The messages in their order, each followed by what the engine found in it.
 *
 * @param isTimeDue A later read may show times that are unknown now, because the message list is read.
 */
export function messageDrafts(
  ref: SessionRef,
  row: Conversation,
  turns: readonly Turn[],
  userId: string | undefined,
  isTimeDue: boolean,
): Draft[] {
  return turns.flatMap((turn, seq) => {
    const found = foundAtOf(turns, seq, isTimeDue)
    return [messageOf(ref, row, turn, seq, found), ...responseEvents(ref, row, turn, userId, found)]
  })
}

function messageOf(ref: SessionRef, row: Conversation, turn: Turn, seq: number, found: Found): Draft {
  const { atMs, isEstimated } = timeOf(row, turn)
  const fields = {
    messageId: turn.id,
    sentAt: atMs,
    sentAtEstimated: isEstimated,
    seq,
    sender: turn.isUser ? 'USER' : 'BOT',
    type: turn.type,
    text: turn.text,
    attachments: turn.attachment && [turn.attachment],
    language: turn.language,
    intent: turn.intent,
    confidence: turn.confidence,
    attributes: turn.attributes,
  } as const
  return message(ref, fields, { answer: turn.answers, intent: turn.found, ...found })
}

/** What the engine found in a message, or that it found nothing. */
function responseEvents(ref: SessionRef, row: Conversation, turn: Turn, userId: string | undefined, found: Found): Draft[] {
  const { atMs, isEstimated } = timeOf(row, turn)
  return turn.responses.map(({ id, type, name, missed, attributes }) =>
    event(
      ref,
      {
        eventId: id,
        occurredAt: atMs,
        occurredAtEstimated: isEstimated,
        type: missed ? 'intent_missed' : 'intent_matched',
        name: name ?? 'none',
        language: turn.language,
        userId,
        attributes: { ...attributes, responseType: type, messageId: turn.id },
      },
      found,
    ),
  )
}

interface Handover {
  readonly atMs: number | null
  /** null: it waits for its time. */
  readonly draft: Draft | null
}

/**
 * The answers that handed the conversation over to a person, each with its time; null: unknown. An event without a time waits if a later read may show it
 * (`isTimeDue`), because the time of a transfer must not move; else it is at the start of the conversation.
 */
export function handovers(
  ref: SessionRef,
  row: Conversation,
  turns: readonly Turn[],
  userId: string | undefined,
  isTimeDue: boolean,
): Handover[] {
  return turns.flatMap((turn, place): Handover[] => {
    if (turn.handover === null) return []
    const atMs = answeredAtOf(turns, place)
    if (atMs === null && isTimeDue) return [{ atMs, draft: null }]
    const draft = event(ref, {
      eventId: contentId(row.id, 'handover', turn.id),
      occurredAt: atMs ?? row.startedAtMs,
      occurredAtEstimated: turn.atMs === null,
      type: 'agent_transferred',
      name: 'handover',
      userId,
      attributes: { messageId: turn.id, handover: turn.handover['handover'] },
    })
    return [{ atMs, draft }]
  })
}

/** Flows, tags and the rating. @param transfer The flow that handed over to a person; null: none. */
export function rowEvents(ref: SessionRef, row: Conversation, transfer: string | null, userId: string | undefined): Draft[] {
  const ids = contentIds()
  const at = { occurredAt: row.startedAtMs, occurredAtEstimated: true, userId }
  // The time is unknown: a rule that matches a flow or tag matches the session.
  const said = { atMs: null }
  const flows = (row.flows ?? []).map((flow, place) =>
    event(ref, { ...at, eventId: ids(row.id, 'flow', flow), type: 'flow_transition', name: flow, attributes: { place } }, said),
  )
  const tags = (row.tags ?? []).map(({ name, uuid }) =>
    event(ref, { ...at, eventId: ids(row.id, 'tag', uuid ?? name), type: 'tag_applied', name, attributes: { uuid } }, said),
  )
  const rest: Draft[] = []
  if (transfer !== null)
    rest.push(event(ref, { ...at, eventId: contentId(row.id, 'transfer'), type: 'agent_transferred', name: transfer }, said))
  if (row.satisfaction !== null) {
    const eventId = contentId(row.id, 'satisfaction', row.satisfaction)
    const attributes = { value: row.satisfaction }
    rest.push(event(ref, { ...at, eventId, type: 'satisfaction', name: 'satisfaction', attributes }, said))
  }
  return [...flows, ...tags, ...rest]
}
