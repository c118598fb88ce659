/**
 * Workers of one group, killed, frozen, stopped, added and rolled at random, while five vendors are read by them and count what comes. Then the faults end, and
 * with nobody's help everything must be on the topics, once, and in the series; no vendor may have been asked for more than it allows, and no source partition
 * may have been silent for long.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { connectKafka } from '../../src/kafka/client.ts'
import { silentLog } from '../../src/log.ts'
import { BOTS, createWorld, type Logged } from '../../src/sim/index.ts'
import { throwAwayFolder } from '../../src/stack/child.ts'
import { startStack } from '../../src/stack/stack.ts'
import { topicNames } from '../../src/topics.ts'
import { launch, type Ship, startOf } from '../support/fleet.ts'
import { readIndependently } from '../support/independent/read-topics.ts'
import { querySeries, type SeriesAnswer } from '../support/product.ts'
import { asServed, recount } from '../support/recount.ts'
import { checkSeries, checkTopics, type Finding, sum } from './check.ts'
import { pause } from './cluster.ts'
import { type Life, type Role, startLife } from './crew.ts'
import { atPace } from './faults.ts'
import { drawGroupFaults, type Fleet, WORKERS } from './group-faults.ts'
import { breaksOf, Counter, type Limits, Stalls } from './limits.ts'
import { figuresOf, type Gap, gapsOf, movesIn, ownerAt, type Placed, placeOf } from './silence.ts'

const DAY_MS = 86_400_000
const PARTITIONS = 3
const ACCOUNT = 'group'
/** In this time after the last fault all must be well again, or a person would be called. */
const WELL_MS = 60_000
/** What was not read yet may take so long, as the limits of the vendors have it. */
const READ_MS = 30 * 60_000
const START_MS = 600_000
const LOOK_MS = 100
const TELL_MS = 15_000
/** What a fault has done shows within this time. */
const AFTER_FAULTS_MS = 30_000
/** A task that moves at the end of a roll has moved some seconds later. */
const AFTER_ROLL_MS = 5_000
const LEAST_SESSIONS = 40
const SESSIONS_A_FAULT = 1
const MOST_SHOWN = 5

/** Six bots, so that there are more than forty source partitions. */
const SIX_BOTS = [...BOTS, ...BOTS.map(bot => ({ ...bot, id: `${bot.id}-2`, title: `${bot.title} 2` }))]

interface Vendor {
  readonly tasksMax: number
  readonly pollMs: number
  /** About so many rows a page: few, so that the reading lasts. */
  readonly pageRows: number
  readonly limits: Limits
  /** What the vendor counts a request by; null: by nothing. */
  readonly keyOf: (request: Logged) => string | null
}

const oneKey = () => 'all'
/** The figures of the connectors' manifests, but where a poll every few seconds would not fit into them. */
const VENDORS: Readonly<Record<string, Vendor>> = {
  botmaker: { tasksMax: 1, pollMs: 5_000, pageRows: 1, limits: { perSecond: 1, concurrency: 1 }, keyOf: oneKey },
  // More tasks than a third of all, so that its quota is divided.
  chatlayer: { tasksMax: 14, pollMs: 10_000, pageRows: 10, limits: { perSecond: 20, concurrency: 4 }, keyOf: oneKey },
  koreai: {
    tasksMax: 6,
    pollMs: 10_000,
    pageRows: 1,
    limits: { perSecond: 2, perMinute: 180, perHour: 7_200 },
    keyOf: ({ path }) => /\/(?:bot|stream)\/([^/]+)\//.exec(path)?.[1] ?? 'account',
  },
  syntphony: {
    tasksMax: 6,
    pollMs: 8_000,
    pageRows: 2,
    limits: { perSecond: 8, concurrency: 4 },
    // Whoever gives out tokens is another.
    keyOf: ({ path }) => (path.startsWith('/auth/') ? null : 'all'),
  },
  wolkvox: { tasksMax: 5, pollMs: 10_000, pageRows: 6, limits: { concurrency: 1, gapMs: 500 }, keyOf: oneKey },
}

