/** A certificate authority of our own, and a certificate that it signed for 127.0.0.1. Good for nothing but a throw-away cluster. */
import { generate } from 'selfsigned'

export interface Certificates {
  /** PEM text of the authority: what clients trust. */
  readonly ca: string
  /** PEM texts of the broker. */
  readonly chain: string
  readonly key: string
}

const KIND = { keyType: 'ec', algorithm: 'sha256' } as const

export async function makeCertificates(): Promise<Certificates> {
  const authority = await generate([{ name: 'commonName', value: 'kill rounds authority' }], {
    ...KIND,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  const broker = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    ...KIND,
    ca: { key: authority.private, cert: authority.cert },
    extensions: [
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  })
  return { ca: authority.cert, chain: `${broker.cert.trim()}\n${authority.cert.trim()}\n`, key: broker.private }
}
