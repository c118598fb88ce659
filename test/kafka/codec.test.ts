import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { decoderFor, encoderFor } from '../../src/kafka/codec.ts'
import type { Message, Session } from '../../src/records.ts'

const schemaText = (name: string) => readFileSync(new URL(`../../schemas/${name}.avsc`, import.meta.url), 'utf8')
const MESSAGE = schemaText('message')
const SESSION = schemaText('session')

const message: Message = {
  message_key: 'v:a:s/m',
  session_key: 'v:a:s',
  vendor: 'v',
  account: 'a',
  bot_id: 'b',
  session_id: 's',
  message_id: 'm',
  connector: 'c',
  revision: 1,
  observed_at: 1_700_000_000_000,
  sent_at: 1_700_000_000_001,
  sent_at_estimated: false,
  seq: null,
  sender: 'USER',
  type: 'text',
  text: 'günstig 😀',
  attachments: [{ kind: 'image', url: 'https://x', caption: null }],
  channel: 'web',
  language: null,
  intent: null,
  confidence: 0.5,
  agent_id: null,
  agent_name: null,
  queue: null,
  attributes: { k: 'v' },
}

const registryOf = (schemas: Record<number, string>) => {
  const asked: number[] = []
  return {
    asked,
    schemaById: async (id: number) => {
      asked.push(id)
      const text = schemas[id]
      if (text === undefined) throw new FlowError('NOT_FOUND', { schemaId: id })
      return text
    },
  }
}

describe('encoding', () => {
  test('frames with the schema id, and its output decodes to the same record', async () => {
    const encoder = encoderFor<Message>(MESSAGE, 258)
    const bytes = encoder.encode(message)
    expect([...bytes.subarray(0, 5)]).toEqual([0, 0, 0, 1, 2])
    const decoder = decoderFor<Message>(registryOf({ 258: MESSAGE }), MESSAGE)
    await decoder.prepare([bytes, null])
    expect(decoder.decode(bytes)).toEqual(message)
  })

  test('into a buffer that is too small returns how many bytes are missing, wherever it ends', () => {
    const encoder = encoderFor<Message>(MESSAGE, 1)
    const whole = encoder.encode(message).length
    for (let size = 0; size < whole; size++) expect(encoder.encodeInto(message, Buffer.alloc(size), 0)).toBe(size - whole)
    const buf = Buffer.alloc(whole + 10)
    expect(encoder.encodeInto(message, buf, 10)).toBe(whole + 10)
    expect(buf.subarray(10)).toEqual(encoder.encode(message))
  })

  test('the bytes after observed_at are the same for a row that was only read again', () => {
    const encoder = encoderFor<Message>(MESSAGE, 1)
    const buf = Buffer.alloc(1_000)
    const tailOf = (record: Message) => {
      const end = encoder.encodeInto(record, buf, 7)
      return buf.toString('hex', encoder.lastTailStart, end)
    }
    const tail = tailOf(message)
    expect(tailOf({ ...message, revision: 900_000, observed_at: message.observed_at + 5_000_000_000_000 })).toBe(tail)
    expect(tailOf({ ...message, text: 'günstig 😁' })).not.toBe(tail)
    expect(tailOf({ ...message, sent_at: message.sent_at + 1 })).not.toBe(tail)
  })

  test('buffers of their own do not touch each other', () => {
    const encoder = encoderFor<Message>(MESSAGE, 1)
    const texts = Array.from({ length: 3_000 }, (_, n) => 'x'.repeat(n % 500))
    const encoded = texts.map(text => encoder.encode({ ...message, text }))
    const again = texts.map(text => Buffer.from(encoder.encode({ ...message, text })))
    expect(encoded.map(bytes => bytes.toString('hex'))).toEqual(again.map(bytes => bytes.toString('hex')))
    expect(encoder.encode({ ...message, text: 'y'.repeat(3_000_000) }).length).toBeGreaterThan(3_000_000)
  })

  test.each([
    ['text', 5],
    ['revision', 1.5],
    ['observed_at', '2026'],
    ['sent_at', Number.NaN],
    ['sent_at', 2 ** 60],
    ['attachments.0.url', null],
    ['attributes.k', 7],
  ] as const)('an error about an invalid %s names the field and hides its value', (path, value) => {
    const wrong = structuredClone(message) as unknown as Record<string, unknown>
    const steps = path.split('.')
    const last = steps.pop() ?? ''
    let at: Record<string, unknown> = wrong
    for (const step of steps) at = at[step] as Record<string, unknown>
    at[last] = value
    expect(() => encoderFor<Message>(MESSAGE, 1).encode({ ...(wrong as unknown as Message) })).toThrow(
      expect.objectContaining({
        code: 'RECORD_INVALID',
        details: expect.objectContaining({ record: 'Message', field: path }) as unknown,
      }),
    )
  })

  test('an error contains nothing of the text to be written', () => {
    const secret = 'my card is 4111'
    try {
      encoderFor<Message>(MESSAGE, 1).encode({ ...message, text: { secret } as unknown as string })
      expect.unreachable()
    } catch (error) {
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(secret)
      expect((error as Error).cause).toBeUndefined()
    }
  })

  test('a value outside its closed set is rejected, and null where Avro rejects it', () => {
    const encoder = encoderFor<Message>(MESSAGE, 1)
    const refusal = (field: string) =>
      expect.objectContaining({ code: 'RECORD_INVALID', details: expect.objectContaining({ field }) as unknown }) as Error
    expect(() => encoder.encode({ ...message, sender: 'ROBOT' as 'BOT' })).toThrow(refusal('sender'))
    expect(() => encoder.encode({ ...message, channel: 'rtm' as 'web' })).toThrow(refusal('channel'))
    expect(() => encoder.encode({ ...message, sender: null as unknown as 'BOT' })).toThrow(refusal('sender'))
    expect(encoder.encode({ ...message, channel: null }).length).toBeGreaterThan(5)
  })
})

