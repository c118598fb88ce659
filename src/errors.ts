/**
 * What the framework does about an error. Code branches on this, and on a code only where one error has a meaning of its own.
 *
 * Spent tries and `reject` with `errors.tolerance: none` end like `restart`.
 */
export const RETRIES = {
  now: 'the request is repeated, by default at most five times in all, after random pauses of up to 0.5 s, doubling to 30 s; then the task restarts',
  after:
    'the request is repeated after the time that the vendor names, at most 15 min (1 h where its document says that the allowance of a day is spent), else after 1 s, doubling to 1 min; after five tries the task restarts, after that time',
  refresh:
    'a 401 is repeated up to three times, with credentials that are refreshed where the connector can do so; a 403, and spent tries, restart the task',
  halve: 'the window is read again at half its length, at once; at the smallest length that the stream allows, the task restarts',
  reopen: 'the window is read again from its first page, at once, up to three times; then the task restarts',
  reread:
    'nothing in memory is trusted: cursor and versions are read from their topics again, at once the first time, then as `restart`',
  follow:
    'the process that took it over is followed, and the source partition claimed again when nobody reads it any more: at once when that process has ended, 10 s after its last sign of life else',
  restart: 'the task ends and is started again by itself, after 1 s, doubling to 5 min (10 s for faults of Kafka)',
  state: 'the process goes on without the file, and writes it again after ten minutes at the earliest',
  reject: 'the row goes to the rejects topic and its page goes on; with `errors.tolerance: none` the task restarts',
  never: 'nothing is tried again: a person has to act',
} as const

export type Retry = keyof typeof RETRIES

interface Entry {
  readonly retry: Retry
  /** What happened, in general; an error's own hint says more. */
  readonly text: string
  /** What a person does about it. */
  readonly cure: string
  /** Exit code of a command that ends with this error; absent: 1. */
  readonly exit?: 0 | 2
}

