import { describe, expect, test } from 'vitest'
import { topicNames } from '../../src/topics.ts'
import type { IndependentRecord } from '../support/independent/read-topics.ts'
import { checkSeries, checkTopics } from './check.ts'
import { drawFaults, KINDS } from './faults.ts'
import { longestSilence, unready } from './rounds.ts'

const names = topicNames('kill')

function session(id: string, revision = 1, fields: object = {}, account = 'r1'): IndependentRecord {
  const key = `acme:${account}:${id}`
  const value = {
    vendor: 'acme',
    account,
    session_id: id,
    session_key: key,
    revision,
    observed_at: revision,
    status: 'CLOSED',
    ...fields,
  }
  return { topic: names.sessions, partition: 0, offset: 0, key, value }
}

const truthOf = (ids: readonly string[]) => ({ sessions: ids.map(session_id => ({ session_id })), messages: [], events: [] })
const truth = (...ids: string[]) => new Map([['acme', { due: truthOf(ids), shown: truthOf(ids) }]])
const check = (records: readonly IndependentRecord[], truths = truth('a', 'b')) => {
  const { lost, twice } = checkTopics(records, { names, account: 'r1', truths })
  return { lost, twice }
}

describe('what a round is held to', () => {
  test('all of it there, once: nothing is found', () => {
    expect(check([session('a'), session('b'), session('b', 2, { queue: 'sales' })])).toEqual({ lost: 0, twice: 0 })
  })

  test('a session that is not on the topic is lost', () => {
    expect(check([session('a')])).toEqual({ lost: 1, twice: 0 })
  })

  test('what the vendor shows only since the round began may be on the topic, and need not', () => {
    const truths = new Map([['acme', { due: truthOf(['a']), shown: truthOf(['a', 'b']) }]])
    expect(check([session('a')], truths)).toEqual({ lost: 0, twice: 0 })
    expect(check([session('a'), session('b')], truths)).toEqual({ lost: 0, twice: 0 })
    expect(check([session('b')], truths)).toEqual({ lost: 1, twice: 0 })
    expect(check([session('a'), session('c')], truths)).toEqual({ lost: 0, twice: 1 })
  })

  test('a session whose newest revision was withdrawn is lost', () => {
    const withdrawn = { ...session('b', 2), value: null }
    expect(check([session('a'), session('b'), withdrawn])).toMatchObject({ lost: 1 })
  })

  test('a record that nobody has is one too many', () => {
    expect(check([session('a'), session('b'), session('c')])).toEqual({ lost: 0, twice: 1 })
  })

  test('a revision that is published again, or says the same again, is one too many', () => {
    expect(check([session('a'), session('b'), session('b')]).twice).toBeGreaterThan(0)
    expect(check([session('a'), session('b'), session('b', 2)]).twice).toBeGreaterThan(0)
    expect(check([session('a'), session('b'), session('b', 3, { queue: 'sales' })]).twice).toBeGreaterThan(0)
  })

  test('what an earlier round has had is not published again', () => {
    expect(check([session('a'), session('b'), session('z', 1, {}, 'r0')])).toEqual({ lost: 0, twice: 1 })
  })

  test('a reject is a row that is lost', () => {
    const reject = { topic: names.rejects, partition: 0, offset: 0, key: null, value: { id: 'b' } }
    expect(check([session('a'), session('b'), reject])).toEqual({ lost: 1, twice: 0 })
  })

  test('series that are lower than the topics have lost something, higher ones have it twice', () => {
    const counted = new Map([
      ['sessions|web|2026-11-01T00', 2],
      ['events|web|2026-11-01T00', 1],
    ])
    const served = new Map([
      ['sessions|web|2026-11-01T00', 3],
      ['events|web|2026-11-01T01', 1],
    ])
    expect(checkSeries(served, counted)).toMatchObject({ lost: 1, twice: 2 })
    expect(checkSeries(counted, counted)).toEqual({ lost: 0, twice: 0, details: [] })
  })
})

describe('the longest silence', () => {
  const commit = (key: string, committed_at: number): IndependentRecord => ({
    topic: names.progress,
    partition: 0,
    offset: 0,
    key,
    value: { account: 'r1', committed_at },
  })
  const of = { names, account: 'r1', fromMs: 0, untilMs: 100, outages: [] }

  test('is between two commits of one source partition, whatever the others do', () => {
    const commits = [commit('a', 10), commit('b', 50), commit('a', 90), commit('b', 95)]
    expect(longestSilence(commits, of)).toEqual({ silenceMs: 80, silent: 'a' })
  })

  test('counts up to the end of the round', () => {
    expect(longestSilence([commit('a', 10)], of)).toEqual({ silenceMs: 90, silent: 'a' })
  })

  test('leaves outages out, also where they overlap', () => {
    const outages = [
      { fromMs: 20, untilMs: 40 },
      { fromMs: 30, untilMs: 60 },
      { fromMs: 95, untilMs: Infinity },
    ]
    expect(longestSilence([commit('a', 10)], { ...of, outages })).toEqual({ silenceMs: 45, silent: 'a' })
  })
})

describe('the faults of a round', () => {
  const plan = (seed: number, round: number) =>
    drawFaults(seed, round).map(({ atMs, name, resource }) => ({ atMs, name, resource }))

  test('are those of its seed and its number', () => {
    expect(plan(1, 5)).toEqual(plan(1, 5))
    expect(plan(1, 5)).not.toEqual(plan(1, 6))
    expect(plan(1, 5)).not.toEqual(plan(2, 5))
  })

  test('are of every kind within a hundred rounds', () => {
    const drawn = new Set(
      Array.from({ length: 100 }, (_, round) => plan(1, round)).flatMap(faults => faults.map(({ name }) => name)),
    )
    expect([...drawn].toSorted()).toEqual(KINDS.map(({ name }) => name).toSorted())
  })
})

describe('of the processes that are not ready', () => {
  const worker = (name: string, ...reasons: string[]) =>
    ({ name, role: 'worker', why: reasons.length === 0 ? null : `worker: ${reasons.join('; ')}` }) as const
  const taken = (place: string) =>
    `${place}: another process has taken this source partition over (transactionalId=kill-1/${place})`

  test('a worker that follows one that reads needs nobody, also where each reads some', () => {
    expect(unready([worker('elder', taken('a/x')), worker('newcomer')])).toBeNull()
    expect(unready([worker('elder', taken('a/x')), worker('newcomer', taken('a/y'))])).toBeNull()
  })

  test('a source partition that all follow is read by nobody', () => {
    expect(unready([worker('elder', taken('a/x'))])).toContain('elder is not ready: a/x')
    expect(unready([worker('elder', taken('a/x'), taken('a/y')), worker('newcomer', taken('a/y'))])).toContain('a/y')
  })

  test('every other reason counts, of each role', () => {
    expect(unready([worker('elder', 'Kafka does not answer'), worker('newcomer')])).toContain('Kafka does not answer')
    expect(unready([{ name: 'counter', role: 'aggregator', why: 'aggregator: lag unknown' }])).toContain('lag unknown')
  })
})
