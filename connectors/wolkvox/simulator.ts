/**
 * A simulator of wolkvox Manager API v2 over the seeded world: `reports_manager.php` for the five reports on bots and chats, and `information.php` for routing
 * points and the token's use. Parameters, texts and limits are those of the docs (the vendor's Postman collection and help pages); where they say nothing, or
 * clients have seen something else, see `simulator/quirks.ts`. Nothing here was measured against the vendor. The texts of too many rows, of a range that is too
 * long and of a maintenance are assumed, and so are the fields of `token_info`.
 */
import { DateTime } from 'luxon'
import {
  Random,
  type Reply,
  type Request,
  serve,
  type Simulator,
  type SimulatorOptions,
  type SimulatorPlugin,
  type World,
} from '../../src/sim/index.ts'
import { Account } from './simulator/account.ts'
import { PLAIN, type Quirks } from './simulator/quirks.ts'
import { REPORTS, type Report, Reports, type Row } from './simulator/reports.ts'

export { type Account, BOT_NAME, type Chat, extensionOf, isNamed, knowsCustomer } from './simulator/account.ts'
export { PLAIN, type Quirks } from './simulator/quirks.ts'
export { REPORTS, type Report } from './simulator/reports.ts'

const LONGEST_DAYS = 31
const SIMULTANEOUS = 2
const CALLS_PER_LICENCE = 1000

export interface WolkvoxOptions extends SimulatorOptions {
  readonly token?: string
  /** IANA name of the server's time zone. Default `America/Bogota`. */
  readonly zone?: string
  /** Which bots of the world the operation has. Default: all. */
  readonly bots?: readonly string[]
  readonly quirks?: Partial<Quirks>
  /** A thousand calls a day each. Default 100. */
  readonly licences?: number
  /** Most rows of `diagram_9` in one answer. Default 6000. */
  readonly turnRows?: number
  /** Most rows of any other report. Default 60,000. */
  readonly rows?: number
  /** How long an answer takes, real milliseconds, so that calls can be simultaneous. Default 0. */
  readonly answerMs?: number
}

export interface WolkvoxSimulator extends Simulator {
  readonly world: World
  readonly account: Account
  readonly quirks: Quirks
  readonly zone: string
  /** From now on everything is rejected with this text; null: no longer. */
  maintain(text: string | null): void
  /** How often a call was rejected because of the limits, parallel or per day. */
  refusedForQuota(): number
}

export const simulator: SimulatorPlugin = { vendor: 'wolkvox', start: startWolkvoxSimulator }

export async function startWolkvoxSimulator(options: WolkvoxOptions): Promise<WolkvoxSimulator> {
  const { world, now = Date.now, arrivalClock = Date.now, zone = 'America/Bogota' } = options
  const quirks: Quirks = { ...PLAIN, ...options.quirks }
  const account = new Account(world, quirks, options.bots)
  const token = options.token ?? `sim-token-${new Random(world.options.seed, 3, 8).id(32)}`
  const use = new TokenUse(zone, (options.licences ?? 100) * CALLS_PER_LICENCE)
  const api: Api = {
    account,
    quirks,
    reports: new Reports(world, account, quirks, zone),
    use,
    now,
    zone,
    turnRows: options.turnRows ?? 6000,
    rows: options.rows ?? 60_000,
  }
  let maintenance: string | null = null
  const server = await serve({
    arrivalClock,
    host: options.host,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    handler: async request => {
      if (!/^\/api\/v2\/(reports_manager|information)\.php$/.test(request.path)) return NO_PAGE
      const answer = (reply: Reply | Envelope) => asReply(reply, quirks)
      if (maintenance !== null) return answer(refused(403, 'FORBIDDEN', maintenance))
      const given = request.headers['wolkvox-token']
      if (given === undefined) return answer(refused(401, 'UNAUTHORIZED', 'PLEASE ENTER THE WOLKVOX-TOKEN'))
      if (given !== token) return answer(refused(403, 'FORBIDDEN', 'PLEASE VALIDATE TOKEN'))
      const tooMany = use.begin(arrivalClock())
      if (tooMany !== null) return answer(refused(403, 'FORBIDDEN', tooMany))
      try {
        if (options.answerMs) await new Promise(resolve => setTimeout(resolve, options.answerMs))
        return answer(route(request, api))
      } finally {
        use.end()
      }
    },
  })
  return {
    vendor: 'wolkvox',
    world,
    account,
    quirks,
    zone,
    url: server.url,
    config: { 'base.url': `${server.url}/api/v2`, token, timezone: zone },
    faults: server.faults,
    log: server.log,
    stats: () => server.stats(),
    maintain: text => (maintenance = text),
    refusedForQuota: () => use.refused,
    stop: () => server.stop(),
  }
}

interface Api {
  readonly account: Account
  readonly quirks: Quirks
  readonly reports: Reports
  readonly use: TokenUse
  readonly now: () => number
  readonly zone: string
  readonly turnRows: number
  readonly rows: number
}

/** Status, `error`, `msg` and `data` of an answer; `data` undefined: not shown. */
interface Envelope {
  readonly code: number
  readonly error: string | null
  readonly msg: string
  readonly data?: unknown
  /** Whether `code` is written as text. */
  readonly asText?: boolean
}

