/** An incident in the sessions of one channel, as topics have it. */
import type { Progress } from '../../src/records.ts'
import { Random } from '../../src/sim/random.ts'
import type { Item } from '../aggregate/harness.ts'
import { progressOf } from '../support/progress.ts'
import { MINUTE_MS } from './history.ts'
import { sessionAt } from './sessions.ts'

/** Sessions of one channel, four a minute; in the incident most are handed over, because of refunds. */
export function sessionsOf(fromMs: number, untilMs: number, incident: { fromMs: number; untilMs: number }): Item[] {
  const random = new Random(4, 8, 15)
  const items: Item[] = []
  for (let at = fromMs; at < untilMs; at += MINUTE_MS) {
    for (let one = 0; one < 4; one++) {
      const isOn = at >= incident.fromMs && at < incident.untilMs
      const isTransferred = random.chance(isOn ? 0.6 : 0.06)
      const startedAt = at + random.int(0, 59) * 1000
      const queue = isOn ? 'refunds' : random.pick(['sales', 'billing'])
      items.push({ kind: 'session', record: sessionAt(`${at}-${one}`, startedAt, isTransferred ? queue : null) })
    }
  }
  return items
}

/** Progress of a source partition that has read everything before `untilMs`. */
export const progressUntil =
  (untilMs: number) =>
  (through: readonly { topic: string; partition: number; lastOffset: number }[]): Progress =>
    progressOf({
      vendor: 'acme-chat',
      account: 'acme',
      window_until: untilMs,
      complete_until: untilMs,
      committed_at: untilMs,
      through: through.map(({ topic, partition, lastOffset }) => ({ topic, partition, offset: lastOffset })),
      covered: [{ from: 0, until: untilMs }],
      feeds: ['session', 'transfer'],
    })
