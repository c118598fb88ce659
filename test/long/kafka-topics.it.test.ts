import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { checkCommand } from '../../src/cli/check.ts'
import { decoderFor, encoderFor } from '../../src/kafka/codec.ts'
import type { TopicSpec } from '../../src/kafka/port.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import { silentLog } from '../../src/log.ts'
import type { Progress } from '../../src/records.ts'
import { topicSpecs } from '../../src/topics.ts'
import { fencedWriter, kafka, keptLog, topic, unique, until } from '../kafka/fixture.ts'
import { configFile } from '../support/product.ts'

describe('topics', () => {
  const spec = (name: string, config: Record<string, string>, partitions = 2): TopicSpec => ({
    topic: name,
    partitions,
    replicationFactor: null,
    config,
  })

  test('of the product are made with the settings of the contract, and are found right the second time', async () => {
    const { log, lines } = keptLog()
    const k = kafka({ log })
    const prefix = unique('product')
    const specs = topicSpecs({ prefix, partitions: 3, replicationFactor: null, longestLookbackMs: 86_400_000 })
    // Also where the broker's own setting is another: so each topic says it.
    expect(new Set(specs.map(({ config }) => config['compression.type']))).toEqual(new Set(['producer']))
    await k.ensureTopics(specs, { create: true })
    await k.ensureTopics(specs, { create: false })
    expect(lines).toEqual([])
    expect(await k.partitionCount(`${prefix}.sessions`)).toBe(3)
    expect(await k.maxMessageBytes([`${prefix}.sessions`])).toEqual(new Map([[`${prefix}.sessions`, 1_048_588]]))
    const settings = await k.topicSettings([`${prefix}-connect-offsets`], ['compression.type', 'segment.ms', 'cleanup.policy'])
    expect(Object.fromEntries(settings.get(`${prefix}-connect-offsets`) ?? [])).toEqual({
      'compression.type': 'producer',
      'segment.ms': '3600000',
      'cleanup.policy': 'compact',
    })
  })

  test('with another clean-up or number of partitions are refused with names, values and cure, all at once, where we may not change them', async () => {
    const k = kafka()
    const [one, two] = [await topic(k, 2), await topic(k, 4)]
    const error = await k
      .ensureTopics([spec(one, { 'cleanup.policy': 'compact' }), spec(two, { 'cleanup.policy': 'delete' })], { create: false })
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'TOPIC_MISMATCH',
      // The partitions first: there is no cure for them.
      details: { topic: two, setting: 'partitions', found: '4', wanted: '2' },
    })
    expect(String(error)).toContain(`${two} has 4 partitions, the config says 2`)
    expect(String(error)).toContain(`kafka-configs.sh --alter --topic ${one} --add-config 'cleanup.policy=[compact]'`)
  })

  test('with another clean-up, longer segments or a retention that is too short for us are changed where we may, and it is logged', async () => {
    const { log, lines } = keptLog()
    const k = kafka({ log })
    const name = await topic(k, 2, { 'cleanup.policy': 'compact,delete', 'retention.ms': '1000', 'max.message.bytes': '70000' })
    const wanted = { 'cleanup.policy': 'compact', 'retention.ms': '2000', 'segment.ms': '60000', 'segment.bytes': '2097152' }
    await k.ensureTopics([{ ...spec(name, wanted), needs: ['retention.ms'] }], { create: true })
    await until(async () => {
      const found = await kafka().topicSettings([name], [...Object.keys(wanted), 'max.message.bytes'])
      return isDeepStrictEqual(Object.fromEntries(found.get(name) ?? []), { ...wanted, 'max.message.bytes': '70000' })
    })
    expect(lines.map(({ level, setting, found }) => ({ level, setting, found }))).toEqual(
      [
        ['cleanup.policy', 'compact,delete'],
        ['retention.ms', '1000'],
        ['segment.ms', '604800000'],
        ['segment.bytes', '1073741824'],
      ].map(([setting, found]) => ({ level: 'info', setting, found })),
    )
  })

  test('with a retention that is too short for us are refused where we may not change them', async () => {
    const k = kafka()
    const name = await topic(k, 2, { 'retention.ms': '1000' })
    const wanted = { ...spec(name, { 'retention.ms': '2000' }), needs: ['retention.ms'] }
    await expect(k.ensureTopics([wanted], { create: false })).rejects.toMatchObject({
      code: 'TOPIC_MISMATCH',
      details: { topic: name, setting: 'retention.ms', found: '1000', wanted: '2000' },
    })
  })

  test('with another retention that serves are used as they are; a shorter one that we only wish is logged', async () => {
    const { log, lines } = keptLog()
    const k = kafka({ log })
    const [shorter, longer, endless] = [
      await topic(k, 2, { 'retention.ms': '1000' }),
      await topic(k, 2, { 'retention.ms': '3000' }),
      await topic(k, 2, { 'retention.ms': '-1' }),
    ]
    const wanted = { 'retention.ms': '2000', 'compression.type': 'producer' }
    await k.ensureTopics(
      [shorter, longer, endless].map(name => spec(name, wanted)),
      { create: true },
    )
    expect(lines).toEqual([
      expect.objectContaining({ level: 'warn', topic: shorter, setting: 'retention.ms', found: '1000', wanted: '2000' }),
    ])
    expect((await k.topicSettings([shorter], ['retention.ms'])).get(shorter)?.get('retention.ms')).toBe('1000')
  })

  test('tell how many replicas they have and how many must agree', async () => {
    const k = kafka()
    const name = await topic(k, 2, { 'min.insync.replicas': '2' })
    expect(await k.durability([name, unique('missing')])).toEqual([{ topic: name, replicas: 1, minInsync: 2 }])
  })

  test('that can lose records, or stop, are told by `colloquy check` with the cure', async () => {
    const k = kafka()
    const prefix = unique('checked')
    const specs = topicSpecs({ prefix, partitions: 1, replicationFactor: null, longestLookbackMs: 86_400_000 })
    await k.ensureTopics(specs, { create: true })
    const warnings = async () => {
      const { brokers: addresses, registry: url } = inject('stack')
      const file = configFile({
        kafka: { brokers: [addresses] },
        registry: { url },
        topics: { prefix, partitions: 1 },
        connectors: { acme: { 'connector.class': 'botmaker', 'access.token': 'tok-en', 'base.url': 'http://127.0.0.1:1' } },
      })
      onTestFinished(() => file.remove())
      const found: Record<string, unknown>[] = []
      await checkCommand(['--config', file.path], {
        stdout: line => void found.push(JSON.parse(line) as Record<string, unknown>),
        log: silentLog,
        signal: new AbortController().signal,
        env: {},
        entry: '',
      })
      return found.filter(({ finding }) => finding === 'warning')
    }
    expect(await warnings()).toEqual([])
    await k.alterTopicSettings([{ topic: `${prefix}.messages`, settings: { 'min.insync.replicas': '2' } }])
    await until(async () => (await k.durability([`${prefix}.messages`]))[0]?.minInsync === 2)
    expect(await warnings()).toEqual([
      {
        finding: 'warning',
        what: 'kafka',
        topics: [`${prefix}.messages`],
        error: expect.stringMatching(/min\.insync\.replicas is 2 with 1 replica: nothing can be written; set it with/) as string,
      },
    ])
  }, 60_000)

  test('refuse settings by topic, and take those of the others', async () => {
    const k = kafka()
    const name = await topic(k, 1)
    const refused = await k.alterTopicSettings([
      { topic: name, settings: { 'retention.ms': '5000' } },
      { topic: unique('missing'), settings: { 'retention.ms': '5000' } },
      { topic: await topic(k, 1), settings: { 'retention.ms': 'soon' } },
    ])
    expect([...refused.values()].map(error => error.code)).toEqual(['KAFKA_REFUSED', 'KAFKA_REFUSED'])
    await until(async () => (await k.topicSettings([name], ['retention.ms'])).get(name)?.get('retention.ms') === '5000')
  })

  test('are never made where others make them: the missing ones are named', async () => {
    const k = kafka()
    const [there, missing] = [await topic(k, 2), unique('missing')]
    const asked = k.ensureTopics([spec(there, {}), spec(missing, {})], { create: false })
    await expect(asked).rejects.toMatchObject({
      code: 'TOPIC_MISSING',
      details: { hint: expect.stringContaining(missing) as string },
    })
    // Neither does writing to it or reading from it make one.
    const writer = await fencedWriter(k, unique('tx'))
    await writer
      .transact(tx => tx.write([{ topic: missing, partition: 0, records: [{ key: null, value: null }] }]))
      .catch(() => {})
    await expect(k.ensureTopics([spec(missing, {})], { create: false })).rejects.toMatchObject({ code: 'TOPIC_MISSING' })
  })

  test('that two processes make at the same time are made once', async () => {
    const name = unique('race')
    const both = [kafka(), kafka()].map(k => k.ensureTopics([spec(name, { 'cleanup.policy': 'compact' })], { create: true }))
    await expect(Promise.all(both)).resolves.toBeDefined()
  })
})

