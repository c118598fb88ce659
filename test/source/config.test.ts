import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { configJsonSchema, parseConnectorConfig, quotaLimits, quotaShare } from '../../src/source/config.ts'
import { defineConnector, type Manifest } from '../../src/source/index.ts'
import { NO_TRANSFERS } from '../../src/source/transfers.ts'

const Row = z.object({ id: z.string() })
const stream = {
  window: { longestMs: 1000, lagMs: 0, lookbackMs: 0, durableResume: false },
  row: Row,
  async *read() {},
  identify: (row: z.output<typeof Row>) => row.id,
  normalise: () => [],
}
const manifest: Manifest = {
  id: 'acme-chat',
  title: 'Acme Chat',
  apiVersion: 'v2',
  docs: 'https://docs.acme.example',
  quota: { perSecond: 5, perHour: 1800, sharedBy: 'accessToken' },
  pollIntervalMs: 60_000,
  sessionStream: 'sessions',
  optionalStreams: ['audit'],
}
const Config = z.strictObject({
  baseUrl: z.url().default('https://api.acme.example').describe('API root'),
  accessToken: z.string().min(6).meta({ secret: true }).describe('Key'),
  refreshToken: z.string().optional().meta({ secret: true }).describe('Key to get keys'),
  pageSize: z.int().min(1).max(200).default(200).describe('Rows a request'),
  includeMessages: z.boolean().default(true).describe('Whether messages are read'),
  botIds: z.array(z.string()).optional().describe('Bots'),
  since: z.date().optional().describe('A day'),
  apiVersion: z.enum(['1', '2']).default('2').describe('Version'),
  ratio: z.preprocess(value => value, z.number().optional()).describe('Share'),
  depth: z
    .union([z.int(), z.literal('all')])
    .default('all')
    .describe('Depth'),
})
const connector = defineConnector({
  manifest,
  config: Config,
  http: config => ({ baseUrl: config.baseUrl }),
  streams: { sessions: stream, audit: stream },
})

const least = { 'connector.class': 'acme-chat', 'access.token': 'token-1' }
const parse = (flat: Record<string, unknown>, name = 'acme') => parseConnectorConfig(name, flat, connector)
const faultsOf = (flat: Record<string, unknown>, name = 'acme') => {
  const parsed = parse(flat, name)
  return parsed.ok ? [] : parsed.faults
}

test('the least config gets every default', () => {
  expect(parse(least)).toEqual({
    ok: true,
    base: {
      connectorClass: 'acme-chat',
      tasksMax: 1,
      account: 'acme',
      startAtMs: null,
      pollIntervalMs: null,
      lookbackMs: null,
      lookbackIntervalMs: null,
      hotMs: null,
      streams: ['sessions'],
      errorsTolerance: 'all',
      pii: null,
      transfers: NO_TRANSFERS,
      quota: { perSecond: null, perMinute: null, perHour: null, concurrency: null, gapMs: null },
    },
    config: {
      baseUrl: 'https://api.acme.example',
      accessToken: 'token-1',
      pageSize: 200,
      includeMessages: true,
      apiVersion: '2',
      depth: 'all',
    },
    secrets: ['token-1'],
  })
})

const full = {
  ...least,
  name: 'acme',
  'tasks.max': 2,
  account: 'main',
  'start.at': '2026-11-01T00:00:00Z',
  'poll.interval.ms': 1000,
  'lookback.ms': 0,
  'lookback.interval.ms': 5000,
  streams: ['audit', 'sessions'],
  'errors.tolerance': 'none',
  'refresh.token': 'refresh-secret',
  'quota.per.second': 0,
  'quota.gap.ms': 8000,
  'page.size': 50,
  'include.messages': false,
  'bot.ids': ['b1', '22'],
  since: '2026-10-01',
  'api.version': 1,
  ratio: 0.5,
  depth: 3,
}

