import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadConfig, mergeFaults } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { DEFAULT_RULE } from '../src/rules.ts'

const folder = mkdtempSync(join(tmpdir(), 'colloquy-config-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0

function put(text: string, name = `config-${files++}.yaml`): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const load = (text: string, env: Record<string, string> = {}) => loadConfig(put(text), env)

/** `path: message` of each fault, in the order of the file. */
function faultsOf(text: string, env: Record<string, string> = {}): string[] {
  const loaded = load(text, env)
  return loaded.ok ? [] : loaded.faults.map(fault => `${fault.path}: ${fault.message}`)
}

function configOf(text: string, env: Record<string, string> = {}) {
  const loaded = load(text, env)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults))
  return loaded.config
}

const LEAST = 'kafka: { brokers: [127.0.0.1:9092] }\nregistry: { url: http://127.0.0.1:8081 }\n'

test('the least file gets every default', () => {
  expect(configOf(LEAST)).toEqual({
    file: expect.stringContaining(folder) as string,
    kafka: { brokers: ['127.0.0.1:9092'], clientId: 'colloquy', ssl: false },
    registry: { url: 'http://127.0.0.1:8081' },
    topics: { prefix: 'colloquy', partitions: 6, replicationFactor: null, create: true },
    http: { host: '127.0.0.1', port: 8083 },
    tls: {},
    plugins: [],
    state: {},
    connectors: {},
    aggregator: { groupId: 'colloquy-aggregator', includeTest: false, retention: {} },
    alerts: { groupId: 'colloquy-alerter', timezone: 'UTC', timezones: {}, rules: [DEFAULT_RULE] },
    log: { level: 'info', summary: true },
  })
})

test("the contract's example of alerts is read as it stands, and its rule is the one that holds without it", () => {
  const { alerts } = configOf(`${LEAST}alerts:                               # absent: the rule below, written to the topic only
  alertmanager: { urls: [http://127.0.0.1:9093] }   # v2 API; auth: {username, password} | {token}
  rules:
    agent-transfer-spike:
      measure: agent_transfers        # any count measure
      per: sessions                   # the volume it is judged against; absent: the count itself
      by: [vendor, account, bot_id, channel]
      windows: [15m, 1h]
      alertsPerWeek: 0.1              # false-alarm budget of one channel in one week
      minCount: 5                     # no alert below so many in the window
      severity: page                  # label on the alert
`)
  expect(alerts.alertmanager).toEqual({ urls: ['http://127.0.0.1:9093'] })
  expect(alerts.rules).toEqual([DEFAULT_RULE])
})

test('alerts: addresses as text with commas, log-in, zones by account, the group and no rules at all', () => {
  const { alerts } = configOf(
    `${LEAST}alerts: { alertmanager: { urls: "http://a:1/am/, https://b", auth: { token: t } }, externalUrl: https://c.example/, timezone: America/Bogota, timezones: { acme: Europe/Madrid }, groupId: g, sessionTimeout: 5s, rules: {} }`,
  )
  expect(alerts).toEqual({
    alertmanager: { urls: ['http://a:1/am', 'https://b'], auth: { token: 't' } },
    externalUrl: 'https://c.example',
    timezone: 'America/Bogota',
    timezones: { acme: 'Europe/Madrid' },
    groupId: 'g',
    sessionTimeoutMs: 5000,
    rules: [],
  })
})

