/**
 * How often rows are read again, by their age. Rows younger than `hotMs` are read at every poll. Older ones inside the lookback are read by passes: a
 * row of age a is read again when it is 1.25 a at the latest, and after the longest pause at the latest, whichever comes first; so a row costs about
 * four readings each time its age doubles, however long the lookback is.
 *
 * Ages are cut into groups, each twice as long in pause as the one before. Passes fall on multiples of the pauses, so that a pass that a group is due
 * in is one for all younger groups, too: it is one stretch of time, from the oldest group's end up to what is hot.
 */

export interface AgeingSpec {
  /** 0: nothing is hot; all rows inside the lookback are read at the longest pause then. */
  readonly hotMs: number
  readonly pollIntervalMs: number
  readonly lookbackMs: number
  /** The longest pause between two readings of a row inside the lookback. */
  readonly lookbackIntervalMs: number
}

export interface AgeGroup {
  /** From one reading of its rows to the next. */
  readonly pauseMs: number
  /** Rows up to this age that are in no younger group; Infinity: the rest of the lookback, and what leaves it. */
  readonly untilAgeMs: number
}

/** A pause is this part of the age from which on it holds. */
const PAUSE_OF_AGE = 0.25

/** The groups, the youngest first; never empty. */
export function ageGroups({ hotMs, pollIntervalMs, lookbackMs, lookbackIntervalMs }: AgeingSpec): readonly AgeGroup[] {
  const firstMs = hotMs > 0 ? Math.max(hotMs * PAUSE_OF_AGE, pollIntervalMs) : lookbackIntervalMs
  const groups: AgeGroup[] = []
  let pauseMs = Math.min(firstMs, lookbackIntervalMs)
  for (;;) {
    const untilAgeMs = (2 * pauseMs) / PAUSE_OF_AGE
    if (2 * pauseMs > lookbackIntervalMs || untilAgeMs >= lookbackMs) return [...groups, { pauseMs, untilAgeMs: Infinity }]
    groups.push({ pauseMs, untilAgeMs })
    pauseMs *= 2
  }
}

/** When the next pass is due, epoch milliseconds. `roundMs`: when the last one began; `phaseMs`: where the multiples are counted from. */
export function passDueAt([youngest]: readonly AgeGroup[], roundMs: number, phaseMs: number): number {
  const pauseMs = youngest?.pauseMs ?? Infinity
  // A pass that began late is not followed by the next at once.
  return Math.max(boundaryAfter(roundMs, pauseMs, phaseMs), roundMs + pauseMs / 2)
}

/**
 * The oldest age that a pass at `nowMs` reaches; Infinity: the whole lookback and what has left it since the last such pass. Rows that were in a group
 * at the last pass are in its reach, however late this one is.
 */
export function passReach(groups: readonly AgeGroup[], roundMs: number, nowMs: number, phaseMs: number): number {
  const oldest = groups.findLast(({ pauseMs }) => boundaryAfter(roundMs, pauseMs, phaseMs) <= nowMs) ?? groups[0]
  if (oldest === undefined) return Infinity
  return oldest.untilAgeMs + Math.max(oldest.pauseMs, nowMs - roundMs)
}

/** The first multiple of the pause, from `phaseMs` on, after `atMs`. */
function boundaryAfter(atMs: number, pauseMs: number, phaseMs: number): number {
  return phaseMs + (Math.floor((atMs - phaseMs) / pauseMs) + 1) * pauseMs
}
