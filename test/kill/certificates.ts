/** A certificate authority of our own and a certificate that it signed for 127.0.0.1, made with the `keytool` that comes with every Java. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Certificates {
  /** PEM text of the authority: what clients trust. */
  readonly ca: string
  readonly caFile: string
  /** PKCS12 file with the broker's key and chain. */
  readonly keystore: string
  readonly password: string
}

const FAST = ['-J-XX:TieredStopAtLevel=1', '-J-XX:+UseSerialGC']
const KEY = ['-keyalg', 'EC', '-groupname', 'secp256r1', '-validity', '30']
const ADDRESSES = ['-ext', 'san=ip:127.0.0.1,dns:localhost']
const SIGNED = ['-rfc', '-validity', '30', ...ADDRESSES]

/** @param folder Where the files go; the keys are good for nothing but a throw-away cluster. */
export async function makeCertificates(javaBin: string, folder: string): Promise<Certificates> {
  const tool = join(dirname(realpathSync(javaBin)), 'keytool')
  const password = randomBytes(12).toString('hex')
  const file = (name: string) => join(folder, name)
  const [authority, keystore, caFile] = [file('ca.p12'), file('broker.p12'), file('ca.pem')]
  const keytool = (command: string, store: string, args: readonly string[]) =>
    run(tool, [...FAST, command, '-keystore', store, '-storetype', 'PKCS12', '-storepass', password, ...args])

  await Promise.all([
    keytool('-genkeypair', authority, ['-alias', 'ca', '-dname', 'CN=kill rounds authority', '-ext', 'bc:c', ...KEY]),
    keytool('-genkeypair', keystore, ['-alias', 'broker', '-dname', 'CN=127.0.0.1', ...ADDRESSES, ...KEY]),
  ])
  await Promise.all([
    keytool('-exportcert', authority, ['-alias', 'ca', '-rfc', '-file', caFile]),
    keytool('-certreq', keystore, ['-alias', 'broker', '-file', file('broker.csr')]),
  ])
  await Promise.all([
    keytool('-gencert', authority, ['-alias', 'ca', '-infile', file('broker.csr'), '-outfile', file('broker.pem'), ...SIGNED]),
    keytool('-importcert', keystore, ['-alias', 'ca', '-noprompt', '-file', caFile]),
  ])
  await keytool('-importcert', keystore, ['-alias', 'broker', '-noprompt', '-file', file('broker.pem')])
  return { ca: await readFile(caFile, 'utf8'), caFile, keystore, password }
}