export interface GroupOptions {
  readonly faults: number
  readonly seed: number
  readonly only?: readonly string[]
  /** Conversations of each vendor. Default: so many that the reading lasts about as long as the faults. */
  readonly sessions?: number
  /** Brokers and registry that are there already; absent, they are started. */
  readonly stack?: { readonly brokers: string; readonly registry: string }
  /** Where logs go when something was found; absent: nowhere. */
  readonly logs?: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly say: (line: string) => void
}

export interface GroupReport {
  readonly seed: number
  readonly sourcePartitions: number
  readonly tasks: number
  readonly faults: ReadonlyMap<string, number>
  readonly finding: Finding
  readonly hands: readonly string[]
  readonly requests: number
  /** Of the vendors' limits. */
  readonly breaks: readonly string[]
  /** Times between two commits of one source partition. */
  readonly silence: ReturnType<typeof figuresOf>
  /** Those that a fault fell into, of source partitions of the worker that it struck. */
  readonly struck: ReturnType<typeof figuresOf>
  readonly longest: readonly string[]
  readonly rolls: readonly { readonly tasks: number; readonly moves: number; readonly most: number }[]
  /** Vendors that were read whole before the last fault. */
  readonly wholeBefore: readonly string[]
  /** From the last fault until every process was well, and every task ran. */
  readonly wellMs: number
  readonly records: number
  readonly tookMs: number
}

/** Everything that lasts over the faults. */
interface Stand {
  readonly options: GroupOptions
  readonly stack: { readonly brokers: string; readonly registry: string }
  readonly names: ReturnType<typeof topicNames>
  readonly fleet: readonly Ship[]
  /** When the vendors' world was over. */
  readonly untilMs: number
  readonly startAtMs: number
  readonly counters: ReadonlyMap<string, Counter>
  readonly stalls: Stalls
  readonly lives: readonly Life[]
  readonly begin: (role: Role) => Life
  readonly statuses: ReturnType<typeof followStatuses>
}

/** What was done, and when. */
interface Done {
  readonly hands: string[]
  readonly tried: Map<string, number>
  readonly hits: { readonly atMs: number; readonly worker: string; readonly fault: string }[]
  readonly rolls: { readonly fromMs: number; readonly untilMs: number }[]
}

type AtEnd = (end: () => unknown) => void

export async function runGroup(options: GroupOptions): Promise<GroupReport> {
  const ended: (() => unknown)[] = []
  try {
    const startedMs = Date.now()
    const stand = await startAll(options, end => ended.push(end))
    const tasks = await formed(stand)
    const fromMs = Date.now()
    const done: Done = { hands: [], tried: new Map(), hits: [], rolls: [] }
    await inject(stand, done)
    const settled = await settle(stand, done)
    const report: GroupReport = {
      ...(await examine(stand, done, { tasks, fromMs, ...settled })),
      wholeBefore: settled.wholeBefore,
      wellMs: settled.wellMs,
      tookMs: Date.now() - startedMs,
    }
    if (options.logs !== undefined) writeLogs(options.logs, stand, done, report)
    for (const life of there(stand)) await life.terminate()
    return report
  } finally {
    for (const end of ended.reverse()) await end()
  }
}

