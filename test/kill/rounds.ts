/**
 * Rounds of faults. In each, a new account of every vendor, whose history is over, is read by a worker and counted by an aggregator while brokers, registry,
 * vendors and the two processes fail; then the faults end, and with nobody's help everything must be on the topics, once, and in the series.
 *
 * Brokers, topics, aggregator and server last over all rounds; the worker gets a config with the next account in each.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { BOTS, createWorld, Random } from '../../src/sim/index.ts'
import { throwAwayFolder } from '../../src/stack/child.ts'
import { topicNames } from '../../src/topics.ts'
import { launch, type Ship, startOf } from '../support/fleet.ts'
import { followIndependently, type Follower, type IndependentRecord } from '../support/independent/read-topics.ts'
import { querySeries, type SeriesAnswer } from '../support/product.ts'
import { asServed, type Recount, recount } from '../support/recount.ts'
import { checkSeries, checkTopics, type Finding, sum } from './check.ts'
import { type Cluster, pause, startCluster } from './cluster.ts'
import { type Life, type Role, startLife } from './crew.ts'
import { atPace, drawFaults, type Kind, KINDS, type Scene, type Victim } from './faults.ts'
import { type Gate, startGate } from './gate.ts'

const DAY_MS = 86_400_000
const PARTITIONS = 3
/** In this time after the last fault everything must be read, counted and served, or a person would be called. */
const BOUND_MS = 60_000
const FOLLOWED = /: another process has taken this source partition over /

export interface RoundsOptions {
  readonly rounds: number
  readonly seed: number
  /** The round to begin with: a later one is tried alone with the same faults. */
  readonly from?: number
  /** Conversations of each vendor and round. */
  readonly sessions?: number
  readonly kinds?: readonly Kind[]
  /** A registry that is there already; absent, one is started. */
  readonly registry?: string
  /** Where logs of rounds with findings go; absent: nowhere. */
  readonly logs?: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly say: (line: string) => void
}

export interface RoundResult {
  readonly round: number
  readonly faults: readonly string[]
  readonly lost: number
  readonly twice: number
  /** What a person would have had to do. */
  readonly hands: readonly string[]
  readonly details: readonly string[]
  /** From the end of the last fault until everything was there. */
  readonly recoveredMs: number
  /** Longest time of one source partition without a commit, outages not counted. */
  readonly silenceMs: number
  readonly silent: string
  readonly tookMs: number
  readonly records: number
}

export interface Report {
  readonly seed: number
  readonly rounds: readonly RoundResult[]
  /** How often each kind of fault was tried. */
  readonly faults: ReadonlyMap<string, number>
  /** The series of all rounds against a recount of all rounds, at the end. */
  readonly atEnd: Finding
}

interface Outage {
  readonly fromMs: number
  untilMs: number
}

/** Everything that lasts over the rounds. */
interface Stand {
  readonly options: RoundsOptions
  readonly cluster: Cluster
  readonly registry: Gate
  readonly names: ReturnType<typeof topicNames>
  readonly folder: string
  readonly counts: Map<string, number>
  /** Those that are there, in the order of their start. */
  readonly lives: Life[]
  readonly totals: Recount
  readonly earliestMs: number
  /** What a round reads; told by its fleet. */
  vendors: readonly string[]
  follower: Follower | null
}

export async function runRounds(options: RoundsOptions): Promise<Report> {
  const { rounds, seed, from = 1, say, env } = options
  const scratch = throwAwayFolder(join(tmpdir(), `colloquy-kill-run-${process.pid}-${randomBytes(4).toString('hex')}`))
  const ended: (() => unknown)[] = [() => scratch.remove()]
  const lives: Life[] = []
  ended.push(() => Promise.all(lives.map(life => life.kill())))
  try {
    const startedMs = Date.now()
    const cluster = await startCluster({ env, say, ...(options.registry === undefined ? {} : { registry: options.registry }) })
    ended.push(() => cluster.stop())
    const registry = await startGate(Number(new URL(cluster.registry).port))
    ended.push(() => registry.close())
    say(`three brokers and a registry after ${Date.now() - startedMs} ms`)
    const prefix = `kill-${seed}`
    const stand: Stand = {
      options,
      cluster,
      registry,
      names: topicNames(prefix),
      folder: scratch.path,
      counts: new Map(),
      lives,
      totals: new Map(),
      earliestMs: Date.now() - 8 * DAY_MS,
      vendors: [],
      follower: null,
    }
    ended.push(() => stand.follower?.stop())
    const results: RoundResult[] = []
    for (let round = from; round < from + rounds; round++) {
      const result = await runRound(stand, round)
      results.push(result)
      say(JSON.stringify(result))
    }
    const all = await asServed(await asker(stand, {}), stand.earliestMs, Date.now())
    for (const life of lives) await endOfRun(life, say)
    return { seed, rounds: results, faults: stand.counts, atEnd: checkSeries(all, stand.totals) }
  } finally {
    for (const end of ended.reverse()) await end()
  }
}

