/**
 * Series as integers: the five dimensions are interned once, and cells and contributions hold the id. Ids are of one partition's state and of one
 * life of it; what goes to topics is the series key.
 */
import { CHANNELS, type Channel } from '../records.ts'

export interface Series {
  readonly key: string
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: Channel
  readonly language: string
}

export interface SeriesTable {
  /**
   * The id of the series that a record counts for: a null channel counts as `other`, a null language as the empty string. A channel that this
   * version does not know counts as `other` too.
   */
  idOf(of: { vendor: string; account: string; bot_id: string; channel: Channel | null; language: string | null }): number
  /** The id of a series key as `seriesKey` writes it. */
  idOfKey(key: string): number
  get(id: number): Series
  readonly size: number
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

type Level<T> = Map<string, T>

export function createSeriesTable(): SeriesTable {
  const all: Series[] = []
  const byKey = new Map<string, number>()
  const byParts: Level<Level<Level<Level<Level<number>>>>> = new Map()
  let last: Series = { key: '', vendor: '', account: '', bot_id: '', channel: 'other', language: '' }
  let lastId = -1

  function idOf(of: {
    vendor: string
    account: string
    bot_id: string
    channel: Channel | null
    language: string | null
  }): number {
    const channel = of.channel ?? 'other'
    const language = of.language ?? ''
    if (
      lastId >= 0 &&
      of.bot_id === last.bot_id &&
      channel === last.channel &&
      language === last.language &&
      of.account === last.account &&
      of.vendor === last.vendor
    ) {
      return lastId
    }
    // Nested maps rather than one joined key: building a string for every record costs more than five look-ups.
    const languages = below(below(below(below(byParts, of.vendor), of.account), of.bot_id), channel)
    let id = languages.get(language)
    if (id === undefined) {
      const { vendor, account, bot_id } = of
      const parts = { vendor, account, bot_id, channel: CHANNELS.includes(channel) ? channel : 'other', language } as const
      const key = seriesKey(parts)
      id = byKey.get(key) ?? all.push({ key, ...parts }) - 1
      byKey.set(key, id)
      languages.set(language, id)
    }
    last = { ...get(id), channel }
    lastId = id
    return id
  }

  function get(id: number): Series {
    return all[id] as Series
  }

  return {
    idOf,
    idOfKey(key) {
      const id = byKey.get(key)
      if (id !== undefined) return id
      const [vendor = '', account = '', bot_id = '', channel = 'other', language = ''] = seriesParts(key)
      return idOf({ vendor, account, bot_id, channel: channel as Channel, language })
    },
    get,
    get size() {
      return all.length
    },
  }
}

function below<T>(level: Level<Level<T>>, part: string): Level<T> {
  let next = level.get(part)
  if (next === undefined) {
    next = new Map()
    level.set(part, next)
  }
  return next
}
