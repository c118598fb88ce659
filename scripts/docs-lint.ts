/**
 * Checks the Markdown documents: every relative link and anchor leads to something that exists, the prose uses none of the phrases
 * of `PHRASES`, and its words are in a dictionary (cspell's English, British and software terms) or in `docs/words.txt`. Prints one line
 * per fault on stderr and exits with 1 if there is one. `npm run docs:lint` runs it; so does a unit test.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { spellCheckDocument } from 'cspell-lib'

export interface Fault {
  /** From the root of the repository. */
  readonly file: string
  /** Counted from 1. */
  readonly line: number
  readonly what: string
}

/** Phrases that read like a translation, and what to write instead. Code in backticks and fenced blocks is not checked. */
export const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/\btold\b|\btells?\b|\btelling\b/i, 'says, reports, records, returns; or name who reads it'],
  [/\bstands?\b|\bstood\b/i, 'is, is kept, is listed; "means" for a symbol'],
  [/\b(?:what|which) (?:has )?(?:come|comes|came) of\b/i, 'the result of'],
  [/(?:^|[.:;] |\| )Who (?![^.|]*\?)/, 'If you …, or name the reader ("the person on call")'],
  [/\bdearer\b/i, 'more expensive'],
  [/\bof late\b/i, 'recently'],
  [/\bin hand\b/i, 'current, in progress'],
  [/\bby turns\b/i, 'alternately, interleaved'],
  [/\banew\b/i, 'again, from scratch'],
  [/\bmend(?:s|ed|ing)?\b/i, 'fix, correct, repair'],
  [/\bin truth\b/i, 'actually; or name the measurement'],
  [/\bin clear\b/i, 'in plain text'],
  [/\bas absent\b/i, 'treated as missing'],
  [/\b(?:is|are) away\b/i, 'is unavailable, is down'],
  [/\baffair\b/i, 'job, concern'],
  [/\bwithout a word\b/i, 'silently, without notice'],
  [/\b(?:leans?|hangs?) on\b/i, 'depends on'],
  [/\bspeaks? of\b/i, 'refers to'],
  [/\bbears? (?:it|them) out\b/i, 'confirm'],
  [/\bto be had\b/i, 'available'],
]

/** Pages whose text is made from names and messages in code. Their phrases change with the code, so only their links are checked. */
const FROM_CODE = /^(?:docs\/(?:conformance|errors|metrics|commands|connector-keys)\.md|connectors\/[^/]+\/README\.md)$/
/** Lists of what was true on a day: links are checked, words stay as they were written. */
const HISTORY = /^(?:CHANGELOG\.md|bench\/)/

const SKIPPED = new Set(['node_modules', '.git', 'dist', '.stack'])

/** All Markdown files below a folder, from that folder. */
export function markdownFiles(root: string, folder = ''): string[] {
  return readdirSync(join(root, folder))
    .filter(name => !SKIPPED.has(name))
    .flatMap(name => {
      const path = join(folder, name)
      if (statSync(join(root, path)).isDirectory()) return markdownFiles(root, path)
      return name.endsWith('.md') ? [path.split(sep).join('/')] : []
    })
    .sort()
}

/** Every fault of the documents below a folder, by file and line. */
export function faultsOf(root: string): Fault[] {
  const anchors = new Map<string, ReadonlySet<string>>()
  const anchorsOf = (file: string) => {
    const known = anchors.get(file) ?? anchorsIn(readFileSync(join(root, file), 'utf8'))
    anchors.set(file, known)
    return known
  }
  return markdownFiles(root).flatMap(file => {
    const text = readFileSync(join(root, file), 'utf8')
    const hasFreeText = !FROM_CODE.test(file) && !HISTORY.test(file)
    return [...linkFaults(root, file, text, anchorsOf), ...(hasFreeText ? phraseFaults(file, text) : [])].toSorted(
      (a, b) => a.line - b.line,
    )
  })
}