test("the contract's example is read as it stands", () => {
  const config = configOf(
    `kafka:
  brokers: [127.0.0.1:9092]
  # clientId, ssl
registry:
  url: http://127.0.0.1:8081          # may carry a path
topics:
  prefix: colloquy
  partitions: 6
http: { host: 127.0.0.1, port: 8083 }
connectors:
  acme-botmaker:
    connector.class: botmaker
    tasks.max: 1
    account: acme
    access.token: \${env:BOTMAKER_TOKEN}
    base.url: https://api.botmaker.com/v2.0
    start.at: 2026-11-01T00:00:00Z    # backfill from here; absent: from now
    poll.interval.ms: 60000
    lookback.ms: 172800000
aggregator: {}
`,
    { BOTMAKER_TOKEN: 'tok-en-tok-en' },
  )
  expect(config.connectors).toEqual({
    'acme-botmaker': {
      'connector.class': 'botmaker',
      'tasks.max': 1,
      account: 'acme',
      'access.token': 'tok-en-tok-en',
      'base.url': 'https://api.botmaker.com/v2.0',
      'start.at': '2026-11-01T00:00:00Z',
      'poll.interval.ms': 60000,
      'lookback.ms': 172800000,
    },
  })
})

test('five faults are all named at once, each with its path and line', () => {
  const loaded = load(`kafka:
  brokres: [127.0.0.1:9092]
registry:
  url: not an address
topics:
  partitions: many
http: { port: 99999 }
connectors:
  acme:
    connector.class: botmaker
    access.token: \${env:NO_SUCH}
`)
  expect(loaded.ok).toBe(false)
  if (loaded.ok) return
  expect(loaded.faults.map(({ path, line }) => [path, line])).toEqual([
    ['kafka.brokers', 1],
    ['kafka.brokres', 2],
    ['registry.url', 4],
    ['topics.partitions', 6],
    ['http.port', 7],
    ['connectors.acme.access.token', 11],
  ])
  expect(loaded.connectors, 'connectors can still be checked').toEqual({
    acme: { 'connector.class': 'botmaker', 'access.token': '${env:NO_SUCH}' },
  })
})

