/** The record of the offsets topic, one key a partition number: which inputs the series and the contributions stand for. Written last in each transaction. */
import { FlowError } from '../errors.ts'

export interface Position {
  /** By topic, the next offset to read. */
  readonly inputs: ReadonlyMap<string, number>
  /** Offset of the last series point that came of them; null: none yet. */
  readonly series: number | null
  /** Offset of the last record on the state topic; null: none yet. */
  readonly state: number | null
  /** The time that the horizon stands for, epoch milliseconds; null: not known yet. */
  readonly timeMs: number | null
  /** Consumer group of the aggregator that wrote it; null: written by an older version. */
  readonly groupId: string | null
  /**
   * The history that the counts are of: it begins where a partition number is first counted and where it is counted again, and goes on whoever counts. Null: written
   * by a version that did not keep it; the next transaction begins one.
   */
  readonly history: string | null
  /** Offset of the record that says so; null: there is none. */
  readonly at: number | null
  /** Where the next record of the offsets topic goes, unless somebody else has written; null: not known. */
  readonly next: number | null
}

export interface StoredPosition extends Position {
  /** 1: written by a version that did not remember which messages and events it had counted. 2: by one that had minutes only. */
  readonly layout: 1 | 2 | 3
}

export function offsetsKey(partition: number): Buffer {
  return Buffer.from(String(partition))
}

/** JSON `{"inputs":{"<topic>":nextOffset,…},"series":lastOffset|null,"state":lastOffset|null,"time":ms|null,"group":"…","history":"…","layout":3}`. */
export function writeOffsets({ inputs, series, state, timeMs, groupId, history }: Omit<Position, 'next' | 'at'>): Buffer {
  const record = { inputs: Object.fromEntries(inputs), series, state, time: timeMs, group: groupId, history, layout: 3 }
  return Buffer.from(JSON.stringify(record))
}

/** @throws FlowError CODEC_INVALID: reading the inputs from their start instead would count everything twice. */
export function readOffsets(value: Buffer): StoredPosition {
  try {
    const {
      inputs,
      series,
      state = null,
      time = null,
      group = null,
      history = null,
      layout = 1,
    } = JSON.parse(value.toString()) as Record<string, unknown>
    const offsets = Object.entries(inputs as Record<string, unknown>)
    if (!offsets.every(([, offset]) => Number.isSafeInteger(offset)) || ![series, state].every(isOffset) || !isOffset(time))
      throw new Error()
    if (layout !== 1 && layout !== 2 && layout !== 3) throw new Error('written by a newer version of Colloquy')
    return {
      inputs: new Map(offsets as [string, number][]),
      series: series as number | null,
      state: state as number | null,
      timeMs: time as number | null,
      groupId: typeof group === 'string' ? group : null,
      history: typeof history === 'string' ? history : null,
      at: null,
      next: null,
      layout,
    }
  } catch (error) {
    throw new FlowError('CODEC_INVALID', { hint: 'the aggregator offsets cannot be read' }, error)
  }
}

function isOffset(value: unknown): boolean {
  return value === null || Number.isSafeInteger(value)
}
