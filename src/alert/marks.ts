/**
 * What the next process must know of this one beside the alerts themselves: up to where each bot has been judged, and what the engine has learnt and cannot
 * learn again. It is committed as the metadata of the group's offsets, in the transaction of the alerts, and has to fit there.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'

/** `offset.metadata.max.bytes` of a broker is 4096 by default. */
const MOST_BYTES = 4096
const FORM = '1'
const MINUTE_MS = 60_000

/**
 * Times by bot, in minutes. Where not all fit, those of the bots that are furthest behind go: they are left out, and count as not judged at all, which is
 * right for them, as what becomes known that late is not raised.
 */
export function packMarks(judgedUntil: Readonly<Record<string, number>>): string {
  const newestFirst = Object.entries(judgedUntil)
    .filter(([, until]) => Number.isFinite(until))
    .sort(([a, left], [b, right]) => right - left || (a < b ? -1 : 1))
  for (let count = newestFirst.length; ; count = Math.floor(count * 0.9)) {
    const byMinute = Map.groupBy(newestFirst.slice(0, count), ([, until]) => Math.floor(until / MINUTE_MS))
    const packed = pack([...byMinute].map(([minute, bots]) => [minute, ...bots.map(([bot]) => bot)]))
    if (packed.length <= MOST_BYTES) return packed
  }
}

/** Nothing where it is not of ours. */
export function unpackMarks(metadata: string): Record<string, number> | null {
  const read = unpack(metadata)
  if (!Array.isArray(read)) return null
  const entries = (read as unknown[]).flatMap(group => {
    const [minute, ...bots] = Array.isArray(group) ? (group as unknown[]) : []
    return typeof minute === 'number' ? bots.map(bot => [String(bot), minute * MINUTE_MS] as const) : []
  })
  return Object.fromEntries(entries)
}

/** Empty where it does not fit: it is learnt anew then. */
export function packMemory(memory: string): string {
  const packed = pack(memory)
  return packed.length <= MOST_BYTES ? packed : ''
}

export function unpackMemory(metadata: string): string | null {
  const read = unpack(metadata)
  return typeof read === 'string' ? read : null
}

function pack(value: unknown): string {
  return FORM + deflateRawSync(JSON.stringify(value), { level: 9 }).toString('base64url')
}

function unpack(metadata: string): unknown {
  if (!metadata.startsWith(FORM)) return null
  try {
    return JSON.parse(inflateRawSync(Buffer.from(metadata.slice(FORM.length), 'base64url')).toString())
  } catch {
    return null
  }
}
