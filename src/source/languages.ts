/**
 * Languages as vendors write them (`es_CO`, `ES`, `spa`, `Spanish`), as BCP 47 tags in canonical form. Canonical is what `Intl` says: deprecated and
 * three-letter codes become the preferred ones (`iw` is `he`, `spa` is `es`, `en-UK` is `en-GB`). Pure, and never throws.
 */
import { text } from './lenient.ts'

export interface Language {
  /** Language, script, region and variants, such as `es`, `pt-BR` or `zh-Hans`. Null: the word is not a language, or means unknown (`und`). */
  readonly tag: string | null
  /** The tag has all the information of the word: they differ at most in case and separators. */
  readonly isSame: boolean
}

/** Longer words are neither tags nor names of languages. */
const LONGEST = 100
/** A language has two or three letters. `Intl` also accepts five to eight, none of which is in use: `default` and `unknown` would be languages. */
const PRIMARY = /^[a-z]{2,3}(?:-|$)/i
/** Chinese languages prefixed with the macrolanguage (`zh-yue-HK`), which BCP 47 allows and `Intl` does not. */
const CHINESE = /^zh-(?=(?:cdo|cmn|gan|hak|hsn|lzh|nan|wuu|yue)(?:-|$))/i

/** Cache of words; limited, because a vendor may send anything as a language. */
const met = new Map<string, Language>()
const MET_MOST = 1000

/** The language of a vendor's word: a tag in any case, with `-` or `_`, or a language's name in English or in the language itself. */
export function languageOf(raw: string): Language {
  const before = met.get(raw)
  if (before !== undefined) return before
  const language = raw.length > LONGEST ? { tag: null, isSame: false } : read(raw)
  if (met.size >= MET_MOST) met.clear()
  met.set(raw, language)
  return language
}

function read(raw: string): Language {
  const word = text(raw)?.trim().replaceAll('_', '-') ?? null
  if (word === null) return { tag: null, isSame: true }
  const tag = canonical(word.replace(CHINESE, '')) ?? named(word)
  return { tag, isSame: tag !== null && tag.toLowerCase() === word.toLowerCase() }
}

/** Extensions and private use: not about the language. */
const EXTENSIONS = /-[a-z\d]-.*$/

/** Null: not a tag. */
function canonical(word: string): string | null {
  if (!PRIMARY.test(word)) return null
  try {
    const [tag = ''] = Intl.getCanonicalLocales(word)
    return /^und\b/.test(tag) ? null : tag.replace(EXTENSIONS, '')
  } catch {
    return null
  }
}

/** Regional tags whose names vendors use in addition to those of the languages. */
const REGIONAL = ['ar-001', 'de-AT', 'de-CH', 'en-AU', 'en-CA', 'en-GB', 'en-US', 'es-419', 'es-ES', 'es-MX']
const MORE_REGIONAL = ['fr-CA', 'fr-CH', 'nl-BE', 'pt-BR', 'pt-PT', 'zh-Hans', 'zh-Hant']
let names: ReadonlyMap<string, string> | null = null

function named(word: string): string | null {
  names ??= namesOf([...twoLetters(), ...REGIONAL, ...MORE_REGIONAL])
  return names.get(word.toLowerCase()) ?? null
}

function* twoLetters(): Generator<string> {
  const letters = 'abcdefghijklmnopqrstuvwxyz'
  for (const first of letters) for (const second of letters) yield first + second
}

/** By name in lower case, in English and in the language itself; the first tag with a name wins. */
function namesOf(tags: Iterable<string>): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const forms = ['dialect', 'standard'] as const
  const english = forms.map(form => displayOf('en', form))
  for (const tag of tags) {
    const preferred = canonical(tag)
    if (preferred === null || english[0]?.of(tag) === undefined) continue
    // The two forms differ for regions only: `Brazilian Portuguese`, `Portuguese (Brazil)`.
    const own = tag.includes('-') ? forms : forms.slice(0, 1)
    for (const display of [...english, ...own.map(form => displayOf(tag, form))]) {
      const name = display.of(tag)?.toLowerCase()
      if (name !== undefined && !found.has(name)) found.set(name, preferred)
    }
  }
  return found
}

const displayOf = (locale: string, languageDisplay: 'dialect' | 'standard') =>
  new Intl.DisplayNames(locale, { type: 'language', fallback: 'none', languageDisplay })
