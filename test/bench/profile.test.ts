import { expect, test } from 'vitest'
import { type CpuProfile, hottest, profileText } from '../../bench/profile.ts'

const frame = (functionName: string, url: string, lineNumber = -1) => ({ functionName, url, lineNumber })
const ours = (file: string) => new URL(`../../${file}`, import.meta.url).href

/** 100 samples in 200 ms: 20 of them idle. */
const PROFILE: CpuProfile = {
  nodes: [
    { callFrame: frame('(root)', ''), hitCount: 0 },
    { callFrame: frame('(idle)', ''), hitCount: 20 },
    { callFrame: frame('(garbage collector)', ''), hitCount: 8 },
    { callFrame: frame('parse', ''), hitCount: 12 },
    { callFrame: frame('decodeOne', ours('src/ingest/rows.ts'), 94), hitCount: 30 },
    { callFrame: frame('', ours('src/ingest/rows.ts'), 9), hitCount: 6 },
    // The same function, called from elsewhere.
    { callFrame: frame('decodeOne', ours('src/ingest/rows.ts'), 94), hitCount: 4 },
    { callFrame: frame('encode', ours('node_modules/avsc/lib/types.js'), 1), hitCount: 10 },
    { callFrame: frame('write', 'node:buffer', 5), hitCount: 10 },
  ],
  startTime: 1_000_000,
  endTime: 1_200_000,
}

test('time of their own is added up by file, of the time in which the process was busy', () => {
  const { busyMs, entries } = hottest(PROFILE, 3, 'file')
  expect(busyMs).toBeCloseTo(160)
  expect(entries).toEqual([
    { where: 'src/ingest/rows.ts', selfMs: 80, share: 0.5 },
    { where: 'native parse', selfMs: 24, share: 0.15 },
    { where: 'node_modules/avsc/lib/types.js', selfMs: 20, share: 0.125 },
  ])
})

test('functions are named with the line that they begin in', () => {
  expect(hottest(PROFILE, 9, 'function').entries.map(({ where }) => where)).toEqual([
    'decodeOne src/ingest/rows.ts:95',
    'native parse',
    'encode node_modules/avsc/lib/types.js:2',
    'write node:buffer:6',
    '(garbage collector)',
    '(anonymous) src/ingest/rows.ts:10',
  ])
})

test('the text has as many entries as asked for, by file and by function', () => {
  const lines = profileText('pages, new rows', '/tmp/a.cpuprofile', PROFILE, 2).trimEnd().split('\n')
  expect(lines).toEqual([
    'pages, new rows: busy for 0.2 s; /tmp/a.cpuprofile',
    '  self ms   share  file',
    '       80   50.0 %  src/ingest/rows.ts',
    '       24   15.0 %  native parse',
    '  self ms   share  function',
    '       68   42.5 %  decodeOne src/ingest/rows.ts:95',
    '       24   15.0 %  native parse',
  ])
})

test('a process that only waited has no entries', () => {
  const idle = { ...PROFILE, nodes: PROFILE.nodes.slice(0, 2) }
  expect(hottest(idle, 20, 'file')).toEqual({ busyMs: 0, entries: [] })
})