async function startAll(options: GroupOptions, atEnd: AtEnd): Promise<Stand> {
  const { seed, env, faults } = options
  const scratch = throwAwayFolder(join(tmpdir(), `colloquy-kill-group-${process.pid}-${randomBytes(4).toString('hex')}`))
  atEnd(() => scratch.remove())
  let { stack } = options
  if (stack === undefined) {
    const own = await startStack({ log: silentLog, env })
    atEnd(() => own.stop())
    stack = own
  }
  const prefix = `group-${seed}-${randomBytes(3).toString('hex')}`
  const untilMs = Date.now() - 3 * DAY_MS
  const sessions = options.sessions ?? LEAST_SESSIONS + SESSIONS_A_FAULT * faults
  const world = createWorld({ seed, sessions, fromMs: untilMs - DAY_MS, untilMs, bots: SIX_BOTS })
  const ships = Object.entries(VENDORS).map(([vendor, { pageRows }]) => launch({ world, account: ACCOUNT, pageRows }, [vendor]))
  const fleet = (await Promise.all(ships)).flat()
  atEnd(() => Promise.all(fleet.map(({ simulator }) => simulator.stop())))
  fleet.forEach(atPace)
  const stalls = new Stalls()
  atEnd(() => stalls.stop())
  const counters = new Map(fleet.map(({ vendor, simulator }) => [vendor, new Counter(simulator, of(vendor).keyOf)]))
  const looking = setInterval(() => {
    for (const counter of counters.values()) counter.look()
  }, LOOK_MS)
  atEnd(() => clearInterval(looking))

  const config = writeConfig(join(scratch.path, 'group.yaml'), { stack, prefix, fleet, startAtMs: startOf(world) })
  const lives: Life[] = []
  atEnd(() => Promise.all(lives.map(life => life.kill())))
  const begin = (role: Role): Life => {
    const life = startLife(role, config, scratch.path)
    lives.push(life)
    return life
  }
  for (const role of ['aggregator', 'server'] as const) begin(role)
  for (let worker = 0; worker < WORKERS; worker++) begin('worker')
  const names = topicNames(prefix)
  const statuses = followStatuses(stack.brokers, names.status)
  atEnd(() => statuses.stop())
  return { options, stack, names, fleet, untilMs, startAtMs: startOf(world), counters, stalls, lives, begin, statuses }
}

const there = ({ lives }: Stand) => lives.filter(life => !life.gone())
const workersOf = (stand: Stand) => there(stand).filter(({ role }) => role === 'worker')
/** The answer of whichever worker is the first to have one. */
const told = (stand: Stand) => Promise.any(workersOf(stand).map(askStatus))

/** Waits until every worker has tasks. @returns the source partitions of each task */
async function formed(stand: Stand): Promise<ReadonlyMap<string, readonly string[]>> {
  const startedMs = Date.now()
  await until('the workers share the tasks', START_MS, async () => {
    const why = await unwell(stand)
    if (why !== null) return why
    const byWorker = Map.groupBy(await told(stand), ({ worker }) => worker)
    return byWorker.size < WORKERS ? `${byWorker.size} workers have tasks` : null
  })
  const tasks = await partitionsByTask(workersOf(stand)[0] as Life, await told(stand))
  const places = [...tasks.values()].flat()
  stand.options.say(
    `${WORKERS} workers share ${tasks.size} tasks of ${places.length} source partitions after ${Date.now() - startedMs} ms`,
  )
  return tasks
}

async function inject(stand: Stand, { hands, tried, hits, rolls }: Done): Promise<void> {
  const { options, lives, begin, statuses } = stand
  /** Struck, and not there again. */
  const away = new Set<Life>()
  const ids = new Map<Life, string>()
  const learn = (life: Life) =>
    life.base().then(
      base => void ids.set(life, new URL(base).host),
      () => {},
    )
  await Promise.all(lives.map(learn))
  const scene = (fault: string): Fleet => ({
    workers: () => workersOf(stand).filter(life => !away.has(life)),
    begin: () => {
      const life = begin('worker')
      void learn(life)
      return life
    },
    hit: life => {
      away.add(life)
      hits.push({ atMs: Date.now(), worker: ids.get(life) ?? '', fault })
    },
    complain: what => void hands.push(what),
  })
  for (const [index, { name, afterMs, run }] of drawGroupFaults(options.seed, options.faults, options.only).entries()) {
    await pause(afterMs)
    const beganMs = Date.now()
    tried.set(name, (tried.get(name) ?? 0) + 1)
    await run(scene(`${index + 1} ${name}`))
    // Who was frozen is there again.
    away.clear()
    if (name === 'rolled') rolls.push({ fromMs: beganMs, untilMs: Date.now() + AFTER_ROLL_MS })
    await statuses.readOn()
    options.say(`${index + 1} ${name}, ${((Date.now() - beganMs) / 1000).toFixed(1)} s; ${workersOf(stand).length} workers`)
  }
}

