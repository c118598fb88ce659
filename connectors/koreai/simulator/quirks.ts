/**
 * What is not told by the vendor's documents, or is told in two ways, and what clients have met beside them. The defaults are the documents' word,
 * or the plainest reading where they are silent; everything else has to be switched on.
 */
export interface Quirks {
  /** Requests to one bot (account-wide calls: to the account) in any rolling minute and hour; all operations together. 0: no limit. Documented. */
  readonly perMinute: number
  readonly perHour: number
  /** What comes with the documented text of a limit. Unknown in truth; clients handle 429. */
  readonly rateLimitStatus: number
  /** `Retry-After`, seconds; null: no such header (none is documented). */
  readonly retryAfterS: number | null

  /** Each `jti` works once, and `exp` is at most an hour ahead: a switch of the vendor's app. */
  readonly enforceJti: boolean
  /** The app takes encrypted tokens only: a switch of the vendor's app. What they hold, a signed token or claims alone, is unknown in truth. */
  readonly enforceJwe: 'jwt' | 'claims' | null
  /** Operations whose scope the app lacks, by the last part of their path, and how that is answered (unknown in truth). */
  readonly withheld: readonly string[]
  readonly withheldStatus: 401 | 403

  /**
   * The generations of session rows. current: interactive and containment apart, `sessionStatus`, `tags.altText`. v9: the same without status and
   * `altText`. v8: `sessionType` holds the containment, and there is no `containmentType`.
   */
  readonly rows: 'current' | 'v9' | 'v8'
  /** Letters of containment words: the samples', all small (a text of the documents), or as in the older list of values (`Selfservice`). */
  readonly containmentCase: 'sample' | 'lower' | 'list'
  /** `containmentType` as a filter is compared letter by letter with the sample's words. Unknown in truth. */
  readonly strictFilter: boolean
  /** `end_time` of a session that is active: its newest activity, or nothing. Unknown in truth. */
  readonly activeEndTime: 'last_activity' | 'absent'
  /** `isDeveloper`: the samples' boolean, or the text's 1 and 0. */
  readonly developer: 'boolean' | 'number'
  /** Counts as numbers, or as text. */
  readonly counts: 'number' | 'string'

  /** Whether rows exactly at `dateFrom` and `dateTo` belong to the answer. Unknown in truth. */
  readonly edges: 'half-open' | 'closed' | 'open'
  /** `dateTo` without a time: that whole day, or its beginning. Unknown in truth; a sample names one day as both ends. */
  readonly dateOnlyTo: 'whole_day' | 'midnight'
  /** Status of a range that is too long. Unknown in truth. */
  readonly rangeStatus: number
  /** moreAvailable of a page that is the last one: false, or true as in a sample of one row out of one. */
  readonly lastPageMore: boolean
  /** Rows that a request without `limit` gets. Unknown in truth. */
  readonly defaultLimit: number

  /** The channel of a message: the newer `chnl`, or the older `channel`. */
  readonly messageChannel: 'chnl' | 'channel'
  /** `agentHandOffTime` of a session that was handed over: its time, or `""` as where there was no hand-over. */
  readonly handOff: 'known' | 'unknown'
  /** `getAnalytics` without a channel filter tells of `rtm` only (documented), or of all channels. */
  readonly analyticsDefault: 'rtm' | 'all'

  /** Every fifth session shows this much later than it began, milliseconds. */
  readonly lateMs: number
  /** Starts are told in steps of so many milliseconds, so that many are equal. 1: as they are. */
  readonly startStepMs: number
  /** Between two pages of a listing, its first row is added, or is missing for once. */
  readonly between: 'grows' | 'shrinks' | null
  /** `skip` is not heeded. */
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
