/** Checks that a connector need not pass, for a reason and for a time. */
import type { Waiver } from './subject.ts'

const LONGEST_MS = 366 * 86_400_000

/** Faults of the waivers themselves, whatever the results of the checks. */
export function waiverFaults(waivers: readonly Waiver[], names: readonly string[], nowMs: number): string[] {
  return waivers.flatMap(({ check, reason, until }) => {
    const waiver = `the waiver of '${check}'`
    const untilMs = /^\d{4}-\d\d-\d\d$/.test(until) ? Date.parse(`${until}T00:00:00Z`) : Number.NaN
    return [
      ...(reason.trim() === '' ? [`${waiver} has no reason`] : []),
      ...(check !== '' && names.some(name => name.startsWith(check)) ? [] : [`${waiver} is for no check`]),
      ...(Number.isNaN(untilMs) ? [`${waiver} has no valid end day: ${until}`] : []),
      ...(untilMs > nowMs + LONGEST_MS ? [`${waiver} is more than a year ahead`] : []),
    ]
  })
}

export function waiverOf(waivers: readonly Waiver[], name: string): Waiver | null {
  return waivers.find(({ check }) => check !== '' && name.startsWith(check)) ?? null
}

export function isExpired({ until }: Waiver, nowMs: number): boolean {
  return !(nowMs < Date.parse(`${until}T00:00:00Z`))
}
