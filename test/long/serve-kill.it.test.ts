/**
 * A server with a folder, killed at random moments while series change and are rolled up. At each start it answers as one without a folder, and no answer that
 * says until when it is complete lacks what was counted until then.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, inject, test } from 'vitest'
import { type Random, random } from '../aggregate/make.ts'
import { systemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { type BucketSize, pointKey } from '../../src/point-key.ts'
import { answerQuery } from '../../src/serve/query.ts'
import { startServer } from '../../src/serve/run.ts'
import { parseQuery } from '../../src/serve/series-query.ts'
import { finish } from '../../src/slices.ts'
import { createUsers } from '../../src/users-sketch.ts'
import { point, T } from '../serve/points.ts'
import { type SeriesWorld, seriesWorld } from '../support/series-world.ts'

const PARTITIONS = 2
const BOTS = ['a', 'b', 'c', 'd']
const BEGIN = T('2026-11-01T00:00:00Z')
const READ_FROM = T('2026-11-10T00:00:00Z')
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const DAYS = 5
const script = fileURLToPath(new URL('../serve/child.ts', import.meta.url))

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

interface Answer {
  readonly complete_until: string | null
  readonly data: {
    readonly series: readonly { readonly labels: { readonly bot_id: string }; readonly values: (number | null)[] }[]
  }
}

/** Of a bot: what it has by day, from each step on that changed it. */
interface State {
  readonly step: number
  readonly days: readonly number[]
}

/** Changes series until it is stopped; what has been counted by then is complete until a time that is the step's own. */
class Changing {
  /** The last step that is on the topics. */
  step = 0
  readonly states = new Map<string, State[]>(BOTS.map(bot => [bot, [{ step: 0, days: Array.from({ length: DAYS }, () => 0) }]]))
  readonly #of: SeriesWorld
  readonly #r: Random
  /** Sessions by bot and start of the cell, in the length that the day has. */
  readonly #cells = new Map<string, { sessions: number; revision: number }>()
  readonly #form = new Map<string, BucketSize>()

  constructor(of: SeriesWorld, r: Random) {
    this.#of = of
    this.#r = r
  }

  static untilOf = (step: number) => new Date(READ_FROM + step * MINUTE).toISOString()
  static stepOf = (until: string) => (T(until) - READ_FROM) / MINUTE

