/** What independent readers found on the topics, held to what a vendor's truth tells. */
import type { Event, Message, Session } from '../../src/records.ts'
import type { Truth } from '../../src/conformance/index.ts'
import { assertSound, assertTrue, type Read } from '../../src/conformance/topics.ts'
import type { IndependentRecord } from './independent/read-topics.ts'

/** None missing, none twice, revisions 1, 2, 3, the newest as the truth has it. @throws AssertionError */
export function assertTopics(
  records: readonly IndependentRecord[],
  names: { readonly sessions: string; readonly messages: string; readonly events: string },
  vendor: string,
  truth: Truth,
): void {
  const of = <T>(topic: string) =>
    records
      .filter(record => record.topic === topic && vendorOf(record) === vendor)
      .map(({ partition, offset, key, value }): Read<T> => ({ partition, offset, key: key ?? '', value: value as T | null }))
  const topics = {
    sessions: of<Session>(names.sessions),
    messages: of<Message>(names.messages),
    events: of<Event>(names.events),
    rejects: [],
  }
  assertSound(topics)
  assertTrue(topics, truth)
}

/** Keys of sessions and events begin with the vendor; a null value has nothing else. */
function vendorOf({ key, value }: IndependentRecord): string {
  return (value?.['vendor'] as string | undefined) ?? key?.split(':')[0] ?? ''
}