async function endOfRun(life: Life, say: (line: string) => void): Promise<void> {
  const { code, slow } = await life.terminate()
  if (slow || code !== 0) say(`${life.name} ended with ${code} at the end of the run`)
}

async function runRound(stand: Stand, round: number): Promise<RoundResult> {
  const { options, cluster, registry, names, lives } = stand
  const startedMs = Date.now()
  const random = new Random(options.seed, round, 3)
  const account = `r${round}`
  const untilMs = startedMs - 3 * DAY_MS
  const world = createWorld({
    seed: random.int(1, 2 ** 30),
    sessions: options.sessions ?? 25,
    fromMs: untilMs - 2 * DAY_MS,
    untilMs,
    bots: BOTS.slice(0, 1),
  })
  const fleet = await launch({ world, account, pageRows: 6 })
  stand.vendors = fleet.map(({ vendor }) => vendor)
  const config = writeConfig(stand, { fleet, account, startAtMs: startOf(world) })
  const hands: string[] = []
  const tried: string[] = []
  const outages: Outage[] = []
  const begin = (role: Role): Life => {
    const life = startLife(role, config, stand.folder)
    lives.push(life)
    return life
  }
  try {
    fleet.forEach(atPace)
    begin('worker')
    for (const role of ['aggregator', 'server'] as const) if (lives.every(life => life.role !== role)) begin(role)
    const scene: Scene = {
      cluster,
      registry,
      fleet,
      current: role => lives.findLast(life => life.role === role && !life.gone()) ?? begin(role),
      begin,
      outage: async work => {
        const outage: Outage = { fromMs: Date.now(), untilMs: Infinity }
        outages.push(outage)
        try {
          return await work()
        } finally {
          outage.untilMs = Date.now()
        }
      },
      count: kind => {
        tried.push(kind)
        stand.counts.set(kind, (stand.counts.get(kind) ?? 0) + 1)
      },
      complain: what => void hands.push(what),
    }
    await scene.current('worker').base()
    await inject(scene, drawFaults(options.seed, round, options.kinds ?? KINDS))
    heal(scene, begin, lives)
    const healedMs = Date.now()

    let recovered = await caughtUp(stand, { account, untilMs, sinceMs: healedMs })
    let recoveredMs = Date.now() - healedMs
    let why = ''
    if (recovered !== null) {
      hands.push(`not caught up ${BOUND_MS / 1000} s after the last fault: ${recovered}`)
      why = await diagnosis(stand)
      for (const life of lives) await life.kill()
      heal(scene, begin, lives)
      begin('server')
      recovered = await caughtUp(stand, { account, untilMs, sinceMs: Date.now() })
      recoveredMs = Date.now() - healedMs
    }
    for (const life of lives) {
      const code = life.unasked()
      if (code !== null)
        hands.push(`${life.name} ended by itself with code ${code}: ${life.lines.slice(-2).join(' ').slice(0, 600)}`)
    }
    const { finding, records } = await examine(stand, { account, fleet, startedMs })
    const silence = longestSilence(records, { names, account, fromMs: startedMs, untilMs: Date.now(), outages })
    if (options.logs !== undefined && (finding.details.length > 0 || hands.length > 0)) writeLogs(stand, round, why)
    await endRound(stand, scene)
    return {
      round,
      faults: tried,
      lost: finding.lost,
      twice: finding.twice,
      hands,
      details: recovered === null ? finding.details : [...finding.details, `never caught up: ${recovered}`],
      recoveredMs,
      ...silence,
      tookMs: Date.now() - startedMs,
      records: records.length,
    }
  } finally {
    await Promise.all(fleet.map(({ simulator }) => simulator.stop()))
  }
}