  async change(): Promise<void> {
    const bot = this.#r.pick(BOTS)
    const day = this.#r.int(DAYS)
    const step = this.step + 1
    const form = this.#form.get(`${bot} ${day}`) ?? '1m'
    const rolling = this.#r.chance(0.08) && form !== '1d'
    const days = [...(this.states.get(bot)?.at(-1)?.days ?? [])]
    const points = rolling ? this.#rollUp(bot, day, form) : []
    for (let n = rolling ? 0 : 1 + this.#r.int(40); n > 0; n--) {
      const by = 1 + this.#r.int(5)
      days[day] = (days[day] ?? 0) + by
      const at = BEGIN + day * DAY + this.#r.int(1440) * MINUTE
      if (form === '1m') points.push(this.#add(bot, at, '1m', by))
      if (form === '1h') points.push(this.#add(bot, Math.floor(at / HOUR) * HOUR, '1h', by))
      if (form !== '1m') points.push(this.#add(bot, BEGIN + day * DAY, '1d', by))
    }
    // Known before any of it can be seen.
    if (!rolling) this.states.get(bot)?.push({ step, days })
    const partition = BOTS.indexOf(bot) % PARTITIONS
    await this.#of.read(partition, Changing.untilOf(step), points)
    const gone = rolling ? this.#ended(bot, day, form) : []
    if (gone.length > 0) await this.#of.write(this.#of.names.series, partition, ...gone.map(key => this.#of.text(key, null)))
    this.step = step
  }

  #add(bot: string, at: number, bucket: BucketSize, by: number) {
    const key = `${bot} ${at} ${bucket}`
    const before = this.#cells.get(key) ?? { sessions: 0, revision: 0 }
    const cell = { sessions: before.sessions + by, revision: before.revision + 1 }
    this.#cells.set(key, cell)
    const users = createUsers()
    for (let n = 0; n < cell.sessions; n++) users.add(Math.imul(n + 1, 0x9e3779b1), Math.imul(at / MINUTE + n, 0x85ebca6b))
    return { at, bucket, bot_id: bot, ...cell, users_sketch: Buffer.from(users.encode()) }
  }

  /** Minutes to hours with their day; hours end without another point. */
  #rollUp(bot: string, day: number, form: BucketSize) {
    this.#form.set(`${bot} ${day}`, form === '1m' ? '1h' : '1d')
    if (form === '1h') return []
    const points = this.#starts(bot, day, '1m').flatMap(({ at, sessions }) => [
      this.#add(bot, Math.floor(at / HOUR) * HOUR, '1h', sessions),
      this.#add(bot, BEGIN + day * DAY, '1d', sessions),
    ])
    return [...new Map(points.map(each => [`${each.at} ${each.bucket}`, each])).values()]
  }

  #ended(bot: string, day: number, form: BucketSize): string[] {
    return this.#starts(bot, day, form).map(({ at }) => {
      this.#cells.delete(`${bot} ${at} ${form}`)
      return pointKey(point({ at, bot_id: bot }).series_key, at, form)
    })
  }

  #starts(bot: string, day: number, form: BucketSize) {
    return [...this.#cells].flatMap(([key, { sessions }]) => {
      const [of, at, bucket] = key.split(' ')
      const isOfDay = Math.floor((Number(at) - BEGIN) / DAY) === day
      return of === bot && bucket === form && isOfDay ? [{ at: Number(at), sessions }] : []
    })
  }

  /** Why the answer cannot be right; null: it can. */
  wrongIn({ complete_until, data }: Answer): string | null {
    if (complete_until === null) return null
    const step = Changing.stepOf(complete_until)
    for (const bot of BOTS) {
      const states = this.states.get(bot) ?? []
      const least = states.findLastIndex(state => state.step <= step)
      const shown = (data.series.find(({ labels }) => labels.bot_id === bot)?.values ?? []).map(value => value ?? 0)
      const days = Array.from({ length: DAYS }, (_, day) => shown[day] ?? 0)
      if (!states.slice(least).some(state => String(state.days) === String(days)))
        return `${bot} shows ${String(days)}, complete until step ${step}; then it was ${String(states[least]?.days)}`
    }
    return null
  }
}

interface Child {
  readonly url: Promise<string>
  readonly lines: string[]
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
}

