import type { Session } from '../../src/records.ts'
import { NOTHING_TOLD } from '../aggregate/make.ts'

/** A session on WhatsApp that lasted a second; handed over at its start where `queue` is given. What a test is about, it says itself. */
export function sessionAt(id: string, startedAt: number, queue: string | null, of: Partial<Session> = {}): Session {
  const { vendor = 'acme-chat', account = 'acme' } = of
  const isTransferred = queue !== null
  return {
    ...NOTHING_TOLD,
    session_key: `${vendor}:${account}:${id}`,
    vendor,
    account,
    bot_id: 'b1',
    session_id: id,
    connector: account,
    revision: 1,
    observed_at: startedAt + 1000,
    started_at: startedAt,
    ended_at: startedAt + 1000,
    ended_at_estimated: false,
    status: 'CLOSED',
    containment: isTransferred ? 'AGENT' : 'SELF_SERVICE',
    interactive: true,
    channel: 'whatsapp',
    language: 'es',
    transferred_at: isTransferred ? startedAt : null,
    queue,
    is_test: false,
    ...of,
  }
}
