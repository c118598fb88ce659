/**
 * Rows of a made-up vendor's list of sessions: about 1 kB of JSON each, one session each. Row `i` is the same whenever it is asked for. Their fields, sizes and
 * spread are those of the rows that Kafka Connect and Kafka Streams are measured with (`bench/peers.md`).
 */
import { Random } from '../../src/sim/index.ts'

/** From one row to the next: 1,000,000 rows fill a day. */
export const STEP_MS = 86
/** After so many rows only ids, users and times differ, so that a page can be served without making each of its rows. */
export const CYCLE = 1000
const USERS = 200_000

const CHANNELS = ['web', 'whatsapp', 'messenger', 'instagram', 'telegram', 'sms', 'voice', 'api'] as const
const WORDS =
  'invoice refund delivery password order address balance card transfer agent help status return exchange plan upgrade'.split(' ')

/** The digits of a row's number, as they stand in `seq`, `id` and `link`. */
export function seqOf(index: number): string {
  return String(index).padStart(12, '0')
}

/** The digits of the row's user. */
export function userOf(index: number): string {
  return String(index % USERS).padStart(6, '0')
}

/** @param fromMs When row 0 began, epoch milliseconds. */
export function rowAt(index: number, fromMs: number) {
  const random = new Random(1, index % CYCLE, 0)
  const word = () => random.pick(WORDS)
  const seq = seqOf(index)
  const atMs = fromMs + index * STEP_MS
  return {
    seq,
    id: `S-${seq}`,
    createdAt: new Date(atMs).toISOString(),
    closedAt: new Date(atMs + random.int(60_000, 960_000)).toISOString(),
    bot: { id: `bot-${random.int(0, 11)}`, name: 'Customer care', version: 'LIVE' },
    channel: random.pick(CHANNELS),
    channelId: `ch-${random.int(0, 39)}-main-line`,
    user: {
      id: `u-${userOf(index)}`,
      name: `Customer ${random.int(0, 9998)}`,
      locale: random.pick(['es', 'en', 'pt']),
      country: 'CO',
    },
    startingCause: 'user_message',
    status: 'CLOSED',
    containment: random.pick(['selfService', 'dropOff', 'agent']),
    queue: `queue-${word()}`,
    agent: `Agent ${random.int(0, 299)}`,
    counts: { user: random.int(0, 19), bot: random.int(0, 29), agent: random.int(0, 9) },
    satisfaction: random.int(0, 49) / 10,
    topics: [word(), word(), word()],
    variables: {
      caseNumber: `C${random.uint32()}`,
      product: word(),
      segment: 'gold',
      lastIntent: `intent.${word()}.${word()}`,
      summary: Array.from({ length: 36 }, word).join(' '),
    },
    link: `https://vendor.example/sessions/S-${seq}`,
    test: false,
  }
}