function child(of: SeriesWorld, stateDir: string): Child {
  const given = { ...inject('stack'), names: of.names, partitions: PARTITIONS, stateDir, snapshotEveryPoints: 60 }
  const process_: ChildProcess = spawn(process.execPath, [script, JSON.stringify(given)], { stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = new Promise<void>(resolve => process_.once('exit', () => resolve()))
  const lines: string[] = []
  const url = Promise.withResolvers<string>()
  if (process_.stdout !== null) createInterface(process_.stdout).once('line', line => url.resolve(line))
  if (process_.stderr !== null) createInterface(process_.stderr).on('line', line => lines.push(line))
  void ended.then(() => url.reject(new Error(`ended: ${lines.slice(-3).join('\n')}`)))
  url.promise.catch(() => {})
  const kill = async (signal: 'SIGKILL' | 'SIGTERM') => {
    process_.kill(signal)
    await ended
  }
  endings.push(() => kill('SIGKILL'))
  return { url: url.promise, lines, kill }
}

const RANGE = { from: '2026-11-01', until: '2026-11-06' }
const BY_DAY = `/v1/series?measure=sessions&bucket=1d&from=${RANGE.from}&until=${RANGE.until}&group_by=bot_id`
const QUESTIONS = [
  { measure: 'sessions', bucket: '1d', group_by: 'bot_id' },
  { measure: 'sessions', bucket: '1h', group_by: 'bot_id,channel' },
  { measure: 'sessions,users', bucket: '15m' },
  { measure: 'users', bucket: '1w', tz: 'Asia/Kathmandu' },
]

/** What a server without a folder answers, once it has read everything. */
async function expectedOf(of: SeriesWorld, until: string): Promise<unknown[]> {
  const ending = new AbortController()
  const parts = { log: silentLog, metrics: createMetrics({ processMetrics: false }), clock: systemClock, signal: ending.signal }
  const server = startServer({ ...parts, kafka: of.kafka, registry: of.registry, names: of.names, partitions: PARTITIONS })
  try {
    await server.ready
    const { store, completeness } = server.serve
    const answers = () =>
      QUESTIONS.map(asked => finish(answerQuery(parseQuery({ ...asked, ...RANGE }, READ_FROM), store, completeness)))
    await expect.poll(() => answers()[0]?.complete_until, { timeout: 30_000 }).toBe(until)
    return answers()
  } finally {
    ending.abort()
    await server.done
  }
}

async function answersOf(url: string): Promise<unknown[]> {
  return Promise.all(
    QUESTIONS.map(async asked =>
      (await fetch(`${url}/v1/series?${new URLSearchParams({ ...asked, ...RANGE }).toString()}`)).json(),
    ),
  )
}

test('killed at random moments, a start answers as a server without a folder, and nothing wrong is said to be complete', async () => {
  const of = await seriesWorld({ stack: inject('stack'), partitions: PARTITIONS, ending: end => endings.push(end) })
  const stateDir = await mkdtemp(join(tmpdir(), 'serve-kill-'))
  endings.push(() => rm(stateDir, { recursive: true, force: true }))
  const changing = new Changing(of, random(31))
  let isPaused = false
  let working: Promise<void> = Promise.resolve()
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      if (!isPaused) await (working = changing.change())
      await sleep(2)
    }
  })()
  const lines: string[] = []

  for (let life = 0; life < 12; life++) {
    const server = child(of, stateDir)
    const url = await server.url
    // Some die before they are ready. The others have answered often enough, and the first has written a file.
    const untilMs = performance.now() + randomInt(life % 4 === 3 ? 400 : 2_500)
    let left = life % 4 === 3 ? 0 : 4
    const isWaiting = () => left > 0 || (life === 0 && !server.lines.some(line => line.includes('snapshot written')))
    while (performance.now() < untilMs || isWaiting()) {
      const answer = await fetch(url + BY_DAY)
      const body = (await answer.json()) as Answer
      expect([200, 503]).toContain(answer.status)
      if (answer.status === 503) continue
      expect(changing.wrongIn(body), `life ${life}`).toBeNull()
      if (body.complete_until !== null) left--
    }
    if (life % 3 === 1) {
      isPaused = true
      await working
      const until = Changing.untilOf(changing.step)
      const ownUntil = async () => ((await (await fetch(url + BY_DAY)).json()) as Answer).complete_until
      await expect.poll(ownUntil, { timeout: 30_000 }).toBe(until)
      expect(await answersOf(url)).toEqual(await expectedOf(of, until))
      isPaused = false
    }
    await server.kill(life % 5 === 4 ? 'SIGTERM' : 'SIGKILL')
    lines.push(...server.lines)
  }
  stopping.abort()
  await running

  const count = (text: string) => lines.filter(line => line.includes(text)).length
  expect(count('snapshot written')).toBeGreaterThan(0)
  expect(count('snapshot read')).toBeGreaterThan(0)
  expect(lines.filter(line => line.includes('snapshot') && !line.includes('"level":"info"'))).toEqual([])
  expect((await readdir(join(stateDir, 'server'))).filter(name => name.endsWith('.snapshot'))).toHaveLength(1)

  const last = child(of, stateDir)
  const until = Changing.untilOf(changing.step)
  const url = await last.url
  const isComplete = async () => ((await (await fetch(url + BY_DAY)).json()) as Answer).complete_until
  await expect.poll(isComplete, { timeout: 30_000 }).toBe(until)
  expect(await answersOf(url)).toEqual(await expectedOf(of, until))
}, 300_000)
