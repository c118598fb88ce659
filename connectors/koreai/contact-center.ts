/**
 * Conversations of the contact center (SmartAssist): who took a session over, when, and from which queue. `GET conversations` takes no times, so each read
 * begins at the top of the listing. Its order is not documented; in the samples the newest start is first (`contact.center.order`).
 */
import {
  contentId,
  FlowError,
  instant,
  inUrl,
  isObject,
  type Json,
  type ListPage,
  type Loose,
  looseObject,
  number,
  text,
} from '../../src/source/index.ts'
import { listPage, pageSchema } from './listing.ts'
import { isRefusal, type Vendor } from './messages.ts'
import { attributes, type Contact, type Conversation, Instant, isHandedOver, lettersOf } from './rows.ts'

const HOUR_MS = 3_600_000
/** Most conversations searched for the sessions of one call. */
const MOST_ROWS = 500
/** The same while a session with a published transfer is not found: its queue and agent may have been published, too, and must not be lost. 50 requests. */
const MOST_ROWS_PUBLISHED = 5_000
/** How often a listing that has shifted is read again. */
const READINGS = 3
/** Conversations per page: they are long, and the newest are wanted. Samples have 10; the vendor's maximum is not documented. */
const MOST_A_PAGE = 100

const ConversationsPage = pageSchema('results')

/** One conversation. */
export const ContactRow = looseObject({ startTime: Instant }).transform((row): Contact => {
  const { startTime, _id, botSessionId, endTime, participants, transferDetails, queues, ...more } = row as Loose
  const { userId, source, language, acceptedAt, ...rest } = more
  const people = objects(participants).filter(each => text(each['agentId']) !== null)
  // Agents who let it ring are in the list too.
  const agent = people.findLast(each => lettersOf(each['status']) !== 'abandoned') ?? null
  const moves = objects(transferDetails)
    .map(each => ({ atMs: instant(each['transferredAt']), each }))
    .filter((move): move is { atMs: number; each: Loose } => move.atMs !== null)
    .sort((a, b) => a.atMs - b.atMs)
  const accepted = instant(acceptedAt)
  const firstMs = Math.min(accepted ?? Infinity, moves[0]?.atMs ?? Infinity)
  const queue = objects(queues)
    .map(each => text(each['name']))
    .findLast(name => name !== null)
  const sessionId = text(botSessionId)
  return {
    id: text(_id) ?? contentId(sessionId, startTime as number),
    sessionId,
    startedAtMs: startTime as number,
    transferredAtMs: firstMs === Infinity ? null : firstMs,
    transfers: moves
      .filter(({ atMs }) => atMs !== firstMs)
      .map(({ atMs, each: { transferredTo, ...others } }) => {
        const to = objects(transferredTo)[0]
        return { atMs, to: text(to?.['name']) ?? text(to?.['id']), attributes: attributes({ transferredTo, ...others }) }
      }),
    endedAtMs: instant(endTime),
    queue:
      queue ??
      objects(participants)
        .map(each => text(each['queueName']))
        .findLast(name => name !== null) ??
      null,
    agentId: text(agent?.['agentId']),
    agentName: text(agent?.['name']),
    userId: text(userId),
    channel: text(source),
    language: text(language),
    attributes: attributes({ ...rest, participants, queues, transferDetails, acceptedAt, endTime }),
  }
})

export function contactIdOf(row: unknown): string | null {
  return isObject(row) ? text(row['_id']) : null
}

/**
 * Pages of conversations from the top of the listing down to those that began before `fromMs`. New ones are added at the top, which repeats rows and loses
 * none; if the last row that was read is gone, the listing begins again.
 *
 * @throws FlowError SRC_RESUME_EXPIRED
 */
export async function* contactPages(
  vendor: Vendor,
  fromMs: number,
  resume: Json = null,
): AsyncGenerator<{ rows: readonly unknown[]; resume: Json }> {
  const { config } = vendor
  // A page of one row has no room for the row before it.
  const limit = Math.min(config.pageSize, MOST_A_PAGE)
  const back = limit > 1 ? 1 : 0
  let { skip, last } = placeIn(resume)
  let repeats = 0
  for (;;) {
    const begin = Math.max(0, skip - back)
    const page = await conversationsPage(vendor, begin, limit)
    const checks = back > 0 && last !== null
    const known = checks ? page.rows.findIndex(row => markOf(row) === last) + 1 : 0
    if (checks && known === 0) throw shifted('the last conversation that was read is not in its place')
    const rows = page.rows.slice(known)
    repeats = rows.length === 0 ? repeats + 1 : 0
    if (repeats > 1 && page.more === true) throw shifted('the listing shows the same conversations again')
    const lastRow = rows.at(-1)
    const isOlder = config.contactCenterOrder === 'newest' && lastRow !== undefined && startOf(lastRow) < fromMs - HOUR_MS
    const isLast = page.rows.length === 0 || isOlder || !(page.more ?? page.rows.length >= limit)
    const next: Json = { skip: begin + page.rows.length, last: lastRow === undefined ? last : markOf(lastRow) }
    yield { rows, resume: isLast ? null : next }
    if (isLast) return
    ;({ skip, last } = placeIn(next))
  }
}

