/** What fits into one record: the writer and whoever makes records count alike. */
import { BATCH_OVERHEAD } from './wire.ts'

/** Left free below a topic's limit, where the limit is large enough to leave something free. */
const HEADROOM_BYTES = 1024
/** Length, attributes, time, offset and the lengths of key, value and headers, at most. */
const FRAME_BYTES = 32

/** Most bytes of a batch for a topic with this `max.message.bytes`. */
export function mostBatchBytes(limitBytes: number): number {
  return limitBytes - Math.min(HEADROOM_BYTES, Math.floor(limitBytes / 8))
}

/** Most bytes of key, value and headers of one record. */
export function mostRecordBytes(limitBytes: number): number {
  return mostBatchBytes(limitBytes) - BATCH_OVERHEAD - FRAME_BYTES
}
