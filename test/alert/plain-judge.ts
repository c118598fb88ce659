/**
 * An engine that is easy to reckon with, for tests of what stands around it: a channel fires at the first complete minute with five transfers or more, and
 * is over at the first complete minute with fewer. It keeps the rules of the interface: nothing of `from` and before is raised, restored alerts go on.
 */
import type { Judge, JudgeOptions, Minute } from '../../src/alert/judge.ts'
import { type Alert, botKey, type Channel } from '../../src/records.ts'

const MINUTE_MS = 60_000
const LIMIT = 5

export function plainJudge({ rules, from = {} }: JudgeOptions): Judge {
  const minutes = new Map<string, Map<number, Minute>>()
  const judged = new Map(Object.entries(from))
  const firing = new Map<string, Alert>()
  const groupOf = ({
    vendor,
    account,
    bot_id,
    channel,
  }: Pick<Minute, 'vendor' | 'account' | 'bot_id'> & { channel: string | null }) =>
    `${vendor}:${account}:${bot_id}:${channel ?? ''}`

  return {
    put(minute) {
      const of = minutes.get(groupOf(minute)) ?? new Map<number, Minute>()
      minutes.set(groupOf(minute), of.set(minute.bucket_start, minute))
    },
    putHour() {},
    restore(alerts) {
      for (const alert of alerts) if (alert.state === 'FIRING') firing.set(groupOf(alert), alert)
    },
    *judging(reads, nowMs) {
      yield
      return this.judge(reads, nowMs)
    },
    judge(reads, nowMs) {
      const verdicts: Alert[] = []
      for (const { completeUntil, ...bot } of reads) {
        if (completeUntil === null) continue
        const name = JSON.stringify([bot.vendor, bot.account, bot.bot_id])
        const afterMs = judged.get(name) ?? -Infinity
        judged.set(name, Math.max(afterMs, completeUntil))
        for (const [group, of] of minutes) {
          for (const minute of [...of.values()].sort((a, b) => a.bucket_start - b.bucket_start)) {
            const endMs = minute.bucket_start + MINUTE_MS
            if (botKey(minute) !== botKey(bot) || endMs > completeUntil || endMs <= afterMs) continue
            const transfers = minute.values.agent_transfers ?? null
            if (transfers === null) continue
            const on = firing.get(group)
            if (transfers >= LIMIT && on === undefined) {
              const alert: Alert = {
                alert_id: `${rules[0]?.name}/${group}/${minute.bucket_start}`,
                rule: rules[0]?.name ?? '',
                state: 'FIRING',
                ...bot,
                channel: minute.channel as Channel,
                language: null,
                starts_at: minute.bucket_start,
                ends_at: null,
                observed: transfers,
                expected: 1,
                probability: 0.001,
                evidence: { transfers: String(transfers) },
                updated_at: nowMs ?? endMs,
              }
              firing.set(group, alert)
              verdicts.push(alert)
            } else if (transfers < LIMIT && on !== undefined) {
              firing.delete(group)
              verdicts.push({ ...on, state: 'RESOLVED', ends_at: minute.bucket_start, updated_at: nowMs ?? endMs })
            }
          }
        }
      }
      return verdicts
    },
    judgedUntil: () => Object.fromEntries(judged),
    memoryChanges: () => new Map(),
    *resuming() {},
  }
}