test.each([
  ['kafka: { brokers: [a:1], clientid: x }', 'kafka.clientid: is not a key of the config; did you mean clientId?'],
  ['conectors: {}', 'conectors: is not a key of the config; did you mean connectors?'],
  ['partitions: 3', 'partitions: is not a key of the config; it belongs to topics'],
  [
    'kafka: { brokers: [a:1], registry: {} }',
    'kafka.registry: is not a key of the config; registry stands at the top of the file',
  ],
  ['kafka: { brokers: [a:1], ssl: { cas: x } }', 'kafka.ssl.cas: is not a key of the config; did you mean ca?'],
  [
    'topics: { zzzzzz: 1 }',
    'topics.zzzzzz: is not a key of the config; known here: prefix, partitions, replicationFactor, create',
  ],
  ['kafka: { brokers: [localhost] }', 'kafka.brokers.0: takes host:port'],
  ['kafka: { brokers: [] }', 'kafka.brokers: takes at least one host:port'],
  ['kafka: { brokers: [a:1], ssl: 3 }', 'kafka.ssl: takes true, or certificates: {ca, cert, key}'],
  [
    'kafka: { brokers: [a:1], sasl: { mechanism: gssapi } }',
    'kafka.sasl.mechanism: takes plain, scram-sha-256, scram-sha-512 or oauthbearer',
  ],
  ['kafka: { brokers: [a:1], sasl: { mechanism: plain, username: u } }', 'kafka.sasl.password: is required'],
  ['kafka: { brokers: [a:1], sasl: { mechanism: oauthbearer } }', 'kafka.sasl: takes one of token and tokenFile'],
  ['registry: { url: "http://u:p@h:1" }', 'registry.url: takes an address without credentials: they go to registry.auth'],
  ['registry: { url: "ftp://h" }', 'registry.url: takes an http or https address'],
  ['registry: {}', 'registry.url: is required'],
  ['http: { token: "two words" }', 'http.token: takes letters, digits and signs of ASCII, without blanks'],
  ['http: { token: "" }', 'http.token: takes letters, digits and signs of ASCII, without blanks'],
  ['http: { names: ["http://chat.example"] }', 'http.names.0: takes host names without a port'],
  ['http: { names: ["*.chat.example"] }', 'http.names.0: takes host names without a port'],
  ['http: { names: [1] }', 'http.names.0: takes host names'],
  ['http: { names: }', 'http.names: takes a list of host names without ports, or text with commas'],
  ['http: { names: [] }', 'http.names: takes a list of host names without ports, or text with commas'],
  ['http: { names: "," }', 'http.names: takes a list of host names without ports, or text with commas'],
  ['http: { token: }', 'http.token: takes text: set the variable or file that it comes from, or take the key away'],
  ['registry:', 'registry: is required'],
  [
    'aggregator: { retention: { days: a while } }',
    'aggregator.retention.days: takes a duration with its unit, such as 90s, 15m, 1h, 14d or 5y; from 1d to 100y',
  ],
  [
    'aggregator: { retention: 400d }',
    'aggregator.retention: takes a map with the keys minutes, hours and days, such as { minutes: 14d, hours: 400d, days: 5y }; a single duration, which said how far back everything was kept, is days',
  ],
  ['aggregator: { retention: { minutes: 15d, hours: 2w } }', 'aggregator.retention.hours: must not be less than minutes'],
  ['aggregator: { retention: { hours: 15d, days: 2w } }', 'aggregator.retention.days: must not be less than hours'],
  ['aggregator: { retention: { minutes: 15d, days: 2w } }', 'aggregator.retention.days: must not be less than minutes'],
  [
    'alerts: { alertmanager: { urls: [] } }',
    'alerts.alertmanager.urls: takes a list of http or https addresses, or text with commas',
  ],
  [
    'alerts: { alertmanager: { urls: ["http://u:p@h"] } }',
    'alerts.alertmanager.urls.0: takes an address without credentials: they go to alerts.alertmanager.auth',
  ],
  ['alerts: { alertmanager: { urls: [http://h], auth: { username: u } } }', 'alerts.alertmanager.auth.password: is required'],
  ['alerts: { alertmanagers: {} }', 'alerts.alertmanagers: is not a key of the config; did you mean alertmanager?'],
  ['alerts: { timezone: Nowhere }', 'alerts.timezone: takes the IANA name of a time zone, such as America/Bogota'],
  ['alerts: { timezones: { a: X/Y } }', 'alerts.timezones.a: takes the IANA name of a time zone, such as America/Bogota'],
  [
    'alerts: { rules: { "a b": {} } }',
    'alerts.rules.a b: the name of a rule takes letters, digits, dots, dashes and underscores, begins with a letter or digit, and has 64 characters at most',
  ],
  ['alerts: { rules: { a: { mincount: 1 } } }', 'alerts.rules.a.mincount: is not a key of the config; did you mean minCount?'],
  ['alerts: { rules: { a: { per: agent_transfers } } }', 'alerts.rules.a.per: is the measure itself'],
  ['topics: { prefix: "a b" }', 'topics.prefix: takes letters, digits, dots, dashes and underscores'],
  ['connectors: { a: { x: { y: 1 } } }', 'connectors.a.x: is a map, where keys are flat: write it as x.y'],
  ['connectors: { a: { x: null } }', 'connectors.a.x: has no value: give it one, or take the key away'],
  ['connectors: { a: 3 }', 'connectors.a: takes a flat map of keys such as connector.class'],
  [
    'connectors: { " a": {} }',
    'connectors. a: a connector name takes letters, digits, dots, dashes and underscores, begins with a letter or digit, and has 128 characters at most',
  ],
  ['connectors: { a: { x: "${vault:k}" } }', 'connectors.a.x: nothing resolves ${vault:…}: env and file are known'],
  ['connectors: { a: { x: "${file:none.txt}" } }', 'connectors.a.x: the file none.txt cannot be read: there is no such file'],
])('%s → %s', (text, fault) => {
  expect(faultsOf(text)).toContain(fault)
})

