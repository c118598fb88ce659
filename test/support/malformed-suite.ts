/** The tests of one vendor's malformed answers: a share of the answers for each of its streams, and rows in all of them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Bench, withBench } from '../../src/conformance/bench.ts'
import type { Subject } from '../../src/conformance/index.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { type AnswerFault, READ_AGAIN, type Reference, referenceOf, survivesAnswer, survivesRows } from './malformed.ts'
import { BROKEN, ODD } from './malformed-answers.ts'
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
  /** More answers, of this vendor alone. */
  readonly own?: readonly AnswerFault[]
  /** Requests that are never spoiled. */
  readonly spare?: RegExp
  /** Requests that pass before an answer is spoiled; default: 0 to 2. */
  readonly after?: number
  /** Streams whose rows are spoiled one by one; default: all. In the others one row of an answer is many, or the other way round. */
  readonly rowsOf?: readonly string[]
  /** Streams where equal rows are one, so that whole rows of another kind cannot be counted. */
  readonly equalRowsOf?: readonly string[]
  /** Which requests answer with rows. */
  readonly rowsAt?: RegExp
  /** Of those, which query asks for the rows of this stream, where a stream asks for others to look something up. */
  readonly rowsQuery?: (stream: string) => RegExp
  /** How often rows are drawn for each stream, each time by another seed. Default 1. */
  readonly draws?: number
}

export function malformedAnswers({
  subject,
  streams,
  first,
  means = {},
  own = [],
  spare,
  after,
  rowsAt,
  rowsQuery,
  draws = 1,
  rowsOf = streams,
  equalRowsOf = [],
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
      again = await referenceOf(bench, stream, READ_AGAIN)
    })

    afterAll(async () => {
      release()
      await over
    })

    const shared = [...ODD, ...BROKEN].filter((_, at) => (at + first + place) % ONE_IN === 0)
    const faults = [...shared, ...own].flatMap(fault => {
      const meant = Object.hasOwn(means, fault.name) ? means[fault.name] : fault.becomes
      return meant === null || meant === undefined ? [] : [{ ...fault, becomes: meant }]
    })
    test.each(faults.map(fault => [fault.name, fault] as const))('%s', async (_, fault) => {
      const options = { ...(spare === undefined ? {} : { spare }), ...(after === undefined ? {} : { after }) }
      await survivesAnswer(bench, stream, fault, before, options)
    })

    if (!rowsOf.includes(stream)) return
    const at = {
      ...(rowsAt === undefined ? {} : { at: rowsAt }),
      ...(rowsQuery === undefined ? {} : { query: rowsQuery(stream) }),
    }
    const areCounted = !equalRowsOf.includes(stream)
    const picked = areCounted ? [ROW_FAULTS] : []
    test.each(picked.map(faults => [faults] as const))('rows of another kind, and values that no field has', async faults => {
      let left: typeof ROW_FAULTS = faults
      for (let runs = 0; left.length > 0 && runs < 3; runs++)
        left = left.slice(await survivesRows(bench, stream, left, again, at))
      expect(left.length).toBeLessThan(faults.length)
    })

    const seeds = Array.from({ length: draws }, (_, draw) => first * 100 + place + draw * 1000)
    test.each(seeds)('rows with values drawn by seed %i', async seed => {
      await survivesRows(bench, stream, drawnFaults(seed, 40), again, at)
    })
  })
}
