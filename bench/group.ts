/**
 * `npm run bench:group [-- --connectors N --scopes N --workers N --rounds N --samples N]`: what a large group of workers costs.
 *
 * First the leader's assignment alone (`src/control/assign.ts`), over groups of several shapes. Then in life: worker processes that are started together read
 * connectors of Kore.ai, each scope with a quota of its own, from a server that answers every listing with nothing. Times from the start of the processes until
 * all are ready, and until each source partition has committed what it read; memory of each worker then. Linux. Prints a block for `results.md`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Leader, type Member, type Plan, sharesOf, type TaskToPlace, taskKey, type Wants } from '../src/control/assign.ts'
import { PATIENCE } from '../src/control/group.ts'
import { connectKafka } from '../src/kafka/client.ts'
import type { Kafka } from '../src/kafka/port.ts'
import { createLog } from '../src/log.ts'
import { serve } from '../src/sim/index.ts'
import { startStack } from '../src/stack/stack.ts'
import { topicNames } from '../src/topics.ts'
import { type Child, cpuUsOf, peakKiBOf, startChild } from './child.ts'
import { dateAndCommit, figure, machine, spread } from './report.ts'

const { values } = parseArgs({
  options: {
    connectors: { type: 'string', default: '200' },
    scopes: { type: 'string', default: '5' },
    workers: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    samples: { type: 'string', default: '30' },
  },
})
const connectors = Number(values.connectors)
const scopes = Number(values.scopes)
const workers = Number(values.workers)
const rounds = Number(values.rounds)
const samples = Number(values.samples)
const tasks = connectors * scopes
const PARTITIONS = 6
/** Nothing in here takes longer, on a machine that does other work, too. */
const PATIENCE_MS = 300_000
const EMPTY = JSON.stringify({ total: 0, moreAvailable: false, sessions: [] })

const loads = [loadavg()[0] as number]
const assigning = measureAssignment()
const lives: Life[] = []
const log = createLog('warn')
const stack = await startStack({ profile: 'demo', log, env: process.env })
const folder = mkdtempSync(join(tmpdir(), 'colloquy-bench-'))
try {
  for (let round = 1; round <= rounds; round++) {
    const life = await measureLife(`bench-${round}`)
    lives.push(life)
    process.stderr.write(`${JSON.stringify(life)}\n`)
    loads.push(loadavg()[0] as number)
  }
} finally {
  await stack.stop()
  rmSync(folder, { recursive: true, force: true })
}
process.stdout.write(report())
process.exit(0)

// ---- The assignment alone ----

interface Shape {
  readonly what: string
  /** What the vendor counts a task's requests by. */
  readonly quotaOf: ((connector: number, scope: number) => string) | null
  readonly divisible: number
}

interface Assigning {
  readonly shape: string
  readonly step: string
  readonly ms: readonly number[]
}

/** All rounds of a group's life: workers that come together, one more, and one that dies; and each time what follows until nothing moves. */
function measureAssignment(): Assigning[] {
  const shapes: Shape[] = [
    { what: 'no quotas', quotaOf: null, divisible: 0 },
    { what: 'a quota for each connector', quotaOf: connector => `connector ${connector}`, divisible: 10 },
    { what: 'a quota for each scope', quotaOf: (connector, scope) => `${connector} ${scope}`, divisible: 10 },
    { what: `${scopes} quotas, each of all connectors`, quotaOf: (_, scope) => `scope ${scope}`, divisible: 60 },
    { what: 'one quota of all', quotaOf: () => 'all', divisible: 60 },
  ]
  return shapes.flatMap(shape => {
    const wants = wantsOf(shape)
    const took = new Map<string, number[]>()
    for (let sample = 0; sample < samples; sample++)
      for (const [step, ms] of live(wants)) took.set(step, [...(took.get(step) ?? []), ms])
    return [...took].map(([step, ms]) => ({ shape: shape.what, step, ms }))
  })
}

function wantsOf({ quotaOf, divisible }: Shape): Wants {
  const all: TaskToPlace[] = []
  for (let connector = 0; connector < connectors; connector++)
    for (let scope = 0; scope < scopes; scope++)
      all.push({
        key: taskKey({ connector: `acme-${connector}`, task: scope }),
        connector: `acme-${connector}`,
        quotas: quotaOf === null ? [] : [quotaOf(connector, scope)],
      })
  return { tasks: all, divisible: new Map(all.flatMap(({ quotas }) => quotas.map(quota => [quota, divisible] as const))) }
}

