/**
 * Botmaker's credentials: the access token and, if refresh credentials are configured, its renewal.
 *
 * The refresh token rotates: the answer of `POST auth/credentials` replaces it, and the old one is used up. So new tokens are on disk before they are used: the
 * refresh token in `refresh.token.file`, the access token next to it in `<file>.access`, because after a restart the vendor may say that nothing changed (204),
 * without repeating the newest one. The two files are the only state of a connector. Read from a client of the API; nothing here is measured.
 */
import { randomUUID } from 'node:crypto'
import { accessSync, constants } from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FlowError, type HttpSpec, type PlainFetch, text } from '../../src/source/index.ts'

export interface CredentialsConfig {
  readonly accessToken: string
  readonly refreshClientId?: string | undefined
  readonly refreshClientSecret?: string | undefined
  readonly refreshToken?: string | undefined
  readonly refreshTokenFile?: string | undefined
}

interface Tokens {
  readonly access: string | null
  readonly refresh: string | null
}

/**
 * @param urls Addresses for renewal; a later one is tried when the vendor does not know those before it (404, 405).
 * @throws FlowError CFG_INVALID when `refresh.token.file` is not writable.
 */
export function credentials(config: CredentialsConfig, urls: readonly string[]): NonNullable<HttpSpec['auth']> {
  const { refreshClientId: clientId, refreshClientSecret: secretId, refreshTokenFile: file } = config
  let access = config.accessToken
  let renew = config.refreshToken ?? null
  /** Access tokens that were answered with 401: a file that still has one of them is no newer than ours. */
  const refused = new Set<string>()
  if (clientId === undefined || secretId === undefined || (renew === null && file === undefined))
    return { headers: () => ({ 'access-token': access }) }
  if (file !== undefined) checkWritable(file)

  async function refresh(fetch: PlainFetch): Promise<void> {
    refused.add(access)
    const kept = file === undefined ? { access: null, refresh: null } : await load(file)
    if (kept.access !== null && !refused.has(kept.access)) {
      access = kept.access
      renew = kept.refresh ?? renew
      return
    }
    // The file's token first: the first renewal used up the configured one, unless somebody has configured new credentials since.
    for (const token of new Set([kept.refresh ?? renew, config.refreshToken ?? null])) {
      if (token === null) continue
      const answer = await ask(fetch, urls, { clientId: clientId as string, secretId: secretId as string, refreshToken: token })
      if (answer === 'refused') continue
      if (answer === 'unchanged') {
        access = kept.access ?? access
        return
      }
      access = answer.access as string
      renew = answer.refresh ?? token
      refused.delete(access)
      if (file !== undefined) await store(file, { access, refresh: renew })
      return
    }
    throw new FlowError('SRC_UNAUTHORISED', { hint: 'the vendor rejected the refresh credentials' })
  }

  return { headers: () => ({ 'access-token': access }), refresh }
}

async function ask(
  fetch: PlainFetch,
  urls: readonly string[],
  headers: Readonly<Record<string, string>>,
): Promise<Tokens | 'unchanged' | 'refused'> {
  for (const url of urls) {
    const { status, body } = await fetch({ method: 'POST', url, headers })
    if (status === 404 || status === 405) continue
    if (status === 204) return 'unchanged'
    if (status === 429) throw new FlowError('SRC_RATE_LIMITED', { status, hint: 'while renewing the credentials' })
    if (status >= 500) throw new FlowError('SRC_SERVER_ERROR', { status, hint: 'while renewing the credentials' })
    if (status >= 400) return 'refused'
    if (body === undefined || body === null) return 'unchanged'
    const fields = typeof body === 'object' ? (body as Record<string, unknown>) : {}
    const access = text(fields['accessToken'])
    if (access === null) throw new FlowError('SRC_MALFORMED', { status, hint: 'renewed credentials without an accessToken' })
    return { access, refresh: text(fields['refreshToken']) }
  }
  return 'refused'
}

/** Contents of the files; null where one is missing or empty. */
async function load(file: string): Promise<Tokens> {
  return { refresh: await words(file), access: await words(accessFile(file)) }
}

async function words(file: string): Promise<string | null> {
  try {
    return text((await readFile(file, 'utf8')).trim())
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return null
    throw unusable(error)
  }
}

/** The refresh token first: with it alone, the access token can be fetched again. */
async function store(file: string, tokens: Tokens): Promise<void> {
  try {
    await replace(file, tokens.refresh as string)
    await replace(accessFile(file), tokens.access as string)
  } catch (error) {
    throw unusable(error)
  }
}

/** Atomic, even if the machine stops; readable by its owner only. */
async function replace(file: string, content: string): Promise<void> {
  const draft = `${file}.${randomUUID()}.tmp`
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(`${content}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

const accessFile = (file: string) => `${file}.access`

/** Checked at the start, because later the vendor has already used up the old token. */
function checkWritable(file: string): void {
  try {
    accessSync(dirname(file), constants.W_OK)
  } catch (error) {
    throw unusable(error)
  }
}

function unusable(error: unknown): FlowError {
  const reason = (error as { code?: string }).code ?? 'unknown'
  return new FlowError('CFG_INVALID', { path: 'refresh.token.file', reason, hint: 'refresh.token.file cannot be used' })
}
