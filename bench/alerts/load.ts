/** What judging 1,000 channels costs: processor time a minute and memory, in a process of its own. Run with `--expose-gc`. */
import { createJudge } from '../../src/alert/judge.ts'
import { MINUTE_MS } from '../../src/alert/minutes.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { Random } from '../../src/sim/random.ts'
import { poisson } from './draw.ts'

const CHANNELS = 1000
const A_BOT = 4
const BOTS_AN_ACCOUNT = 25
/** Sessions a minute: busy, middling, small, nearly still. */
const VOLUMES = [6, 1.6, 0.4, 0.1]
const START = Date.parse('2026-01-05T00:00:00Z')

function main(): void {
  const [days = 14, judged = 720] = process.argv.slice(2).map(Number)
  const random = new Random(1, 1, 21)
  const before = memory()
  const from = START + days * 1440 * MINUTE_MS
  const bots = Array.from({ length: CHANNELS / A_BOT }, (_, i) => ({
    vendor: 'sim',
    account: `a${Math.floor(i / BOTS_AN_ACCOUNT)}`,
    bot_id: `b${i}`,
  }))
  const judge = createJudge({
    rules: [DEFAULT_RULE],
    from: Object.fromEntries(bots.map(bot => [JSON.stringify(Object.values(bot)), from])),
  })
  const put = (minute: number) => {
    for (let c = 0; c < CHANNELS; c++) {
      const sessions = poisson(random, VOLUMES[c % A_BOT] as number)
      if (sessions === 0) continue
      let transfers = 0
      for (let i = 0; i < sessions; i++) if (random.chance(0.08)) transfers++
      judge.put({
        ...(bots[Math.floor(c / A_BOT)] as (typeof bots)[number]),
        channel: `c${c % A_BOT}`,
        language: 'en',
        bucket_start: START + minute * MINUTE_MS,
        values: { sessions, agent_transfers: transfers },
      })
    }
  }
  for (let minute = 0; minute < days * 1440; minute++) put(minute)
  const cpu = { judge: 0, worst: 0 }
  const judgeAt = (minute: number) => {
    const nowMs = START + (minute + 1) * MINUTE_MS
    const began = process.cpuUsage()
    judge.judge(
      bots.map(bot => ({ ...bot, completeUntil: nowMs })),
      nowMs,
    )
    // What the process writes to the alerter's state topic after each judging.
    judge.memoryChanges()
    const { user, system } = process.cpuUsage(began)
    return (user + system) / 1000
  }
  const first = judgeAt(days * 1440 - 1)
  for (let i = 0; i < judged; i++) {
    put(days * 1440 + i)
    const ms = judgeAt(days * 1440 + i)
    cpu.judge += ms
    cpu.worst = Math.max(cpu.worst, ms)
  }
  process.stdout.write(
    `${JSON.stringify({ channels: CHANNELS, days, minutes: judged, firstMs: first, meanMs: cpu.judge / judged, worstMs: cpu.worst, mebibytes: (memory() - before) / 2 ** 20 })}\n`,
  )
  // Held until measured.
  judge.judgedUntil()
}

function memory(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

main()