interface Settled {
  /** When the last fault was over. */
  readonly lastMs: number
  readonly wellMs: number
  readonly readMs: number
  readonly wholeBefore: readonly string[]
}

/** Waits, and does nothing else, until all is well and everything is read. */
async function settle(stand: Stand, { hands }: Done): Promise<Settled> {
  const { fleet, options, statuses } = stand
  const lastMs = Date.now()
  const left = await unread(stand).catch(() => [] as string[])
  const wholeBefore = fleet.map(({ vendor }) => vendor).filter(vendor => !left.some(each => each.includes(` of ${vendor} `)))
  await until('all is well', WELL_MS, () => unwell(stand)).catch((error: unknown) => {
    hands.push(String(error))
    options.say(String(error))
  })
  const wellMs = Date.now() - lastMs
  options.say(`all well ${wellMs} ms after the last fault; left to read: ${left.join(', ')}`)
  let toldMs = 0
  await until('all is read', READ_MS, async () => {
    await statuses.readOn()
    const now = await unread(stand)
    if (Date.now() - toldMs > TELL_MS) {
      toldMs = Date.now()
      options.say(`left to read: ${now.join(', ')}; asked until now: ${askedOf(stand)}`)
    }
    return now.length === 0 ? null : now.join(', ')
  }).catch((error: unknown) => hands.push(String(error)))
  for (const life of stand.lives) {
    const code = life.unasked()
    if (code !== null)
      hands.push(`${life.name} ended by itself with code ${code}: ${life.lines.slice(-2).join(' ').slice(0, 600)}`)
  }
  return { lastMs, readMs: Date.now(), wellMs, wholeBefore }
}

/** Requests of each vendor. */
function askedOf({ counters }: Stand): string {
  const count = (counter: Counter) => [...counter.requests().values()].reduce((all, { length }) => all + length, 0)
  return [...counters].map(([vendor, counter]) => `${vendor} ${count(counter)}`).join(', ')
}

async function ask({ lives }: Stand, query: Record<string, string>): Promise<SeriesAnswer> {
  const server = lives.find(({ role }) => role === 'server') as Life
  return querySeries(await server.base(), query)
}

/** What is not known to be complete as far as the world goes. */
async function unread(stand: Stand): Promise<string[]> {
  const left: string[] = []
  for (const { vendor } of stand.fleet)
    for (const measure of ['sessions', 'events']) {
      const { complete_until } = await ask(stand, { measure, vendor, bucket: '1d' })
      if (complete_until === null || Date.parse(complete_until) <= stand.untilMs + DAY_MS)
        left.push(`${measure} of ${vendor} (complete until ${complete_until})`)
    }
  return left
}

