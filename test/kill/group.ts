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
import { querySeries } from '../support/product.ts'
import { asServed, recount } from '../support/recount.ts'
import { checkSeries, checkTopics, type Finding, sum } from './check.ts'
import { pause } from './cluster.ts'
import { type Life, type Role, startLife } from './crew.ts'
import { atPace } from './faults.ts'
import { drawGroupFaults, type Fleet, WORKERS } from './group-faults.ts'
import { breaksOf, Counter, type Limits } from './limits.ts'
import { figuresOf, type Gap, gapsOf, movesIn, ownerAt, type Placed, placeOf } from './silence.ts'

const DAY_MS = 86_400_000
const PARTITIONS = 3
const ACCOUNT = 'group'
/** In this time after the last fault all must be well again, or a person would be called. */
const WELL_MS = 60_000
/** What was not read yet may take so long, as the limits of the vendors have it. */
const READ_MS = 30 * 60_000
const START_MS = 120_000
const LOOK_MS = 100
const TELL_MS = 15_000

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
  chatlayer: { tasksMax: 14, pollMs: 8_000, pageRows: 1, limits: { perSecond: 10, concurrency: 4 }, keyOf: oneKey },
  koreai: {
    tasksMax: 6,
    pollMs: 10_000,
    pageRows: 1,
    limits: { perSecond: 1, perMinute: 60, perHour: 3_600 },
    keyOf: ({ path }) => /\/(?:bot|stream)\/([^/]+)\//.exec(path)?.[1] ?? 'account',
  },
  syntphony: {
    tasksMax: 6,
    pollMs: 8_000,
    pageRows: 2,
    limits: { perSecond: 5, concurrency: 4 },
    // Whoever gives out tokens is another.
    keyOf: ({ path }) => (path.startsWith('/auth/') ? null : 'all'),
  },
  wolkvox: { tasksMax: 5, pollMs: 10_000, pageRows: 1, limits: { concurrency: 1, gapMs: 1_000 }, keyOf: oneKey },
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
  readonly kafka: string
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

export async function runGroup(options: GroupOptions): Promise<GroupReport> {
  const ended: (() => unknown)[] = []
  try {
    return await runIn(options, end => ended.push(end))
  } finally {
    for (const end of ended.reverse()) await end()
  }
}

