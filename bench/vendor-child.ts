/** A child of the benchmark: one vendor's simulator over a long history, without limits. Prints what reads it; asked, tells what it was asked for. */
import { findConnector } from '../src/source/registry.ts'
import { parseConnectorConfig } from '../src/source/config.ts'
import { partitionsOf } from '../src/ingest/source-partition.ts'
import { createWorld } from '../src/sim/index.ts'
import type { Truth } from '../src/conformance/index.ts'
import { launch, type Ship, startOf } from '../test/support/fleet.ts'

export interface Fleet {
  readonly keys: Readonly<Record<string, unknown>>
  readonly fromMs: number
  readonly untilMs: number
  /** Streams that are read. */
  readonly streams: number
}

export interface Told {
  readonly requests: number
  /** Fewest requests that could give the same records: rows over the most that one answer holds, of each kind of request that has to be made. */
  readonly least: number
  /** What the vendor's documented limits would make of the requests; null: none are documented. */
  readonly quotaSeconds: number | null
}

const DAY_MS = 86_400_000
const [vendor = '', count = '20000'] = process.argv.slice(2)
const untilMs = Date.now() - 3 * DAY_MS
const days = Math.max(2, Math.ceil(Number(count) / 3000))
// All of it stays in memory: what is measured is the reading, not the making of what is read.
const sessions = Number(count)
const world = createWorld({ seed: 1, sessions, fromMs: untilMs - days * DAY_MS, untilMs, kept: sessions })
const [ship] = await launch({ world }, [vendor])
if (ship === undefined) throw new Error(`there is no ${vendor}`)

const parsed = parseConnectorConfig('bench', { 'connector.class': vendor, ...ship.keys }, await findConnector(vendor, '.'))
if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
const read = partitionsOf(await findConnector(vendor, '.'), parsed.base, parsed.config)
const fleet: Fleet = {
  keys: ship.keys,
  fromMs: startOf(world),
  untilMs,
  streams: new Set(read.map(({ streamName }) => streamName)).size,
}
process.stdout.write(`${JSON.stringify(fleet)}\n`)
process.on('message', () => process.send?.(told(ship)))
process.on('disconnect', () => process.exit(0))

function told({ simulator, truth }: Ship): Told {
  const { requests, byPath } = simulator.stats()
  return { requests, least: leastOf(truth(Date.now())), quotaSeconds: quotaSecondsOf(requests, byPath) }
}

function leastOf({ sessions, messages, events }: Truth): number {
  const pages = (rows: number, most: number) => Math.max(1, Math.ceil(rows / most))
  const perBot = (rows: readonly { bot_id?: string }[], most: number) =>
    [...Map.groupBy(rows, ({ bot_id }) => bot_id)].reduce((sum, [, of]) => sum + pages(of.length, most), 0)
  const bots = new Set([...sessions, ...events].map(({ bot_id }) => bot_id)).size
  switch (vendor) {
    case 'botmaker':
      return pages(sessions.length, 500)
    case 'koreai': {
      const found = events.filter(({ event_id }) => /^(success|fail|unhandled)/.test(String(event_id)))
      const lists = [...Map.groupBy(found, ({ event_id }) => String(event_id).split('/')[0])]
      return perBot(sessions, 100) + perBot(sessions, 50) + lists.reduce((sum, [, of]) => sum + perBot(of, 100), 0)
    }
    case 'syntphony':
      return (
        perBot(sessions, 100) +
        sessions.length +
        perBot(
          messages.filter(({ sender }) => sender === 'USER'),
          100,
        )
      )
    case 'wolkvox': {
      const months = Math.ceil(days / 31)
      return pages(messages.length / 2, 6000) + 4 * months
    }
    case 'chatlayer': {
      const months = Math.ceil(days / 31)
      const tracked = events.filter(({ type }) => type !== 'metric_point' && type !== 'flow_transition')
      return perBot(tracked, 100) + sessions.length + bots * (2 * months + 3 * days) + months
    }
    default:
      throw new Error(`what is the least for ${vendor}?`)
  }
}

function quotaSecondsOf(requests: number, byPath: Readonly<Record<string, number>>): number | null {
  if (vendor === 'botmaker') return requests
  if (vendor === 'wolkvox') return 2 * requests
  if (vendor !== 'koreai') return null
  // 1,800 an hour for each bot.
  const ofBots = Map.groupBy(Object.entries(byPath), ([path]) => path.split('/')[4])
  return 2 * Math.max(...[...ofBots].map(([, of]) => of.reduce((sum, [, asked]) => sum + asked, 0)))
}
