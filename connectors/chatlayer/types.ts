/** What the bots' own events stand for, by the key `event.types`. */
import { EVENT_TYPES } from '../../src/source/index.ts'

/** Names are the bots' builders'; only the config can tell what they stand for. The name as it is written goes before others of its letters. */
export function typeOf(name: string, { eventTypes }: { readonly eventTypes: readonly string[] }): string {
  const named = (of: (text: string) => string) => eventTypes.find(pair => of(pair.slice(0, pair.lastIndexOf('='))) === of(name))
  const known = named(text => text) ?? named(text => text.toLowerCase())
  return known === undefined ? 'other' : typeAfter(known)
}

/** Of `name=type`, or of a rule. */
export function typeAfter(pair: string): string {
  return pair.slice(pair.lastIndexOf('=') + 1).trim()
}

export function isEventType(word: string): boolean {
  return (EVENT_TYPES as readonly string[]).includes(word)
}