function shifted(hint: string): FlowError {
  return new FlowError('SRC_RESUME_EXPIRED', { hint })
}

async function conversationsPage({ config, botId, http }: Vendor, skip: number, limit: number): Promise<ListPage> {
  if (botId === null)
    throw new FlowError('CFG_INVALID', {
      path: 'bot.ids',
      hint: 'stream contact-center needs bot.ids: the vendor has no account-wide call',
    })
  const path = `/agentassist/api/v1/public/${inUrl(botId)}/conversations`
  const headers = { accountId: config.accountId ?? '' }
  return listPage(options => http.getJson(path, { skip, limit }, ConversationsPage, { ...options, headers }))
}

/**
 * The sessions, each with its first conversation in the contact center. The stream `contact-center` reports a refusal, which loses no session: the session then
 * says that its conversation was not read (`contactLack`), which is not the same as having none.
 */
export async function withContacts(vendor: Vendor, sessions: readonly Conversation[]): Promise<Conversation[]> {
  const wanted = sessions.filter(session => session.state !== 'closed' || isHandedOver(session))
  if (wanted.length === 0 || vendor.botId === null) return [...sessions]
  const { found, lack } = await contactsOf(vendor, wanted)
  const asked = new Set(wanted.map(({ id }) => id))
  return sessions.map(session => {
    const contact = found.get(session.id) ?? null
    return { ...session, contact, contactLack: contact === null && asked.has(session.id) ? lack : null }
  })
}

/** @returns By session id; `lack` says why those that were not found may exist all the same, null: all relevant rows of the listing were read. */
async function contactsOf(
  vendor: Vendor,
  wanted: readonly Conversation[],
): Promise<{ found: ReadonlyMap<string, Contact>; lack: Conversation['contactLack'] }> {
  const fromMs = Math.min(...wanted.map(({ startedAtMs }) => startedAtMs))
  const published = wanted.filter(({ publishedTransferMs }) => publishedTransferMs !== null)
  const found = new Map<string, Contact>()
  for (let reading = 1; ; reading++) {
    let seen = 0
    try {
      for await (const { rows, resume } of contactPages(vendor, fromMs)) {
        for (const raw of rows) keepFirst(found, ContactRow.safeParse(raw).data)
        seen += rows.length
        if (resume === null) break
        const isLacking = published.some(({ id }) => !found.has(id))
        if (seen >= (isLacking ? MOST_ROWS_PUBLISHED : MOST_ROWS)) return { found, lack: 'too far down' }
      }
      return { found, lack: null }
    } catch (error) {
      if (isRefusal(error)) return { found, lack: 'refused' }
      if (!(error instanceof FlowError) || error.code !== 'SRC_RESUME_EXPIRED') throw error
      if (reading === READINGS) return { found, lack: 'shifting' }
    }
  }
}

/** Of several conversations of a session the first one: with it the session left the bot. */
function keepFirst(found: Map<string, Contact>, contact: Contact | undefined): void {
  const { sessionId = null, startedAtMs = 0 } = contact ?? {}
  if (contact === undefined || sessionId === null) return
  const known = found.get(sessionId)
  if (known === undefined || startedAtMs <= known.startedAtMs) found.set(sessionId, contact)
}

function placeIn(resume: Json): { skip: number; last: string | null } {
  const { skip, last } = (isObject(resume) ? resume : {}) as { skip?: unknown; last?: unknown }
  return { skip: number(skip) ?? 0, last: text(last) }
}

function markOf(row: unknown): string {
  return contactIdOf(row) ?? contentId(JSON.stringify(row))
}

function startOf(row: unknown): number {
  return (isObject(row) ? instant(row['startTime']) : null) ?? Infinity
}

function objects(raw: unknown): Loose[] {
  return [raw].flat().filter(isObject)
}
