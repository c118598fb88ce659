/**
 * What the vendor's docs leave open or say in two ways, and what clients have seen in addition. The defaults follow the docs, or the plainest reading where
 * they say nothing; everything else must be switched on.
 */
export interface Quirks {
  /** A period without sessions: an empty list, 204, or 200 without a body (all three seen in the field). */
  readonly emptyPeriod: 'items' | '204' | 'blank'
  /** `nextPage` on the last page. */
  readonly lastPage: 'absent' | 'null'
  /** Links to the next page begin with this instead of the simulator's own address (in the field: `http` where `https` was called). */
  readonly nextPageOrigin: string | null
  /** How long a link to a next page works, milliseconds. Unknown for the real vendor; afterwards 400. */
  readonly nextPageLivesMs: number
  /** Whether a session that starts exactly at `from` or at `to` is in the answer: only the first, both, or neither. Unknown for the real vendor. */
  readonly windowEdges: 'half-open' | 'closed' | 'open'
  /** A sibling operation's docs say that `to` needs `from`; a client was seen to send it alone. */
  readonly toNeedsFrom: boolean
  /** A `from` older than this needs `long-term-search`. Reports differ (72 h for messages, 7 days for sessions). */
  readonly longTermAfterMs: number
  /** Times with a numeric offset such as `-05:00` are rejected (seen in the field). */
  readonly offsetsRefused: boolean
  /** Requests to `/sessions` in any rolling second. 0: no limit. */
  readonly requestsPerSecond: number
  /** The wait that a 429 asks for. Unknown for the real vendor. */
  readonly retryAfter: 'seconds' | 'date' | 'none'
  /** More requests than this in a rolling second get 401 although the token is valid (seen in the field). 0: never. */
  readonly burst401PerSecond: number
  /** The reason phrase of a 401 repeats the token (seen in the field). */
  readonly echoToken: boolean
  /** The last session of a page comes again as the first of the next. */
  readonly duplicateAcrossPages: boolean
  /** False: messages of v2 have no `id`. */
  readonly messageIds: boolean
  /** False: `/messages` names no session (seen by one client; the API description has `sessionId` and `sessionCreationTime`). */
  readonly messageSessions: boolean
  readonly eventOrder: 'time' | 'shuffled'
  /** U+0000 within some texts. */
  readonly nulBytes: boolean
  /** `aspectScores` hold `{result, weight}` (now), numbers (before September 2026), or the analysis may be `{}` and the like. */
  readonly aiAnalysis: 'results' | 'numbers' | 'mixed'
  /** False: there is never a `chat.queueId`. */
  readonly chatQueue: boolean
  /** Unless a request asks for `timestamp-precision=seconds`. */
  readonly timestampPrecision: 'milliseconds' | 'seconds'
  /** A session (v2) appears this much later than it began, milliseconds. */
  readonly visibleAfterMs: number
  /** Every third session appears this much later than the others, milliseconds. */
  readonly lateMs: number
  /** Sessions are listed, and found, as if they had begun at multiples of this, milliseconds; 0: at their real start. */
  readonly tiedMs: number
  /** v2, from a listing's second page on: one more session than before, or one less; each session so once. */
  readonly shifts: 'no' | 'grows' | 'shrinks'
  /** The first page is returned, whatever page is requested. */
  readonly ignoresToken: boolean

  /** v1: each page has the token of the next, or the first token works for all. */
  readonly pageToken: 'rotating' | 'sticky'
  /** v1: how many calls of an export's first page answer that there is nothing yet, but more to come. */
  readonly notReadyCalls: number
  /** v1: the status for an expired page token. Unknown for the real vendor. */
  readonly expiredStatus: 400 | 404
  /** v1: `userHasTalked` as the documents' sample has it (a string), or as their type says. */
  readonly booleans: 'string' | 'boolean'
  /** v1: the form of absent values. `urls`: the four URL fields have the text `null`, as in the docs' sample, the rest is null. */
  readonly nulls: 'urls' | 'everywhere' | 'null'
  /** v1: the docs' `varKey:varValue`, interpreted as text, as objects of one key, or as one object. */
  readonly variables: 'strings' | 'objects' | 'map'
  /** v1: `topicKey`, interpreted as text, as objects, or as one object by topic. */
  readonly topics: 'strings' | 'objects' | 'map'
  /** v1: the URL fields contain one URL, or a list. */
  readonly urls: 'string' | 'array'
}

const DAY = 86_400_000

export const PLAIN: Quirks = {
  emptyPeriod: 'items',
  lastPage: 'absent',
  nextPageOrigin: null,
  nextPageLivesMs: Infinity,
  windowEdges: 'half-open',
  toNeedsFrom: false,
  longTermAfterMs: 7 * DAY,
  offsetsRefused: true,
  requestsPerSecond: 5,
  retryAfter: 'seconds',
  burst401PerSecond: 0,
  echoToken: false,
  duplicateAcrossPages: false,
  messageIds: true,
  messageSessions: true,
  eventOrder: 'time',
  nulBytes: false,
  aiAnalysis: 'results',
  chatQueue: true,
  timestampPrecision: 'milliseconds',
  visibleAfterMs: 0,
  lateMs: 0,
  tiedMs: 0,
  shifts: 'no',
  ignoresToken: false,
  pageToken: 'rotating',
  notReadyCalls: 0,
  expiredStatus: 404,
  booleans: 'string',
  nulls: 'urls',
  variables: 'strings',
  topics: 'strings',
  urls: 'string',
}
