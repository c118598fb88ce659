/**
 * Names of agents, from `GET /agents`. Sessions and messages of v2 have only agents' ids, and only some events have a name.
 *
 * The list is read once per task start, and again after a day at the earliest, when an unknown id appears. Names are optional: if the list needs a permission
 * that the token lacks, or has failed three times, records are published without names, and it is requested again after 15 minutes. Published records never get
 * their names later, so temporary failures are waited out first.
 */
import { FlowError, type Http, text } from '../../src/source/index.ts'
import { pagesOf, rootOf } from './pages.ts'

interface AgentList {
  readonly names: ReadonlyMap<string, string>
  /** Not read again before this, epoch milliseconds. */
  readonly againAtMs: number
}

const DAY_MS = 86_400_000
const RETRY_MS = 15 * 60_000
/** About 10,000 agents. */
const MOST_PAGES = 20

/** By client, which lives as long as the task. */
const known = new WeakMap<Http, AgentList>()
/** Failures of the list in a row, over all tasks of a connector. */
const failed = new WeakMap<object, number>()
const MOST_FAILURES = 3

interface Args {
  readonly config: { readonly baseUrl?: string | undefined; readonly apiVersion: 'v1' | 'v2'; readonly includeAgents: boolean }
  readonly http: Http
  readonly nowMs: number
}

/** The available names by id. Sends a request only if one of `ids` is unknown. */
export async function agentNames({ config, http, nowMs }: Args, ids: ReadonlySet<string>): Promise<ReadonlyMap<string, string>> {
  const before = known.get(http) ?? { names: new Map<string, string>(), againAtMs: -Infinity }
  // v1's messages have the names, and its host has no such list.
  if (!config.includeAgents || config.apiVersion === 'v1') return before.names
  if (nowMs < before.againAtMs || ids.isSubsetOf(new Set(before.names.keys()))) return before.names
  let now: AgentList
  try {
    now = { names: await readNames(http, rootOf(config)), againAtMs: nowMs + DAY_MS }
    failed.delete(config)
  } catch (error) {
    if (!(error instanceof FlowError) || error.code === 'STOPPED') throw error
    const failures = (failed.get(config) ?? 0) + 1
    failed.set(config, failures)
    if (error.code !== 'SRC_UNAUTHORISED' && failures <= MOST_FAILURES)
      throw new FlowError(error.code, { ...error.details, ofAllRows: true }, error)
    now = { names: before.names, againAtMs: nowMs + RETRY_MS }
  }
  known.set(http, now)
  return now.names
}

async function readNames(http: Http, root: string): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>()
  let pages = 0
  for await (const { items } of pagesOf({ http, root, path: '/agents', query: {} })) {
    for (const item of items) {
      if (typeof item !== 'object' || item === null) continue
      const { id: givenId, name: givenName, alias } = item as Readonly<Record<string, unknown>>
      const id = text(givenId)
      const name = text(givenName) ?? text(alias)
      if (id !== null && name !== null) names.set(id, name)
    }
    if (++pages >= MOST_PAGES) break
  }
  return names
}
