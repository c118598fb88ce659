import type { Alert } from '../../src/records.ts'

export const AT = Date.parse('2026-11-01T12:00:00Z')

/** A firing alert of the usual channel. */
export function makeAlert(of: Partial<Alert> = {}): Alert {
  return {
    alert_id: 'a1',
    rule: 'agent-transfer-spike',
    state: 'FIRING',
    vendor: 'botmaker',
    account: 'acme',
    bot_id: 'b1',
    channel: 'whatsapp',
    language: null,
    starts_at: AT,
    ends_at: null,
    observed: 42,
    expected: 12.345,
    probability: 0.000_000_12,
    evidence: { sessions: '310', 'not a name': 'x' },
    updated_at: AT + 900_000,
    ...of,
  }
}