/** The table of error codes. `docs/errors.md` is generated from it. */
export const ERRORS = {
  CFG_INVALID: {
    retry: 'never',
    exit: 2,
    text: 'the configuration is wrong',
    cure: 'Mend the place in the file that the message names; `colloquy check` lists all of them at once.',
  },
  CALL_INVALID: { retry: 'never', exit: 2, text: 'the command was called wrongly', cure: '`colloquy COMMAND --help` shows how.' },
  PLUGIN_UNKNOWN: {
    retry: 'never',
    exit: 2,
    text: 'no connector has this id',
    cure: '`colloquy plugins` lists the ids. Install a connector of others as an npm package beside the config file, or name its path.',
  },
  PLUGIN_INVALID: {
    retry: 'never',
    exit: 2,
    text: 'the connector does not keep the connector contract',
    cure: 'Tell the author of the connector; the conformance suite shows every fault.',
  },
  PLUGIN_HUNG: {
    retry: 'restart',
    text: 'the connector did not come back from a call',
    cure: 'Report it to the author of the connector: a call that waits for nothing of ours must end within a minute.',
  },

  SRC_UNREACHABLE: {
    retry: 'now',
    text: 'the vendor did not answer',
    cure: 'Nothing, when it passes. Else check `base.url`, DNS, firewall and proxy from the machine that runs the worker.',
  },
  SRC_TLS: {
    retry: 'restart',
    text: 'no secure connection to the vendor could be made',
    cure: 'Do what the message says. A CA of your own, or of a proxy that reads along, goes to `tls.ca`.',
  },
  SRC_TIMEOUT: { retry: 'now', text: 'the vendor took too long', cure: 'Nothing, when it passes. Else ask the vendor.' },
  SRC_SERVER_ERROR: {
    retry: 'now',
    text: 'the vendor answered that it failed (5xx)',
    cure: "Nothing, when it passes. Else look at the vendor's status page.",
  },
  SRC_TRUNCATED: {
    retry: 'now',
    text: "the vendor's answer broke off",
    cure: 'Nothing, when it passes. Else look for a proxy that cuts connections.',
  },
  SRC_MALFORMED: {
    retry: 'now',
    text: "the vendor's answer is not what its documents promise",
    cure: 'Check `base.url`: a log-in page or a proxy may have answered. Else the vendor changed its API: update Colloquy, or report it.',
  },
  SRC_TOO_LARGE: {
    retry: 'restart',
    text: "the vendor's answer is larger than the limit",
    cure: 'Make pages smaller, where the connector has a key for it (`page.size`).',
  },
  SRC_WINDOW_TOO_LARGE: {
    retry: 'halve',
    text: 'the vendor refuses a time window of this length',
    cure: 'Nothing, as windows become shorter by themselves. If it stays at the smallest length, report it: the vendor has more rows there than it hands out.',
  },
  SRC_RATE_LIMITED: {
    retry: 'after',
    text: 'the vendor asked us to wait',
    cure: 'Nothing, when it is rare. Else lower `quota.*`, or find out who else uses the account.',
  },
  SRC_NOT_READY: {
    retry: 'after',
    text: 'the vendor is still preparing the answer',
    cure: 'Nothing, when it passes. Else ask the vendor about the export.',
  },
  SRC_UNAUTHORISED: {
    retry: 'refresh',
    text: 'the vendor refused our credentials',
    cure: 'Renew or correct the credentials in the config and restart the process; with 403, give the account the permission that the stream needs.',
  },
  SRC_REFUSED: {
    retry: 'restart',
    text: 'the vendor refused the request (4xx)',
    cure: 'Check the ids and the `base.url` of the connector, and what the message quotes of the vendor.',
  },
  SRC_FOREIGN_HOST: {
    retry: 'restart',
    text: 'the vendor sent us to another host',
    cure: 'If the vendor has moved, set `base.url` to the new address. Credentials are never sent to a host that the config does not name.',
  },
  SRC_RESUME_EXPIRED: {
    retry: 'reopen',
    text: 'the vendor no longer knows the place where we left off',
    cure: 'Nothing: rows that were published already are recognised. If it comes again and again, lower the load on the connector, so that a window is read in time.',
  },

  ROW_INVALID: {
    retry: 'reject',
    text: 'a row of the vendor could not be read',
    cure: 'Look at the row on the rejects topic; the header `__colloquy.path` names the field. If the vendor changed its rows, update Colloquy.',
  },
  ROW_UNMAPPABLE: {
    retry: 'reject',
    text: 'a row of the vendor could not be turned into records',
    cure: 'Look at the row on the rejects topic, and report it to the author of the connector.',
  },
  RECORD_TOO_LARGE: {
    retry: 'reject',
    text: "a record is larger than the topic's limit",
    cure: 'Raise `max.message.bytes` of the topic.',
  },
  RECORD_INVALID: {
    retry: 'reject',
    text: 'a record does not fit its schema',
    cure: 'Look at the row on the rejects topic, and report it to the author of the connector.',
  },

  KAFKA_UNREACHABLE: {
    retry: 'restart',
    text: 'Kafka did not answer',
    cure: 'Nothing, when it passes. Else check `kafka.brokers`, `kafka.ssl` and `kafka.sasl`, and that the advertised listeners of the brokers can be reached from here.',
  },
  KAFKA_OUTCOME_UNKNOWN: {
    retry: 'reread',
    text: 'Kafka did not say whether a transaction was committed',
    cure: 'Nothing: the stored cursor says what was committed, and reading goes on from there.',
  },
  KAFKA_FENCED: {
    retry: 'follow',
    text: 'another process has taken this source partition over',
    cure: 'Nothing: it is read by that process, and by this one again when that one is gone. One of the two is enough.',
  },
  KAFKA_ABORTED: {
    retry: 'reread',
    text: 'the transaction was aborted',
    cure: 'Nothing, when it passes. Else look at quotas and transaction time-outs of the brokers.',
  },
  KAFKA_REFUSED: {
    retry: 'restart',
    text: 'Kafka refused the request',
    cure: 'Do what the message says: mostly ACLs, log-in (`kafka.sasl`) or a limit of the brokers.',
  },
  TOPIC_MISMATCH: {
    retry: 'never',
    text: 'a topic exists with settings that would lose or spread data',
    cure: 'Alter the topic as the message says, or choose another `topics.prefix`.',
  },
  TOPIC_MISSING: {
    retry: 'never',
    text: 'a topic does not exist and topics.create is false',
    cure: 'Create the topic, or set `topics.create: true`.',
  },
  REGISTRY_UNREACHABLE: {
    retry: 'restart',
    text: 'the schema registry did not answer',
    cure: 'Nothing, when it passes. Else check `registry.url`, its path included.',
  },
  REGISTRY_INCOMPATIBLE: {
    retry: 'never',
    text: 'the registry refuses our schema as incompatible',
    cure: 'Find out who registered another schema under the subject; use another `topics.prefix`, or a registry of its own.',
  },
  CODEC_INVALID: {
    retry: 'never',
    text: 'bytes on a topic are not a record of ours',
    cure: 'Find out who else writes to the topic. For a state topic (`-connect-…`, `-aggregate-…`): run the version of Colloquy that wrote it, or a newer one.',
  },
  AGGREGATE_LOST: {
    retry: 'never',
    text: 'a part of the state of the aggregator is gone from its topics',
    cure: 'Stop all aggregators of the prefix, run `colloquy rebuild --config FILE`, and start them again.',
  },
  AGGREGATE_RUNNING: {
    retry: 'never',
    text: 'an aggregator of this prefix is running',
    cure: 'Stop all aggregators of the prefix and run the command again; one that was killed counts until its session has timed out (10 s).',
  },
  STATE_UNWRITABLE: {
    retry: 'state',
    text: 'state could not be written to the folder `state.dir`',
    cure: 'Give the process the right to write there, or free space on the disk. Nothing is lost: counting goes on, and the next start reads more from the topics.',
  },
  STATE_DAMAGED: {
    retry: 'state',
    text: 'a file in the folder `state.dir` is not what was written',
    cure: 'Nothing: the state is restored from the topics, and the file written anew. If it comes again, look at the disk.',
  },
  CURSOR_INVALID: {
    retry: 'never',
    text: 'the stored cursor cannot be read',
    cure: '`colloquy stop NAME --wait`, then `colloquy offsets NAME --from T` or `--reset` with the stream and scope that the line names, then `colloquy resume NAME`.',
  },

  STACK_FAILED: {
    retry: 'never',
    text: 'the local stack did not start',
    cure: 'Read what the message quotes of Kafka or the registry; free ports, memory or disk.',
  },
  STACK_TOOL_MISSING: {
    retry: 'never',
    text: 'a tool that the local stack needs is missing',
    cure: 'Install Java 17 or newer and Maven, or use Docker.',
  },
  PORT_TAKEN: {
    retry: 'never',
    text: 'the port is taken',
    cure: 'Stop what listens there, or choose another port; 0 takes a free one.',
  },

  CONTROL_UNREACHABLE: {
    retry: 'never',
    text: 'no worker answered',
    cure: 'Check the address (`--url`, or `http` of the file that `--config` names) and that a process with the worker role runs there.',
  },
  CONTROL_REFUSED: {
    retry: 'never',
    text: 'the worker refused the request',
    cure: 'Do what the message says; with 401, show the token of `http.token` with `--token`, `--config` or `COLLOQUY_HTTP_TOKEN`.',
  },

  QUERY_INVALID: {
    retry: 'never',
    text: 'a parameter of the request does not parse',
    cure: 'Correct the parameter that the message names.',
  },
  NOT_FOUND: { retry: 'never', text: 'there is no such thing', cure: 'Check the id or the path.' },
  STOPPED: { retry: 'never', exit: 0, text: 'stopped on request', cure: 'Nothing: somebody stopped the process.' },
  BUG: { retry: 'restart', text: 'a fault of ours', cure: 'Report it with its log line; the stack is in there.' },
} as const satisfies Record<string, Entry>

