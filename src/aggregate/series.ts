/**
 * Series as integers: the five dimensions are interned once, and cells and contributions hold the id. Ids are of one partition's state and of one
 * life of it; what goes to topics is the series key.
 */
import { CHANNELS, type Channel } from '../records.ts'
import { type Account, type Budget, createAccount, type Fineness, NO_BUDGET, OTHER } from './budget.ts'

export interface Series {
  readonly key: string
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: Channel
  readonly language: string
}

/** Who a record counts for. A null channel counts as `other`, a null language as the empty string. A channel that this version does not know is `other` too. */
export interface Dimensions {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: Channel | null
  readonly language: string | null
}

export interface SeriesTable {
  /** The id of the very series of a point or a record, made when new, whatever the budget is: what is on the topics stays. */
  idOf(of: Dimensions): number
  /** The id of the series that a record is counted in: its own, or where the account has no room for it, a coarser one (`budget.ts`). */
  placeOf(of: Dimensions): number
  /** The id of a series key as `seriesKey` writes it. */
  idOfKey(key: string): number
  /** Whether records of this bot may count as another bot's, because its account has no room for more series: its own series may not hold all of them then. */
  mayCountElsewhere(bot: Pick<Dimensions, 'vendor' | 'account' | 'bot_id'>): boolean
  get(id: number): Series
  readonly size: number
  /** How many records `placeOf` has put into a coarser series since `forgetFolded`, by account. */
  readonly folded: readonly Folded[]
  forgetFolded(): void
}

export interface Folded {
  readonly vendor: string
  readonly account: string
  readonly n: number
}

/**
 * `vendor|account|bot_id|channel|language`. A bar or a backslash inside a part gets a backslash before it: vendors name their bots as they like,
 * and two series must never share a key.
 */
export function seriesKey(of: { vendor: string; account: string; bot_id: string; channel: string; language: string }): string {
  const key = `${of.vendor}|${of.account}|${of.bot_id}|${of.channel}|${of.language}`
  if (!key.includes('\\') && key.split('|').length === 5) return key
  return [of.vendor, of.account, of.bot_id, of.channel, of.language].map(part => part.replaceAll(/[\\|]/g, '\\$&')).join('|')
}

/** The five parts of a series key, in its order. */
export function seriesParts(key: string): string[] {
  if (!key.includes('\\')) return key.split('|')
  const parts = ['']
  for (let at = 0; at < key.length; at++) {
    if (key[at] === '|') parts.push('')
    else parts[parts.length - 1] += key[at] === '\\' ? (key[++at] ?? '') : (key[at] ?? '')
  }
  return parts
}

const KNOWN_CHANNELS: ReadonlySet<string> = new Set(CHANNELS)

type Level<T> = Map<string, T>

/** The series of one account, and how many records were put into coarser ones. */
interface Bots {
  readonly vendor: string
  readonly account: string
  readonly budget: Account
  readonly byBot: Level<Level<Level<number>>>
  folded: number
}