test('a token of digits is a token, and names are a list or text with commas', () => {
  const loaded = load(`${LEAST}http: { token: 123456, names: "a.example, b" }`)
  expect(loaded.ok && loaded.config.http).toMatchObject({ token: '123456', names: ['a.example', 'b'] })
})

test('a file that is no YAML says where, and shows nothing of its text', () => {
  const loaded = load('kafka:\n  brokers: [a:1\nregistry: "my-secret-password\n')
  expect(loaded.ok).toBe(false)
  if (loaded.ok) return
  expect(loaded.faults[0]).toMatchObject({ path: expect.stringMatching(/config-\d+\.yaml$/) as string, line: 3 })
  expect(loaded.faults[0]?.message).toMatch(/^line 3, column \d+: /)
  expect(JSON.stringify(loaded.faults)).not.toContain('my-secret')
  expect(faultsOf('a: 1\na: 2\n')[0], 'a key twice').toMatch(/line 2, column 1: .*unique/)
})

test('a file that cannot be read is one fault', () => {
  const path = join(folder, 'missing.yaml')
  expect(loadConfig(path, {})).toMatchObject({ ok: false, faults: [{ path, message: 'cannot be read: there is no such file' }] })
  expect(loadConfig(folder, {})).toMatchObject({
    ok: false,
    faults: [{ message: 'cannot be read: it is a folder: name a file in it' }],
  })
})

test('a file that is no map is one fault', () => {
  expect(faultsOf('- a\n')).toEqual([expect.stringContaining('takes a map of sections')])
})

test('an empty file asks for what is required', () => {
  expect(faultsOf('# nothing\n')).toEqual(['kafka: is required', 'registry: is required'])
})

test('references are replaced inside any string, files whole and trimmed, beside the config file', () => {
  put('  file-secret-1\n\n', 'token.txt')
  const config = configOf(
    `kafka: { brokers: "\${env:HOST}:\${env:PORT},b:2" }
registry: { url: http://r:1/apis/, auth: { username: u, password: "\${env:PW}" } }
http: { port: "\${env:HTTP}" }
topics: { create: "\${env:CREATE}" }
connectors: { a: { access.token: "Bearer \${file:token.txt}", plain: "\${} $x" } }
`,
    { HOST: 'kafka.test', PORT: '9093', PW: 'pass-word', HTTP: '0', CREATE: 'false' },
  )
  expect(config.kafka.brokers).toEqual(['kafka.test:9093', 'b:2'])
  expect(config.registry).toEqual({ url: 'http://r:1/apis', auth: { username: 'u', password: 'pass-word' } })
  expect(config.http.port).toBe(0)
  const guarded = configOf(`${LEAST}http: { token: "\${env:TOKEN}", names: "chat.example, other.example" }`, {
    TOKEN: 'open-sesame',
  })
  expect(guarded.http).toMatchObject({ token: 'open-sesame', names: ['chat.example', 'other.example'] })
  expect(config.topics.create).toBe(false)
  expect(config.connectors['a']).toEqual({ 'access.token': 'Bearer file-secret-1', plain: '${} $x' })
})

test('what a reference stood for is not resolved again', () => {
  const config = configOf(`${LEAST}connectors: { a: { x: "\${env:A}" } }`, { A: '${env:B}', B: 'second' })
  expect(config.connectors['a']).toEqual({ x: '${env:B}' })
})

test('the maps as written keep their references, for what is shown and stored', () => {
  const loaded = load(`${LEAST}connectors: { a: { access.token: "\${env:T}" } }`, { T: 'resolved-token' })
  expect(loaded.connectorsAsWritten).toEqual({ a: { 'access.token': '${env:T}' } })
  expect(loaded.connectors).toEqual({ a: { 'access.token': 'resolved-token' } })
})

