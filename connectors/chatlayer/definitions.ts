/** The names of a bot's events, from `GET /v1/bots/{bot_id}/events/definitions`, for people who write rules over them. */
import { z } from 'zod'
import { FlowError, type Http, inUrl, looseObject, number, objectOf, text, type Transfers } from '../../src/source/index.ts'
import { isAnswer } from './answer.ts'
import { typeOf } from './types.ts'

/** A bot has some dozens of names. */
const MOST_PAGES = 20
const PAGE_SIZE = 100

const DefinitionsPage = looseObject({
  event_definitions: z.array(z.unknown()).nullish(),
  next_page_token: z.unknown().optional(),
}).refine(body => isAnswer(body, body.event_definitions, ['event_definitions', 'next_page_token']))

interface Reading {
  readonly botIds: readonly string[]
  readonly eventTypes: readonly string[]
}

/** A line for each event of each bot: its name, how often it occurred, and the matching rules. */
export async function eventNames(config: Reading, http: Http, transfers: Transfers): Promise<string[]> {
  const lines: string[] = []
  for (const bot of new Set(config.botIds)) {
    const path = `/v1/bots/${inUrl(bot)}/events/definitions`
    const rows = await definitions(path, http)
    if (rows === null) lines.push(`the vendor does not list the events of bot ${bot}`)
    else if (rows.length === 0) lines.push(`bot ${bot} defines no events`)
    else lines.push(...rows.flatMap(row => lineOf(row, bot, config, transfers)))
  }
  lines.push(transfers.isEmpty ? 'there are no transfer.rules' : `transfer.rules in force: ${transfers.texts.join('; ')}`)
  return lines
}

/** Null: an installation without this operation, or without access to it. */
async function definitions(path: string, http: Http): Promise<unknown[] | null> {
  const rows: unknown[] = []
  const tokens = new Set<string>()
  try {
    for (let token: string | null = null; ; ) {
      const query = { page_size: PAGE_SIZE, page_token: token }
      const page: z.output<typeof DefinitionsPage> = await http.getJson(path, query, DefinitionsPage, { empty: {} })
      rows.push(...(page.event_definitions ?? []))
      token = text(page.next_page_token)
      if (token === null || tokens.has(token) || tokens.size >= MOST_PAGES) return rows
      tokens.add(token)
    }
  } catch (error) {
    if (error instanceof FlowError && (error.code === 'SRC_REFUSED' || error.code === 'SRC_UNAUTHORISED')) return null
    throw error
  }
}

function lineOf(row: unknown, bot: string, config: Reading, transfers: Transfers): string[] {
  const fields = objectOf(row)
  const [event, volume, seen] = [text(fields['event']), number(fields['volume_30_day']), text(fields['last_seen_at'])]
  if (event === null) return []
  const own = typeOf(event, config)
  const types = [...new Set([...transfers.matches('event', event), ...(own === 'other' ? [] : [own])])]
  const counted = volume === null ? [] : [`${volume} in 30 days`]
  const last = seen === null ? [] : [`last seen ${seen}`]
  return [
    `event ${JSON.stringify(event)} of bot ${bot}: ${[...counted, ...last, types.length === 0 ? 'matched by no rule' : types.join(', ')].join(', ')}`,
  ]
}
