/** Config files as people get them wrong. Each is refused with exit code 2, the place, and what cures it; no secret and no stack is shown. */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { afterAll, describe, expect, test } from 'vitest'
import { runCommand } from '../src/cli/run.ts'
import { readSetup } from '../src/cli/setup.ts'
import { createLog } from '../src/log.ts'

/** Mulberry32: numbers in [0, 1), the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const folder = mkdtempSync(join(tmpdir(), 'colloquy-malformed-'))
afterAll(() => rmSync(folder, { recursive: true }))

const GOOD = `kafka:
  brokers: [127.0.0.1:9092]
  sasl: { mechanism: plain, username: u, password: s3cret-of-kafka }
registry:
  url: http://127.0.0.1:8081
topics:
  prefix: colloquy
  partitions: 6
http: { host: 127.0.0.1, port: 0 }
connectors:
  acme:
    connector.class: botmaker
    access.token: s3cret-of-vendor
    poll.interval.ms: 60000
aggregator: { retention: { days: 400d } }
log: { level: info }
`

interface Line {
  readonly code?: string
  readonly path?: string
  readonly line?: number
  readonly msg: string
}

let files = 0
/** Runs `colloquy run` on the file. The signal has come already: with a good file it ends at once, with 0. */
async function run(path: string, env: Record<string, string> = {}) {
  const lines: string[] = []
  const stdout: string[] = []
  const log = createLog('info', line => lines.push(line))
  const io = { stdout: (line: string) => void stdout.push(line), log, signal: AbortSignal.abort(), env, entry: '' }
  const code = await runCommand(['--config', path], io)
  const text = [...lines, ...stdout].join('')
  return { code, stdout, text, log: lines.map(line => JSON.parse(line) as Line) }
}

function put(text: string | Uint8Array): string {
  const path = join(folder, `config-${files++}.yaml`)
  writeFileSync(path, text)
  return path
}

