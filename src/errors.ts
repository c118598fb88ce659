/**
 * The table of error codes, and the one error class. `docs/errors.md` is generated from this table.
 *
 * `retry` tells what the framework does: `now` tries again at once (with jitter), `after` waits as long as it was told or guesses,
 * `restart` gives the task up and starts it again by itself, backing off from 1 s to 5 min, `never` leaves it to a person.
 */
export const ERRORS = {
  CFG_INVALID: { retry: 'never', text: 'the configuration is wrong' },
  CALL_INVALID: { retry: 'never', text: 'the command was called wrongly' },
  PLUGIN_UNKNOWN: { retry: 'never', text: 'no connector has this id' },
  PLUGIN_INVALID: { retry: 'never', text: 'the connector does not keep the connector contract' },

  SRC_UNREACHABLE: { retry: 'now', text: 'the vendor did not answer' },
  SRC_TIMEOUT: { retry: 'now', text: 'the vendor took too long' },
  SRC_SERVER_ERROR: { retry: 'now', text: 'the vendor answered that it failed (5xx)' },
  SRC_TRUNCATED: { retry: 'now', text: "the vendor's answer broke off" },
  SRC_MALFORMED: { retry: 'now', text: "the vendor's answer is not what its documents promise" },
  SRC_TOO_LARGE: { retry: 'restart', text: "the vendor's answer is larger than the limit" },
  SRC_WINDOW_TOO_LARGE: { retry: 'now', text: 'the vendor refuses a time window of this length' },
  SRC_RATE_LIMITED: { retry: 'after', text: 'the vendor asked us to wait' },
  SRC_NOT_READY: { retry: 'after', text: 'the vendor is still preparing the answer' },
  SRC_UNAUTHORISED: { retry: 'restart', text: 'the vendor refused our credentials' },
  SRC_REFUSED: { retry: 'restart', text: 'the vendor refused the request (4xx)' },
  SRC_FOREIGN_HOST: { retry: 'restart', text: 'the vendor sent us to another host' },
  SRC_RESUME_EXPIRED: { retry: 'now', text: 'the vendor no longer knows the place where we left off' },

  ROW_INVALID: { retry: 'never', text: 'a row of the vendor could not be read' },
  ROW_UNMAPPABLE: { retry: 'never', text: 'a row of the vendor could not be turned into records' },
  RECORD_TOO_LARGE: { retry: 'never', text: "a record is larger than the topic's limit" },
  RECORD_INVALID: { retry: 'never', text: 'a record does not fit its schema' },

  KAFKA_UNREACHABLE: { retry: 'restart', text: 'Kafka did not answer' },
  KAFKA_OUTCOME_UNKNOWN: { retry: 'restart', text: 'the outcome of a transaction is not known; its cursor is read again' },
  KAFKA_FENCED: { retry: 'never', text: 'another process has taken this source partition over' },
  KAFKA_ABORTED: { retry: 'restart', text: 'the transaction was aborted' },
  KAFKA_REFUSED: { retry: 'restart', text: 'Kafka refused the request' },
  TOPIC_MISMATCH: { retry: 'never', text: 'a topic exists with settings that would lose or spread data' },
  TOPIC_MISSING: { retry: 'never', text: 'a topic does not exist and topics.create is false' },
  REGISTRY_UNREACHABLE: { retry: 'restart', text: 'the schema registry did not answer' },
  REGISTRY_INCOMPATIBLE: { retry: 'never', text: 'the registry refuses our schema as incompatible' },
  CODEC_INVALID: { retry: 'never', text: 'bytes on a topic are not a record of ours' },
  AGGREGATE_LOST: { retry: 'never', text: 'a part of the state of the aggregator is gone from its topics' },
  AGGREGATE_RUNNING: { retry: 'never', text: 'an aggregator of this prefix is running' },
  CURSOR_INVALID: { retry: 'never', text: 'the stored cursor cannot be read' },

  STACK_FAILED: { retry: 'never', text: 'the local stack did not start' },
  STACK_TOOL_MISSING: { retry: 'never', text: 'a tool that the local stack needs is missing' },
  PORT_TAKEN: { retry: 'never', text: 'the port is taken' },

  QUERY_INVALID: { retry: 'never', text: 'a parameter of the request does not parse' },
  NOT_FOUND: { retry: 'never', text: 'there is no such thing' },
  STOPPED: { retry: 'never', text: 'stopped on request' },
  BUG: { retry: 'restart', text: 'a fault of ours' },
} as const satisfies Record<string, { retry: 'now' | 'after' | 'restart' | 'never'; text: string }>

export type ErrorCode = keyof typeof ERRORS
export type Retry = (typeof ERRORS)[ErrorCode]['retry']

/** What an error says beside its code: ids, numbers, places. Never a secret, message text, a name or an address. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | undefined>> & {
  /** One sentence for a person: what is wrong here and what cures it. */
  readonly hint?: string
  /** How long to wait before the next try, milliseconds; with `retry: 'after'`. */
  readonly waitMs?: number
}

/** The one error class. Branch on `code` or `retry`, never on the message. */
export class FlowError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, details: ErrorDetails = {}, cause?: unknown) {
    super(messageOf(code, details), cause === undefined ? undefined : { cause })
    this.name = 'FlowError'
    this.code = code
    this.details = details
  }

  get retry(): Retry {
    return ERRORS[this.code].retry
  }
}

/** Any thrown thing as a FlowError; what is not one already is a `BUG` that keeps its cause. */
export function asFlowError(thrown: unknown): FlowError {
  if (thrown instanceof FlowError) return thrown
  return new FlowError('BUG', { hint: thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown) }, thrown)
}

function messageOf(code: ErrorCode, details: ErrorDetails): string {
  const { hint, ...rest } = details
  const place = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
  return [ERRORS[code].text, hint, place && `(${place})`].filter(Boolean).join(': ').replace(': (', ' (')
}
