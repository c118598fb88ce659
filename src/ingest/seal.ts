/**
 * What must be kept but not read: ids of rows and whole rows, on topics that others can read. The same text gives the same sealed text, so that it
 * can be a key. AES-256-CTR with a synthetic IV (an HMAC of the text); opening checks the IV.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

export interface Seal {
  /** URL-safe text without dots. */
  seal(text: string): string
  /** null for what was not sealed with this key. */
  open(sealed: string): string | null
}

/** For connectors without rules: everything is as it is. */
export const unsealed: Seal = { seal: text => text, open: text => text }

const IV_BYTES = 16

/** @param key The `pii.key`; the keys used are derived from it, so that no hash of a value opens anything. */
export function sealOf(key: string): Seal {
  const derived = (use: string) => Buffer.from(hkdfSync('sha256', key, 'colloquy', use, 32))
  const encryption = derived('seal encryption')
  const authentication = derived('seal authentication')
  const ivOf = (plain: Buffer) => createHmac('sha256', authentication).update(plain).digest().subarray(0, IV_BYTES)
  return {
    seal: text => {
      const plain = Buffer.from(text)
      const iv = ivOf(plain)
      const cipher = createCipheriv('aes-256-ctr', encryption, iv)
      return Buffer.concat([iv, cipher.update(plain), cipher.final()]).toString('base64url')
    },
    open: sealed => {
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length >= IV_BYTES) {
        const iv = bytes.subarray(0, IV_BYTES)
        const decipher = createDecipheriv('aes-256-ctr', encryption, iv)
        const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES)), decipher.final()])
        if (timingSafeEqual(ivOf(plain), iv)) return plain.toString()
      }
      return null
    },
  }
}