function linkFaults(root: string, file: string, text: string, anchorsOf: (file: string) => ReadonlySet<string>): Fault[] {
  return proseLines(text).flatMap(({ line, prose }) =>
    [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
      if (/^[a-z][a-z+.-]*:/i.test(target)) return []
      const [path = '', anchor] = target.split('#')
      const place =
        path === ''
          ? file
          : relative(root, resolve(root, dirname(file), path))
              .split(sep)
              .join('/')
      if (!existsSync(join(root, place))) return [{ file, line, what: `${target} leads to no file` }]
      if (anchor === undefined || !place.endsWith('.md') || anchorsOf(place).has(anchor)) return []
      return [{ file, line, what: `${target} leads to no heading of ${place}` }]
    }),
  )
}

function phraseFaults(file: string, text: string): Fault[] {
  return proseLines(text).flatMap(({ line, prose }) =>
    PHRASES.flatMap(([pattern, instead]) => {
      const found = pattern.exec(prose.replaceAll(/\]\([^)]*\)/g, ']'))
      return found === null ? [] : [{ file, line, what: `"${found[0].trim()}": write ${instead}` }]
    }),
  )
}

/** Pages that users read. Spelling of measurements and notes is not checked. */
const SPELLED = /^(?:README|CHANGELOG)\.md$|^docs\/|^deploy\/(?:.*\/)?README\.md$|^connectors\/[^/]+\/README\.md$/

/** Names and terms that no dictionary has, one a line. */
export const wordsOf = (root: string): string[] => {
  const file = join(root, 'docs/words.txt')
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : []
}

/** Every word of the documents below a folder that is in no dictionary and not among `words`, by file and line. Code and addresses are not checked. */
export async function misspellingsOf(root: string, words: readonly string[] = wordsOf(root)): Promise<Fault[]> {
  const faults: Fault[] = []
  for (const file of markdownFiles(root).filter(each => SPELLED.test(each))) {
    const lines = proseLines(readFileSync(join(root, file), 'utf8'))
    const text = lines.map(({ prose }) => prose.replaceAll(/\]\([^)]*\)|https?:\S+/g, ' ')).join('\n')
    const document = { uri: pathToFileURL(join(root, file)).href, text, languageId: 'markdown', locale: 'en,en-GB' }
    const options = { generateSuggestions: false, noConfigSearch: true }
    const { issues, errors } = await spellCheckDocument(document, options, { version: '0.2', words: [...words] })
    if (errors !== undefined && errors.length > 0) throw new Error(`${file} cannot be checked`, { cause: errors[0] })
    for (const { text: word, offset } of issues) {
      const { line = 0 } = lines[text.slice(0, offset).split('\n').length - 1] ?? {}
      faults.push({ file, line, what: `"${word}" is in no dictionary: correct it, or add a name or term to docs/words.txt` })
    }
  }
  return faults
}

/** Lines without fenced blocks, and with empty backticks where code was. */
const proseLines = (text: string) =>
  linesOutsideFences(text).map(({ line, raw }) => ({ line, prose: raw.replaceAll(/(`+)[^`].*?\1/g, '``') }))

function linesOutsideFences(text: string): { line: number; raw: string }[] {
  let fence: string | null = null
  return text.split('\n').flatMap((raw, i) => {
    const mark = /^\s*(```+|~~~+)/.exec(raw)?.[1]
    if (mark !== undefined && (fence === null || mark.startsWith(fence))) {
      fence = fence === null ? mark : null
      return []
    }
    return fence === null ? [{ line: i + 1, raw }] : []
  })
}

/** The anchors that GitHub makes of the headings of a page. */
export function anchorsIn(text: string): ReadonlySet<string> {
  const seen = new Map<string, number>()
  const anchors = new Set<string>()
  for (const { raw } of linesOutsideFences(text)) {
    const heading = /^#{1,6}\s+(.*?)\s*#*\s*$/.exec(raw)?.[1]
    if (heading === undefined) continue
    const slug = slugOf(heading)
    const times = seen.get(slug) ?? 0
    seen.set(slug, times + 1)
    anchors.add(times === 0 ? slug : `${slug}-${times}`)
  }
  return anchors
}

function slugOf(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-')
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const faults = [...faultsOf(root), ...(await misspellingsOf(root))]
  for (const { file, line, what } of faults) process.stderr.write(`${file}:${line} ${what}\n`)
  process.exitCode = faults.length === 0 ? 0 : 1
}
