/**
 * Acme Chat's API over the seeded world. Write it from the vendor's documents, before the connector, and never bend one to the other: `PLAIN` is
 * the vendor as documented, everything else is a quirk.
 */
import {
  type Conversation,
  type Request,
  type Reply,
  RollingLimit,
  serve,
  type Simulator,
  type SimulatorOptions,
  type SimulatorPlugin,
  type World,
} from '../../src/sim/index.ts'

export interface Quirks {
  /** Every third conversation shows this long after it began, milliseconds. */
  readonly lateMs: number
  /** Conversations are told as if they had begun at full multiples of this, milliseconds; 0: when they did. */
  readonly tiedMs: number
  /** Whether a conversation that began exactly at an end of the asked range shows. Documented: at `from`, and not at `until`. */
  readonly edges: 'documented' | 'inclusive' | 'exclusive'
  /** From a listing's second page on: one more row than before, or one less; each row so once. */
  readonly shifts: 'no' | 'grows' | 'shrinks'
  /** `after` is not looked at. */
  readonly ignoresAfter: boolean
  /** What the vendor's clock is ahead of ours, milliseconds. */
  readonly skewMs: number
  /** Documented: 10. 0: no limit. */
  readonly requestsPerSecond: number
}

export const PLAIN: Quirks = {
  lateMs: 0,
  tiedMs: 0,
  edges: 'documented',
  shifts: 'no',
  ignoresAfter: false,
  skewMs: 0,
  requestsPerSecond: 10,
}

export interface AcmeChatOptions extends SimulatorOptions {
  readonly quirks?: Partial<Quirks>
}

export interface AcmeChatSimulator extends Simulator {
  readonly world: World
  readonly quirks: Quirks
  /** Requests refused because there were too many. */
  refused(): number
}

export const simulator: SimulatorPlugin = { vendor: 'acme-chat', start: startAcmeChatSimulator }

export async function startAcmeChatSimulator(options: AcmeChatOptions): Promise<AcmeChatSimulator> {
  const { world, now = Date.now, arrivalClock = Date.now, port, host, faults } = options
  const quirks = { ...PLAIN, ...options.quirks }
  const key = `sim-key-${world.options.seed}`
  const limit = new RollingLimit(quirks.requestsPerSecond, 1000)
  let refused = 0
  /** Conversations that were hidden once, for `shifts`. */
  const hidden = new Set<string>()
  const server = await serve({
    arrivalClock,
    host,
    ...(port === undefined ? {} : { port }),
    ...(faults === undefined ? {} : { faults }),
    handler: request => {
      if (request.headers.authorization !== `Bearer ${key}`) return json(401, { error: 'unknown key' })
      const waitMs = limit.take(arrivalClock())
      if (waitMs > 0) {
        refused++
        return { ...json(429, { error: 'too many requests' }), headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) } }
      }
      if (request.path !== '/v2/conversations') return json(404, { error: 'no such operation' })
      return conversations(request, world, quirks, now() + quirks.skewMs, hidden)
    },
  })
  return {
    vendor: 'acme-chat',
    world,
    quirks,
    url: server.url,
    config: { account: 'acme', 'base.url': server.url, 'api.key': key },
    faults: server.faults,
    log: server.log,
    stats: () => server.stats(),
    refused: () => refused,
    stop: () => server.stop(),
  }
}

/** When the vendor says that a conversation began. */
export function openedAt({ startedAtMs }: Conversation, { tiedMs }: Quirks): number {
  return tiedMs === 0 ? startedAtMs : Math.floor(startedAtMs / tiedMs) * tiedMs
}

function conversations({ query }: Request, world: World, quirks: Quirks, nowMs: number, hidden: Set<string>): Reply {
  const [fromMs, untilMs] = [Date.parse(query.get('from') ?? ''), Date.parse(query.get('until') ?? '')]
  const size = Number(query.get('limit') ?? 200)
  if (Number.isNaN(fromMs) || Number.isNaN(untilMs) || !(size >= 1 && size <= 200))
    return json(400, { error: 'from and until are times, limit is 1 to 200' })
  const after = quirks.ignoresAfter ? null : query.get('after')
  const view = world.at(nowMs)
  const shown = [...view.between(fromMs - quirks.tiedMs - 1, untilMs + quirks.tiedMs + 1)]
    .filter(({ index, startedAtMs }) => index % 3 !== 0 || startedAtMs + quirks.lateMs <= nowMs)
    .filter(each => isInside(openedAt(each, quirks), fromMs, untilMs, quirks))
    .map(each => ({ each, place: placeOf(each, quirks) }))
    .sort((a, b) => (a.place < b.place ? -1 : 1))
    // A listing that grows has one row less on its first page's request; one that shrinks, on a later one.
    .filter(({ place }, i) => {
      const hides =
        (quirks.shifts === 'grows' && after === null && i === 1) || (quirks.shifts === 'shrinks' && after !== null && i === 0)
      if (!hides || hidden.has(place)) return true
      hidden.add(place)
      return false
    })
  const rest = shown.filter(({ place }) => after === null || place > after)
  const page = rest.slice(0, size)
  return json(200, {
    data: page.map(({ each }) => rowOf(each, quirks)),
    next: rest.length > size ? (page.at(-1)?.place ?? null) : null,
  })
}

function isInside(atMs: number, fromMs: number, untilMs: number, { edges }: Quirks): boolean {
  if (edges === 'inclusive') return fromMs <= atMs && atMs <= untilMs
  return (edges === 'exclusive' ? fromMs < atMs : fromMs <= atMs) && atMs < untilMs
}

/** Sorts as the listing does, and says where to go on. */
function placeOf(of: Conversation, quirks: Quirks): string {
  return `${new Date(openedAt(of, quirks)).toISOString()} ${of.id}`
}

function rowOf(of: Conversation, quirks: Quirks) {
  const iso = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : new Date(ms).toISOString())
  return {
    id: of.id,
    bot: of.bot.id,
    channel: of.channel,
    language: of.language,
    user: of.person.id,
    opened_at: iso(openedAt(of, quirks)),
    closed_at: iso(of.closedAtMs),
    handed_over_at: iso(of.events.find(({ kind }) => kind === 'transferred')?.atMs),
    campaign: of.cause === 'campaign',
    messages: of.messages.map(({ id, atMs, sender, text }) => ({
      id,
      at: iso(atMs),
      author: sender === 'user' ? 'contact' : sender === 'agent' ? 'operator' : 'bot',
      text,
    })),
  }
}

function json(status: number, body: unknown): Reply {
  return { status, body: JSON.stringify(body) }
}