/** Nothing of what may be said is a secret or a stack, and each line names its place. */
function expectCivil(ended: Awaited<ReturnType<typeof run>>): void {
  expect(ended.code, ended.text).toBe(2)
  expect(ended.stdout).toEqual([])
  expect(ended.text).not.toMatch(/s3cret|hunter2|node:internal| {4}at |\bundefined\b|\[object/)
  expect(ended.log.length).toBeGreaterThan(0)
  for (const line of ended.log) {
    expect(line.code).toBe('CFG_INVALID')
    expect(line.path).toBeTypeOf('string')
    expect(line.msg).not.toContain('\n')
    expect(line.msg.length).toBeLessThan(1000)
  }
}

const FILE = /config-\d+\.yaml$/

test.each([
  ['as it is', GOOD],
  ['with a byte order mark and Windows line ends', `\uFEFF${GOOD.replaceAll('\n', '\r\n')}`],
  ['with a time tagged as one', GOOD.replace('botmaker\n', 'botmaker\n    start.at: !!timestamp 2026-11-01\n')],
  [
    'with numbers as text',
    GOOD.replace('60000', '"60000"').replace('partitions: 6', 'partitions: 6e0').replace('port: 0', 'port: "0"'),
  ],
  ['with anchors', GOOD.replace('s3cret-of-vendor', '&t s3cret-of-vendor').replace('log: {', 'plugins: []\nlog: {')],
])('the good file is good %s', async (_how, text) => {
  const ended = await run(put(text))
  expect(ended.code, ended.text).toBe(0)
})

describe('a value, key or section', () => {
  const acme = '    connector.class: botmaker\n'
  const more = (keys: string): [string, string] => [acme, `${acme}${keys}\n`]
  type Case = [find: string, put: string, path: string | RegExp, says: RegExp, env?: Record<string, string>]
  const cases: Case[] = [
    // Sections and keys of the file.
    ['kafka:\n', 'kafak:\n', 'kafak', /did you mean kafka/],
    ['  brokers: [127.0.0.1:9092]', '  brokers: 127.0.0.1', 'kafka.brokers.0', /host:port/],
    ['  brokers: [127.0.0.1:9092]', '  brokers: [127.0.0.1:99999]', 'kafka.brokers.0', /port from 1 to 65535/],
    ['  brokers: [127.0.0.1:9092]', '  brokers: ["http://a:9092"]', 'kafka.brokers.0', /host:port/],
    ['  brokers: [127.0.0.1:9092]', '  brokers: {a: 9092}', 'kafka.brokers', /list of host:port/],
    ['  brokers: [127.0.0.1:9092]', '  brokers: []', 'kafka.brokers', /at least one host:port/],
    ['mechanism: plain', 'mechanism: gssapi', 'kafka.sasl.mechanism', /plain, scram-sha-256/],
    ['username: u, ', '', 'kafka.sasl.username', /is required/],
    ['password: s3cret-of-kafka', 'password: [s3cret-of-kafka]', 'kafka.sasl.password', /takes text/],
    ['  url: http://127.0.0.1:8081', '  url: 127.0.0.1:8081', 'registry.url', /http or https address/],
    ['  url: http://127.0.0.1:8081', '  url: http://u:s3cret@127.0.0.1:8081', 'registry.url', /registry\.auth/],
    ['  url: http://127.0.0.1:8081', '  url: http://127.0.0.1:8081/?x=1', 'registry.url', /without \? and #/],
    ['registry:\n  url: http://127.0.0.1:8081\n', 'registry: http://127.0.0.1:8081\n', 'registry', /map with the keys url/],
    ['registry:\n  url: http://127.0.0.1:8081\n', '', 'registry', /is required/],
    ['  prefix: colloquy', '  prefix: a/b', 'topics.prefix', /letters, digits/],
    ['  prefix: colloquy', `  prefix: ${'a'.repeat(232)}`, 'topics.prefix', /231 characters at most/],
    ['  prefix: colloquy', '  prefix: [a]', 'topics.prefix', /takes text/],
    ['  partitions: 6', '  partitions: 0', 'topics.partitions', /whole number from 1 to 10000/],
    ['  partitions: 6', '  partitions: 1.5', 'topics.partitions', /whole number/],
    ['  partitions: 6', '  partitions: 0x10', 'topics.partitions', /decimal digits/],
    ['  partitions: 6', '  partitions: 1_000', 'topics.partitions', /decimal digits/],
    ['  partitions: 6', '  partitions: .nan', 'topics.partitions', /whole number/],
    ['  partitions: 6', '  partitions: -.inf', 'topics.partitions', /whole number/],
    ['  partitions: 6', '  partitions: 2026-11-01', 'topics.partitions', /whole number/],
    ['  partitions: 6', '  partitions: yes', 'topics.partitions', /whole number/],
    ['  partitions: 6', '  create: ja', 'topics.create', /true or false/],
    ['port: 0', 'port: 70000', 'http.port', /from 0 to 65535/],
    ['days: 400d', 'days: 400', 'aggregator.retention.days', /with its unit, such as 90s/],
    ['days: 400d', 'days: -400d', 'aggregator.retention.days', /with its unit/],
    ['days: 400d', 'days: 1s', 'aggregator.retention.days', /from 1d to 100y/],
    ['days: 400d', 'days: 400d, hours: 401d', 'aggregator.retention.days', /must not be less than hours/],
    ['{ days: 400d }', '400d', 'aggregator.retention', /minutes, hours and days.*a single duration/],
    ['{ days: 400d }', '{ weeks: 4 }', 'aggregator.retention.weeks', /is not a key/],
    ['{ days: 400d }', '{ days: 400d }, sessionTimeout: 2h', 'aggregator.sessionTimeout', /from 1s to 30m/],
    ['aggregator: { retention: { days: 400d } }', 'aggregator: [a]', 'aggregator', /map with the keys groupId, retention/],
    ['level: info', 'level: loud', 'log.level', /one of debug, info, warn, error/],
    ['log: {', 'plugins: acme\nlog: {', 'plugins', /list of npm packages and paths/],
    ['log: {', 'plugins: [./nothing]\nlog: {', 'plugins.0', /a path begins with/],
    ['log: {', 'plugins: [fs]\nlog: {', 'plugins.0', /npm package must be installed/],
    ['log: {', 'alerts: 3\nlog: {', 'alerts', /map with the keys alertmanager, externalUrl/],
    ['log: {', 'alerts: { rules: [a] }\nlog: {', 'alerts.rules', /takes a map: the name of each rule/],
    ['log: {', 'alerts: { rules: { a: 3 } }\nlog: {', 'alerts.rules.a', /./],
    ['log: {', 'alerts: { rules: { a: { windows: [17s] } } }\nlog: {', 'alerts.rules.a.windows.0', /whole minutes/],
    ['log: {', 'pii: {}\nlog: {', 'pii', /is not a key/],
    ['log: {', '__proto__: { polluted: 1 }\nlog: {', '__proto__', /is not a key/],
    ['log: {', 'constructor: 1\nlog: {', 'constructor', /is not a key/],
    ['log: {', '<<: *base\nlog: {', FILE, /anchor/],
    ['  partitions: 6', '  __proto__: 6', 'topics.__proto__', /is not a key/],
    // Connectors.
    ['connectors:\n', 'connectors: [a]\nconnektors:\n', 'connectors', /name of each connector/],
    ['  acme:\n', '  a/b:\n', 'connectors.a/b', /letters, digits, dots/],
    ['  acme:\n', '  "":\n', 'connectors.', /letters, digits, dots/],
    ['  acme:\n', '  __proto__:\n', 'connectors.__proto__', /begins with a letter or digit/],
    ['  acme:\n', `  ${'a'.repeat(129)}:\n`, /^connectors\.a{100}…$/, /128 characters at most/],
    ['  acme:\n', '  "a\\nb":\n', 'connectors.a\\nb', /letters, digits/],
    ['botmaker\n', 'botmakr\n', 'connectors.acme.connector.class', /known are botmaker/],
    ['botmaker\n', 'constructor\n', 'connectors.acme.connector.class', /known are botmaker/],
    ['botmaker\n', '5\n', 'connectors.acme.connector.class', /takes text/],
    [acme, '', 'connectors.acme.connector.class', /`colloquy plugins` lists them/],
    ['    access.token: s3cret-of-vendor\n', '', 'connectors.acme.access.token', /is required/],
    ['access.token: s3cret-of-vendor', 'access.token:', 'connectors.acme.access.token', /has no value/],
    ['access.token: s3cret-of-vendor', 'access.token: ""', 'connectors.acme.access.token', /is empty/],
    ['access.token: s3cret-of-vendor', 'access.token: "s3cret\\nX-Header: 1"', 'connectors.acme.access.token', /line break/],
    [
      'access.token: s3cret-of-vendor',
      'accessToken: s3cret-of-vendor',
      'connectors.acme.accessToken',
      /did you mean access\.token/,
    ],
    [
      'access.token: s3cret-of-vendor',
      'access: {token: s3cret-of-vendor}',
      'connectors.acme.access',
      /write it as access\.token/,
    ],
    [
      'access.token: s3cret-of-vendor',
      'access.token: [s3cret-a, s3cret-b]',
      'connectors.acme.access.token',
      /one value, not a list/,
    ],
    ['interval.ms: 60000', 'interval.ms: 15m', 'connectors.acme.poll.interval.ms', /for 15m write 900000/],
    ['interval.ms: 60000', 'interval.ms: 0', 'connectors.acme.poll.interval.ms', /milliseconds, a whole number from 1/],
    ['interval.ms: 60000', 'interval.ms: 1e400', 'connectors.acme.poll.interval.ms', /milliseconds/],
    ['interval.ms: 60000', 'interval.ms: 99999999999999999999', 'connectors.acme.poll.interval.ms', /up to 157680000000/],
    [...more('    tasks.max: lots'), 'connectors.acme.tasks.max', /whole number from 1/],
    [...more('    streams: []'), 'connectors.acme.streams', /list of at least 1/],
    [...more('    streams: nothing'), 'connectors.acme.streams', /which has conversations|which has \w+/],
    [...more('    streams: [[a]]'), 'connectors.acme.streams', /list of plain values/],
    [...more('    errors.tolerance: maybe'), 'connectors.acme.errors.tolerance', /one of all, none/],
    [...more('    include.messages: perhaps'), 'connectors.acme.include.messages', /true or false/],
    [...more('    base.url: vendor'), 'connectors.acme.base.url', /address/],
    [...more('    start.at: yesterday'), 'connectors.acme.start.at', /2026-11-01T00:00:00Z/],
    [...more('    start.at: 1969-12-31'), 'connectors.acme.start.at', /year 2000/],
    [...more('    start.at: !when 2026-11-01'), FILE, /begins with ! is a tag.*near connectors\.acme\.start\.at/],
    [...more('    account: "a:b"'), 'connectors.acme.account', /without ':'/],
    [...more('    pii.rules: "text=mask"'), 'connectors.acme.pii.rules', /takes PATH=ACTION/],
    [...more('    pii.rules: "*.user_id=hash"'), 'connectors.acme.pii.key', /is required/],
    [...more('    pii.key: s3cret-key'), 'connectors.acme.pii.key', /no effect without pii\.rules/],
    [...more('    pii.policy: strict'), 'connectors.acme.pii.policy', /one of none, standard/],
    [...more('    hot.ms: -1'), 'connectors.acme.hot.ms', /0/],
    [...more('    warm.ms: 1'), 'connectors.acme.warm.ms', /is not a key/],
    [...more('    toString: 1'), 'connectors.acme.toString', /is not a key/],
    [...more('    __proto__: 1'), 'connectors.acme.__proto__', /is not a key/],
    [...more('    quota.per.second: -1'), 'connectors.acme.quota.per.second', /whole number from 0/],
    // References.
    ['s3cret-of-vendor', '${env:NO_SUCH}', 'connectors.acme.access.token', /environment has no NO_SUCH/],
    ['s3cret-of-vendor', '${env:constructor}', 'connectors.acme.access.token', /environment has no constructor/],
    ['s3cret-of-vendor', '${env:}', 'connectors.acme.access.token', /write \$\{env:NAME\}/],
    ['s3cret-of-vendor', '${env:TOKEN', 'connectors.acme.access.token', /with the brace closed/],
    ['s3cret-of-vendor', '${TOKEN}', 'connectors.acme.access.token', /write \$\{env:NAME\}/],
    ['s3cret-of-vendor', '"${env:A${env:B}}"', 'connectors.acme.access.token', /inside another/],
    ['s3cret-of-vendor', '${vault:hunter2}', 'connectors.acme.access.token', /env and file are known/],
    ['s3cret-of-vendor', '"${env:A}${env:B}"', 'connectors.acme.access.token', /no A; the environment has no B/],
    ['s3cret-of-vendor', '${env:EMPTY}', 'connectors.acme.access.token', /is empty/, { EMPTY: '' }],
    ['s3cret-of-vendor', '${file:none}', 'connectors.acme.access.token', /file none cannot be read: there is no such file/],
    ['s3cret-of-vendor', '${file:.}', 'connectors.acme.access.token', /it is a folder/],
    ['s3cret-of-vendor', '${file:/dev/zero}', 'connectors.acme.access.token', /no regular file/],
    ['s3cret-of-vendor', '${file:huge}', 'connectors.acme.access.token', /larger than 1 MiB/],
    ['s3cret-of-vendor', '${file:binary}', 'connectors.acme.access.token', /UTF-8/],
    ['60000', '${env:OFTEN}', 'connectors.acme.poll.interval.ms', /milliseconds/, { OFTEN: 's3cret-often' }],
    // YAML, where a secret stands in the very place that is wrong.
    ['s3cret-of-vendor', '*hunter2', FILE, /begins with \*/],
    ['s3cret-of-vendor', '!hunter2', FILE, /begins with !/],
    ['s3cret-of-vendor', '@hunter2', FILE, /put it in quotes/],
    ['s3cret-of-vendor', '`hunter2', FILE, /put it in quotes/],
    ['s3cret-of-vendor', '"hunter2', FILE, /line \d+, column \d+: a character is missing/],
    ['s3cret-of-vendor', '"hunter2\\z"', FILE, /use single quotes/],
    ['s3cret-of-vendor', 'hunter2: x', FILE, /": " in quotes/],
    ['    access.token: s3cret-of-vendor', '\taccess.token: hunter2', FILE, /tabs do not indent/],
    ['    access.token: s3cret-of-vendor', '  access.token: hunter2', FILE, /line 13, column 17/],
    ['    access.token: s3cret-of-vendor', '   access.token: hunter2', FILE, /align the keys|indentation/],
    [
      '    access.token: s3cret-of-vendor',
      '    access.token: hunter2a\n    access.token: hunter2b',
      'connectors.acme.access.token',
      /line 14, column 5: keys are unique/,
    ],
    ['    access.token: s3cret-of-vendor', '    [access, token]: hunter2', FILE, /line 13, column 5/],
    ['log: {', '---\nlog: {', FILE, /several documents/],
  ]
  test.each(cases)('%j as %j', async (find, replacement, path, says, env = {}) => {
    writeFileSync(join(folder, 'huge'), '')
    truncateSync(join(folder, 'huge'), 200 * 1024 * 1024)
    writeFileSync(join(folder, 'binary'), Uint8Array.of(0xff, 0xfe, 0x00, 0x80))
    expect(GOOD).toContain(find)
    const ended = await run(put(GOOD.replace(find, () => replacement)), env)
    expectCivil(ended)
    const fault = ended.log.find(
      line => (typeof path === 'string' ? line.path === path : path.test(line.path ?? '')) && says.test(line.msg),
    )
    expect(fault, ended.text).toBeDefined()
  })
})

describe('a file as a whole', () => {
  const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefghi'
    .split('')
    .map((name, index) => `${name}: &${name} [${`*${'abcdefghi'[index]}, `.repeat(9)}]\n`)
    .join('')}`
  test.each<readonly [name: string, bytes: string | Uint8Array, path: string | RegExp, says: RegExp]>([
    ['empty', '', 'kafka', /is required/],
    ['of comments', '# nothing\n', 'registry', /is required/],
    ['a list', '- kafka\n', FILE, /map of sections/],
    ['one word', 's3cret\n', FILE, /map of sections/],
    ['binary', Uint8Array.from({ length: 4096 }, (_, index) => (index * 7) % 256), FILE, /UTF-8/],
    ['with NUL bytes', 'kafka: \0\n', FILE, /binary/],
    ['in UTF-16', Buffer.from(`\uFEFF${GOOD}`, 'utf16le'), FILE, /UTF-8/],
    ['nested without end', '['.repeat(100_000), FILE, /nested|line/],
    ['nested deep', `x: ${'{a: '.repeat(40)}1${'}'.repeat(40)}\n`, FILE, /nested deeper than 32 levels/],
    ['with an alias bomb', bomb, FILE, /aliases multiply/],
    ['with an alias inside its anchor', 'kafka: &k\n  brokers: *k\n', FILE, /alias stand inside its own anchor/],
    ['of 60,000 values', `x: [${'1,'.repeat(60_000)}1]\n`, FILE, /more than 50000 values/],
    [
      'with Windows line ends and a fault',
      GOOD.replace('port: 0', 'port: x').replaceAll('\n', '\r\n'),
      'http.port',
      /whole number/,
    ],
    ['with a byte order mark and a fault', `\uFEFF${GOOD.replace('port: 0', 'port: x')}`, 'http.port', /whole number/],
    [
      'in JSON, with a fault',
      JSON.stringify({ kafka: { brokers: [] }, registry: { url: 'http://r' } }),
      'kafka.brokers',
      /at least one/,
    ],
    ['of another program', '[Unit]\nDescription=x\n', FILE, /line \d+/],
    [
      'a key pair',
      '-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n',
      FILE,
      /several documents|map of sections|line/,
    ],
  ])('%s', async (_name, bytes, path, says) => {
    const ended = await run(put(bytes))
    expectCivil(ended)
    const fault = ended.log.find(
      line => (typeof path === 'string' ? line.path === path : path.test(line.path ?? '')) && says.test(line.msg),
    )
    expect(fault, ended.text).toBeDefined()
  })

  test('that is not there, is a folder, a device, or huge', async () => {
    const huge = put('')
    truncateSync(huge, 100 * 1024 * 1024)
    mkdirSync(join(folder, 'folder'))
    for (const [path, says] of [
      [join(folder, 'none.yaml'), /no such file/],
      [join(folder, 'none.yaml', 'x'), /no such file|no folder/],
      [join(folder, 'folder'), /it is a folder/],
      ['/dev/zero', /no regular file/],
      [huge, /larger than 1 MiB/],
      [`${huge}/x`, /a part of its path is no folder/],
      ['a'.repeat(5000), /no name of a file/],
      ['a\0b', /no name of a file/],
    ] as const) {
      const ended = await run(path)
      expect(ended.code).toBe(2)
      expect(ended.log).toMatchObject([{ code: 'CFG_INVALID', path, msg: expect.stringMatching(says) as string }])
    }
  })
})

test('the level of the file decides what is written, unless the environment says another', async () => {
  const quiet = put(GOOD.replace('level: info', 'level: error'))
  expect((await run(quiet)).log).toEqual([])
  expect((await run(quiet, { COLLOQUY_LOG_LEVEL: 'info' })).log.map(({ msg }) => msg)).toEqual([
    'starting',
    'listening',
    'stopped',
  ])
  expect((await run(put(GOOD))).log.map(({ msg }) => msg)).toEqual(['starting', 'listening', 'stopped'])
})

test('all faults are listed at once, also beside a key that stands twice', async () => {
  const ended = await run(
    put(
      GOOD.replace('port: 0', 'port: x')
        .replace('  partitions: 6', '  partitions: 6\n  partitions: y')
        .replace('s3cret-of-vendor', '${env:NO_SUCH}')
        .replace('level: info', 'level: loud')
        .replace('days: 400d', 'days: x'),
    ),
  )
  expectCivil(ended)
  expect(ended.log.map(({ path, line }) => [path, line])).toEqual([
    ['topics.partitions', 9],
    ['http.port', 10],
    ['connectors.acme.access.token', 14],
    ['aggregator.retention.days', 16],
    ['log.level', 17],
  ])
})

test('what ends as a config is the file, and nothing else has become of Object', async () => {
  await run(put(GOOD.replace('log: {', '__proto__: { polluted: 1 }\nlog: {')))
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

describe('mutations of a good file', () => {
  const values: unknown[] = [
    null,
    '',
    ' ',
    0,
    -1,
    1.5,
    1e300,
    '0x10',
    '${',
    '${env:X}',
    '${file:/dev/zero}',
    true,
    [],
    {},
    [null],
    { a: { b: [] } },
    '\u0000',
    '\ud800',
    '__proto__',
    'x'.repeat(10_000),
    ['a,b', 3],
    '15m',
    'ümlaut',
  ]
  const keys = [
    '__proto__',
    'constructor',
    '',
    'a.b',
    'connectors',
    'kafka',
    'toString',
    'x\ny',
    '💥',
    '<<',
    'brokers',
    'tasks.max',
    'streams',
    'pii.rules',
  ]

  /** A tree with one place changed: a value replaced, a key renamed, added or taken away. */
  function mutated(tree: unknown, random: () => number): unknown {
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
    if (typeof tree !== 'object' || tree === null || random() < 0.12) return pick(values)
    if (Array.isArray(tree)) return tree.map(each => (random() < 0.5 ? mutated(each, random) : each))
    const entries = Object.entries(tree)
    const at = Math.floor(random() * entries.length)
    const what = random()
    if (what < 0.1) entries.splice(at, 1)
    else if (what < 0.2) entries.push([pick(keys), pick(values)])
    else if (what < 0.3 && entries[at]) entries[at] = [pick(keys), entries[at][1]]
    else if (entries[at]) entries[at] = [entries[at][0], mutated(entries[at][1], random)]
    return Object.fromEntries(entries)
  }

  const tree = {
    kafka: {
      brokers: ['127.0.0.1:9092'],
      clientId: 'c',
      sasl: { mechanism: 'plain', username: 'u', password: 's3cret-of-kafka' },
    },
    registry: { url: 'http://127.0.0.1:8081', auth: { username: 'u', password: 's3cret-of-registry' } },
    topics: { prefix: 'colloquy', partitions: 6, create: true },
    http: { host: '127.0.0.1', port: 0 },
    connectors: {
      acme: {
        'connector.class': 'botmaker',
        'access.token': 's3cret-of-vendor',
        'tasks.max': 1,
        streams: ['sessions'],
        'start.at': '2026-11-01',
      },
      other: { 'connector.class': 'wolkvox', 'base.url': 'https://w.example', token: 's3cret-of-wolkvox', streams: 'chat_8' },
    },
    aggregator: { retention: { days: '400d' }, sessionTimeout: '10s' },
    alerts: {
      alertmanager: { urls: ['http://127.0.0.1:9093'], auth: { username: 'u', password: 's3cret-of-alertmanager' } },
      timezones: { acme: 'Europe/Madrid' },
      rules: { spike: { measure: 'agent_transfers', per: 'sessions', windows: ['15m', '1h'], severity: 'page' } },
    },
    plugins: [],
    log: { level: 'info' },
  }

  const read = async (text: string, seed: number) => {
    const io = { stdout: () => {}, log: createLog('silent'), signal: AbortSignal.abort(), env: {}, entry: '' }
    const answer = await readSetup(put(text), io)
    if (answer.ok) return true
    expect(answer.faults.length, `seed ${seed}`).toBeGreaterThan(0)
    for (const { path, message } of answer.faults) {
      expect(`${path} ${message}`, `seed ${seed}`).not.toMatch(/s3cret-of| {4}at |\bundefined\b|\[object|\n/)
      expect(message.length, `seed ${seed}`).toBeGreaterThan(5)
    }
    return false
  }

  test('of the tree: each is good or refused with places, none throws', async () => {
    let good = 0
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomFrom(seed)
      let changed: unknown = tree
      for (let times = 1 + Math.floor(random() * 3); times > 0; times--) changed = mutated(changed, random)
      if (await read(stringify(changed), seed)) good++
    }
    expect(good).toBeGreaterThan(5)
    expect(good).toBeLessThan(200)
  })

  test('of the text: characters put in, taken out and doubled', async () => {
    const noise = [
      '\t',
      ':',
      '-',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '*',
      '&',
      '!',
      '%',
      '#',
      '\n',
      '\r',
      ' ',
      '|',
      '>',
      '?',
      '\u0000',
      '\uFEFF',
      '\u2028',
      '@',
      '`',
      ',',
      '<<: ',
      '---\n',
      '...\n',
    ]
    const original = stringify(tree)
    let refused = 0
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomFrom(seed)
      let text = original
      for (let times = 1 + Math.floor(random() * 4); times > 0; times--) {
        const at = Math.floor(random() * text.length)
        const what = random()
        if (what < 0.5) text = text.slice(0, at) + noise[Math.floor(random() * noise.length)] + text.slice(at)
        else if (what < 0.8) text = text.slice(0, at) + text.slice(at + 1 + Math.floor(random() * 5))
        else text = text.slice(0, at) + text.slice(at, at + 30) + text.slice(at)
      }
      if (!(await read(text, seed))) refused++
    }
    expect(refused).toBeGreaterThan(150)
  })
})