test('typed values and the same as text, as Kafka Connect sends them, come to the same', () => {
  const asText = Object.fromEntries(
    Object.entries(full).map(([key, value]) => [key, Array.isArray(value) ? value.join(', ') : String(value)]),
  )
  const parsed = parse(full)
  expect(parsed).toMatchObject({
    ok: true,
    base: {
      account: 'main',
      startAtMs: Date.parse('2026-11-01'),
      lookbackMs: 0,
      streams: ['audit', 'sessions'],
      tasksMax: 2,
      quota: { perSecond: 0, gapMs: 8000 },
    },
    config: {
      pageSize: 50,
      includeMessages: false,
      botIds: ['b1', '22'],
      since: new Date('2026-10-01'),
      apiVersion: '1',
      depth: 3,
    },
    secrets: ['token-1', 'refresh-secret'],
  })
  expect(parse(asText)).toEqual(parsed)
})

test('all faults are reported at once, at their paths in the file', () => {
  const faults = faultsOf({
    'connector.class': 'acme-chat',
    acces_token: 'x',
    'page.sise': 3,
    'page.size': 'many',
    'base.url': 'acme',
    'tasks.max': 0,
    account: 'a:b',
    'start.at': 'yesterday',
    streams: 'sessions,audits',
    'errors.tolerance': 'some',
    'include.messages': 'maybe',
  })
  expect(faults.map(fault => fault.path).sort()).toEqual(
    [
      'acces_token',
      'access.token',
      'account',
      'base.url',
      'errors.tolerance',
      'include.messages',
      'page.sise',
      'page.size',
      'start.at',
      'streams',
      'tasks.max',
    ].map(key => `connectors.acme.${key}`),
  )
  const messages = Object.fromEntries(faults.map(({ path, message }) => [path.slice('connectors.acme.'.length), message]))
  expect(messages).toMatchObject({
    'access.token': 'is required',
    acces_token: 'is not a key of acme-chat; did you mean access.token?',
    'page.sise': 'is not a key of acme-chat; did you mean page.size?',
    streams: 'audits is not a stream of acme-chat, which has sessions, audit',
    'start.at': 'takes a time with a zone, such as 2026-11-01T00:00:00Z, a day, or a span such as now-7d',
    'page.size': 'takes a whole number from 1 up to 200 in decimal digits',
    'tasks.max': 'takes a whole number from 1 up to 1000 in decimal digits',
    'base.url': 'takes an address such as https://host/path',
    'errors.tolerance': 'takes one of all, none',
    'include.messages': 'takes true or false',
  })
})

test('a list is taken as it is, and text is split at commas without a backslash', () => {
  const botIds = (value: unknown) => {
    const parsed = parse({ ...least, 'bot.ids': value })
    return parsed.ok ? (parsed.config as { botIds: string[] }).botIds : parsed.faults
  }
  expect(botIds(['a,b', 'c\\,d', ' e ', 7])).toEqual(['a,b', 'c\\,d', ' e ', '7'])
  expect(botIds('a\\,b, c ,,d')).toEqual(['a,b', 'c', 'd'])
  expect(botIds(42)).toEqual(['42'])
  expect(faultsOf({ ...least, account: ['a', 'b'] })).toEqual([
    { path: 'connectors.acme.account', message: 'takes one value, not a list' },
  ])
  expect(faultsOf({ ...least, 'bot.ids': [['a']] })).toMatchObject([{ path: 'connectors.acme.bot.ids' }])
})

test.each([
  ['60000', 60_000],
  [' 60000 ', 60_000],
  [6e4, 60_000],
  ['6e4', 60_000],
  ['60000.0', 60_000],
  ['+5', 5],
])('%j is a number', (written, ms) => {
  const parsed = parse({ ...least, 'poll.interval.ms': written })
  expect(parsed.ok && parsed.base.pollIntervalMs).toBe(ms)
})

