/**
 * What the vendor's docs leave open or say in two ways, and what clients have seen in addition. The defaults follow the docs, or the plainest reading where
 * they say nothing; everything else must be switched on.
 */
export interface Quirks {
  /** Requests to one bot (account-wide calls: to the account) in any rolling minute and hour; all operations together. 0: no limit. Documented. */
  readonly perMinute: number
  readonly perHour: number
  /** Status of the documented text for an exceeded limit. Unknown for the real vendor; clients handle 429. */
  readonly rateLimitStatus: number
  /** `Retry-After`, seconds; null: no such header (none is documented). */
  readonly retryAfterS: number | null

  /** Each `jti` works once, and `exp` is at most an hour ahead: a switch of the vendor's app. */
  readonly enforceJti: boolean
  /** The app accepts encrypted tokens only: a switch of the vendor's app. Their content, a signed token or claims alone, is unknown. */
  readonly enforceJwe: 'jwt' | 'claims' | null
  /** Operations whose scope the app lacks, by the last part of their path, and the answer for them (unknown). */
  readonly withheld: readonly string[]
  readonly withheldStatus: 401 | 403

  /**
   * The generations of session rows. current: interactive and containment apart, `sessionStatus`, `tags.altText`. v9: the same without status and
   * `altText`. v8: `sessionType` holds the containment, and there is no `containmentType`.
   */
  readonly rows: 'current' | 'v9' | 'v8'
  /** Spelling of containment words: the samples', lower case (a text of the docs), or as in the older list of values (`Selfservice`). */
  readonly containmentCase: 'sample' | 'lower' | 'list'
  /** `containmentType` as a filter is compared exactly with the sample's words. Unknown for the real vendor. */
  readonly strictFilter: boolean
  /** `end_time` of an active session: its newest activity, or missing. Unknown for the real vendor. */
  readonly activeEndTime: 'last_activity' | 'absent'
  /** `isDeveloper`: the samples' boolean, or the text's 1 and 0. */
  readonly developer: 'boolean' | 'number'
  /** Counts as numbers, or as text. */
  readonly counts: 'number' | 'string'

  /** Whether rows exactly at `dateFrom` and `dateTo` are in the answer. Unknown for the real vendor. */
  readonly edges: 'half-open' | 'closed' | 'open'
  /** `dateTo` without a time: that whole day, or its beginning. Unknown for the real vendor; a sample names one day as both ends. */
  readonly dateOnlyTo: 'whole_day' | 'midnight'
  /** Status for a range that is too long. Unknown for the real vendor. */
  readonly rangeStatus: number
  /** moreAvailable of the last page: false, or true as in a sample of one row out of one. */
  readonly lastPageMore: boolean
  /** Rows for a request without `limit`. Unknown for the real vendor. */
  readonly defaultLimit: number

  /** The channel of a message: the newer `chnl`, or the older `channel`. */
  readonly messageChannel: 'chnl' | 'channel'
  /** `agentHandOffTime` of a session that was handed over: its time, or `""` as without a transfer. */
  readonly handOff: 'known' | 'unknown'
  /** `getAnalytics` without a channel filter returns `rtm` only (documented), or all channels. */
  readonly analyticsDefault: 'rtm' | 'all'

  /** Every fifth session appears this much later than it began, milliseconds. */
  readonly lateMs: number
  /** Start times are rounded to steps of this many milliseconds, so that many are equal. 1: exact. */
  readonly startStepMs: number
  /** Between two pages of a listing, its first row is added, or is missing once. */
  readonly between: 'grows' | 'shrinks' | null
  /** `skip` is ignored. */
  readonly ignoresSkip: boolean
  /** How far the vendor's clock, and every time that it shows, is ahead, milliseconds. */
  readonly clockAheadMs: number
}

export const PLAIN: Quirks = {
  perMinute: 60,
  perHour: 1800,
  rateLimitStatus: 429,
  retryAfterS: null,
  enforceJti: false,
  enforceJwe: null,
  withheld: [],
  withheldStatus: 403,
  rows: 'current',
  containmentCase: 'sample',
  strictFilter: false,
  activeEndTime: 'last_activity',
  developer: 'boolean',
  counts: 'number',
  edges: 'half-open',
  dateOnlyTo: 'whole_day',
  rangeStatus: 400,
  lastPageMore: false,
  defaultLimit: 100,
  messageChannel: 'chnl',
  handOff: 'known',
  analyticsDefault: 'rtm',
  lateMs: 0,
  startStepMs: 1,
  between: null,
  ignoresSkip: false,
  clockAheadMs: 0,
}
