/** A person who is found again in whatever form it leaves: name, ids, numbers and addresses that nothing else holds. */
export interface Marked {
  readonly first: string
  readonly name: string
  readonly userId: string
  /** Digits alone. */
  readonly phone: string
  readonly email: string
  /** What is said by or to the person, with all of it, in several shapes. */
  readonly said: string
}

const CARD = '4111 1111 1111 1111'
const IBANS = ['DE89 3704 0044 0532 0130 00', 'GB82WEST12345698765432']

export function marked(n: number): Marked {
  const phone = `57300919${String(1000 + (n % 9000))}`
  const local = `${phone.slice(2, 5)}-${phone.slice(5, 8)}-${phone.slice(8)}`
  const first = 'Zorvexa'
  const name = `${first} Quimbolt`
  const userId = `uzq-${n}-Wexlo`
  const email = `zorvexa.${n}@planted.example`
  const said = [
    `Hi ${name}, or ${first} for short.`,
    `Call +${phone}, 00${phone}, (${phone.slice(2, 5)}) ${phone.slice(5, 8)}-${phone.slice(8)} or ${local} and ${phone}.`,
    `Mail ${email}; card ${CARD}, ${CARD.replaceAll(' ', '')}; ${IBANS.join(' or ')}; user ${userId}`,
  ].join('\n')
  return { first, name, userId, phone, email, said }
}

const WORDS = ['zorvexa', 'quimbolt', 'wexlo', 'planted.example', 'west12345698765432']
const DIGITS = ['5730091', '3009191', '4111111111111111', '370400440532013000']

/** What of the marks stands in the bytes: as it is, in another case, escaped for JSON or URLs, in base64, numbers with signs between their digits. */
export function found(bytes: Buffer | string): string[] {
  const raw = typeof bytes === 'string' ? bytes : bytes.toString('latin1')
  const texts = [raw, unescaped(raw)]
  const hits = new Set<string>()
  for (const text of texts) {
    const lower = text.toLowerCase()
    for (const word of WORDS) if (lower.includes(word)) hits.add(word)
    const joined = text.replace(/(?<=\d)[ .()/-]{1,2}(?=\d)/g, '')
    for (const digits of DIGITS) if (joined.includes(digits)) hits.add(digits)
  }
  for (const form of BASE64) if (raw.includes(form)) hits.add(`base64 ${form}`)
  return [...hits]
}

function unescaped(text: string): string {
  return text
    .replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replaceAll('\\', '')
}

/** At each of the three places that a word can have in base64, without what its neighbours share. */
const BASE64 = ['Zorvexa', 'Quimbolt', 'Wexlo', '57300919', 'planted.example'].flatMap(word =>
  [0, 1, 2].map(before => {
    const text = Buffer.concat([Buffer.alloc(before), Buffer.from(word)]).toString('base64')
    return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + word.length) * 8) / 6))
  }),
)