/** The vendor's web server's answer for an unknown address. */
const NO_PAGE: Reply = {
  status: 404,
  headers: { 'content-type': 'text/html; charset=UTF-8' },
  body: '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN"><html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>',
}

function route(request: Request, api: Api): Envelope {
  const { query, path } = request
  const name = query.get('api')
  if (name === null) return refused(400, 'BAD REQUEST', 'SOME PARAMETERS ARE REQUIRED')
  if (path.endsWith('information.php')) {
    if (name === 'routing_points')
      return found(api.account.routingPoints.map(({ rpId, bot }) => ({ rp_id: rpId, rp_name: bot.title })))
    if (name === 'token_info') return found([api.use.told()])
  } else if (isReport(name)) return report(name, query, api)
  return refused(400, 'BAD REQUEST', 'THE API YOU WANT TO CONSULT DOES NOT EXIST')
}

function isReport(name: string): name is Report {
  return (REPORTS as readonly string[]).includes(name)
}

function report(name: Report, query: URLSearchParams, api: Api): Envelope {
  const { quirks, zone } = api
  const [ini, end] = [query.get('date_ini') ?? '', query.get('date_end') ?? '']
  const [from, until] = [ini, end].map(stamp => DateTime.fromFormat(stamp, 'yyyyMMddHHmmss', { zone }))
  if (from?.isValid !== true || until?.isValid !== true || ini.length !== 14 || end.length !== 14)
    return refused(400, 'BAD REQUEST', 'SOME PARAMETERS ARE REQUIRED')
  if (until.diff(from, 'days').days > LONGEST_DAYS) return refused(400, 'BAD REQUEST', 'THE RANGE OF DATES EXCEEDS 31 DAYS')
  if (quirks.monthRule && !from.hasSame(until, 'month')) return refused(400, 'BAD REQUEST', 'THE DATES MUST BE IN THE SAME MONTH')
  const rows = api.reports.rows(name, ini, end, api.now())
  const most = name === 'diagram_9' ? api.turnRows : api.rows
  if (rows.length > most && quirks.overflow === 'error')
    return refused(400, 'BAD REQUEST', `THE RESULT EXCEEDS ${most} RECORDS, NARROW THE RANGE OF DATES`)
  const asText = name.startsWith('chat')
  return rows.length === 0 ? nothing(quirks, asText) : { ...found(rows.slice(0, most)), asText }
}

function nothing({ empty }: Quirks, asText: boolean): Envelope {
  if (empty === '404') return { code: 404, error: 'NOT FOUND', msg: 'Validate dates entered', asText }
  return {
    code: 200,
    error: null,
    msg: '0 records were found',
    asText,
    ...(empty === 'absent' ? {} : { data: empty === 'list' ? [] : null }),
  }
}

function found(rows: readonly Row[]): Envelope {
  return { code: 200, error: null, msg: `${rows.length} records were found`, data: rows }
}

function refused(code: number, error: string, msg: string): Envelope {
  return { code, error, msg }
}

function asReply(answer: Reply | Envelope, quirks: Quirks): Reply {
  if ('status' in answer) return answer
  const { code, error, msg, data, asText = false } = answer
  const good = code === 200
  const body = {
    code: good && quirks.code === 'zero' ? '0' : asText ? String(code) : code,
    error: good && quirks.nullError ? 'null' : error,
    msg,
    ...(data === undefined ? {} : { data: shaped(data, quirks) }),
  }
  const warning = quirks.warnings
    ? '<br />\n<b>Warning</b>:  Undefined array key "date" in <b>/reports.php</b> on line <b>7</b><br />\n'
    : ''
  return { status: quirks.errorsAs200 ? 200 : code, body: `${warning}${JSON.stringify(body)}` }
}

function shaped(data: unknown, { loneObject, misspelt }: Quirks): unknown {
  if (!Array.isArray(data)) return data
  const rows = misspelt ? (data as Row[]).map(misspell) : (data as Row[])
  return loneObject && rows.length === 1 ? rows[0] : rows
}

function misspell(row: Row): Row {
  const named = (name: string) =>
    name === 'channel' ? 'chanel' : name === 'agent_name' ? 'agent_name ' : name === 'rp_id' ? 'RP_ID' : name
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [named(name), Array.isArray(value) ? (value as Row[]).map(misspell) : value]),
  )
}

/** Usage of one token: current calls, and calls of the local day. Rejected calls are not counted. */
class TokenUse {
  readonly #zone: string
  readonly #perDay: number
  #underWay = 0
  #day = ''
  #calls = 0
  refused = 0

  constructor(zone: string, perDay: number) {
    this.#zone = zone
    this.#perDay = perDay
  }

  /** Why the call exceeds the limit; null: it has begun. */
  begin(atMs: number): string | null {
    const day = DateTime.fromMillis(atMs, { zone: this.#zone }).toISODate() ?? ''
    if (day !== this.#day) [this.#day, this.#calls] = [day, 0]
    const why =
      this.#underWay >= SIMULTANEOUS
        ? `EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (${SIMULTANEOUS})`
        : this.#calls >= this.#perDay
          ? 'TOKEN LIMIT EXCEEDED'
          : null
    if (why === null) {
      this.#underWay++
      this.#calls++
    } else this.refused++
    return why
  }

  end() {
    this.#underWay--
  }

  told(): Row {
    return { token_requests: String(this.#calls), total_requests: String(this.#calls), limit: String(this.#perDay) }
  }
}
