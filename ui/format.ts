/** Figures and times as people read them. Pure: the time now, zone and locale are passed in or the browser's. */

export const MISSING = '–'

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })
const coarse = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 })
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 })

/** null is "not read" or "not reported", and never 0. */
export function count(value: number | null): string {
  return value === null ? MISSING : whole.format(value)
}

/** With as many digits as a person needs. */
export function figure(value: number | null): string {
  if (value === null) return MISSING
  return Number.isInteger(value) ? whole.format(value) : short.format(value)
}

/** `part` of `all` in percent; missing where either is not known, or nothing is there to be a part of. */
export function percent(part: number | null, all: number | null): string {
  if (part === null || all === null || all === 0) return MISSING
  const value = (100 * part) / all
  return `${value >= 10 ? whole.format(value) : coarse.format(value)} %`
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
] as const

/** The two largest units where the smaller one says something: `3 h 20 min`, `45 s`, `2 d`. Negative is 0. */
export function duration(ms: number): string {
  const at = Math.max(0, ms)
  const index = UNITS.findIndex(([unit]) => at >= unit)
  const [unit, name] = UNITS[index] ?? UNITS[3]
  const smaller = index < 0 ? undefined : UNITS[index + 1]
  if (smaller === undefined || at >= 10 * unit) return `${Math.floor(at / unit)} ${name}`
  const rest = Math.floor((at % unit) / smaller[0])
  return rest === 0 ? `${Math.floor(at / unit)} ${name}` : `${Math.floor(at / unit)} ${name} ${rest} ${smaller[1]}`
}

/** Local time: of today the time alone, else with the date. */
export function localTime(ms: number, nowMs: number): string {
  const at = new Date(ms)
  const isToday = at.toDateString() === new Date(nowMs).toDateString()
  return isToday ? clockTime(at, true) : `${shortDate(at)} ${clockTime(at)}`
}

/** By the 24 hours of a day. */
export function clockTime(at: Date, hasSeconds = false): string {
  const seconds = hasSeconds ? ({ second: '2-digit' } as const) : {}
  return at.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', ...seconds, hourCycle: 'h23' })
}

export function shortDate(at: Date): string {
  return at.toLocaleDateString(undefined, { month: 'short', day: 'numeric' })
}

/** `2026-11-30 10:15:00 UTC`. */
export function utcTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** Bytes of JSON set out for reading; what is no JSON stays as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
