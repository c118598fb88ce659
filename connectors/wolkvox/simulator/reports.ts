import { DateTime } from 'luxon'
import type { Channel } from '../../../src/records.ts'
import { type Agent, Random, type World } from '../../../src/sim/index.ts'
import { type Account, BOT_NAME, type Chat, extensionOf, isNamed, knowsCustomer } from './account.ts'
import type { Quirks } from './quirks.ts'

/** The operation has only chats: the reports on calls, mail and social networks have no rows. */
export const REPORTS = [
  'diagram_9',
  'chat_8',
  'chat_2',
  'diagram_13',
  'chat_11',
  'chat_1',
  'chat_4',
  'diagram_11',
  'diagram_15',
] as const
export type Report = (typeof REPORTS)[number]

/** All values are text, as the vendor writes them; `conversation` of `chat_2` is the only list. */
export type Row = Record<string, unknown>

interface Dated {
  /** Compared with the window. */
  readonly atMs: number
  readonly row: Row
}

const HOUR = 3_600_000
const QUARTER_MS = HOUR / 4
/** From the start of a conversation to its close, at most. */
const LONGEST_MS = 47 * HOUR

/** The reports over the world, as the vendor's database has them at one moment: rows are compared with the window by their local time, as text. */
export class Reports {
  readonly #world: World
  readonly #account: Account
  readonly #quirks: Quirks
  readonly #zone: string
  readonly #offsets = new Map<number, number>()

  constructor(world: World, account: Account, quirks: Quirks, zone: string) {
    this.#world = world
    this.#account = account
    this.#quirks = quirks
    this.#zone = zone
  }

