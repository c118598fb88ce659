import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { type Finding, jsonReport, textReport, verdictOf } from '../../src/cli/check-report.ts'

const ACME = 'connectors.acme'
const findings: readonly [section: string, finding: Finding][] = [
  ['config', { finding: 'ok', what: 'config', connectors: ['acme', 'other'] }],
  ['kafka', { finding: 'ok', what: 'kafka', clusterId: 'c1', brokers: 3 }],
  ['kafka', { finding: 'warning', what: 'kafka', topics: ['colloquy.sessions', 'colloquy.events'], error: 'one replica; set 3' }],
  [
    'alerts',
    { finding: 'info', what: 'alerts.rules.spike', alerts: 2, channels: 9, perChannelWeek: 0.1, info: 'last week 2 alerts' },
  ],
  ['registry', { finding: 'ok', what: 'registry', url: 'http://r:8081' }],
  [ACME, { finding: 'ok', what: ACME, answers: true, newest: null, stream: 's', scope: 'b1' }],
  [
    ACME,
    { finding: 'ok', what: ACME, answers: true, newest: 'reject', reason: 'ROW_INVALID', path: 'at', stream: 's', scope: 'b2' },
  ],
  [
    ACME,
    {
      finding: 'fault',
      what: ACME,
      code: 'SRC_REFUSED',
      error: 'the vendor refused\nthe request',
      cure: 'Check the ids.',
      stream: 's',
      scope: 'b3',
    },
  ],
  [ACME, { finding: 'warning', what: `${ACME}.licences`, warning: 'too few; buy more' }],
  [
    ACME,
    {
      finding: 'ok',
      what: ACME,
      requestsPerHour: 120,
      requestsPerDay: 2880,
      quotaPerHour: 3600,
      reasons: [{ stream: 's', scopes: 3, perHour: 120, why: 'every 1m' }],
    },
  ],
]

function texts(colours: boolean) {
  const lines: string[] = []
  const report = textReport(line => lines.push(line), { colours })
  for (const [section, finding] of findings) report.add(section, finding)
  return { lines, counts: report.counts() }
}

test('text has a heading for each section and one line for each finding, with what to do', () => {
  expect(texts(false).lines).toEqual([
    'config',
    '  ok       connectors acme, other',
    '',
    'kafka',
    '  ok       clusterId c1; brokers 3',
    '  warning  colloquy.sessions, colloquy.events: one replica; set 3',
    '',
    'alerts',
    '  info     rules.spike: last week 2 alerts',
    '',
    'registry',
    '  ok       url http://r:8081',
    '',
    'connectors.acme',
    '  ok       s/b1: answers, has no rows',
    '  ok       s/b2: answers, newest: reject; reason ROW_INVALID; path at',
    '  fault    s/b3: the vendor refused the request (SRC_REFUSED). Check the ids.',
    '  warning  licences: too few; buy more',
    '  ok       at least 120 requests an hour, of 3600 that the quota allows, and 2880 a day; s: every 1m',
  ])
})

test('colours change no character', () => {
  const { lines } = texts(true)
  expect(lines.join('')).toContain('\x1b[31m')
  expect(lines.map(stripVTControlCharacters)).toEqual(texts(false).lines)
})

test('for machines a finding is its JSON and nothing else', () => {
  const lines: string[] = []
  const report = jsonReport(line => lines.push(line))
  for (const [section, finding] of findings) report.add(section, finding)
  expect(lines.map(line => JSON.parse(line) as Finding)).toEqual(findings.map(([, finding]) => finding))
  expect(report.counts()).toEqual(texts(false).counts)
})

test('the verdict counts faults and warnings', () => {
  expect(texts(false).counts).toEqual({ faults: 1, warnings: 2 })
  expect(verdictOf({ faults: 1, warnings: 2 })).toBe('1 fault, 2 warnings')
  expect(verdictOf({ faults: 2, warnings: 0 })).toBe('2 faults, 0 warnings')
  expect(verdictOf({ faults: 0, warnings: 1 })).toBe('no faults, 1 warning')
  expect(verdictOf({ faults: 0, warnings: 0 })).toBe('all good')
})