test('secrets cannot be logged once the file has been read, even when it has faults', () => {
  const loaded = load(
    `kafka: { brokers: [a:1], sasl: { mechanism: plain, username: u, password: sasl-in-clear } }
registry: { url: 3, auth: { username: u, password: registry-in-clear } }
connectors: { a: { access.token: token-in-clear, token.url: https://idp.test, base.url: "\${env:SECRET_URL}" } }
`,
    { SECRET_URL: 'https://hidden.test/by-reference' },
  )
  expect(loaded.ok).toBe(false)
  const lines: string[] = []
  createLog('info', line => lines.push(line)).info(
    { echo: 'sasl-in-clear registry-in-clear token-in-clear https://hidden.test/by-reference' },
    'vendor says https://idp.test',
  )
  expect(lines.join('')).toContain('"echo":"[hidden] [hidden] [hidden] [hidden]"')
  expect(lines.join(''), 'an address is no secret').toContain('https://idp.test')
})

test('no fault repeats a value of the file', () => {
  const text = `kafka: { brokers: ["user:s3cret-one@h:1"], clientId: 5, sasl: { mechanism: s3cret-two, password: [s3cret-three] } }
registry: { url: "http://x:s3cret-four@h" }
topics: { prefix: "s3cret five", partitions: s3cret-six }
log: { level: s3cret-seven }
`
  const faults = faultsOf(text)
  expect(faults.length).toBeGreaterThanOrEqual(6)
  expect(faults.join('\n')).not.toContain('s3cret')
})

test('certificates are taken as text or from files', () => {
  const pem = (what: string) => `-----BEGIN ${what}-----\nabc\n-----END ${what}-----\n`
  put(pem('CERTIFICATE'), 'ca.pem')
  put('no pem', 'bad.pem')
  const config = configOf(`kafka:
  brokers: [a:1]
  ssl:
    ca: ca.pem
    key: |
      -----BEGIN PRIVATE KEY-----
      abc
      -----END PRIVATE KEY-----
registry: { url: http://r:1 }
`)
  expect(config.kafka.ssl).toEqual({ ca: pem('CERTIFICATE'), key: pem('PRIVATE KEY') })
  expect(faultsOf('kafka: { brokers: [a:1], ssl: { ca: bad.pem, cert: none.pem } }')).toEqual(
    expect.arrayContaining([
      'kafka.ssl.ca: names a file that holds no PEM text',
      'kafka.ssl.cert: takes PEM text or the path of a PEM file: there is no such file',
    ]),
  )
  expect(configOf('kafka: { brokers: [a:1], ssl: true }\nregistry: { url: http://r:1 }').kafka.ssl).toBe(true)
})

test('a token file is read again whenever Kafka asks', async () => {
  put('first-token\n', 'oauth.txt')
  const { sasl } = configOf(
    `kafka: { brokers: [a:1], sasl: { mechanism: oauthbearer, tokenFile: oauth.txt } }\nregistry: { url: http://r:1 }`,
  ).kafka
  if (sasl?.mechanism !== 'oauthbearer') throw new Error('not oauthbearer')
  expect(await sasl.token()).toBe('first-token')
  put('second-token\n', 'oauth.txt')
  expect(await sasl.token()).toBe('second-token')
})

test('numbers that would not read back as written stay text: they are ids', () => {
  const { connectors } = configOf(
    `${LEAST}connectors: { a: { account: 007, bot.id: 12345678901234567890, n: 42, f: 1.50, yes: true, ids: [1, b, 003] } }`,
  )
  expect(connectors['a']).toEqual({
    account: '007',
    'bot.id': '12345678901234567890',
    n: 42,
    f: '1.50',
    yes: true,
    ids: [1, 'b', '003'],
  })
})

test.each([
  ['90d', 7_776_000_000],
  ['1.5d', 129_600_000],
  ['2 w', 1_209_600_000],
  ['5y', 157_680_000_000],
  ['14d', 1_209_600_000],
])('a retention of %s is %i ms', (written, ms) => {
  expect(configOf(`${LEAST}aggregator: { retention: { days: ${written} } }`).aggregator.retention).toEqual({ daysMs: ms })
})