export type ErrorCode = keyof typeof ERRORS

/** What an error says beside its code: ids, numbers, places. Never a secret, message text, a name or an address. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | undefined>> & {
  /** One sentence for a person: what is wrong here and what cures it. */
  readonly hint?: string
  /** From `enrich`: the call that failed serves all rows, so that none of them is at fault. */
  readonly ofAllRows?: boolean
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

  /** What a person does about it, from the table. */
  get cure(): string {
    return ERRORS[this.code].cure
  }

  /** Exit code of a command that ends with this error. */
  get exitCode(): number {
    const entry: Entry = ERRORS[this.code]
    return entry.exit ?? 1
  }
}

/** Any thrown thing as a FlowError; what is not one already is a `BUG` that keeps its cause. */
export function asFlowError(thrown: unknown): FlowError {
  if (thrown instanceof FlowError) return thrown
  return new FlowError('BUG', { hint: thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown) }, thrown)
}

/** Where an error was thrown, without its message: that may hold what a vendor said. */
export function framesOf({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter(line => /^\s+at .+:\d+:\d+\)?$/.test(line))
    .map(line => line.trim())
    .join('\n')
}

/** What a plugin's or connector's code threw, for errors and logs: a fault of its own is reported by name and place, because its message may hold what the vendor said. */
export function asPluginError(thrown: unknown, call: string): FlowError {
  if (thrown instanceof FlowError) return thrown
  const name = thrown instanceof Error ? thrown.name : typeof thrown
  const place = thrown instanceof Error ? (framesOf(thrown).split('\n')[0] ?? '') : ''
  return new FlowError('BUG', { hint: `${name} in the connector's ${call}${place === '' ? '' : ` ${place}`}` }, thrown)
}

function messageOf(code: ErrorCode, details: ErrorDetails): string {
  const { hint, ...rest } = details
  const place = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
  return [ERRORS[code].text, hint, place && `(${place})`].filter(Boolean).join(': ').replace(': (', ' (')
}