async function examine(
  stand: Stand,
  { hands, tried, hits, rolls }: Done,
  {
    tasks,
    fromMs,
    lastMs,
    wellMs,
    readMs,
  }: Settled & { readonly tasks: ReadonlyMap<string, readonly string[]>; readonly fromMs: number },
): Promise<Omit<GroupReport, 'wholeBefore' | 'wellMs' | 'tookMs'>> {
  const { stack, names, fleet, counters, stalls, statuses, startAtMs, options } = stand
  const { sessions, messages, events, rejects, progress } = names
  const records = await readIndependently(stack.brokers, stack.registry, [sessions, messages, events, rejects, progress])
  const nowMs = Date.now()
  const truths = new Map(fleet.map(({ vendor, truth }) => [vendor, { due: truth(fromMs), shown: truth(nowMs) }]))
  const served = await asServed(query => ask(stand, query), startAtMs - DAY_MS, Date.now())
  await statuses.readOn()
  const places = [...tasks.values()].flat()
  const gaps = gapsOf(records, {
    progress,
    places,
    fromMs,
    untilMs: Math.min(readMs, lastMs + Math.max(wellMs, AFTER_FAULTS_MS)),
  })
  const struck = new Map<Gap, string>()
  for (const { atMs, worker, fault } of hits)
    for (const [task, mine] of tasks)
      if (ownerAt(statuses.placed, task, atMs) === worker)
        for (const gap of gaps) if (mine.includes(gap.place) && gap.fromMs <= atMs && atMs < gap.untilMs) struck.set(gap, fault)
  const longest = gaps.toSorted((a, b) => lengthOf(b) - lengthOf(a)).slice(0, MOST_SHOWN)
  const requests = [...counters].flatMap(([vendor, counter]) =>
    [...counter.requests()].map(([key, asked]) => ({ vendor, key, asked })),
  )
  return {
    seed: options.seed,
    sourcePartitions: places.length,
    tasks: tasks.size,
    faults: tried,
    finding: sum([checkTopics(records, { names, account: ACCOUNT, truths }), checkSeries(served, recount(records, names))]),
    hands,
    requests: requests.reduce((all, { asked }) => all + asked.length, 0),
    breaks: requests.flatMap(({ vendor, key, asked }) =>
      breaksOf(asked, of(vendor).limits, atMs => stalls.earliest(atMs)).map(({ atMs, what }) => {
        const hit = hits.findLast(each => each.atMs <= atMs)
        const after = hit === undefined ? '' : `, ${atMs - hit.atMs} ms after ${hit.fault}`
        return `${vendor} (${key}) at ${new Date(atMs).toISOString()}${after}: ${what}`
      }),
    ),
    silence: figuresOf(gaps.map(lengthOf)),
    struck: figuresOf([...struck.keys()].map(lengthOf)),
    longest: longest.map(
      gap => `${gap.place}: ${lengthOf(gap)} ms from ${new Date(gap.fromMs).toISOString()} (${struck.get(gap) ?? 'no fault'})`,
    ),
    rolls: rolls.map(roll => {
      const moves = [...movesIn(statuses.placed, roll.fromMs, roll.untilMs).values()]
      return { tasks: moves.length, moves: moves.reduce((all, some) => all + some, 0), most: Math.max(0, ...moves) }
    }),
    records: records.length,
  }
}

function writeLogs(folder: string, { lives, statuses, counters }: Stand, { hits }: Done, report: GroupReport): void {
  mkdirSync(folder, { recursive: true })
  for (const life of lives) writeFileSync(join(folder, `${life.name}.log`), `${life.lines.join('\n')}\n`)
  writeFileSync(join(folder, 'placed.json'), JSON.stringify({ hits, placed: statuses.placed }, null, 1))
  const asked = [...counters].map(([vendor, counter]) => [vendor, Object.fromEntries(counter.requests())])
  writeFileSync(join(folder, 'requests.json'), JSON.stringify(Object.fromEntries(asked)))
  writeFileSync(join(folder, 'report.json'), JSON.stringify({ ...report, faults: Object.fromEntries(report.faults) }, null, 2))
}

function of(vendor: string): Vendor {
  return VENDORS[vendor] as Vendor
}

function writeConfig(
  path: string,
  of: {
    readonly stack: { readonly brokers: string; readonly registry: string }
    readonly prefix: string
    readonly fleet: readonly Ship[]
    readonly startAtMs: number
  },
): string {
  const { stack, prefix, fleet, startAtMs } = of
  const connectors = fleet.map(({ vendor, keys }) => {
    const { tasksMax, pollMs, limits } = VENDORS[vendor] as Vendor
    const quota = {
      'quota.per.second': limits.perSecond ?? 0,
      'quota.per.minute': limits.perMinute ?? 0,
      'quota.per.hour': limits.perHour ?? 0,
      'quota.concurrency': limits.concurrency ?? 0,
      'quota.gap.ms': limits.gapMs ?? 0,
    }
    const how = { 'tasks.max': tasksMax, 'start.at': new Date(startAtMs).toISOString(), 'poll.interval.ms': pollMs }
    return [vendor, { 'connector.class': vendor, ...keys, ...quota, ...how }] as const
  })
  writeFileSync(
    path,
    stringify({
      kafka: { brokers: [stack.brokers] },
      registry: { url: stack.registry },
      topics: { prefix, partitions: PARTITIONS },
      http: { port: 0 },
      aggregator: { sessionTimeout: '3s' },
      connectors: Object.fromEntries(connectors),
    }),
  )
  return path
}