test('the retention has three tiers; the aggregator decides those that are absent', () => {
  const retention = (written: string) => configOf(`${LEAST}${written}`).aggregator.retention
  expect(retention('')).toEqual({})
  expect(retention('aggregator: { retention: { minutes: 30d, hours: 1y } }')).toEqual({
    minutesMs: 30 * 86_400_000,
    hoursMs: 365 * 86_400_000,
  })
})

test.each([
  ['', false],
  ['includeTest: true', true],
  ['includeTest: "true"', true],
  ['includeTest: false', false],
])('aggregator { %s } counts tests: %s', (written, includeTest) => {
  expect(configOf(`${LEAST}aggregator: { ${written} }`).aggregator.includeTest).toBe(includeTest)
})

test.each([
  ['maxSeries: 500', 500],
  ['maxSeries: "1000000"', 1_000_000],
  ['', undefined],
])('aggregator { %s } allows an account %s series', (written, maxSeries) => {
  expect(configOf(`${LEAST}aggregator: { ${written} }`).aggregator.maxSeries).toBe(maxSeries)
})

test.each([
  ['maxSeries: 0', 'aggregator.maxSeries'],
  ['maxSeries: -1', 'aggregator.maxSeries'],
  ['maxSeries: 1.5', 'aggregator.maxSeries'],
  ['maxSeries: all', 'aggregator.maxSeries'],
  ['maxSeries: 1000001', 'aggregator.maxSeries'],
  ['maxSeries: 5', 'topics.partitions, 6'],
])('aggregator { %s } is refused', (written, says) => {
  expect(faultsOf(`${LEAST}aggregator: { ${written} }`)).toEqual([expect.stringContaining(says)])
})

test('anchors and aliases work, and an alias bomb is refused', () => {
  const config = configOf(`${LEAST}connectors:\n  a: &base { connector.class: x }\n  b: *base\n`)
  expect(config.connectors['b']).toEqual({ 'connector.class': 'x' })
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]']
  for (let n = 1; n < 9; n++) {
    const [now, before] = ['abcdefghi'[n], 'abcdefghi'[n - 1]]
    bomb.push(`${now}: &${now} [${Array.from({ length: 9 }, () => `*${before}`).join(', ')}]`)
  }
  expect(faultsOf(bomb.join('\n'))[0]).toMatch(/alias/i)
})

test('paths of plugins are found beside the file, package names are left alone', () => {
  expect(configOf(`${LEAST}plugins: [./mine, colloquy-acme]`).plugins).toEqual([join(folder, 'mine'), 'colloquy-acme'])
})

test('the folder for the state of roles is relative to the file', () => {
  expect(configOf(`${LEAST}state: { dir: ./state }`).state).toEqual({ dir: join(folder, 'state') })
  expect(configOf(`${LEAST}state: { dir: /var/lib/colloquy }`).state).toEqual({ dir: '/var/lib/colloquy' })
  expect(configOf(`${LEAST}state:`).state).toEqual({})
})

test('faults of connectors join those of the file by line, one a path', () => {
  const file = [
    { path: 'kafka', message: 'is required', line: 5 },
    { path: 'connectors.a.token', message: 'the environment has no T', line: 3 },
  ]
  const connectors = [
    { path: 'connectors.a.token', message: 'too short', line: 3 },
    { path: 'connectors.a.url', message: 'is required', line: 2 },
  ]
  expect(mergeFaults(file, connectors).map(fault => fault.message)).toEqual([
    'is required',
    'the environment has no T',
    'is required',
  ])
})

test('a connector fault finds its line, or that of its map', () => {
  const loaded = load('connectors:\n  a:\n    connector.class: x\n')
  expect(loaded.lineOf('connectors.a.connector.class')).toBe(3)
  expect(loaded.lineOf('connectors.a.base.url')).toBe(2)
  expect(loaded.lineOf('nothing')).toBeUndefined()
})
