/**
 * What was said, and the files in it. A file comes as a link in HTML, as an image in HTML, as its bytes in a data URI, or as bare base64 instead of the text
 * (all seen by clients), alone or among words. Bytes are not published, only kind, type, size and hash. Pure.
 */
import { createHash } from 'node:crypto'

export interface Attachment {
  readonly kind: string
  /** Its address; for bytes an empty data URI with type, size and hash: `data:image/png;size=812;sha256=…,`. */
  readonly url: string
  readonly caption: string | null
}

export interface Said {
  readonly type: string
  readonly text: string | null
  readonly attachments: readonly Attachment[]
}

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/\.(jpe?g|png|gif|webp|bmp|heic)$/i, 'image'],
  [/\.(ogg|oga|mp3|wav|m4a|aac|opus|amr)$/i, 'audio'],
  [/\.(mp4|3gp|mov|webm|avi)$/i, 'video'],
  [/\.(pdf|docx?|xlsx?|pptx?|csv|txt|zip|rar|7z|vcf)$/i, 'file'],
]
/** Base64 without a break, too long to be words. */
const LEAST_BASE64 = 1000
/** A tag that shows or links a file, with the words of a link. Bounded, so that a text of many broken tags costs no more than its length. */
const TAG =
  /<(a|img|audio|video|source|embed|iframe)\b[^>]{0,300}?\b(?:href|src)\s{0,3}=\s{0,3}(?:"([^"]{0,4000})"?|'([^']{0,4000})'?|([^\s>]{1,4000}))[^>]{0,300}>?(?:((?:(?!<\/?a\b).){0,500}?)<\/(?:a|audio|video|iframe)\s*>)?/gis