/** The slowest round of each step, milliseconds. */
function live(wants: Wants): Map<string, number> {
  const leader = new Leader({ ...PATIENCE, youngMs: 0 })
  const slowest = new Map<string, number>()
  let members: Member[] = []
  let nowMs = 0
  let generation = 0
  const join = (id: string) => members.push({ id, owned: [], generation: -1, isLeaving: false, lacks: new Set() })
  const rounds = (step: string) => {
    for (let isOver = false; !isOver; ) {
      const began = performance.now()
      const plan = leader.round(members, wants, nowMs)
      shares(plan)
      slowest.set(step, Math.max(slowest.get(step) ?? 0, performance.now() - began))
      generation++
      isOver = plan.moving.size === 0 && plan.againInMs === null
      members = members.map(member => ({ ...member, owned: plan.lists.get(member.id) ?? [], generation }))
      nowMs += plan.againInMs ?? 0
    }
  }
  /** As the worker's group does with each plan. */
  const shares = (plan: Plan) => {
    const owners = new Map<string, Set<string>>()
    const own = (key: string, id: string) => owners.set(key, (owners.get(key) ?? new Set()).add(id))
    for (const { id, owned } of members) for (const key of owned) own(key, id)
    for (const [id, keys] of plan.lists) for (const key of keys) own(key, id)
    sharesOf(owners, wants)
  }
  for (let worker = 0; worker < workers; worker++) join(`worker ${worker}`)
  rounds('all begin')
  join('one more')
  rounds('one more comes')
  members = members.slice(1)
  rounds('one dies')
  members = members.slice(0, 1)
  rounds('all but one die')
  for (let worker = 1; worker < workers; worker++) join(`again ${worker}`)
  rounds('the others come back')
  return slowest
}

// ---- In life ----

interface Life {
  /** From the start of the processes, seconds. */
  readonly readyS: number
  readonly committedS: number
  readonly readS: number
  readonly settledS: number
  /** Of the leader's rounds, as its log has them. */
  readonly assignMs: readonly number[]
  readonly rssMiB: readonly number[]
  readonly peakMiB: readonly number[]
  readonly cpuS: readonly number[]
  readonly requests: number
}

async function measureLife(prefix: string): Promise<Life> {
  const asked = new Set<string>()
  let requests = 0
  const vendor = await serve({
    handler: ({ path }) => {
      requests++
      asked.add(path)
      return { status: 200, headers: { 'content-type': 'application/json' }, body: EMPTY }
    },
  })
  const config = join(folder, `${prefix}.yaml`)
  writeFileSync(config, JSON.stringify(configOf(prefix, vendor.url)))
  const kafka = connectKafka({ brokers: [stack.brokers], clientId: 'bench', log })
  const ending = new AbortController()
  const began = performance.now()
  const seconds = () => (performance.now() - began) / 1000
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const assigned: { readonly tookMs: number; readonly moving: number; readonly againInMs: number | null }[] = []
  const children = Array.from({ length: workers }, () => {
    const child = startChild('--max-semi-space-size=8', [main, 'run', '--config', config, '--roles', 'worker'])
    child.process.stderr?.on('data', chunk => {
      for (const [, found] of String(chunk).matchAll(/^(\{.*"tasks assigned".*\})$/gm)) assigned.push(JSON.parse(found as string))
    })
    return child
  })
  const cursors = { committed: new Set<string>(), read: new Set<string>() }
  const when: { ready?: number; committed?: number; read?: number; settled?: number } = {}
  try {
    await Promise.all(children.map(({ port }) => port))
    void follow(kafka, prefix, cursors, ending.signal).catch((error: unknown) => process.stderr.write(`${String(error)}\n`))
    while (when.ready === undefined || when.committed === undefined || when.read === undefined || when.settled === undefined) {
      if (seconds() * 1000 > PATIENCE_MS) throw new Error(`not there yet: ${cursors.read.size} of ${tasks} are read`)
      for (const child of children)
        if (child.process.exitCode !== null) throw new Error(`a worker ended by itself: ${child.lastLine()}`)
      const last = assigned.at(-1)
      const isReady = (await Promise.all(children.map(readyOf))).every(Boolean)
      if (isReady) when.ready ??= seconds()
      if (cursors.committed.size >= tasks) when.committed ??= seconds()
      if (cursors.read.size >= tasks && asked.size >= tasks) when.read ??= seconds()
      const isSettled = last !== undefined && last.moving === 0 && last.againInMs === null
      if (isSettled && isReady && when.read !== undefined) when.settled ??= seconds()
      await pause(250)
    }
    const pids = children.map(child => child.process.pid ?? 0)
    return {
      readyS: when.ready,
      committedS: when.committed,
      readS: when.read,
      settledS: when.settled,
      assignMs: assigned.map(({ tookMs }) => tookMs),
      rssMiB: pids.map(pid => rssKiBOf(pid) / 1024),
      peakMiB: pids.map(pid => peakKiBOf(pid) / 1024),
      cpuS: pids.map(pid => cpuUsOf(pid) / 1e6),
      requests,
    }
  } finally {
    ending.abort()
    for (const child of children) child.process.kill('SIGKILL')
    await Promise.all(children.map(child => child.ended))
    await kafka.close()
    await vendor.stop()
  }
}

