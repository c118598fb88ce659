/** Types of the bots' own events, by the key `event.types`. */
import { EVENT_TYPES } from '../../src/source/index.ts'

/** Bots' builders choose the names; only the config can map them. An exact match comes before one in another case. */
export function typeOf(name: string, { eventTypes }: { readonly eventTypes: readonly string[] }): string {
  const named = (spelling: (text: string) => string) =>
    eventTypes.find(pair => spelling(pair.slice(0, pair.lastIndexOf('='))) === spelling(name))
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
