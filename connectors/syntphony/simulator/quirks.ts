/**
 * What the vendor's docs leave open, or clients have seen in addition. The defaults follow the docs, or the plainest reading where they say nothing; everything
 * else must be switched on. Nothing here was measured.
 */
export interface Quirks {
  /** The answer to page 0, if pages begin at 1: the first page (assumed by a client that began at 0), or 400. */
  readonly pageZero: 'first' | 'refused'
  /** Documented: 1. A client began at 0. */
  readonly pageBase: 0 | 1
  /** Envelopes have `totalElements`, `totalPages` and so on (documented for a sibling API), or only `content` and `last`. */
  readonly envelope: 'spring' | 'bare'
  /** An empty listing. */
  readonly emptyListing: 'content' | '204'
  /** Whether the time in `startDate` and `endDate` counts, or only the day. Unknown for the real vendor. */
  readonly timePart: 'ignored' | 'literal'
  /** Whether rows exactly at `startDate` and `endDate` are in the answer. Documented: both are. */
  readonly edges: 'inclusive' | 'exclusive'
  /** Whether `startHour` and `endHour` cut every day, or the two ends of the range. Unknown for the real vendor. */
  readonly hours: 'each_day' | 'ends'
  /** Longest range, days; longer ones get 422. The cockpit's calendar shows twelve months. */
  readonly longestDays: number
  /** Most rows of a page, whatever `size` says. Unknown for the real vendor. */
  readonly mostRows: number
  /** Whether `searchBy` and `searchTerm` are applied. */
  readonly search: 'kept' | 'ignored'
  /** Whether `orderBy` and `direction` are applied. Ignored: newest first in any case; or oldest first, or by code, as in another build. */
  readonly order: 'kept' | 'ignored' | 'oldest' | 'by_code'
  /** A row appears for the first time, or is missing once, between the first and the second page of a bot's first listing. */
  readonly betweenPages: 'nothing' | 'row_shows' | 'row_misses'
  /** Every page is the first. */
  readonly ignorePage: boolean
  /** Every fifth conversation is listed this much later than it began, milliseconds. */
  readonly lateMs: number
  /** How far the vendor's clock, and with it what it shows, is ahead of ours, milliseconds. */
  readonly clockAheadMs: number
  /** Start times are rounded to multiples of this, milliseconds: many are equal. */
  readonly startStepMs: number
  /** The name under which messages of details have their time; null, as far as clients have seen: none. */
  readonly messageTime: 'deliveredAt' | 'createdAt' | 'date' | 'timestamp' | null
  /** Types of messages: USER_INPUT and TEXT and more in capitals, or unknown words, in any case. */
  readonly messageTypes: 'known' | 'odd'
  /** Details repeat the session code. A client did not rely on it. */
  readonly detailsCode: boolean
  /** How the answer that hands over to a person shows it: as an object or JSON text, the two forms that the vendor's broker reads, or not at all. */
  readonly handover: 'object' | 'text' | 'none'
  /** The details of a message that the engine did not understand. Unknown for the real vendor. */
  readonly missed: 'none' | 'empty'
  /** Which rows of the message list name their conversation. The field's name is not documented. */
  readonly listCode: 'all' | 'some' | 'none'
  /** Fields that have another name than the one proposed. */
  readonly names: Readonly<Record<string, string>>
  /** Dashboards that the installation does not have: 404. */
  readonly dashboards: 'all' | 'none'
  /** Details of every n-th conversation are gone: 404. 0: none. */
  readonly goneEvery: number
  /** Empty lists. */
  readonly emptyLists: 'array' | 'null' | 'absent'
  readonly numbers: 'number' | 'text'
  readonly times: 'z' | 'offset' | 'epoch' | 'bare'
  /** Every second message of the list has no time. */
  readonly deliveredAtMissing: boolean
  /** 0 to 100, as in the cockpit, or 0 to 1, as in the vendor's webhooks. */
  readonly confidence: 'percent' | 'share'
  /** Parallel requests; more get 429. 0: no limit, as none is documented. */
  readonly parallel: number
  /** How long an answer takes, milliseconds. */
  readonly answerMs: number
  /** Seconds that an access token lives. Not documented as a number. */
  readonly expiresInS: number
  readonly refreshExpiresInS: number
  /** Keycloak: a refresh token works until it expires, or once, or there is none. */
  readonly refreshToken: 'kept' | 'rotating' | 'none'
}

export const PLAIN: Quirks = {
  pageZero: 'first',
  pageBase: 1,
  envelope: 'spring',
  emptyListing: 'content',
  timePart: 'ignored',
  edges: 'inclusive',
  hours: 'each_day',
  longestDays: 366,
  mostRows: Infinity,
  search: 'kept',
  order: 'kept',
  betweenPages: 'nothing',
  ignorePage: false,
  lateMs: 0,
  clockAheadMs: 0,
  startStepMs: 1,
  messageTime: null,
  messageTypes: 'known',
  detailsCode: true,
  handover: 'object',
  missed: 'none',
  listCode: 'all',
  names: {},
  dashboards: 'all',
  goneEvery: 0,
  emptyLists: 'array',
  numbers: 'number',
  times: 'z',
  deliveredAtMissing: false,
  confidence: 'percent',
  parallel: 0,
  answerMs: 0,
  expiresInS: 300,
  refreshExpiresInS: 1800,
  refreshToken: 'kept',
}