function writeConfig(stand: Stand, of: { fleet: readonly Ship[]; account: string; startAtMs: number }): string {
  const { cluster, registry, names, folder, options } = stand
  const path = join(folder, `${of.account}.yaml`)
  const config = {
    kafka: { brokers: cluster.config.brokers, ssl: cluster.config.ssl, sasl: cluster.config.sasl },
    registry: { url: `http://127.0.0.1:${registry.port}${new URL(cluster.registry).pathname}` },
    topics: { prefix: names.sessions.slice(0, -'.sessions'.length), partitions: PARTITIONS, replicationFactor: 3 },
    http: { port: 0 },
    aggregator: { sessionTimeout: '3s' },
    connectors: Object.fromEntries(
      of.fleet.map(({ vendor, keys }) => [
        `${vendor}-${of.account}`,
        { 'connector.class': vendor, ...keys, 'start.at': new Date(of.startAtMs).toISOString(), 'poll.interval.ms': 2000 },
      ]),
    ),
  }
  if (options.env['KILL_DEBUG'] !== undefined) options.say(stringify(config))
  writeFileSync(path, stringify(config))
  return path
}

/** Runs the faults at their times; those of one resource one after the other. */
async function inject(scene: Scene, faults: ReturnType<typeof drawFaults>): Promise<void> {
  const busy = new Map<string, Promise<void>>()
  const startMs = Date.now()
  await Promise.all(
    faults
      .toSorted((a, b) => a.atMs - b.atMs)
      .map(async fault => {
        await pause(Math.max(0, startMs + fault.atMs - Date.now()))
        const before = busy.get(fault.resource) ?? Promise.resolve()
        const mine = before.then(() => fault.run(scene))
        busy.set(
          fault.resource,
          mine.catch(() => {}),
        )
        await mine
      }),
  )
}

/** Whatever the faults left: everything runs on, and of each role there is one. */
function heal(scene: Scene, begin: (role: Role) => Life, lives: Life[]): void {
  for (const life of lives) if (life.isFrozen() && !life.gone()) life.thaw()
  scene.registry.set('pass')
  scene.fleet.forEach(atPace)
  for (const role of ['worker', 'aggregator'] as const satisfies Victim[])
    if (lives.every(life => life.role !== role || life.gone())) begin(role)
}

/** Null when all of the account is served and every process is ready; else, when the bound has passed, what is missing. */
async function caughtUp(stand: Stand, of: { account: string; untilMs: number; sinceMs: number }): Promise<string | null> {
  for (;;) {
    const missing = await whatIsMissing(stand, of).catch((error: unknown) => String(error))
    if (missing === null) return null
    if (Date.now() - of.sinceMs > BOUND_MS) return missing
    await pause(200)
  }
}

async function whatIsMissing(stand: Stand, { account, untilMs }: { account: string; untilMs: number }): Promise<string | null> {
  const ask = await asker(stand, { account })
  for (const vendor of stand.vendors)
    for (const measure of ['sessions', 'events']) {
      const { complete_until } = await ask({ measure, vendor, bucket: '1d' })
      if (complete_until === null || Date.parse(complete_until) <= untilMs + DAY_MS)
        return `${measure} of ${vendor} are complete until ${complete_until}`
    }
  return unready(
    await Promise.all(
      stand.lives
        .filter(life => !life.gone())
        .map(async life => {
          const answer = await fetch(`${await life.base()}/readyz`, { signal: AbortSignal.timeout(5_000) })
          const { message = '' } = (await answer.json()) as { message?: string }
          return { name: life.name, role: life.role, why: answer.status === 200 ? null : message }
        }),
    ),
  )
}

/**
 * What a person would have to see to, or null. Of two workers with one config the one that follows is not ready (`docs/decisions/0006`), and needs nobody
 * as long as the other reads: so a source partition counts when every worker follows it.
 */
export function unready(
  processes: readonly { readonly name: string; readonly role: Role; readonly why: string | null }[],
): string | null {
  const workers = processes.filter(({ role }) => role === 'worker')
  for (const { name, role, why } of processes) {
    if (why === null) continue
    const reasons = why.replace(/^worker: /, '').split('; ')
    const left = reasons.filter(
      reason => role !== 'worker' || !FOLLOWED.test(reason) || workers.every(other => other.why?.includes(reason) === true),
    )
    if (left.length > 0) return `${name} is not ready: ${left.join('; ').slice(0, 300)}`
  }
  return null
}

async function asker(
  stand: Stand,
  filter: Record<string, string>,
): Promise<(query: Record<string, string>) => Promise<SeriesAnswer>> {
  const server = stand.lives.findLast(life => life.role === 'server' && !life.gone())
  if (server === undefined) throw new Error('the server has gone')
  const base = await server.base()
  return query => querySeries(base, { ...query, ...filter })
}

