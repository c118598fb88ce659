/** What one process writes for the next one is all that it needs: a judge that is started anew at random moments comes to the alerts of one that never was. */
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { createJudge, type Judge, type JudgeOptions, type Minute, type Read, type Verdict } from '../../src/alert/judge.ts'
import { RuleConfig, ruleOf } from '../../src/rules.ts'
import { Random } from '../../src/sim/random.ts'
import { at, MINUTE_MS, remember, world } from './world.ts'

const ACCOUNTS = 16
const BEGUN = at(1, 6)
const STEPS = 240
const share = { measure: 'agent_transfers', per: 'sessions' } as const
const rules = [
  ruleOf('spike', RuleConfig.parse({ ...share, alertsPerWeek: 2 })),
  ruleOf('by-account', RuleConfig.parse({ ...share, by: ['vendor', 'account'], alertsPerWeek: 2 })),
  ruleOf('count', RuleConfig.parse({ measure: 'agent_transfers', by: ['vendor', 'account', 'bot_id'], alertsPerWeek: 2 })),
  ruleOf('burn', RuleConfig.parse({ per: 'sessions', budget: 0.1, burn: [{ long: '3h', short: '5m', rate: 1.2 }] })),
]
const specs = Array.from({ length: ACCOUNTS }, (_, i) => ({
  account: `a${i}`,
  bot: `b${i}`,
  channel: 'web',
  sessions: 4,
})).flatMap((spec, i) => [spec, ...(i % 3 === 0 ? [{ ...spec, bot: `c${i}`, channel: i % 2 === 0 ? 'web' : 'sms' }] : [])])
const bots = [...new Map(specs.map(({ account, bot }) => [bot, { vendor: 'acme', account, bot_id: bot }])).values()]

interface Step {
  readonly puts: readonly Minute[]
  readonly reads: readonly Read[]
  readonly nowMs: number
}

interface History {
  readonly before: readonly Minute[]
  readonly steps: readonly Step[]
}

/** A day and a quarter, known at the start, then minute after minute, each known by halves, some changed an hour and more later. */
function historyOf(seed: number): History {
  const random = new Random(seed, 4, 19)
  const changes = specs.slice(0, 6).map(({ bot }) => {
    const from = BEGUN + random.int(40, 150) * MINUTE_MS
    return { bot, from, until: from + random.int(30, 60) * MINUTE_MS, share: random.int(3, 6) }
  })
  const all = world(specs, 2, changes, seed)
  const known = (minute: Minute, part: number): Minute => ({
    ...minute,
    values: { ...minute.values, agent_transfers: Math.floor((minute.values.agent_transfers ?? 0) * part) },
  })
  const byStart = Map.groupBy(all, ({ bucket_start }) => bucket_start)
  const steps = Array.from({ length: STEPS }, (_, i): Step => {
    const nowMs = BEGUN + (i + 1) * MINUTE_MS
    const of = (age: number) => byStart.get(nowMs - age * MINUTE_MS) ?? []
    const puts = [...of(1).map(minute => known(minute, 0.5)), ...of(8).map(minute => known(minute, 1))]
    // Now and then a quarter of an hour of one bot becomes known otherwise, long after.
    if (random.chance(0.2)) {
      const bot = random.pick(bots).bot_id
      const age = random.pick([62, 75, 700])
      for (let back = 0; back < 15; back++)
        for (const minute of of(age + back).filter(({ bot_id }) => bot_id === bot))
          puts.push({ ...minute, values: { ...minute.values, agent_transfers: minute.values.sessions ?? 0 } })
    }
    // Some are read now and then only, and one not for more than an hour.
    const completeUntil = nowMs
    const isAway = (b: number) => b === 1 && i >= 60 && i < 170
    const reads = bots.filter((_, b) => !isAway(b) && (b % 5 !== 0 || random.chance(0.7))).map(bot => ({ ...bot, completeUntil }))
    return { puts, reads: random.chance(0.1) ? [] : reads, nowMs }
  })
  return { before: all.filter(({ bucket_start }) => bucket_start < BEGUN), steps }
}

const nameOf = ({ bot_id, channel, bucket_start }: Minute) => `${bot_id}/${channel}/${bucket_start}`

/** @param restarts Whether a new process goes on behind the step. */
function run({ before, steps }: History, restarts: (step: number) => boolean, write: (step: number) => boolean) {
  const from = Object.fromEntries(bots.map(bot => [JSON.stringify(Object.values(bot)), BEGUN]))
  const start = (options: Partial<JudgeOptions>): Judge => createJudge({ rules, from, ...options })
  /** The series topic: the newest of each minute. */
  const topic = new Map(before.map(minute => [nameOf(minute), minute]))
  const memory = new Map<string, string>()
  const verdicts: Verdict[] = []
  let judge = start({})
  for (const minute of before) judge.put(minute)
  for (const [i, { puts, reads, nowMs }] of steps.entries()) {
    for (const minute of puts) {
      judge.put(minute)
      topic.delete(nameOf(minute))
      topic.set(nameOf(minute), minute)
    }
    verdicts.push(...judge.judge(reads, nowMs))
    if (!write(i) && !restarts(i)) continue
    remember(judge, memory)
    if (!restarts(i)) continue
    judge = start({ from: judge.judgedUntil(), memory })
    for (const minute of topic.values()) judge.put(minute)
    judge.restore([...new Map(verdicts.map(alert => [alert.alert_id, alert])).values()])
    for (const _ of judge.resuming());
  }
  return { verdicts, memory }
}

test.each([1, 2, 3])('restarts at random moments change no bit of any alert, nor of what is remembered (history %i)', seed => {
  const history = historyOf(seed)
  const whole = run(
    history,
    () => false,
    step => step % 60 === 59,
  )
  expect(new Set(whole.verdicts.map(({ rule, state }) => `${rule} ${state}`)).size).toBeGreaterThanOrEqual(4)
  // More than the metadata of an offset could hold.
  const packed = gzipSync(JSON.stringify([...whole.memory])).length
  expect(packed).toBeGreaterThan(4096)
  const [restarts, writes] = [new Random(seed, 1, 1), new Random(seed, 2, 1)]
  const restarted = run(
    history,
    () => restarts.chance(0.05),
    step => writes.chance(0.3) || step === STEPS - 1,
  )
  expect(restarted.verdicts).toEqual(whole.verdicts)
  expect(restarted.memory).toEqual(whole.memory)
})
