/** Arithmetic of time windows, `[fromMs, untilMs)`, for plans and for connectors whose enrichment takes a range of its own. Pure. */
import type { Window } from './contract.ts'

/**
 * Splits the window into parts no longer than `longestMs` (above zero, or Infinity), in order, touching; all of that length but the last. None for an empty
 * window.
 */
export function split(window: Window, longestMs: number): Window[] {
  const pieces: Window[] = []
  for (let fromMs = window.fromMs; fromMs < window.untilMs; fromMs += longestMs) {
    pieces.push({ fromMs, untilMs: Math.min(fromMs + longestMs, window.untilMs) })
  }
  return pieces
}

/** Its two halves, the first no shorter than the second; null if it is no longer than `smallestMs`. */
export function halve(window: Window, smallestMs = 1): [Window, Window] | null {
  const lengthMs = window.untilMs - window.fromMs
  if (lengthMs <= Math.max(smallestMs, 1)) return null
  const middleMs = window.fromMs + Math.ceil(lengthMs / 2)
  return [
    { fromMs: window.fromMs, untilMs: middleMs },
    { fromMs: middleMs, untilMs: window.untilMs },
  ]
}

/** The smallest window around it whose ends are multiples of `unitMs` since the epoch: whole days UTC, for a vendor that takes dates. */
export function align(window: Window, unitMs: number): Window {
  return { fromMs: Math.floor(window.fromMs / unitMs) * unitMs, untilMs: Math.ceil(window.untilMs / unitMs) * unitMs + 0 }
}

/** Its ends as ISO 8601 in UTC with milliseconds. `until` is exclusive. */
export function iso(window: Window): { from: string; until: string } {
  return { from: new Date(window.fromMs).toISOString(), until: new Date(window.untilMs).toISOString() }
}
