import { describe, expect, test } from 'vitest'
import { NO_TRANSFERS, parseTransferRules } from '../../src/source/transfers.ts'

const rulesOf = (...texts: string[]) => {
  const { transfers, faults } = parseTransferRules(texts)
  expect(faults).toEqual([])
  return transfers
}

describe('a rule', () => {
  const rules = rulesOf(
    'event~offloading opened=agent_transferred',
    'flow ~ ^human|agent$ = agent_transfer_requested',
    'message.text~a=b=agent_transfer_requested',
    'attribute.hand-off~.*=agent_transferred',
    'answer~\\{"type":\\s*"handover"=agent_transferred',
    'step~^solicita un agente$=agent_transferred',
    'step~agente=agent_transfer_requested',
  )

  test.each([
    ['is searched for, whatever the case', 'event', 'Chat OFFLOADING Opened by bot', 'agent_transferred'],
    ['is not found in another text', 'event', 'offloading closed', null],
    ['is not found in the text of another source', 'flow', 'offloading opened', null],
    ['may have anchors, and blanks around its parts', 'flow', 'human desk', 'agent_transfer_requested'],
    ['with anchors is not found inside', 'flow', 'a human desk', null],
    ['may have = in its pattern', 'message.text', 'where a=b', 'agent_transfer_requested'],
    ['looks at one attribute', 'attribute.hand-off', '', 'agent_transferred'],
    ['looks at no other attribute', 'attribute.Hand-Off', 'yes', null],
    ['knows letters with accents in either case', 'step', 'SOLICITA UN AGENTE', 'agent_transferred'],
    ['finds nothing in no text', 'event', null, null],
    ['may use RE2 classes', 'answer', '{"type":  "handover"}', 'agent_transferred'],
  ] as const)('%s', (_, source, text, type) => {
    expect(rules.match(source, text)).toBe(type)
    // What is kept of short texts says the same again.
    expect(rules.match(source, text)).toBe(type)
  })

  test('gives every type that matches, the transfer first', () => {
    expect(rules.matches('step', 'solicita un agente')).toEqual(['agent_transferred', 'agent_transfer_requested'])
    expect(rules.matches('step', 'otro agente')).toEqual(['agent_transfer_requested'])
  })

  test('says where it looks', () => {
    expect(rules.hasAny('tag', 'intent')).toBe(false)
    expect(rules.hasAny('tag', 'flow')).toBe(true)
    expect(rules.hasAny('attribute')).toBe(true)
    expect(rules.hasAny('attribute.other')).toBe(false)
    expect(rules.attributes).toEqual(['hand-off'])
    expect(NO_TRANSFERS).toMatchObject({ isEmpty: true, attributes: [], hash: '' })
    expect(NO_TRANSFERS.match('event', 'x')).toBeNull()
  })

  test('that is another one changes the hash', () => {
    const [a, b] = [rulesOf('event~a=agent_transferred'), rulesOf('event~a=agent_transfer_requested')]
    expect(new Set([a.hash, b.hash, '']).size).toBe(3)
    expect(rulesOf('event~a=agent_transferred').hash).toBe(a.hash)
  })
})

test.each([
  ['event', 'is no rule; it takes SOURCE~REGEX=TYPE'],
  ['event=agent_transferred~x', 'is no rule'],
  ['events~x=agent_transferred', 'looks at "events", which is not a source; a rule takes one of event, flow, step, tag'],
  ['attribute.~x=agent_transferred', 'which is not a source'],
  ['event~x=agent_replied', 'takes one of agent_transfer_requested, agent_transferred'],
  ['event~ =agent_transferred', 'has no pattern; .* matches any text'],
  [
    'event~(x=agent_transferred',
    'has a pattern that cannot be used (error parsing regexp: missing closing ): `(x`); it takes RE2 syntax',
  ],
  ['event~(?=x)=agent_transferred', 'no look-around and no back-references'],
  ['event~(x)\\1=agent_transferred', 'no look-around and no back-references'],
  ['event~((x{50}){50}){50}=agent_transferred', 'invalid repeat count'],
])('%s is rejected, with what to do about it', (text, message) => {
  const { transfers, faults } = parseTransferRules([text, 'tag~y=agent_transferred'])
  expect(faults).toEqual([expect.stringContaining(message)])
  expect(faults[0]).toContain(JSON.stringify(text))
  expect(transfers.texts).toEqual(['tag~y=agent_transferred'])
})

test.each(['(a+)+$', '(a|a)*b$', '(.*a){12}x', '^(([a-z])+.)+[A-Z]([a-z])+$', '(a?){60}a{60}$'])(
  'the pattern %s takes time that grows with the text, not with its square',
  pattern => {
    const rules = rulesOf(`message.text~${pattern}=agent_transferred`)
    const took = (length: number) => {
      const text = `${'a'.repeat(length)}!`
      const beganMs = performance.now()
      rules.match('message.text', text)
      return performance.now() - beganMs
    }
    took(1000)
    // Backtracking would take years for the shortest of these; a square of the length would take minutes.
    expect(took(1_000_000)).toBeLessThan(20_000)
  },
)
