/** The record of the offsets topic, one key a partition number: which inputs the series and the contributions stand for. Written last in each transaction. */
import { FlowError } from '../errors.ts'

export interface Position {
  /** By topic, the next offset to read. */
  readonly inputs: ReadonlyMap<string, number>
  /** Offset of the last series point that came of them; null: none yet. */
  readonly series: number | null
}

export function offsetsKey(partition: number): Buffer {
  return Buffer.from(String(partition))
}

/** JSON `{"inputs":{"<topic>":nextOffset,…},"series":lastOffset|null}`. */
export function writeOffsets(position: Position): Buffer {
  return Buffer.from(JSON.stringify({ inputs: Object.fromEntries(position.inputs), series: position.series }))
}

/** @throws FlowError CODEC_INVALID: reading the inputs from their start instead would count everything twice. */
export function readOffsets(value: Buffer): Position {
  try {
    const { inputs, series } = JSON.parse(value.toString()) as { inputs: Record<string, unknown>; series: unknown }
    const offsets = Object.entries(inputs)
    if (!offsets.every(([, offset]) => Number.isSafeInteger(offset)) || !(series === null || Number.isSafeInteger(series)))
      throw new Error()
    return { inputs: new Map(offsets as [string, number][]), series: series as number | null }
  } catch (error) {
    throw new FlowError('CODEC_INVALID', { hint: 'the aggregator offsets cannot be read' }, error)
  }
}
