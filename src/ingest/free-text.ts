/**
 * Finds e-mail addresses, telephone numbers, payment cards and IBANs in free text. Takes time in proportion to the text. Where a number could be a
 * telephone number or another one, it is masked: of the two errors that is the smaller one.
 */

/** The text with what it finds replaced by `[email]`, `[iban]`, `[card]` and `[phone]`. */
export function maskText(text: string): string {
  let masked = text
  if (masked.includes('@')) masked = masked.replace(EMAIL, '[email]')
  if (!/\d/.test(masked)) return masked
  masked = masked.replace(IBAN, found => maskIban(found))
  return masked.replace(NUMBER, (found, ...rest) => maskNumber(found, before(rest)))
}

const EMAIL = /(?<![\p{L}\p{N}._%+'-])[\p{L}\p{N}._%+'-]{1,64}@(?:[\p{L}\p{N}-]{1,63}\.){1,8}[\p{L}\p{N}-]{2,63}/gu

const IBAN = /(?<![\p{L}\p{N}])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![\p{L}\p{N}])/giu

/** Digits, with single separators or brackets between them. */
const NUMBER = /(?<![\p{L}\p{N}_])(?:\+ ?|\()?\d(?:[ .()/-]{0,2}\d){6,30}(?![\p{L}_])/gu

/** The text before the match, from the arguments that `replace` gives. */
function before(rest: readonly unknown[]): string {
  const at = rest.findIndex(each => typeof each === 'number')
  return String(rest[at + 1]).slice(Math.max(0, (rest[at] as number) - 1), rest[at] as number)
}

/** An IBAN may be followed by words that look like more of it: the longest part that is one is masked. */
function maskIban(found: string): string {
  for (let end = found.length; end >= 15; end--) {
    const part = found.slice(0, end)
    if (/[\p{L}\p{N}]$/u.test(part) && !/^[\p{L}\p{N}]/u.test(found.slice(end)) && isIban(part))
      return `[iban]${found.slice(end)}`
  }
  return found
}

function isIban(part: string): boolean {
  const letters = part.replace(/[ -]/g, '').toUpperCase()
  if (letters.length < 15 || letters.length > 34) return false
  const digits = (letters.slice(4) + letters.slice(0, 4)).replace(/[A-Z]/g, letter => String(letter.charCodeAt(0) - 55))
  let rest = 0
  for (const digit of digits) rest = (rest * 10 + Number(digit)) % 97
  return rest === 1
}

function maskNumber(found: string, preceding: string): string {
  const card = maskCards(found)
  if (card !== null) return card
  const digits = found.replace(/\D/g, '')
  if (preceding === '-' || isDate(found)) return found
  const isMarked = /^(?:\+|00|\()/.test(found)
  const most = isMarked ? 17 : 15
  const least = isMarked || /\d[ .()/-]+\d/.test(found) ? 7 : 9
  return digits.length >= least && digits.length <= most && !isAmount(found) ? '[phone]' : found
}

/** Cards in a run of digits, which may stand beside other numbers: they begin and end with a group. null: there is none. */
function maskCards(found: string): string | null {
  const groups = [...found.matchAll(/\d+/g)].map(({ 0: digits, index }) => ({ digits, index }))
  for (let from = 0; from < groups.length; from++) {
    let digits = ''
    for (let until = from; until < groups.length; until++) {
      const group = groups[until] as (typeof groups)[number]
      digits += group.digits
      if (digits.length > 19) break
      if (digits.length < 13 || !passesLuhn(digits)) continue
      const start = (groups[from] as (typeof groups)[number]).index
      const end = group.index + group.digits.length
      return `${maskText(found.slice(0, start))}[card]${maskText(found.slice(end))}`
    }
  }
  return null
}

function passesLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i])
    const doubled = i % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0 && /[1-9]/.test(digits)
}

/** 2026-11-29, 29.11.2026 or 29/11/26, alone or before an hour. */
function isDate(found: string): boolean {
  return /^(?:(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)?\d\d)(?: \d{1,2})?$/.test(found)
}

/** 1.234.567: groups of three with one kind of point, less than a thousand million. */
function isAmount(found: string): boolean {
  return /^\d{1,3}(?:\.\d{3}){1,2}$/.test(found) && found.replace(/\D/g, '').length <= 8
}
