/** Our detector over a world, as the running alerter meets it: at each poll what is known by then. */
import { createJudge } from '../../src/alert/judge.ts'
import { MINUTE_MS } from '../../src/alert/minutes.ts'
import type { Rule } from '../../src/rules.ts'
import { LEARNT, LENGTH, type World } from './world.ts'

/** A Monday. */
const START = Date.parse('2026-01-05T00:00:00Z')
/** Some days before the scored weeks in which delays are seen. */
const WARM = 2 * 1440

export interface Raised {
  /** Minutes of the world. */
  readonly at: number
  /** Number of the channel; null: a group of several. */
  readonly channel: number | null
}

export function raisedBy(world: World, rule: Rule): Raised[] {
  const key = { vendor: 'sim', account: 'a', bot_id: 'b' }
  const from = LEARNT - WARM
  const judge = createJudge({ rules: [rule], from: { [JSON.stringify(Object.values(key))]: START + from * MINUTE_MS } })
  const put = (channel: number, minute: number, sessions: number, transfers: number) =>
    judge.put({
      ...key,
      channel: String(channel),
      language: '',
      bucket_start: START + minute * MINUTE_MS,
      values: { sessions, agent_transfers: transfers },
    })
  const known = world.channels.map(() => new Uint16Array(LENGTH))
  const next = world.channels.map(() => 0)
  for (const [c, channel] of world.channels.entries()) {
    for (let minute = 0; minute < from; minute++) {
      if (channel.sessions[minute] !== 0) put(c, minute, channel.sessions[minute] as number, channel.transfers[minute] as number)
    }
  }
  const raised: Raised[] = []
  let read = from
  for (let minute = from; minute < LENGTH; minute++) {
    if (world.polls[minute] === 0) continue
    const mark = minute + 1
    for (const [c, channel] of world.channels.entries()) {
      const counts = known[c] as Uint16Array
      const changed = new Set<number>()
      let i = next[c] as number
      for (; (channel.known[i]?.[1] ?? LENGTH) < mark; i++) {
        const [start] = channel.known[i] as readonly [number, number]
        counts[start] = (counts[start] as number) + 1
        if (start >= from) changed.add(start)
      }
      next[c] = i
      for (let each = read; each < mark; each++) if (channel.sessions[each] !== 0) changed.add(each)
      for (const each of changed) put(c, each, channel.sessions[each] as number, counts[each] as number)
    }
    read = mark
    const nowMs = START + mark * MINUTE_MS
    for (const verdict of judge.judge([{ ...key, completeUntil: nowMs }], nowMs)) {
      if (verdict.state !== 'FIRING') continue
      raised.push({ at: mark, channel: verdict.channel === null ? null : Number(verdict.channel) })
    }
  }
  return raised.filter(({ at }) => at >= LEARNT)
}
