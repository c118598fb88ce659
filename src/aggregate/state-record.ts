/**
 * How a session's contribution stands on the state topic: key the session key, value 26 or 34 bytes and the series key; null once the session is withdrawn.
 *
 * | byte | what (big-endian) |
 * | --- | --- |
 * | 0 | version of this layout: 2. In 1, which is read too, users were not kept |
 * | 1 | containment, 0 to 3 in the order self service, drop-off, agent, unknown; plus 0x10 when its user is known, 0x20 when nobody kept whether it has one; plus 0x80 once its transfer was told to the metrics |
 * | 2 | int32 revision |
 * | 6, 10, 14 | int32 minute of the epoch in which it started, ended, was handed over; -2^31: not |
 * | 18 | float64 duration, milliseconds |
 * | 26 | with 0x10 only: 8 bytes, the hash of the user (docs/sketches.md) |
 * | 26 or 34 | series key, UTF-8 |
 */
import { FlowError } from '../errors.ts'
import type { Contribution } from './contribution.ts'
import { COUNT, USER } from './contribution.ts'
import type { SeriesTable } from './series.ts'

const VERSION = 2
const WITHOUT_USERS = 1
const TOLD = 0x80
const USER_SHIFT = 4
const USER_BITS = 0x30
const CONTAINMENT_BITS = 0x03
const HEAD = 26
const USER_BYTES = 8

export function stateRecordBytes(of: Contribution, seriesKey: Buffer): number {
  return HEAD + (of.user === USER.known ? USER_BYTES : 0) + seriesKey.length
}

/** Writes the record at `at`; it takes `stateRecordBytes`. */
export function writeStateRecord(buffer: Buffer, at: number, of: Contribution, told: boolean, seriesKey: Buffer): void {
  buffer[at] = VERSION
  buffer[at + 1] = (of.containment - COUNT.sessions_self_service) | (of.user << USER_SHIFT) | (told ? TOLD : 0)
  buffer.writeInt32BE(of.revision, at + 2)
  buffer.writeInt32BE(of.started, at + 6)
  buffer.writeInt32BE(of.ended, at + 10)
  buffer.writeInt32BE(of.transfer, at + 14)
  buffer.writeDoubleBE(of.durationMs, at + 18)
  if (of.user === USER.known) {
    buffer.writeInt32BE(of.userHigh, at + HEAD)
    buffer.writeInt32BE(of.userLow, at + HEAD + 4)
  }
  seriesKey.copy(buffer, at + stateRecordBytes(of, seriesKey) - seriesKey.length)
}

/** @throws FlowError CODEC_INVALID on a layout that this version does not know: counting on without it would count twice. */
export function readStateRecord(value: Buffer, series: SeriesTable): { contribution: Contribution; told: boolean } {
  const version = value[0]
  const flags = value[1] ?? 0
  const user = version === WITHOUT_USERS ? USER.unkept : (flags & USER_BITS) >> USER_SHIFT
  const head = HEAD + (user === USER.known ? USER_BYTES : 0)
  if ((version !== VERSION && version !== WITHOUT_USERS) || value.length < head) {
    throw new FlowError('CODEC_INVALID', {
      version: version ?? null,
      hint: 'the aggregator state was written by another version of Colloquy',
    })
  }
  return {
    told: (flags & TOLD) !== 0,
    contribution: {
      containment: (flags & CONTAINMENT_BITS) + COUNT.sessions_self_service,
      revision: value.readInt32BE(2),
      started: value.readInt32BE(6),
      ended: value.readInt32BE(10),
      transfer: value.readInt32BE(14),
      durationMs: value.readDoubleBE(18),
      user,
      userHigh: user === USER.known ? value.readInt32BE(HEAD) : 0,
      userLow: user === USER.known ? value.readInt32BE(HEAD + 4) : 0,
      series: series.idOfKey(value.toString('utf8', head)),
    },
  }
}