describe('the registry', () => {
  const registry = () => connectRegistry({ url: inject('stack').registry, log: silentLog })
  const PROGRESS = readFileSync(new URL('../../schemas/progress.avsc', import.meta.url), 'utf8')

  test('takes each schema of ours, gives the same id again, and its text by id', async () => {
    const r = registry()
    await r.ping()
    for (const name of ['session', 'message', 'event', 'progress', 'series-point', 'alert']) {
      const text = readFileSync(new URL(`../../schemas/${name}.avsc`, import.meta.url), 'utf8')
      const subject = unique(`${name}-value`)
      const id = await r.register(subject, text)
      expect(await registry().register(subject, text)).toBe(id)
      expect(JSON.parse(await registry().schemaById(id))).toEqual(JSON.parse(text))
    }
  })

  test('has a new field with a default, and refuses one without by subject and field', async () => {
    const r = registry()
    const subject = unique('s-value')
    const schema = JSON.parse(PROGRESS) as { fields: object[] }
    const before = await r.register(subject, PROGRESS)
    const wider = JSON.stringify({ ...schema, fields: [...schema.fields, { name: 'later', type: 'int', default: 7 }] })
    const after = await r.register(subject, wider)
    expect(after).not.toBe(before)
    const broken = JSON.stringify({ ...schema, fields: [...schema.fields, { name: 'sudden', type: 'int' }] })
    await expect(r.register(subject, broken)).rejects.toMatchObject({
      code: 'REGISTRY_INCOMPATIBLE',
      details: { subject, field: 'sudden', hint: expect.stringMatching(`${subject}, field sudden`) as string },
    })

    // A record of the older writer with the newer reader.
    const progress = {
      connector: 'c',
      stream: 's',
      scope: 'x',
      vendor: 'v',
      account: 'a',
      bot_id: null,
      lane: 'live',
      window_from: 1,
      window_until: 2,
      complete_until: 2,
      pages: 1,
      rows: 2,
      emitted: 3,
      unchanged: 4,
      rejected: 5,
      newest_at: null,
      committed_at: 9,
      through: [],
      covered: [],
      feeds: [],
      source_partitions: null,
    } satisfies Progress
    const decoder = decoderFor<Progress & { later: number }>(r, wider)
    const bytes = encoderFor<Progress>(PROGRESS, before).encode(progress)
    await decoder.prepare([bytes])
    expect(decoder.decode(bytes)).toEqual({ ...progress, later: 7 })
  })

  test('lets us go on with a subject that others made', async () => {
    const subject = unique('others-value')
    const response = await fetch(`${inject('stack').registry}/subjects/${subject}/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ schema: PROGRESS }),
    })
    const { id } = (await response.json()) as { id: number }
    expect(await registry().register(subject, PROGRESS)).toBe(id)
  })

  test('does not know every id', async () => {
    await expect(registry().schemaById(2_000_000_000)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})