/** @param budget Of each account; none by default. */
export function createSeriesTable(budget: Budget = NO_BUDGET): SeriesTable {
  const all: Series[] = []
  const byKey = new Map<string, number>()
  const byParts: Level<Level<Bots>> = new Map()
  const folding = new Set<Bots>()
  /** Of the record before, as it came: most records are of the same series as that. */
  let last: Dimensions = { vendor: '', account: '', bot_id: '', channel: null, language: null }
  let lastId = -1
  let lastFolded: Bots | null = null

  function botsOf({ vendor, account }: Dimensions): Bots {
    const accounts = below(byParts, vendor)
    let bots = accounts.get(account)
    if (bots === undefined) {
      bots = { vendor, account, budget: createAccount(budget, vendor, account), byBot: new Map(), folded: 0 }
      accounts.set(account, bots)
    }
    return bots
  }

  /** Nested maps rather than one joined key: building a string for every record costs more than five look-ups. */
  const find = ({ byBot }: Bots, bot: string, channel: Channel, language: string) => byBot.get(bot)?.get(channel)?.get(language)

  function make(bots: Bots, bot_id: string, channel: Channel, language: string): number {
    const { vendor, account } = bots
    const parts = { vendor, account, bot_id, channel, language }
    const key = seriesKey(parts)
    const id = all.push({ key, ...parts }) - 1
    byKey.set(key, id)
    below(below(bots.byBot, bot_id), channel).set(language, id)
    bots.budget.add(finenessOf(channel, language))
    lastId = -1
    return id
  }

  /** The id of the series where it is there already, or where there is room for it. */
  function admit(bots: Bots, bot: string, channel: Channel, language: string): number | undefined {
    const found = find(bots, bot, channel, language)
    if (found !== undefined) return found
    return bots.budget.hasRoom(finenessOf(channel, language)) ? make(bots, bot, channel, language) : undefined
  }

  function fold(bots: Bots, bot: string, channel: Channel, language: string): number {
    const { restBot } = bots.budget
    const coarser = language === '' ? undefined : admit(bots, bot, channel, OTHER)
    const coarsest = coarser ?? admit(bots, bot, OTHER, OTHER) ?? find(bots, restBot, OTHER, OTHER)
    return coarsest ?? make(bots, restBot, OTHER, OTHER)
  }

  function noteFolded(bots: Bots): void {
    bots.folded++
    folding.add(bots)
  }

  function get(id: number): Series {
    return all[id] as Series
  }

  function idOf(of: Dimensions): number {
    const bots = botsOf(of)
    const channel = channelOf(of)
    const language = of.language ?? ''
    return find(bots, of.bot_id, channel, language) ?? make(bots, of.bot_id, channel, language)
  }

  return {
    idOf,

    placeOf(of) {
      if (
        lastId >= 0 &&
        of.bot_id === last.bot_id &&
        of.channel === last.channel &&
        of.language === last.language &&
        of.account === last.account &&
        of.vendor === last.vendor
      ) {
        if (lastFolded !== null) noteFolded(lastFolded)
        return lastId
      }
      const bots = botsOf(of)
      const channel = channelOf(of)
      const language = of.language ?? ''
      const own = admit(bots, of.bot_id, channel, language)
      last = { vendor: of.vendor, account: of.account, bot_id: of.bot_id, channel: of.channel, language: of.language }
      lastId = own ?? fold(bots, of.bot_id, channel, language)
      lastFolded = own === undefined ? bots : null
      if (lastFolded !== null) noteFolded(lastFolded)
      return lastId
    },

    idOfKey(key) {
      const id = byKey.get(key)
      if (id !== undefined) return id
      const [vendor = '', account = '', bot_id = '', channel = 'other', language = ''] = seriesParts(key)
      return idOf({ vendor, account, bot_id, channel: channel as Channel, language })
    },

    mayCountElsewhere({ vendor, account, bot_id }) {
      const bots = byParts.get(vendor)?.get(account)
      if (bots === undefined || find(bots, bots.budget.restBot, OTHER, OTHER) === undefined) return false
      // What has no other room counts there first.
      return find(bots, bot_id, OTHER, OTHER) === undefined
    },

    get,
    get size() {
      return all.length
    },
    get folded() {
      return [...folding].map(({ vendor, account, folded }) => ({ vendor, account, n: folded }))
    },
    forgetFolded() {
      for (const bots of folding) bots.folded = 0
      folding.clear()
    },
  }
}

function channelOf({ channel }: Dimensions): Channel {
  return channel !== null && KNOWN_CHANNELS.has(channel) ? channel : OTHER
}

function finenessOf(channel: Channel, language: string): Fineness {
  if (language !== '' && language !== OTHER) return 'words'
  return channel === OTHER && language === OTHER ? 'bots' : 'pairs'
}

function below<T>(level: Level<Level<T>>, part: string): Level<T> {
  let next = level.get(part)
  if (next === undefined) {
    next = new Map()
    level.set(part, next)
  }
  return next
}