describe('decoding', () => {
  const session = {
    session_key: 'v:a:s',
    vendor: 'v',
    account: 'a',
    bot_id: 'b',
    session_id: 's',
    connector: 'c',
    revision: 3,
  } as Session
  const full: Session = {
    ...session,
    observed_at: 1,
    started_at: 2,
    ended_at: null,
    ended_at_estimated: false,
    status: 'OPEN',
    containment: 'AGENT',
    interactive: null,
    channel: 'web',
    channel_raw: null,
    language: null,
    languages: ['es'],
    user_id: null,
    channel_user_id: null,
    transferred_at: null,
    queue: null,
    agent_id: null,
    agent_name: null,
    user_messages: 3,
    bot_messages: null,
    agent_messages: null,
    total_messages: null,
    tasks: null,
    satisfaction: 4.5,
    outcome: null,
    starting_cause: null,
    topics: [],
    tags: [{ name: 't', value: null, scope: null }],
    variables: { v: '1' },
    is_test: null,
    link: null,
    attributes: {},
  }
  const NARROW = JSON.stringify({
    type: 'record',
    name: 'Session',
    namespace: 'colloquy.v1',
    fields: [
      { name: 'containment', type: 'string' },
      { name: 'revision', type: 'int' },
      { name: 'later', type: ['null', 'string'], default: null },
    ],
  })

  test('with a narrower schema returns those fields, and defaults for fields that were not written', async () => {
    const decoder = decoderFor<{ containment: string; revision: number; later: null }>(registryOf({ 9: SESSION }), NARROW)
    const bytes = encoderFor<Session>(SESSION, 9).encode(full)
    await decoder.prepare([bytes])
    expect({ ...decoder.decode(bytes) }).toEqual({ containment: 'AGENT', revision: 3, later: null })
  })

  test('requests each writer schema once', async () => {
    const registry = registryOf({ 1: SESSION, 2: SESSION })
    const decoder = decoderFor<Session>(registry, SESSION)
    const [one, two] = [encoderFor<Session>(SESSION, 1).encode(full), encoderFor<Session>(SESSION, 2).encode(full)]
    await decoder.prepare([one, two, one])
    await decoder.prepare([two, one, null])
    expect(registry.asked).toEqual([1, 2])
    expect(decoder.decode(two)).toEqual(full)
  })

  test('rejects what is not one of our records, and never decodes it as something else', async () => {
    const decoder = decoderFor<Session>(registryOf({ 9: SESSION, 10: '{"type":"string"}' }), SESSION)
    const bytes = encoderFor<Session>(SESSION, 9).encode(full)
    const framed = (id: number) => Buffer.concat([Buffer.from([0, 0, 0, 0, id]), bytes.subarray(5)])
    const values = {
      empty: Buffer.alloc(0),
      'other magic': Buffer.concat([Buffer.from([1]), bytes.subarray(1)]),
      short: bytes.subarray(0, bytes.length - 1),
      'with bytes after': Buffer.concat([bytes, Buffer.from([0])]),
      'of an unknown schema': framed(99),
      'of another schema': framed(10),
      noise: Buffer.concat([bytes.subarray(0, 5), Buffer.alloc(40, 0xff)]),
    }
    await decoder.prepare(Object.values(values))
    const codes = Object.entries(values).map(([what, value]) => {
      try {
        decoder.decode(value)
        return [what, 'was read']
      } catch (error) {
        return [what, (error as FlowError).code]
      }
    })
    expect(codes).toEqual(Object.keys(values).map(what => [what, 'CODEC_INVALID']))
  })
})
