/** The scopes of an account: a version of a bot, or a team. */
import type { Scope } from '../../src/source/index.ts'

export type Version = 'LIVE' | 'DRAFT'

export interface Bot {
  readonly id: string
  readonly version: Version
  /** Below the API's root. */
  readonly path: string
}

/** `m98j39nl@LIVE`. DRAFT and LIVE share nothing. */
export function botScopes(config: { readonly botIds: readonly string[]; readonly botVersion: readonly Version[] }): Scope[] {
  return [...new Set(config.botIds)].flatMap(id =>
    [...new Set(config.botVersion)].map(version => ({
      name: `${encodeURIComponent(id)}@${version}`,
      botId: recordBot(id, version),
    })),
  )
}

/** The bot of a scope from `botScopes`. */
export function botOf({ name }: Scope): Bot {
  const at = name.lastIndexOf('@')
  const id = decodeURIComponent(name.slice(0, at))
  return { id, version: name.slice(at + 1) as Version, path: `/v1/bots/${encodeURIComponent(id)}` }
}

/** `bot_id` of records: the vendor's for the live version, `<id>@DRAFT` for its draft, so that counts of the two never mix. */
export function recordBot(id: string, version: string | null): string {
  return version?.toUpperCase() === 'DRAFT' ? `${id}@DRAFT` : id
}

export function teamScopes(teamIds: readonly string[] | undefined): Scope[] {
  return [...new Set(teamIds)].map(id => ({ name: encodeURIComponent(id), botId: null }))
}

export function teamOf({ name }: Scope): string {
  return decodeURIComponent(name)
}