async function runIn(options: GroupOptions, atEnd: (end: () => unknown) => void): Promise<GroupReport> {
  const { seed, say, env, faults: count } = options
  const startedMs = Date.now()
  const scratch = throwAwayFolder(join(tmpdir(), `colloquy-kill-group-${process.pid}-${randomBytes(4).toString('hex')}`))
  atEnd(() => scratch.remove())
  const own = options.stack === undefined ? await startStack({ log: silentLog, env }) : null
  if (own !== null) atEnd(() => own.stop())
  const stack = options.stack ?? (own as NonNullable<typeof own>)
  const prefix = `group-${seed}-${randomBytes(3).toString('hex')}`
  const names = topicNames(prefix)

  const untilMs = startedMs - 3 * DAY_MS
  const sessions = options.sessions ?? 40 + 12 * count
  const world = createWorld({ seed, sessions, fromMs: untilMs - DAY_MS, untilMs, bots: SIX_BOTS })
  const fleet = (
    await Promise.all(
      Object.entries(VENDORS).map(([vendor, { pageRows }]) => launch({ world, account: ACCOUNT, pageRows }, [vendor])),
    )
  ).flat()
  atEnd(() => Promise.all(fleet.map(({ simulator }) => simulator.stop())))
  fleet.forEach(atPace)
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
  const there = () => lives.filter(life => !life.gone())
  const workers = () => there().filter(({ role }) => role === 'worker')
  const told = () => Promise.any(workers().map(askStatus))

  await until('the workers share the tasks', START_MS, async () => {
    const why = await unwell(there(), told)
    if (why !== null) return why
    const connectors = Map.groupBy(await told(), ({ worker }) => worker)
    const alone = [...connectors].find(([, tasks]) => new Set(tasks.map(({ connector }) => connector)).size < 2)
    return connectors.size < WORKERS
      ? `${connectors.size} workers have tasks`
      : alone === undefined
        ? null
        : `${alone[0]} has one connector`
  })
  const tasks = await partitionsByTask(workers()[0] as Life, await told())
  const places = [...tasks.values()].flat()
  const statuses = followStatuses(stack.brokers, names.status)
  atEnd(() => statuses.stop())
  await statuses.readOn()
  say(`${WORKERS} workers share ${tasks.size} tasks of ${places.length} source partitions after ${Date.now() - startedMs} ms`)

  const hands: string[] = []
  const hits: { readonly atMs: number; readonly worker: string; readonly fault: string }[] = []
  const rolls: { readonly fromMs: number; readonly untilMs: number }[] = []
  const tried = new Map<string, number>()
  const ending = new Set<Life>()
  const idOf = new Map<Life, string>()
  const scene = (fault: string): Fleet => ({
    workers: () => workers().filter(life => !ending.has(life)),
    begin: () => {
      const life = begin('worker')
      void life.base().then(
        base => idOf.set(life, new URL(base).host),
        () => {},
      )
      return life
    },
    hit: life => {
      ending.add(life)
      hits.push({ atMs: Date.now(), worker: idOf.get(life) ?? '', fault })
    },
    complain: what => void hands.push(what),
  })
  for (const life of lives) idOf.set(life, new URL(await life.base()).host)
  const fromMs = Date.now()
  for (const [index, { name, afterMs, run }] of drawGroupFaults(seed, count, options.only).entries()) {
    await pause(afterMs)
    await statuses.readOn()
    const beganMs = Date.now()
    tried.set(name, (tried.get(name) ?? 0) + 1)
    await run(scene(`${index + 1} ${name}`))
    // What was frozen is there again.
    for (const life of ending) if (!life.gone()) ending.delete(life)
    if (name === 'rolled') rolls.push({ fromMs: beganMs, untilMs: Date.now() + 5_000 })
    say(`${index + 1} ${name}, ${((Date.now() - beganMs) / 1000).toFixed(1)} s; ${workers().length} workers`)
  }

  const server = lives.find(({ role }) => role === 'server') as Life
  const ask = async (query: Record<string, string>) => querySeries(await server.base(), query)
  const unread = async () => {
    const left: string[] = []
    for (const { vendor } of fleet)
      for (const measure of ['sessions', 'events']) {
        const { complete_until } = await ask({ measure, vendor, bucket: '1d' })
        if (complete_until === null || Date.parse(complete_until) <= untilMs + DAY_MS)
          left.push(`${measure} of ${vendor} (complete until ${complete_until})`)
      }
    return left
  }
  const lastFaultMs = Date.now()
  const leftAtLastFault = await unread().catch(() => [] as string[])
  const wholeBefore = fleet
    .map(({ vendor }) => vendor)
    .filter(vendor => !leftAtLastFault.some(left => left.includes(` of ${vendor} `)))
  const why = await until('all is well', WELL_MS, () => unwell(there(), told)).catch((error: unknown) => String(error))
  if (typeof why === 'string') {
    hands.push(why)
    say(why)
  }
  const wellMs = Date.now() - lastFaultMs
  say(`all well ${wellMs} ms after the last fault; left to read: ${leftAtLastFault.join(', ')}`)
  let toldMs = 0
  await until('all is read', READ_MS, async () => {
    await statuses.readOn()
    const left = await unread()
    if (Date.now() - toldMs > TELL_MS) {
      toldMs = Date.now()
      say(`left to read: ${left.join(', ')}`)
    }
    return left.length === 0 ? null : left.join(', ')
  }).catch((error: unknown) => hands.push(String(error)))
  const readMs = Date.now()
  for (const life of lives) {
    const code = life.unasked()
    if (code !== null)
      hands.push(`${life.name} ended by itself with code ${code}: ${life.lines.slice(-2).join(' ').slice(0, 600)}`)
  }

  const records = await readIndependently(stack.brokers, stack.registry, [
    names.sessions,
    names.messages,
    names.events,
    names.rejects,
    names.progress,
  ])
  const truths = new Map(fleet.map(({ vendor, truth }) => [vendor, truth(readMs)]))
  const served = await asServed(ask, startOf(world) - DAY_MS, Date.now())
  const finding = sum([checkTopics(records, { names, account: ACCOUNT, truths }), checkSeries(served, recount(records, names))])
  await statuses.readOn()
  const gaps = gapsOf(records, { progress: names.progress, places, fromMs, untilMs: readMs })
  const struck = new Map<Gap, string>()
  for (const { atMs, worker, fault } of hits)
    for (const [task, places] of tasks)
      if (ownerAt(statuses.placed, task, atMs) === worker)
        for (const gap of gaps) if (places.includes(gap.place) && gap.fromMs <= atMs && atMs < gap.untilMs) struck.set(gap, fault)
  const lengthOf = ({ fromMs, untilMs }: Gap) => untilMs - fromMs
  const longest = gaps.toSorted((a, b) => lengthOf(b) - lengthOf(a)).slice(0, 5)
  const breaks = fleet.flatMap(({ vendor }) =>
    [...(counters.get(vendor)?.requests() ?? [])].flatMap(([key, requests]) =>
      breaksOf(requests, of(vendor).limits).map(({ atMs, what }) => {
        const hit = hits.findLast(each => each.atMs <= atMs)
        return `${vendor} ${key} ${new Date(atMs).toISOString()}: ${what}${hit === undefined ? '' : ` (${atMs - hit.atMs} ms after ${hit.fault} of ${hit.worker})`}`
      }),
    ),
  )
  const report: GroupReport = {
    seed,
    kafka: own?.info.kafkaVersion ?? '',
    sourcePartitions: places.length,
    tasks: tasks.size,
    faults: tried,
    finding,
    hands,
    requests: [...counters.values()]
      .flatMap(counter => [...counter.requests().values()])
      .reduce((all, { length }) => all + length, 0),
    breaks,
    silence: figuresOf(gaps.map(lengthOf)),
    struck: figuresOf([...struck.keys()].map(lengthOf)),
    longest: longest.map(
      gap => `${gap.place}: ${lengthOf(gap)} ms from ${new Date(gap.fromMs).toISOString()} (${struck.get(gap) ?? 'no fault'})`,
    ),
    rolls: rolls.map(({ fromMs, untilMs }) => {
      const moves = [...movesIn(statuses.placed, fromMs, untilMs).values()]
      return { tasks: moves.length, moves: moves.reduce((all, some) => all + some, 0), most: Math.max(0, ...moves) }
    }),
    wholeBefore,
    wellMs,
    records: records.length,
    tookMs: Date.now() - startedMs,
  }
  if (options.logs !== undefined) {
    mkdirSync(options.logs, { recursive: true })
    for (const life of lives) writeFileSync(join(options.logs, `${life.name}.log`), `${life.lines.join('\n')}\n`)
    writeFileSync(
      join(options.logs, 'placed.json'),
      JSON.stringify(
        {
          hits,
          idOf: [...idOf].map(([life, id]) => [life.name, id]),
          placed: statuses.placed,
          gaps: gaps.filter(gap => lengthOf(gap) > 10_000),
        },
        null,
        1,
      ),
    )
    writeFileSync(join(options.logs, 'report.json'), JSON.stringify(report, null, 2))
  }
  for (const life of there()) await life.terminate()
  return report
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
async function unwell(lives: readonly Life[], told: () => Promise<readonly TaskStatus[]>): Promise<string | null> {
  const ids = new Set<string>()
  for (const life of lives) {
    const base = await within(life.base(), 2_000)
    const answer = await fetch(`${base}/readyz`, { signal: AbortSignal.timeout(5_000) })
    if (answer.status !== 200) return `${life.name} is not ready: ${(await answer.text()).slice(0, 400)}`
    if (life.role === 'worker') ids.add(new URL(base).host)
  }
  const tasks = await told()
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

const STATUS = 'status-task-'

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
          if (!name.startsWith(STATUS) || value === null) return
          const { state, worker_id: worker } = JSON.parse(value.toString()) as { state: string; worker_id: string }
          if (state === 'RUNNING') placed.push({ atMs: timestamp, task: name.slice(STATUS.length), worker })
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

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  return Promise.race([
    work,
    pause(ms).then(() => {
      throw new Error(`nothing within ${ms} ms`)
    }),
  ])
}