/** Reads what the round put on the topics with a reader that is not ours, and holds it to vendors and series. */
async function examine(
  stand: Stand,
  of: { account: string; fleet: readonly Ship[]; startedMs: number },
): Promise<{ finding: Finding; records: readonly IndependentRecord[] }> {
  const { cluster, names, totals } = stand
  const { sessions, messages, events, rejects, progress } = names
  stand.follower ??= await followIndependently({
    brokers: cluster.config.brokers.join(','),
    registry: cluster.registry,
    topics: [sessions, messages, events, rejects, progress],
    client: cluster.librdkafka,
  })
  const records = await stand.follower.readOn()
  const nowMs = Date.now()
  const truths = new Map(of.fleet.map(({ vendor, truth }) => [vendor, { due: truth(of.startedMs), shown: truth(nowMs) }]))
  const onTopics = checkTopics(records, { names, account: of.account, truths })
  const counted = recount(records, names)
  for (const [key, value] of counted) totals.set(key, (totals.get(key) ?? 0) + value)
  const served = await asServed(await asker(stand, { account: of.account }), stand.earliestMs, nowMs)
  return { finding: sum([onTopics, checkSeries(served, counted)]), records }
}

/** The longest that a source partition was silent, told by the times of its Progress; what lies in an outage does not count. */
export function longestSilence(
  records: readonly IndependentRecord[],
  of: { names: { progress: string }; account: string; fromMs: number; untilMs: number; outages: readonly Outage[] },
): { silenceMs: number; silent: string } {
  const commits = new Map<string, number[]>()
  for (const { topic, key, value } of records) {
    if (topic !== of.names.progress || value === null || value['account'] !== of.account) continue
    commits.set(key ?? '', [...(commits.get(key ?? '') ?? [of.fromMs]), value['committed_at'] as number])
  }
  let longest = { silenceMs: 0, silent: '' }
  for (const [place, times] of commits) {
    const sorted = [...times, of.untilMs].toSorted((a, b) => a - b)
    for (const [index, untilMs] of sorted.entries()) {
      const fromMs = sorted[index - 1] ?? untilMs
      const silenceMs = untilMs - fromMs - overlap(fromMs, untilMs, of.outages)
      if (silenceMs > longest.silenceMs) longest = { silenceMs, silent: place }
    }
  }
  return longest
}

/** How much of `[fromMs, untilMs)` lies in outages, which may overlap. */
function overlap(fromMs: number, untilMs: number, outages: readonly Outage[]): number {
  let covered = 0
  let reached = fromMs
  for (const outage of outages.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const begin = Math.max(outage.fromMs, reached)
    const end = Math.min(outage.untilMs, untilMs)
    if (end <= begin) continue
    covered += end - begin
    reached = end
  }
  return covered
}

/** The worker goes, and of the others one of each role stays. */
async function endRound(stand: Stand, scene: Scene): Promise<void> {
  const { lives } = stand
  const staying = new Set(
    (['aggregator', 'server'] as const).map(role => lives.findLast(life => life.role === role && !life.gone())),
  )
  await Promise.all(
    lives.map(async life => {
      if (staying.has(life) || life.gone()) return
      const { code, slow } = await life.terminate()
      if (slow) scene.complain(`${life.name} did not end within 10 s of SIGTERM`)
      else if (code !== 0) scene.complain(`${life.name} ended with code ${code} on SIGTERM`)
    }),
  )
  lives.splice(0, lives.length, ...lives.filter(life => !life.gone()))
}

async function diagnosis(stand: Stand): Promise<string> {
  const said = await Promise.all(
    stand.lives.map(async life => {
      if (life.gone()) return `${life.name}: gone`
      const get = async (path: string) => {
        try {
          return await (await fetch(`${await life.base()}${path}`, { signal: AbortSignal.timeout(3_000) })).text()
        } catch (error) {
          return String(error)
        }
      }
      const metrics = (await get('/metrics'))
        .split('\n')
        .filter(line => /stream_state.* 1$|lag_records|complete_until/.test(line))
      return `${life.name}: ${await get('/readyz')}\n${metrics.join('\n')}`
    }),
  )
  return said.join('\n\n')
}

function writeLogs(stand: Stand, round: number, why: string): void {
  const folder = join(stand.options.logs ?? '', `round-${round}`)
  mkdirSync(folder, { recursive: true })
  for (const life of stand.lives) writeFileSync(join(folder, `${life.name}.log`), `${life.lines.join('\n')}\n`)
  writeFileSync(join(folder, 'diagnosis.txt'), `${why}\n`)
  writeFileSync(join(folder, 'brokers.json'), JSON.stringify(stand.cluster.lastLines(), null, 2))
}