/** The beginning of a data URI; parameters may come before `base64` (`data:audio/ogg; codecs=opus;base64,…`). */
const DATA = /^data:([a-z]+\/[\w.+-]{1,100})?((?:\s{0,3};\s{0,3}[\w-]{1,60}(?:=(?:"[^"]{0,99}"|[\w.+-]{0,99}))?){0,8})\s{0,3},/i
const LONGEST_DATA_HEAD = 1000
/** A bare link to a file stays among the words. */
const LINK = /https?:\/\/[^\s"'<>]{1,4000}/gi
/** Placeholder for bytes that were taken out of the text, with their index in the list. No text contains NUL. */
const HELD = /\0data:(\d+)\0/g

/** Words and files: for a file alone the type is its kind. */
export function filesOrWords(message: string | null): Said {
  if (message === null || message === '') return { type: 'text', text: null, attachments: [] }
  const bare = message.length < LEAST_BASE64 ? '' : message.trim()
  if (bare.length >= LEAST_BASE64 && endOfBase64(bare, 0) === bare.length)
    return said([bytesAt('application/octet-stream', Buffer.from(bare, 'base64'))], '')
  const { words, bytes } = withoutBytes(message)
  const attachments: Attachment[] = []
  const heldIn = (url: string) => bytes[Number(/\0data:(\d+)\0/.exec(url)?.[1] ?? -1)]
  const withoutTags = words.replace(
    TAG,
    (whole, _tag: string, double?: string, single?: string, plain?: string, inner?: string) => {
      const url = (double ?? single ?? plain ?? '').trim()
      const held = heldIn(url)
      if (held === undefined && !/^(?:https?:)?\/\//i.test(url)) return whole
      const caption =
        inner
          ?.replaceAll(/<[^>]{0,300}>/g, '')
          .replaceAll(HELD, '')
          .trim() || null
      attachments.push(held === undefined ? linkAt(url, caption) : { ...held, caption })
      // A picture that is a link.
      for (const [bytesInside] of inner?.matchAll(HELD) ?? []) attachments.push(heldIn(bytesInside) as Attachment)
      // The words of a link are kept if there are others.
      return caption === null || words.trim() === whole.trim() ? ' ' : ` ${caption} `
    },
  )
  const left = withoutTags.replace(HELD, held => {
    attachments.push(heldIn(held) as Attachment)
    return ' '
  })
  const isRewritten = attachments.length > 0
  for (const [url] of left.matchAll(LINK)) {
    const kind = KINDS.find(([ending]) => ending.test(pathOf(url)))?.[1]
    if (kind !== undefined) attachments.push({ kind, url, caption: null })
  }
  return !isRewritten ? { type: 'text', text: message, attachments } : said(attachments, left)
}

/** Takes out data URIs, by hand: a pattern over millions of letters would overflow the stack of the regex engine. */
function withoutBytes(message: string): { words: string; bytes: Attachment[] } {
  const bytes: Attachment[] = []
  const parts: string[] = []
  let keptTo = 0
  for (let at = indexOfData(message, 0); at !== -1; at = indexOfData(message, Math.max(at + 5, keptTo))) {
    const head = DATA.exec(message.slice(at, at + LONGEST_DATA_HEAD))
    if (head === null) continue
    const [whole, type, parameters = ''] = head
    const isBase64 = /;\s*base64\s*$/i.test(parameters)
    // Words that only look like one ("data:, see below").
    if (type === undefined && !isBase64) continue
    const start = at + whole.length
    const end = isBase64 ? endOfBase64(message, start) : endOfUri(message, start)
    const body = message.slice(start, end)
    parts.push(message.slice(keptTo, at), `\0data:${bytes.length}\0`)
    bytes.push(bytesAt(type?.toLowerCase() ?? 'text/plain', Buffer.from(body, isBase64 ? 'base64' : 'utf8')))
    keptTo = end
  }
  parts.push(message.slice(keptTo))
  return { words: parts.join(''), bytes }
}

function indexOfData(message: string, from: number): number {
  const small = message.indexOf('data:', from)
  const large = message.indexOf('DATA:', from)
  return small === -1 || (large !== -1 && large < small) ? large : small
}

/** Long lines continue: words after the bytes do not look like that. */
const LEAST_LINE = 40

function endOfBase64(text: string, start: number): number {
  let end = start
  for (;;) {
    while (end < text.length && isBase64At(text, end)) end++
    const next = text[end] === '\r' && text[end + 1] === '\n' ? end + 2 : text[end] === '\n' ? end + 1 : -1
    if (next === -1) return end
    let line = next
    while (line < text.length && line - next < LEAST_LINE && isBase64At(text, line)) line++
    if (line - next < LEAST_LINE && line < text.length) return end
    if (line === next) return end
    end = line
  }
}

function isBase64At(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  // A-Z, a-z, 0-9, + / = - _
  return (
    (code >= 65 && code <= 90) ||
    (code >= 97 && code <= 122) ||
    (code >= 48 && code <= 57) ||
    code === 43 ||
    code === 47 ||
    code === 61 ||
    code === 45 ||
    code === 95
  )
}

function endOfUri(text: string, start: number): number {
  let end = start
  while (end < text.length && !' \t\r\n"\'<>'.includes(text.charAt(end))) end++
  return end
}

function said(attachments: readonly Attachment[], words: string): Said {
  const text = words.replaceAll(/[ \t]{2,}/g, ' ').trim()
  const isBlank = text.replaceAll(/<[^>]{0,300}>/g, '').trim() === ''
  return { type: isBlank ? (attachments[0]?.kind ?? 'file') : 'text', text: isBlank ? null : text, attachments }
}

function linkAt(url: string, caption: string | null): Attachment {
  const plain = url.replaceAll('&amp;', '&')
  return { kind: KINDS.find(([ending]) => ending.test(pathOf(plain)))?.[1] ?? 'file', url: plain, caption }
}

function pathOf(url: string): string {
  return url.replace(/[?#].*$/s, '')
}

function bytesAt(type: string, bytes: Buffer): Attachment {
  const kind = /^(image|audio|video)\//.exec(type)?.[1] ?? 'file'
  const hash = createHash('sha256').update(bytes).digest('hex')
  return { kind, url: `data:${type};size=${bytes.length};sha256=${hash},`, caption: null }
}