interface TaskStatus {
  readonly connector: string
  readonly task: number
  readonly state: string
  readonly worker: string
}

/** What Kafka Connect's API says of all tasks. */
async function askStatus(life: Life): Promise<TaskStatus[]> {
  const answer = await fetch(`${await within(life.base(), 2_000)}/connectors?expand=status`, {
    signal: AbortSignal.timeout(5_000),
  })
  if (answer.status !== 200) throw new Error(`${life.name} answers ${answer.status}`)
  const told = (await answer.json()) as Record<string, { status: { tasks: { id: number; state: string; worker_id: string }[] } }>
  return Object.entries(told).flatMap(([connector, { status }]) =>
    status.tasks.map(({ id, state, worker_id }) => ({ connector, task: id, state, worker: worker_id })),
  )
}

/** Why a person would have to look, or null: every process is ready, and every task runs on a worker that is there. */
async function unwell(stand: Stand): Promise<string | null> {
  const ids = new Set<string>()
  for (const life of there(stand)) {
    const base = await within(life.base(), 2_000)
    const answer = await fetch(`${base}/readyz`, { signal: AbortSignal.timeout(5_000) })
    if (answer.status !== 200) return `${life.name} is not ready: ${(await answer.text()).slice(0, 400)}`
    if (life.role === 'worker') ids.add(new URL(base).host)
  }
  const tasks = await told(stand)
  const bad = tasks.find(({ state, worker }) => state !== 'RUNNING' || !ids.has(worker))
  if (bad !== undefined) return `task ${bad.task} of ${bad.connector} is ${bad.state} on ${bad.worker}`
  return tasks.length === 0 ? 'there are no tasks' : null
}

async function partitionsByTask(life: Life, tasks: readonly TaskStatus[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const byTask = new Map<string, readonly string[]>()
  for (const connector of new Set(tasks.map(each => each.connector))) {
    const answer = await fetch(`${await life.base()}/connectors/${connector}/tasks`)
    for (const { id, config } of (await answer.json()) as { id: { task: number }; config: Record<string, string> }[]) {
      const partitions = JSON.parse(config['source.partitions'] ?? '[]') as { stream: string; scope: string }[]
      byTask.set(
        `${connector}-${id.task}`,
        partitions.map(each => placeOf({ connector, ...each })),
      )
    }
  }
  return byTask
}

const STATUS_OF_TASK = 'status-task-'

/** Which worker said when that it runs which task. */
function followStatuses(
  brokers: string,
  topic: string,
): { readonly placed: readonly Placed[]; readOn(): Promise<void>; stop(): unknown } {
  const kafka = connectKafka({ brokers: [brokers], clientId: 'kill', log: silentLog })
  const next = new Map<number, number>()
  const placed: Placed[] = []
  return {
    placed,
    async readOn() {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const from = next.get(partition) ?? 0
        const end = await kafka.readToEnd({ topic, partition, from }, ({ timestamp, key, value }) => {
          const name = key?.toString() ?? ''
          if (!name.startsWith(STATUS_OF_TASK) || value === null) return
          const { state, worker_id: worker } = JSON.parse(value.toString()) as { state: string; worker_id: string }
          if (state === 'RUNNING') placed.push({ atMs: timestamp, task: name.slice(STATUS_OF_TASK.length), worker })
        })
        next.set(partition, end)
      }
      placed.sort((a, b) => a.atMs - b.atMs)
    },
    stop: () => kafka.close(),
  }
}

/** @param look What is missing, or null. */
async function until(what: string, patienceMs: number, look: () => Promise<string | null>): Promise<void> {
  const untilMs = Date.now() + patienceMs
  for (;;) {
    const missing = await look().catch((error: unknown) => String(error))
    if (missing === null) return
    if (Date.now() > untilMs) throw new Error(`${what}: not after ${patienceMs / 1000} s: ${missing}`)
    await pause(500)
  }
}

const lengthOf = ({ fromMs, untilMs }: Gap) => untilMs - fromMs

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  return Promise.race([
    work,
    pause(ms).then(() => {
      throw new Error(`nothing within ${ms} ms`)
    }),
  ])
}