  /** Rows of the window. Both ends are fourteen digits of local time. */
  rows(report: Report, ini: string, end: string, nowMs: number): Row[] {
    const view = this.#world.at(nowMs)
    const fromMs = this.#instant(ini) - LONGEST_MS - HOUR
    const found: (Dated & { readonly stamp: string })[] = []
    const until = view.indexAt(this.#instant(end) + 2 * HOUR)
    for (let index = view.indexAt(fromMs); index < until; index++) {
      const chat = this.#account.chat(index)
      if (chat === null) continue
      for (const dated of this.#told(report, chat, nowMs)) {
        const stamp = this.#stamp(dated.atMs)
        if (this.#lies(stamp, ini, end)) found.push({ ...dated, stamp })
      }
    }
    found.sort((a, b) => (a.stamp < b.stamp ? -1 : a.stamp > b.stamp ? 1 : 0))
    return this.#ordered(found.map(({ row }) => row))
  }

  #lies(stamp: string, ini: string, end: string): boolean {
    const { edges } = this.#quirks
    if (edges === 'inclusive') return ini <= stamp && stamp <= end
    return (edges === 'exclusive' ? ini < stamp : ini <= stamp) && stamp < end
  }

  #ordered(rows: Row[]): Row[] {
    if (this.#quirks.order === 'newest') return rows.reverse()
    if (this.#quirks.order === 'oldest') return rows
    const random = new Random(rows.length, 1, 42)
    return rows
      .map(row => ({ row, place: random.next() }))
      .sort((a, b) => a.place - b.place)
      .map(({ row }) => row)
  }

  /** The rows of a chat, with the time that each is selected by. */
  #told(report: Report, chat: Chat, nowMs: number): Dated[] {
    const shows = ({ shownAtMs }: { readonly shownAtMs: number }) => shownAtMs <= nowMs
    const isClosed = shows(chat)
    const selectedAtMs = this.#quirks.chatDate === 'closing' ? chat.closedAtMs : chat.openedAtMs
    switch (report) {
      case 'diagram_9':
        return chat.turns.filter(shows).map(turn => ({ atMs: turn.atMs, row: this.#turn(chat, turn, nowMs) }))
      case 'diagram_13':
        return chat.options.filter(shows).map(option => ({ atMs: option.atMs, row: this.#option(chat, option, nowMs) }))
      case 'chat_11':
        return chat.transfers.filter(shows).map(transfer => ({ atMs: transfer.atMs, row: this.#transfer(chat, transfer) }))
      case 'chat_1':
        return isClosed && chat.agent !== null ? [{ atMs: chat.closedAtMs, row: this.#handled(chat, chat.agent) }] : []
      case 'chat_4':
      case 'diagram_11':
      case 'diagram_15':
        return []
      case 'chat_8':
        return isClosed || this.#quirks.chatDate === 'opening'
          ? [{ atMs: selectedAtMs, row: this.#chat(chat, isClosed, nowMs) }]
          : []
      case 'chat_2':
        if (chat.agent === null && !this.#quirks.botChats) return []
        return isClosed || this.#quirks.chatDate === 'opening'
          ? [{ atMs: selectedAtMs, row: this.#conversation(chat, isClosed, nowMs) }]
          : []
      default:
        return report satisfies never
    }
  }

  #turn(chat: Chat, { atMs, query, answer, connId }: Chat['turns'][number], nowMs: number): Row {
    return {
      session_id: chat.sessionId,
      channel: WORDS[chat.conversation.channel]?.turn ?? chat.conversation.channel,
      rp_id: chat.rpId,
      date: this.#date(atMs),
      customer_name: chat.customer.name,
      customer_email: this.#blank(chat.customer.email),
      customer_phone: this.#blank(chat.customer.phone),
      customer_query: query,
      routing_answer: answer,
      customer_id: this.#customerId(chat, atMs, nowMs),
      conn_id: connId,
    }
  }

  #chat(chat: Chat, isClosed: boolean, nowMs: number): Row {
    const { openedAtMs, handedAtMs, agent, lines } = chat
    const closedAtMs = isClosed ? chat.closedAtMs : nowMs
    const known = lines.filter(({ atMs }) => atMs <= nowMs)
    const handed = handedAtMs !== null && handedAtMs <= nowMs
    const { takenAtMs } = chat
    const chars = (matches: (line: Chat['lines'][number]) => boolean) =>
      String(known.filter(matches).reduce((sum, { text }) => sum + text.length, 0))
    const last = known.at(-1)
    const showsAgent = isClosed ? agent : null
    return {
      conn_id: isNamed(chat, this.#quirks) ? chat.connId : '-',
      session_id: chat.sessionId,
      times_chatted: String(known.length),
      start_date: this.#date(openedAtMs),
      end_date: isClosed ? this.#date(closedAtMs) : this.#blank(''),
      time_on_chatbot: this.#duration(openedAtMs, handed ? handedAtMs : closedAtMs),
      rp_id: chat.rpId,
      channel: WORDS[chat.conversation.channel]?.chat ?? chat.conversation.channel,
      go_to_agent: handed ? 'yes' : 'no',
      customer_phone: this.#blank(chat.customer.phone),
      customer_name: chat.customer.name,
      agent_id: showsAgent === null ? this.#blank('') : extensionOf(showsAgent, chat.conversation, chat.rpId),
      agent_name: this.#blank(showsAgent?.name ?? ''),
      time_with_agent: takenAtMs !== null && takenAtMs <= nowMs ? this.#duration(takenAtMs, closedAtMs) : this.#duration(0, 0),
      total_time: this.#duration(openedAtMs, closedAtMs),
      customer_chars: chars(({ from }) => from === 'CUSTOMER'),
      agent_chars: chars(({ from, fromName }) => from === 'AGENT' && fromName !== BOT_NAME),
      total_chars: chars(() => true),
      asa: handed && takenAtMs !== null && takenAtMs <= nowMs ? this.#duration(handedAtMs, takenAtMs) : this.#duration(0, 0),
      last_sender: last === undefined || last.fromName === BOT_NAME ? 'chat_bot' : last.from.toLowerCase(),
      customer_id: this.#customerId(chat, closedAtMs, nowMs),
      customer_email: this.#blank(chat.customer.email),
    }
  }

  /** Selected by the close (seen by a client), dated by the opening. `agent_anwers ` is spelt as in the sample. */
  #handled(chat: Chat, agent: Agent): Row {
    const { closedAtMs, openedAtMs, takenAtMs, conversation, customer } = chat
    return {
      conn_id: chat.connId,
      channel: WORDS[conversation.channel]?.chat ?? conversation.channel,
      date: this.#date(openedAtMs),
      customer_name: customer.name,
      customer_email: this.#blank(customer.email),
      customer_phone: this.#blank(customer.phone),
      agent_id: extensionOf(agent, conversation, chat.rpId),
      agent_name: agent.name,
      time_on_agent: this.#duration(takenAtMs ?? closedAtMs, closedAtMs),
      chat_duration: String(Math.floor((closedAtMs - openedAtMs) / 1000)),
      cod_act: conversation.closedAtMs === null ? 'TIMEOUTCHAT' : 'RESUELTO',
      description_cod_act: conversation.closedAtMs === null ? 'Cierre por inactividad' : 'Caso resuelto',
      comments: this.#blank(''),
      customer_id: customer.id,
      skill_id: String(Number(chat.rpId) + 1000),
      ASA: this.#duration(openedAtMs, takenAtMs ?? openedAtMs),
      feeling: 'neutral',
      'agent_anwers ': String(chat.lines.filter(({ from, fromName }) => from === 'AGENT' && fromName !== BOT_NAME).length),
    }
  }

  #conversation(chat: Chat, isClosed: boolean, nowMs: number): Row {
    return {
      conn_id: chat.connId,
      agent_name: isClosed ? (chat.agent?.name ?? BOT_NAME) : this.#blank(''),
      customer_name: chat.customer.name,
      conversation: chat.lines
        .filter(({ atMs }) => atMs <= nowMs)
        .map(line => ({
          channel: WORDS[chat.conversation.channel]?.chat ?? chat.conversation.channel,
          from: line.from,
          from_name: line.fromName,
          to_name: line.toName,
          date: this.#date(line.atMs),
          message: line.text,
          customer_id: this.#customerId(chat, chat.closedAtMs, nowMs),
          customer_phone: this.#blank(chat.customer.phone),
        })),
    }
  }

  #option(chat: Chat, { atMs, code, second }: Chat['options'][number], nowMs: number): Row {
    return {
      rp_id: chat.rpId,
      conn_id: isNamed(chat, this.#quirks) ? chat.connId : '0',
      customer_id: this.#customerId(chat, atMs, nowMs),
      channel: WORDS[chat.conversation.channel]?.menu ?? chat.conversation.channel,
      telephone: this.#blank(chat.customer.phone),
      attempt: '1',
      date: this.#date(atMs),
      second_event: String(second),
      cod_opc_menu: code,
    }
  }

  /** A skill and a routing point have no person's number; the name of a skill is `SKILL` (documented for `chat_9`). */
  #transfer(chat: Chat, { atMs, from, to }: Chat['transfers'][number]): Row {
    const extension = (agent: Agent) => extensionOf(agent, chat.conversation, chat.rpId)
    const [id, name] =
      to === 'routing point'
        ? [chat.rpId, chat.conversation.bot.title]
        : 'skill' in to
          ? [String(Number(chat.rpId) + 1000), 'SKILL']
          : [extension(to), to.name]
    return {
      conn_id: chat.connId,
      transfer_agent_id: extension(from),
      transfer_agent_name: from.name,
      transfer_agent_dni: `D${extension(from)}`,
      receiver_agent_id: id,
      receiver_agent_name: name,
      receiver_agent_dni: to === 'routing point' || 'skill' in to ? this.#blank('') : `D${id}`,
      channel: WORDS[chat.conversation.channel]?.chat ?? chat.conversation.channel,
      date: this.#date(atMs),
    }
  }

  #customerId(chat: Chat, atMs: number, nowMs: number): string {
    return knowsCustomer(chat, atMs, nowMs, this.#quirks) ? chat.customer.id : this.#blank('')
  }

  #blank(value: string): string {
    return value === '' ? this.#quirks.blank : value
  }

  #date(ms: number): string {
    return new Date(ms + this.#offsetMs(ms)).toISOString().slice(0, 19).replace('T', ' ')
  }

  /** Offset of the wall clock from UTC; looked up once a quarter of an hour, as no clock changes more often. */
  #offsetMs(ms: number): number {
    const quarter = Math.floor(ms / QUARTER_MS)
    let offsetMs = this.#offsets.get(quarter)
    if (offsetMs === undefined) {
      offsetMs = DateTime.fromMillis(quarter * QUARTER_MS, { zone: this.#zone }).offset * 60_000
      this.#offsets.set(quarter, offsetMs)
    }
    return offsetMs
  }

  #stamp(ms: number): string {
    return this.#date(ms).replaceAll(/\D/g, '')
  }

  /** Approximate; the fold of a clock change is an hour wide. */
  #instant(stamp: string): number {
    return DateTime.fromFormat(stamp, 'yyyyMMddHHmmss', { zone: this.#zone }).toMillis()
  }

  /** Between two times as they are shown, in whole seconds. */
  #duration(fromMs: number, untilMs: number): string {
    const seconds = Math.max(0, Math.floor(untilMs / 1000) - Math.floor(fromMs / 1000))
    if (this.#quirks.durations === 'seconds') return String(seconds)
    const two = (part: number) => String(part).padStart(2, '0')
    return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  }
}

/** Each report's names of the channels: `diagram_9` and `chat_8` by their samples, `diagram_13` by its list. */
const WORDS: Readonly<Partial<Record<Channel, { readonly turn: string; readonly chat: string; readonly menu: string }>>> = {
  web: { turn: 'web', chat: 'web', menu: 'chat-web' },
  whatsapp: { turn: 'whatsapp official direct', chat: 'whatsapp', menu: 'chat-whatsapp' },
  messenger: { turn: 'facebook', chat: 'facebook', menu: 'chat-facebook' },
  instagram: { turn: 'instagram', chat: 'instagram', menu: 'chat-instagram' },
  telegram: { turn: 'telegram', chat: 'telegram', menu: 'chat-telegram' },
}
