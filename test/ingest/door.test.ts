/** What may leave: well-formed text, times that are times, and nothing that is masked. */
import { describe, expect, test } from 'vitest'
import { cleanId, doorOf } from '../../src/ingest/door.ts'
import { asGiven } from '../../src/ingest/mask.ts'
import type { Draft } from '../../src/source/contract.ts'
import { event, message, session } from '../../src/source/records.ts'
import { tinyContext } from './tiny.ts'

const NOON = Date.parse('2026-11-20T12:00:00Z')
const DAY = 86_400_000
const HALF = '\ud83d'
const OTHER_HALF = '\ude00'

const ctx = tinyContext(NOON)
const refOf = (sessionId: string) => ctx.session({ botId: 'bot', sessionId, channel: 'web' })
const door = doorOf(asGiven)

function only(draft: Draft): Draft {
  return door.records([draft])[0] as Draft
}

/** Every string in the value, names included. */
function stringsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, each]) => [name, ...stringsOf(each)])
}

describe('half a character and NUL', () => {
  const odd = `a${HALF}b\0c`
  const everywhere = [
    session(refOf(odd), {
      startedAt: NOON,
      languages: [odd],
      userId: odd,
      channelUserId: odd,
      queue: odd,
      agentId: odd,
      agentName: odd,
      outcome: odd,
      startingCause: odd,
      topics: [odd],
      tags: [{ name: odd, value: odd, scope: odd }],
      variables: { [odd]: odd },
      link: odd,
      attributes: { [odd]: odd, nested: { deep: odd } },
    }),
    message(refOf(odd), {
      messageId: odd,
      sentAt: NOON,
      type: odd,
      text: odd,
      attachments: [{ kind: odd, url: odd, caption: odd }],
      language: odd,
      intent: odd,
      agentId: odd,
      agentName: odd,
      queue: odd,
      attributes: { [odd]: odd },
    }),
    event(refOf(odd), {
      eventId: odd,
      occurredAt: NOON,
      type: 'other',
      name: odd,
      language: odd,
      userId: odd,
      attributes: { [odd]: odd },
    }),
  ]

  test.each(everywhere)('stand in no string of a $kind, names of maps included', draft => {
    const strings = stringsOf(only(draft).record)
    expect(strings.filter(text => !text.isWellFormed() || text.includes('\0'))).toEqual([])
  })

  test('two ids that differ by them only stay two', () => {
    const ids = ['a', `a${HALF}`, `a${OTHER_HALF}`, 'a\0', `a\ufffd`, `a${HALF}${OTHER_HALF}`]
    const keys = ids.map(id => only(message(refOf(id), { messageId: id, sentAt: NOON })).record)
    expect(new Set(keys.map(record => ('message_key' in record ? record.message_key : ''))).size).toBe(ids.length)
    expect(new Set(ids.map(cleanId)).size).toBe(ids.length)
  })

  test('two names of a map that differ by them only stay two entries', () => {
    const attributes = { [`n${HALF}`]: '1', [`n${OTHER_HALF}`]: '2', 'n\0': '3', n: '4' }
    const { record } = only(session(refOf('a'), { startedAt: NOON, attributes }))
    expect(Object.values(record.attributes).sort()).toEqual(['1', '2', '3', '4'])
  })

  test('whole characters stay as they are', () => {
    expect(cleanId('añ😀\ufffd')).toBe('añ😀\ufffd')
    const { record } = only(message(refOf('😀'), { messageId: '1', sentAt: NOON, text: 'añ😀' }))
    expect(record).toMatchObject({ session_id: '😀', text: 'añ😀' })
  })
})

describe('a placeholder for a time', () => {
  const placeholders = [
    0,
    -62_135_596_800_000,
    Date.UTC(1999, 11, 31),
    Date.UTC(9999, 11, 31),
    NOON + DAY + 1,
    Number.MAX_SAFE_INTEGER,
  ]

  test.each(placeholders)('%d is null where the field may be null', ms => {
    const draft = session(refOf('a'), { startedAt: NOON })
    Object.assign(draft.record, { ended_at: ms, ended_at_estimated: true, transferred_at: ms })
    expect(only(draft).record).toMatchObject({ ended_at: null, ended_at_estimated: false, transferred_at: null })
  })

  test.each(placeholders)('%d rejects the row where the field is required', ms => {
    const begun = session(refOf('a'), { startedAt: NOON })
    begun.record.started_at = ms
    const sent = message(refOf('a'), { messageId: '1', sentAt: NOON })
    sent.record.sent_at = ms
    const occurred = event(refOf('a'), { eventId: '1', occurredAt: NOON, type: 'other' })
    occurred.record.occurred_at = ms
    for (const [draft, path] of [
      [begun, 'started_at'],
      [sent, 'sent_at'],
      [occurred, 'occurred_at'],
    ] as const)
      expect(() => door.records([draft])).toThrow(
        expect.objectContaining({ code: 'ROW_UNMAPPABLE', details: expect.objectContaining({ path }) }),
      )
  })

  test('the first moment of 2000 and a day ahead are times', () => {
    const draft = session(refOf('a'), { startedAt: NOON })
    Object.assign(draft.record, { ended_at: NOON + DAY, transferred_at: Date.UTC(2000) })
    expect(only(draft).record).toMatchObject({ ended_at: NOON + DAY, transferred_at: Date.UTC(2000) })
  })
})

describe('a language', () => {
  const of = (language: string | null) => ctx.session({ botId: 'bot', sessionId: 'a', channel: 'web', language })
  const recordsOf = (language: string | null) =>
    door.records([
      session(of(language), { startedAt: NOON }),
      message(of(language), { messageId: '1', sentAt: NOON }),
      event(of(language), { eventId: '1', occurredAt: NOON, type: 'other' }),
    ])

  test.each(['es_CO', 'ES-co', 'es-CO'])('%s leaves as the tag es-CO, the same on session, messages and events', language => {
    const records = recordsOf(language).map(({ record }) => [record.language, record.attributes])
    expect(records).toEqual(Array.from({ length: 3 }, () => ['es-CO', {}]))
  })

  test.each([
    ['spa', 'es'],
    ['whatever they speak', null],
    ['é'.repeat(2500), null],
  ])('%s stays beside the tag that stands for it', (language, tag) => {
    const records = recordsOf(language).map(({ record }) => [record.language, record.attributes])
    expect(records).toEqual(Array.from({ length: 3 }, () => [tag, { language_raw: language }]))
  })

  test('stays null where there is none', () => {
    expect(recordsOf(null).map(({ record }) => [record.language, record.attributes])).toEqual([
      [null, {}],
      [null, {}],
      [null, {}],
    ])
  })

  test('in a list stands once, and what is none stays beside', () => {
    const languages = (given: string[]) => only(session(of('es'), { startedAt: NOON, languages: given })).record
    expect(languages(['es_CO', 'ES-CO', 'pt'])).toMatchObject({ languages: ['es-CO', 'pt'], attributes: {} })
    expect(languages(['es', 'slang', 'eng'])).toMatchObject({
      languages: ['es', 'en'],
      attributes: { languages_raw: '["es","slang","eng"]' },
    })
  })

  test('leaves a second time as it left the first', () => {
    const drafts = recordsOf('spa')
    expect(door.records(structuredClone(drafts) as Draft[])).toEqual(drafts)
  })
})
