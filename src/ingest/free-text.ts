/**
 * Finds e-mail addresses, telephone numbers, payment cards and IBANs in free text. Takes time in proportion to the text. Where a number could be a
 * telephone number or another one, it is masked: of the two errors that is the smaller one.
 */

/** The text with what it finds replaced by `[email]`, `[iban]`, `[card]` and `[phone]`. */
export function maskText(text: string): string {
  let masked = text
  if (/[@\uff20]/.test(masked)) masked = masked.replace(EMAIL, '[email]')
  if (!/\p{Nd}/u.test(masked)) return masked
  masked = masked.replace(IBAN, found => maskIban(found))
  return masked.replace(NUMBER, (found, ...rest) => maskNumber(found, before(rest)))
}

const EMAIL = /(?<![\p{L}\p{N}._%+'-])[\p{L}\p{N}._%+'-]{1,64}[@\uff20](?:[\p{L}\p{N}-]{1,63}\.){1,8}[\p{L}\p{N}-]{2,63}/gu

/** Blanks that do not break, marks of direction (both as phones copy numbers) and other blanks without a line end. */
const BLANK = String.raw`\t\u00a0\u2007-\u200f\u202a-\u202f\u2060\u2066-\u2069`
const DASH = String.raw`\u2010-\u2015\u2212`

const IBAN = new RegExp(String.raw`(?<![\p{L}\p{N}])[A-Z]{2}\d{2}(?:[ ${BLANK}${DASH}-]?[A-Z0-9]){11,30}(?![\p{L}\p{N}])`, 'giu')

/** Digits, with up to two separators or brackets between them. */
const NUMBER = new RegExp(
  String.raw`(?<![\p{L}\p{N}_])(?:[+\uff0b][ ${BLANK}]?|\()?\p{Nd}(?:[ .()/${BLANK}${DASH}-]{0,2}\p{Nd}){6,30}(?![\p{L}_])`,
  'gu',
)

const [EVERY_BLANK, EVERY_DASH] = [new RegExp(`[${BLANK}]`, 'g'), new RegExp(`[${DASH}]`, 'g')]
/** Zeros of the digits that phones write beside ours: Arabic, Persian, Devanagari, full width. */
const ZEROS = [0x0660, 0x06f0, 0x0966, 0xff10]

/** The same letters as ASCII writes them, each in its place. */
function inAscii(found: string): string {
  if (!/[^ -~]/.test(found)) return found
  return found
    .replace(EVERY_BLANK, ' ')
    .replace(EVERY_DASH, '-')
    .replace(/\uff0b/g, '+')
    .replace(/[^ -~]/g, letter => {
      const zero = ZEROS.find(each => letter.charCodeAt(0) >= each && letter.charCodeAt(0) < each + 10)
      return zero === undefined ? letter : String(letter.charCodeAt(0) - zero)
    })
}

/** The text before the match, from the arguments that `replace` gives. */
function before(rest: readonly unknown[]): string {
  const at = rest.findIndex(each => typeof each === 'number')
  return String(rest[at + 1]).slice(Math.max(0, (rest[at] as number) - 1), rest[at] as number)
}

/** An IBAN may be followed by words that look like more of it: the longest part that is one is masked. */
function maskIban(found: string): string {
  for (let end = found.length; end >= 15; end--) {
    const part = inAscii(found.slice(0, end))
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
  const plain = inAscii(found)
  const card = maskCards(found, plain)
  if (card !== null) return card
  const digits = plain.replace(/\D/g, '')
  if (preceding === '-' || isDate(plain)) return found
  const isMarked = /^(?:\+|00|\()/.test(plain)
  const most = isMarked ? 17 : 15
  const least = isMarked || /\d[ .()/-]+\d/.test(plain) ? 7 : 9
  return digits.length >= least && digits.length <= most && !isAmount(plain) ? '[phone]' : found
}

/** Cards in a run of digits, which may stand beside other numbers: they begin and end with a group. null: there is none. */
function maskCards(found: string, plain: string): string | null {
  const groups = [...plain.matchAll(/\d+/g)].map(({ 0: digits, index }) => ({ digits, index }))
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
