/**
 * What the vendor's docs leave open or say in two ways, and what clients have seen or must expect in addition. The defaults follow the docs, or the plainest
 * reading where they say nothing; everything else must be switched on.
 */
export interface Quirks {
  /** The specification says basic; the page on authentication, and an older specification, say bearer. */
  readonly auth: 'basic' | 'bearer'
  /** Requests in any rolling second, of all endpoints. 0: no limit; none is documented. */
  readonly requestsPerSecond: number
  /**
   * The wait that a 429 asks for: `Retry-After`, or `x-ratelimit-reset` as in the vendor's other API, documented in seconds and shown in milliseconds, here as
   * a time; `wait`: as seconds from now.
   */
  readonly rateLimit: 'retry-after' | 'seconds' | 'milliseconds' | 'wait' | 'none'
  /** How far the vendor's clock, and every time it shows, is ahead, milliseconds. */
  readonly clockOffsetMs: number

  /** The order of a listing of events is not documented. */
  readonly eventOrder: 'time' | 'newest' | 'shuffled'
  /** `next_page_token` on the last page. */
  readonly lastToken: 'absent' | 'empty'
  /** Pages have fewer events than fit ("fewer may come back"). */
  readonly shortPages: boolean
  /** Every second page of a listing is empty, with a token. */
  readonly emptyPages: boolean
  /** How long a page token works, milliseconds. Unknown for the real vendor; afterwards 400. */
  readonly tokenLivesMs: number
  /** The first page is returned, whatever page is requested. */
  readonly ignoresToken: boolean
  /** Between two pages of a listing, an event is added before the current position, or is missing once: `DISTURBANCES` times in all. */
  readonly listing: 'still' | 'grows' | 'shrinks'
  /** Whether an event exactly at `start_time` and one exactly at `end_time` are in the answer. Documented: inclusive, exclusive. */
  readonly windowEdges: 'half-open' | 'closed' | 'open'
  /** This share of the events appears `lateMs` after its own timestamp: `track` accepts any timestamp. */
  readonly lateShare: number
  readonly lateMs: number
  /** Timestamps of events are multiples of this, milliseconds, rounded down. */
  readonly timestampStepMs: number
  /** False: events have no `id`. */
  readonly eventIds: boolean
  /** This share of the events has no `conversation_id`: `track` does not require one. */
  readonly loneShare: number
  /** Form of empty lists. No field is documented as required. */
  readonly emptyLists: 'empty' | 'absent' | 'null'
  /**
   * What `conversation_id` identifies: one conversation, or everything that a user ever wrote on a channel, with their number in it. Unknown for the real
   * vendor; ids of its other API are of the second kind.
   */
  readonly conversationIds: 'conversation' | 'thread'

  /** `depth` is an int64, which such gateways write as text. */
  readonly depth: 'number' | 'text'
  /** The first transition of a conversation has no `from_step`. */
  readonly firstStep: 'told' | 'absent'
  /** A conversation that has nothing in the range. */
  readonly unknownFlow: 'empty' | '404'

  /** Where the groups of a series are named. */
  readonly labels: 'labels' | 'series_labels'
  readonly xValues: 'instant' | 'date' | 'without zone' | 'epoch'
  readonly values: 'numbers' | 'text'
  /** Buckets in which no series of the answer has data, and empty histograms. Whether there are zeros is not documented. */
  readonly emptyBuckets: 'zeros' | 'left out'
  /** The x axis of insights: bins of a histogram, or days. */
  readonly insightsAxis: 'bins' | 'time'
  /** A bucket lacks one of its conversations or messages until this long after its end, milliseconds. 0: it is correct from the start. */
  readonly correctedAfterMs: number
}

export const PLAIN: Quirks = {
  auth: 'basic',
  requestsPerSecond: 0,
  rateLimit: 'retry-after',
  clockOffsetMs: 0,
  eventOrder: 'time',
  lastToken: 'absent',
  shortPages: false,
  emptyPages: false,
  tokenLivesMs: Infinity,
  ignoresToken: false,
  listing: 'still',
  windowEdges: 'half-open',
  lateShare: 0,
  lateMs: 0,
  timestampStepMs: 1,
  eventIds: true,
  loneShare: 0,
  emptyLists: 'empty',
  conversationIds: 'conversation',
  depth: 'number',
  firstStep: 'told',
  unknownFlow: 'empty',
  labels: 'labels',
  xValues: 'instant',
  values: 'numbers',
  emptyBuckets: 'zeros',
  insightsAxis: 'bins',
  correctedAfterMs: 0,
}