test.each(['0x10', '1_000', '1,000', -1, 0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1e400', 'Infinity', '', true, '٣', 1e15])(
  '%j is not a number of milliseconds, and the fault says what is valid',
  written => {
    expect(faultsOf({ ...least, 'poll.interval.ms': written })).toEqual([
      {
        path: 'connectors.acme.poll.interval.ms',
        message: 'takes milliseconds, a whole number from 1 up to 157680000000 in decimal digits',
      },
    ])
  },
)

test('a duration instead of milliseconds is rejected with the number to write', () => {
  expect(faultsOf({ ...least, 'poll.interval.ms': '15m' })[0]?.message).toMatch(/; for 15m write 900000$/)
})

test('a key of the contract that nothing reads yet is rejected, not ignored', () => {
  for (const key of ['hot.ms', 'transfer.rules'])
    expect(faultsOf({ ...least, [key]: 'x' }), key).toMatchObject([{ path: `connectors.acme.${key}` }])
})

test('a secret that is empty, or contains a line break, is rejected; a PEM key has line breaks', () => {
  expect(faultsOf({ ...least, 'access.token': '' })).toMatchObject([{ message: expect.stringMatching(/^is empty/) as string }])
  expect(faultsOf({ ...least, 'access.token': 'token-1\nx' })).toMatchObject([
    { message: expect.stringMatching(/line break/) as string },
  ])
  expect(parse({ ...least, 'access.token': '-----BEGIN KEY-----\nabc\n-----END KEY-----' }).ok).toBe(true)
})

test.each(['1970-01-01', '9999-01-01'])('a start in %s is a placeholder', start => {
  expect(faultsOf({ ...least, 'start.at': start })).toEqual([
    { path: 'connectors.acme.start.at', message: 'takes a time from the year 2000 to 2200' },
  ])
})

test('a start can be a span before now', () => {
  const nowMs = Date.parse('2026-11-30T12:00:00Z')
  const parsed = parseConnectorConfig('acme', { ...least, 'start.at': 'now-7d' }, connector, nowMs)
  expect(parsed.ok && parsed.base.startAtMs).toBe(nowMs - 7 * 86_400_000)
  for (const start of ['now', 'now-', 'now-7', 'now+7d', 'now-month'])
    expect(faultsOf({ ...least, 'start.at': start })).toMatchObject([{ path: 'connectors.acme.start.at' }])
  expect(faultsOf({ ...least, 'start.at': 'now-90y' })).toEqual([
    { path: 'connectors.acme.start.at', message: 'takes a time from the year 2000 to 2200' },
  ])
})

test.each(['a\0b', 'half\ud83d', 'a'.repeat(201), 'a\u0085b'])('an account %j cannot be a key', account => {
  expect(faultsOf({ ...least, account })).toMatchObject([{ path: 'connectors.acme.account' }])
})

test('a rule of the connector that throws is a fault of the config, not of the process', () => {
  const throwing = { ...connector, config: Config.refine(() => JSON.parse('{')) }
  const parsed = parseConnectorConfig('acme', least, throwing)
  expect(parsed).toMatchObject({
    ok: false,
    faults: [{ path: 'connectors.acme', message: expect.stringContaining('SyntaxError') as string }],
  })
})

test('keys named like inherited members of objects are unknown like others', () => {
  const flat = Object.assign(Object.create(null) as Record<string, unknown>, least)
  for (const key of ['__proto__', 'constructor', 'toString']) flat[key] = 'x'
  expect(faultsOf(flat).map(({ path }) => path)).toEqual(
    ['__proto__', 'constructor', 'toString'].map(key => `connectors.acme.${key}`),
  )
})

test('a key in camelCase is not a key, and the hint spells it right', () => {
  expect(faultsOf({ ...least, pageSize: 3 })).toEqual([
    { path: 'connectors.acme.pageSize', message: 'is not a key of acme-chat; did you mean page.size?' },
  ])
})

test('an unknown key is rejected with the list of keys', () => {
  expect(faultsOf({ ...least, 'transforms.mask.type': 'x' })[0]?.message).toContain(
    'its keys are access.token, api.version, base.url',
  )
})

test('a key without a value is as good as absent', () => {
  expect(parse({ ...least, 'page.size': null, 'start.at': null })).toEqual(parse(least))
})

test('a number is no start: 2026 would be two seconds after 1970', () => {
  expect(faultsOf({ ...least, 'start.at': 2026 })).toMatchObject([{ path: 'connectors.acme.start.at' }])
})

test("a connector whose name cannot be an account must name one, and another name than the connector's is a fault", () => {
  expect(faultsOf(least, 'a:b')).toMatchObject([{ path: 'connectors.a:b.account' }])
  expect(faultsOf({ ...least, name: 'other' })).toMatchObject([{ path: 'connectors.acme.name' }])
})

test('the value of a secret is in no message, even if the schema repeats it', () => {
  const Telling = Config.refine(() => false, {
    path: ['accessToken'],
    error: issue => `token ${(issue.input as { accessToken: string }).accessToken} is stale`,
  })
  const telling = { ...connector, config: Telling }
  const parsed = parseConnectorConfig('acme', { ...least, 'access.token': 'very-secret' }, telling)
  expect(parsed).toEqual({ ok: false, faults: [{ path: 'connectors.acme.access.token', message: 'token [hidden] is stale' }] })
})

test('the JSON Schema has the keys as the file spells them, marks secrets, and says what is required', () => {
  const schema = configJsonSchema(connector) as {
    properties: Record<string, object>
    required: string[]
    additionalProperties: boolean
  }
  expect(schema.required).toEqual(['connector.class', 'access.token'])
  expect(schema.additionalProperties).toBe(false)
  expect(schema.properties['access.token']).toEqual({ type: 'string', minLength: 6, description: 'Key', writeOnly: true })
  expect(schema.properties['refresh.token']).toMatchObject({ writeOnly: true })
  expect(schema.properties['page.size']).toEqual({
    type: 'integer',
    minimum: 1,
    maximum: 200,
    default: 200,
    description: 'Rows a request',
  })
  expect(schema.properties.since).toMatchObject({ type: 'string', format: 'date-time' })
  expect(Object.entries(schema.properties).filter(([, property]) => !('description' in property))).toEqual([])
  expect(Object.keys(schema.properties).filter(key => /[A-Z]/.test(key))).toEqual([])
})

describe('quota', () => {
  test("the config's figures replace the connector's, 0 included", () => {
    const parsed = parse({ ...least, 'quota.per.second': 0, 'quota.per.minute': 7 })
    expect(parsed.ok && quotaLimits(manifest, parsed.base)).toEqual({
      perSecond: 0,
      perMinute: 7,
      perHour: 1800,
      concurrency: 0,
      gapMs: 0,
    })
  })

  test('is shared by the value of the key that the manifest names, else by nobody', () => {
    const { sharedBy: _, ...alone } = manifest.quota
    const scope = { name: 'all', botId: null }
    expect(quotaShare(manifest, 'a', { accessToken: 't' }, scope)).toBe(quotaShare(manifest, 'b', { accessToken: 't' }, scope))
    expect(quotaShare({ ...manifest, quota: alone }, 'a', { accessToken: 't' }, scope)).not.toBe(
      quotaShare({ ...manifest, quota: alone }, 'b', { accessToken: 't' }, scope),
    )
  })
})

describe('rules for personal data', () => {
  const pii = (more: Record<string, unknown>) => {
    const parsed = parse({ ...least, ...more })
    return parsed.ok ? parsed.base.pii : parsed.faults
  }

  test('come as a list, or as text with ; between them', () => {
    for (const rules of [
      ['session.user_id=hash', 'session.variables.a,b=drop'],
      'session.user_id=hash; session.variables.a,b=drop',
    ]) {
      const parsed = pii({ 'pii.rules': rules, 'pii.key': 'k' })
      if (parsed === null || !('rules' in parsed)) throw new Error('no rules')
      expect(parsed.key).toBe('k')
      expect(parsed.rules.action('session', 'user_id')).toBe('hash')
      expect(parsed.rules.entryAction('session', 'variables', 'a,b')).toBe('drop')
    }
  })

  test('follow those of the policy', () => {
    const rulesAfterPolicy = (rules: string) => {
      const parsed = pii({ 'pii.policy': 'standard', 'pii.rules': rules, 'pii.key': 'k' })
      if (parsed === null || !('rules' in parsed)) throw new Error('no rules')
      return parsed.rules
    }
    const kept = rulesAfterPolicy('*.user_id=keep')
    for (const kind of ['session', 'event'] as const) expect(kept.action(kind, 'user_id')).toBe('keep')
    // Hashed on events by the policy, it is hashed wherever it stands.
    expect(rulesAfterPolicy('session.user_id=keep').action('session', 'user_id')).toBe('hash')
  })

  test.each([
    [{ 'pii.rules': 'session.user_id=hash' }, 'connectors.acme.pii.key', /is required/],
    [{ 'pii.policy': 'standard' }, 'connectors.acme.pii.key', /is required/],
    [{ 'pii.key': 'k' }, 'connectors.acme.pii.key', /has no effect without pii.rules/],
    [{ 'pii.key': 'k', 'pii.rules': ' ; ' }, 'connectors.acme.pii.key', /has no effect without pii.rules/],
    [{ 'pii.policy': 'strict', 'pii.key': 'k' }, 'connectors.acme.pii.policy', /standard/],
    [{ 'pii.rules': 'session.nothing=drop' }, 'connectors.acme.pii.rules', /there is no field nothing/],
    [{ 'pii.rules': ['session.user_id'] }, 'connectors.acme.pii.rules', /takes PATH=ACTION/],
    [{ 'pii.rules': { a: 1 } }, 'connectors.acme.pii.rules', /list/],
  ])('%j is rejected', (more, path, words) => {
    expect(pii(more)).toEqual([{ path, message: expect.stringMatching(words) }])
  })

  test('are absent without a key of them', () => expect(pii({})).toBeNull())
})

describe('transfer.rules', () => {
  const rulesOf = (flat: Record<string, unknown>, of = connector) => {
    const parsed = parseConnectorConfig('acme', { ...least, ...flat }, of)
    return parsed.ok ? parsed.base.transfers.texts : parsed.faults
  }
  const withDefaults = { ...connector, manifest: { ...manifest, transferRules: ['step~offload=agent_transferred'] } }

  test('are a list, or one text with ; between them; commas are part of a pattern', () => {
    const both = ['event~a,b{1,2}=agent_transferred', 'tag~x=agent_transfer_requested']
    expect(rulesOf({ 'transfer.rules': both })).toEqual(both)
    expect(rulesOf({ 'transfer.rules': `${both[0]}; ${both[1]};` })).toEqual(both)
    expect(rulesOf({ 'transfer.rules': ['event~a;b=agent_transferred'] }), 'a list is taken as it is').toHaveLength(1)
  })

  test('of the config replace those of the connector, an empty list too', () => {
    expect(rulesOf({}, withDefaults)).toEqual(['step~offload=agent_transferred'])
    expect(rulesOf({ 'transfer.rules': 'event~x=agent_transferred' }, withDefaults)).toEqual(['event~x=agent_transferred'])
    expect(rulesOf({ 'transfer.rules': [] }, withDefaults)).toEqual([])
    expect(rulesOf({})).toEqual([])
  })

  test('that cannot be read are faults at their path, all at once', () => {
    const faults = rulesOf({ 'transfer.rules': 'evnt~x=agent_transferred; event~(=agent_transferred; event~x=transfer' })
    expect(faults).toEqual([
      { path: 'connectors.acme.transfer.rules', message: expect.stringContaining('"evnt", which is not a source') as string },
      { path: 'connectors.acme.transfer.rules', message: expect.stringContaining('missing closing )') as string },
      { path: 'connectors.acme.transfer.rules', message: expect.stringContaining('no type that a rule makes') as string },
    ])
  })
})
