import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, inflateRaw, type ZlibOptions, zstdDecompress } from 'node:zlib'
import { FlowError } from '../errors.ts'

type Decoder = (bytes: Uint8Array, options: ZlibOptions) => Promise<Buffer>

const decoders: Readonly<Record<string, Decoder>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  // Servers disagree on what "deflate" is: with zlib's header (its low half byte is 8) or without.
  deflate: (bytes, options) => (((bytes[0] ?? 0) & 0x0f) === 8 ? zlibInflate : rawInflate)(bytes, options),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress) as Decoder,
}

/** Each layer costs up to `maxBytes` again. */
const MOST_ENCODINGS = 4

const zlibInflate = promisify(inflate) as Decoder
const rawInflate = promisify(inflateRaw) as Decoder

/**
 * The body without its content encoding.
 *
 * @param encoding The header `content-encoding`; several are undone from the last to the first.
 * @throws SRC_TOO_LARGE as soon as the output exceeds `maxBytes`, SRC_TRUNCATED where the body ends too early, SRC_MALFORMED for anything else.
 */
export async function decompress(bytes: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  let plain = bytes
  const encodings = (encoding ?? '')
    .toLowerCase()
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '' && name !== 'identity')
  if (encodings.length > MOST_ENCODINGS)
    throw new FlowError('SRC_MALFORMED', { hint: `a body that is compressed more than ${MOST_ENCODINGS} times` })
  for (const name of encodings.toReversed()) {
    if (plain.length === 0) break
    const decoder = decoders[name]
    if (decoder === undefined) throw new FlowError('SRC_MALFORMED', { hint: 'a content encoding that was not requested' })
    try {
      plain = await decoder(plain, { maxOutputLength: maxBytes })
    } catch (thrown) {
      const reason = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown'
      if (reason === 'ERR_BUFFER_TOO_LARGE') throw new FlowError('SRC_TOO_LARGE', { maxBytes })
      throw new FlowError(reason === 'Z_BUF_ERROR' ? 'SRC_TRUNCATED' : 'SRC_MALFORMED', { reason, encoding: name })
    }
  }
  return plain
}
