/** What fits into one record: the writer and the code that makes records use the same limits. */
import { BATCH_OVERHEAD } from './wire.ts'

/** Left free below a topic's limit, where the limit is large enough. */
const HEADROOM_BYTES = 1024
/** Length, attributes, time, offset and the lengths of key, value and headers, at most. */
const FRAME_BYTES = 32

/** Largest batch for a topic with this `max.message.bytes`. */
export function mostBatchBytes(limitBytes: number): number {
  return limitBytes - Math.min(HEADROOM_BYTES, Math.floor(limitBytes / 8))
}

/** Largest record: key, value and headers. */
export function mostRecordBytes(limitBytes: number): number {
  return mostBatchBytes(limitBytes) - BATCH_OVERHEAD - FRAME_BYTES
}