function configOf(prefix: string, url: string): object {
  const names = Array.from({ length: connectors }, (_, connector) => `acme-${connector}`)
  return {
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    topics: { prefix, partitions: PARTITIONS },
    http: { port: 0 },
    connectors: Object.fromEntries(
      names.map(name => [
        name,
        {
          'connector.class': 'koreai',
          account: name,
          'base.url': url,
          'client.id': `cs-${name}`,
          'client.secret': 'secret-of-the-bench',
          'bot.ids': Array.from({ length: scopes }, (_, scope) => `st-${name}-${scope}`).join(','),
          'tasks.max': scopes,
        },
      ]),
    ),
  }
}

/** Which source partitions have a cursor, and which of them have read something by it. */
async function follow(
  kafka: Kafka,
  prefix: string,
  { committed, read }: { readonly committed: Set<string>; readonly read: Set<string> },
  signal: AbortSignal,
): Promise<void> {
  const topic = topicNames(prefix).offsets
  const places = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition, offset: 0 }))
  for await (const chunks of kafka.tail(places, { signal })) {
    for (const { key, value } of chunks.flatMap(({ records }) => records)) {
      if (key === null || value === null) continue
      const cursor = JSON.parse(value.toString()) as { readonly covered?: string }
      committed.add(key.toString())
      if (cursor.covered !== undefined && cursor.covered !== '') read.add(key.toString())
    }
  }
}

async function readyOf(child: Child): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${await child.port}/readyz`)).status === 200
}

function rssKiBOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}

// ---- Report ----

function report(): string {
  const slowest = assigning.map(({ shape, step, ms }) => `| ${shape} | ${step} | ${spread(ms, 1)} |`)
  const life = (what: string, of: (life: Life) => readonly number[], digits = 0) =>
    `| ${what} | ${spread(lives.flatMap(of), digits)} |`
  return `
## ${dateAndCommit()}: ${figure(connectors)} connectors with ${scopes} scopes each on ${workers} workers

${machine(stack.info.kafkaVersion)}; load ${spread(loads, 1)}; ${rounds} starts of all workers together, each on topics of its own. Kore.ai's connector, each
scope with a quota of its own, read from a server that lists nothing. Server, broker, registry and workers share the cores. Median (least to most).

| What | |
| --- | --- |
${[
  life('All workers ready, seconds after their processes began', ({ readyS }) => [readyS], 1),
  life('Every source partition has a cursor, seconds', ({ committedS }) => [committedS], 1),
  life('Every source partition has committed what it read, seconds', ({ readS }) => [readS], 1),
  life('and nothing moves for balance any more, seconds', ({ settledS }) => [settledS], 1),
  life('An assignment by the leader, ms', ({ assignMs }) => assignMs, 1),
  life('Memory of a worker then, MiB', ({ rssMiB }) => rssMiB),
  life('The most memory of a worker until then, MiB', ({ peakMiB }) => peakMiB),
  life('Processor time of a worker until then, seconds', ({ cpuS }) => cpuS, 1),
  life('Requests to the vendor', ({ requests }) => [requests]),
].join('\n')}

The assignment alone, the slowest round of each step, ${samples} samples:

| Tasks: ${figure(tasks)} | Step | ms |
| --- | --- | --- |
${slowest.join('\n')}
`
}
