/**
 * What is not told by the vendor's documents, or is told in two ways, and what clients have met or must be ready for beside them. The defaults are
 * the documents' word, or the plainest reading where they are silent; everything else has to be switched on.
 */
export interface Quirks {
  /** The specification says basic; the prose of the page on authentication, and an older specification, say bearer. */
  readonly auth: 'basic' | 'bearer'
  /** Requests in any rolling second, of all endpoints. 0: no limit; none is documented. */
  readonly requestsPerSecond: number
  /**
   * What a 429 says of the wait: `Retry-After`, or `x-ratelimit-reset` as the vendor's other API has it, which is told to be in seconds and shown in
   * milliseconds, here as a time; `wait`: as seconds from now.
   */
  readonly rateLimit: 'retry-after' | 'seconds' | 'milliseconds' | 'wait' | 'none'
  /** The vendor's clock, and what it shows by it, is so much ahead, milliseconds. */
  readonly clockOffsetMs: number

  /** The order of a listing of events is not documented. */
  readonly eventOrder: 'time' | 'newest' | 'shuffled'
  /** `next_page_token` on the last page. */
  readonly lastToken: 'absent' | 'empty'
  /** Fewer events come than fit a page ("fewer may come back"). */
  readonly shortPages: boolean
  /** Every second page of a listing is empty, with a token. */
  readonly emptyPages: boolean
  /** How long a page token works, milliseconds. Unknown in truth; after it, 400. */
  readonly tokenLivesMs: number
  /** The first page comes, whatever page is asked for. */
  readonly ignoresToken: boolean
  /** An event is added in front of the place of a listing between two of its pages, or is missing there for once: `DISTURBANCES` times in all. */
  readonly listing: 'still' | 'grows' | 'shrinks'
  /** Whether an event exactly at `start_time` and one exactly at `end_time` belong to the answer. Documented: inclusive, exclusive. */
  readonly windowEdges: 'half-open' | 'closed' | 'open'
  /** This share of the events shows `lateMs` after its own timestamp: `track` takes any timestamp. */
  readonly lateShare: number
  readonly lateMs: number
  /** Timestamps of events are multiples of this, milliseconds, rounded down. */
  readonly timestampStepMs: number
  /** False: events have no `id`. */
  readonly eventIds: boolean
  /** This share of the events has no `conversation_id`: `track` need not give one. */
  readonly loneShare: number
  /** Lists that would be empty. No field is documented as required. */
  readonly emptyLists: 'empty' | 'absent' | 'null'
  /**
   * What `conversation_id` names: one conversation, or everything that a user ever wrote on a channel, with their number in it. Unknown in truth;
   * ids of the vendor's other API are of the second kind.
   */
  readonly conversationIds: 'conversation' | 'thread'

  /** `depth` is an int64, which gateways of its kind write as text. */
  readonly depth: 'number' | 'text'
  /** The first transition of a conversation has no `from_step`. */
  readonly firstStep: 'told' | 'absent'
  /** A conversation that has nothing in the range. */
  readonly unknownFlow: 'empty' | '404'

  /** Where the groups of a series are named. */
  readonly labels: 'labels' | 'series_labels'
  readonly xValues: 'instant' | 'date' | 'without zone' | 'epoch'
  readonly values: 'numbers' | 'text'
  /** Buckets in which no series of the answer has anything, and histograms of nothing. Whether there are zeros is not documented. */
  readonly emptyBuckets: 'zeros' | 'left out'
  /** What insights are drawn over: bins of a histogram, or days. */
  readonly insightsAxis: 'bins' | 'time'
  /** A bucket lacks one of its conversations or messages until so long after its end, milliseconds. 0: it is right from the first. */
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
