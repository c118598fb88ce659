/** The tests of one vendor's malformed answers: a share of the answers for each of its streams, and rows in all of them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Bench, withBench } from '../../src/conformance/bench.ts'
import type { Subject } from '../../src/conformance/index.ts'
import type { ErrorCode } from '../../src/errors.ts'
import {
  type AnswerFault,
  READ_AGAIN,
  type Reference,
  type RowOptions,
  referenceOf,
  survivesAnswer,
  survivesRows,
} from './malformed.ts'
import { BROKEN, ODD, SLOW } from './malformed-answers.ts'
import { drawnFaults, ROW_FAULTS } from './malformed-rows.ts'

/** Of all answers, each stream tries one in so many, and each the next ones: with all streams of all vendors every answer is tried several times. */
const ONE_IN = 3

export interface Of {
  readonly subject: Subject
  readonly streams: readonly string[]
  /** Where this stream begins to count; differs between the streams of all vendors. */
  readonly first: number
  /** Answers that mean something else with this vendor: null: it documents that they say "nothing". */
  readonly means?: Readonly<Record<string, readonly ErrorCode[] | 'good' | null>>
  /** More answers, of this vendor alone; of one stream of it. */
  readonly own?: readonly AnswerFault[]
  readonly ownOf?: Readonly<Record<string, readonly AnswerFault[]>>
  /** Requests that are never spoiled. */
  readonly spare?: RegExp
  /** Requests that pass before an answer is spoiled; default: 0 to 2. */
  readonly after?: number
  /** Streams whose rows are spoiled one by one; default: all. In the others one row of an answer is many, or the other way round. */
  readonly rowsOf?: readonly string[]
  /** Which requests answer with rows; by stream where they differ. */
  readonly rowsAt?: RegExp | Readonly<Record<string, RegExp>>
  /** Of those, which query asks for the rows of this stream, where a stream asks for others to look something up. */
  readonly rowsQuery?: (stream: string) => RegExp
  /** How often rows are drawn for each stream, each time by another seed. Default 1. */
  readonly draws?: number
  /** Streams where an element of an answer's list is a part of a row, or several rows: one is spoiled at a time. */
  readonly alone?: Readonly<Record<string, Omit<RowOptions, 'at'>>>
  /** Streams where equal rows are one, so that whole rows of another kind cannot be counted. */
  readonly equalRowsOf?: readonly string[]
}

export function malformedAnswers({
  subject,
  streams,
  first,
  means = {},
  own = [],
  ownOf = {},
  spare,
  after,
  rowsAt,
  rowsQuery,
  draws = 1,
  rowsOf = streams,
  equalRowsOf = [],
  alone = {},
}: Of): void {
  describe.each(streams.map((stream, place) => [stream, place] as const))('%s', (stream, place) => {
    let bench: Bench
    let before: Reference
    let again: Reference
    let release = () => {}
    let over: Promise<unknown> = Promise.resolve()

    beforeAll(async () => {
      const opened = Promise.withResolvers<void>()
      over = withBench(subject, null, async given => {
        bench = given
        opened.resolve()
        await new Promise<void>(resolve => (release = resolve))
      })
      over.catch(error => opened.reject(error))
      await opened.promise
      before = await referenceOf(bench, stream)
      again = await referenceOf(bench, stream, alone[stream]?.base ?? READ_AGAIN)
    })

    afterAll(async () => {
      release()
      await over
    })

    const shared = [...ODD, ...BROKEN, ...SLOW].filter((_, at) => (at + first + place) % ONE_IN === 0)
    const faults = [...shared, ...own, ...(ownOf[stream] ?? [])].flatMap(fault => {
      const meant = Object.hasOwn(means, fault.name) ? means[fault.name] : fault.becomes
      return meant === null || meant === undefined ? [] : [{ ...fault, becomes: meant }]
    })
    test.each(faults.map(fault => [fault.name, fault] as const))('%s', async (_, fault) => {
      const options = { ...(spare === undefined ? {} : { spare }), ...(after === undefined ? {} : { after }) }
      await survivesAnswer(bench, stream, fault, before, options)
    })

    if (!rowsOf.includes(stream)) return
    const single = alone[stream]
    const at = rowsAt instanceof RegExp ? rowsAt : rowsAt?.[stream]
    const options: RowOptions = {
      ...single,
      ...(at === undefined ? {} : { at }),
      ...(rowsQuery === undefined ? {} : { query: rowsQuery(stream) }),
    }
    const drawn = Array.from({ length: draws }, (_, draw) =>
      drawnFaults(first * 100 + place + draw * 1000, single === undefined ? 40 : 8),
    )

    const counted = single === undefined && !equalRowsOf.includes(stream) ? [ROW_FAULTS] : []
    test.each(counted.map(faults => [faults] as const))('rows of another kind, and values that no field has', async faults => {
      let left: typeof ROW_FAULTS = faults
      for (let runs = 0; left.length > 0 && runs < 3; runs++)
        left = left.slice(await survivesRows(bench, stream, left, again, options))
      expect(left.length).toBeLessThan(faults.length)
    })

    test.each(single === undefined ? drawn.map(faults => [faults] as const) : [])(
      'rows with values drawn by a seed',
      async faults => {
        await survivesRows(bench, stream, faults, again, options)
      },
    )

    const apart = single === undefined ? [] : [...ROW_FAULTS, ...drawn.flat()]
    test.each(apart.map(fault => [fault.name, fault] as const))('a row: %s', async (_, fault) => {
      expect(await survivesRows(bench, stream, [fault], again, options)).toBe(1)
    })
  })
}
