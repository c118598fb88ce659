/**
 * How a session's contribution stands on the state topic: key the session key, value 26 bytes and the series key; null once the session is withdrawn.
 *
 * | byte | what (big-endian) |
 * | --- | --- |
 * | 0 | version of this layout: 1 |
 * | 1 | containment, 0 to 3 in the order self service, drop-off, agent, unknown; plus 0x80 once its transfer was told to the metrics |
 * | 2 | int32 revision |
 * | 6, 10, 14 | int32 minute of the epoch in which it started, ended, was handed over; -2^31: not |
 * | 18 | float64 duration, milliseconds |
 * | 26 | series key, UTF-8 |
 */
import { FlowError } from '../errors.ts'
import type { Contribution } from './contribution.ts'
import { COUNT } from './contribution.ts'
import type { SeriesTable } from './series.ts'

const VERSION = 1
const TOLD = 0x80
export const STATE_HEAD = 26

/** Writes the record at `at`; it takes `STATE_HEAD` and the series key's bytes. */
export function writeStateRecord(buffer: Buffer, at: number, of: Contribution, told: boolean, seriesKey: Buffer): void {
  buffer[at] = VERSION
  buffer[at + 1] = (of.containment - COUNT.sessions_self_service) | (told ? TOLD : 0)
  buffer.writeInt32BE(of.revision, at + 2)
  buffer.writeInt32BE(of.started, at + 6)
  buffer.writeInt32BE(of.ended, at + 10)
  buffer.writeInt32BE(of.transfer, at + 14)
  buffer.writeDoubleBE(of.durationMs, at + 18)
  seriesKey.copy(buffer, at + STATE_HEAD)
}

/** @throws FlowError CODEC_INVALID on a layout that this version does not know: counting on without it would count twice. */
export function readStateRecord(value: Buffer, series: SeriesTable): { contribution: Contribution; told: boolean } {
  if (value[0] !== VERSION || value.length < STATE_HEAD) {
    throw new FlowError('CODEC_INVALID', {
      version: value[0] ?? null,
      hint: 'the aggregator state was written by another version of Colloquy',
    })
  }
  const flags = value[1] as number
  return {
    told: (flags & TOLD) !== 0,
    contribution: {
      containment: (flags & ~TOLD) + COUNT.sessions_self_service,
      revision: value.readInt32BE(2),
      started: value.readInt32BE(6),
      ended: value.readInt32BE(10),
      transfer: value.readInt32BE(14),
      durationMs: value.readDoubleBE(18),
      series: series.idOfKey(value.toString('utf8', STATE_HEAD)),
    },
  }
}
