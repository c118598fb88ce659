/**
 * The table of commands. Help, shell completion, `docs/commands.md` and the parsing of arguments all derive from it.
 *
 * It imports nothing heavy: `colloquy --help` must not wait for Kafka's client.
 */
import type { OptionSpec } from './args.ts'

export interface DocumentedOption extends OptionSpec {
  readonly help: string
  /** Name of the value in help, in capitals. FILE and DIR are completed as paths. Absent: the option takes none. */
  readonly value?: string
}

export interface CommandArgument {
  /** In commander's notation: `<NAME>` is required, `[NAME]` optional, `...` repeats. */
  readonly term: string
  readonly help: string
  /** Completions for shells; `classes` are the ids of connectors. */
  readonly of?: readonly string[] | 'classes' | 'commands'
}

export const COMMAND_GROUPS = ['Run', 'Look', 'Steer a running group', 'Try out', 'Write a connector'] as const

export interface CommandSpec {
  readonly group: (typeof COMMAND_GROUPS)[number]
  /** One line, for the list of commands. */
  readonly summary: string
  /** Additional help text. */
  readonly more?: string
  /** For parsing: the name of positional words in errors, and how many there may be. */
  readonly words: { readonly names: string; readonly least: number; readonly most: number }
  /** The same words, for help and completion. */
  readonly arguments: readonly CommandArgument[]
  readonly options: Readonly<Record<string, DocumentedOption>>
  /** The text after `colloquy `, and what it does. */
  readonly examples: readonly (readonly [call: string, does: string])[]
}

export const ROLES = ['worker', 'aggregator', 'server', 'alerter'] as const
export const REJECT_ACTIONS = ['list', 'show', 'redrive', 'discard'] as const
export const SHELLS = ['bash', 'zsh', 'fish'] as const

const NO_WORDS = { names: '', least: 0, most: 0 } as const
const CONFIG = { type: 'string', required: true, value: 'FILE', help: 'the config file' } as const
const PORT_RANGE = [0, 65_535] as const
const TIME = 'ISO 8601, or epoch milliseconds'

/** Options of every command that talks to a worker. */
export const CONTROL_OPTIONS = {
  url: { type: 'string', value: 'URL', help: 'address of a worker (default: http://127.0.0.1:8083)' },
  config: { type: 'string', value: 'FILE', help: 'take address and token from this config file' },
  token: { type: 'string', value: 'TOKEN', help: 'token of http.token; COLLOQUY_HTTP_TOKEN does the same' },
  json: { type: 'boolean', help: 'print JSON lines, in the form of the REST API' },
} as const satisfies Record<string, DocumentedOption>

const WAIT = { wait: { type: 'boolean', help: 'return when it is done (60 s at most)' } } as const
const NAMES = [{ term: '<NAME...>', help: 'names of connectors' }] as const
const ANY_NAMES = [{ term: '[NAME...]', help: 'names of connectors (default: all)' }] as const

export const COMMANDS = {
  run: {
    group: 'Run',
    summary: 'run the worker, aggregator, server and alerter until SIGTERM',
    more: 'Every process serves /healthz, /readyz and /metrics at http.host and http.port. SIGTERM ends it within 10 s.',
    words: NO_WORDS,
    arguments: [],
    options: {
      config: CONFIG,
      roles: { type: 'string', of: ROLES, list: true, value: 'ROLES', help: 'comma list of roles (default: all)' },
    },
    examples: [
      ['run --config colloquy.yaml', 'all roles in one process'],
      ['run --config colloquy.yaml --roles worker', 'one more worker of the group'],
    ],
  },
  check: {
    group: 'Run',
    summary: 'validate the config file, then reach Kafka, the registry and each vendor',
    more: 'Reads every stream of every vendor with its real credentials and writes nothing. One line a finding (ok, info, warning, fault): grouped text on a terminal, JSON lines elsewhere. Exits with 1 when there is a fault.',
    words: NO_WORDS,
    arguments: [],
    options: { config: CONFIG, json: { type: 'boolean', help: 'print JSON lines on a terminal, too' } },
    examples: [
      ['check --config colloquy.yaml', 'everything'],
      ['check --config colloquy.yaml | jq \'select(.finding == "fault")\'', 'only the faults'],
    ],
  },
  rebuild: {
    group: 'Run',
    summary: 'count the series again from the topics; no aggregator may run',
    words: NO_WORDS,
    arguments: [],
    options: { config: CONFIG, from: { type: 'string', value: 'TIME', help: `leave earlier series as they are; ${TIME}` } },
    examples: [['rebuild --config colloquy.yaml --from 2026-11-01T00:00:00Z', 'everything since November']],
  },
  peek: {
    group: 'Look',
    summary: 'print the newest records of a connector; needs no Kafka, writes nothing',
    words: { names: 'CONNECTOR', least: 1, most: 1 },
    arguments: [{ term: '<CONNECTOR>', help: 'name of a connector in the config file' }],
    options: { config: CONFIG, limit: { type: 'int', range: [1, 1_000_000], value: 'N', help: 'so many records (default: 20)' } },
    examples: [
      ['peek acme-chat --config colloquy.yaml', 'the newest 20 records'],
      ['peek acme-chat --config colloquy.yaml --limit 200 | jq \'select(.kind == "reject")\'', 'only rows that cannot be mapped'],
    ],
  },
  plugins: {
    group: 'Look',
    summary: 'list the connector classes, or show one with the JSON Schema of its config',
    words: { names: 'ID', least: 0, most: 1 },
    arguments: [{ term: '[ID]', help: 'id, npm package or path of a connector', of: 'classes' }],
    options: { config: { type: 'string', value: 'FILE', help: 'also the connectors of its list `plugins`' } },
    examples: [
      ['plugins', 'a line each'],
      ['plugins ./my-vendor', 'whether a connector of yours loads, and its keys'],
    ],
  },
  rejects: {
    group: 'Look',
    summary: 'dead letters: list them, show, redrive or discard some',
    more: 'An ID is PARTITION:OFFSET, as the list shows it. `redrive` maps the rows again with the current code and config; without IDs all that the options choose. What is mapped or discarded is no longer listed.',
    words: { names: REJECT_ACTIONS.join(' | '), least: 1, most: Infinity },
    arguments: [
      { term: '<ACTION>', help: 'list, show, redrive or discard', of: REJECT_ACTIONS },
      { term: '[ID...]', help: 'ids of rejects' },
    ],
    options: {
      config: CONFIG,
      connector: { type: 'string', value: 'NAME', help: 'only of this connector' },
      stream: { type: 'string', value: 'NAME', help: 'only of this stream' },
      reason: { type: 'string', value: 'CODE', help: 'only with this error code' },
      json: { type: 'boolean', help: 'print JSON lines' },
    },
    examples: [
      ['rejects list --config colloquy.yaml --reason ROW_INVALID', 'rows that could not be read'],
      ['rejects show 3:120 --config colloquy.yaml', 'the row, and why'],
      ['rejects redrive --config colloquy.yaml --connector acme-chat', 'all of one connector again'],
    ],
  },
  backtest: {
    group: 'Look',
    summary: 'show what the alert rules would have done; writes nothing',
    words: NO_WORDS,
    arguments: [],
    options: {
      config: CONFIG,
      rule: { type: 'string', value: 'NAME', help: 'only this rule (default: all)' },
      from: { type: 'string', value: 'TIME', help: `${TIME} (default: the beginning of the history)` },
      until: { type: 'string', value: 'TIME', help: `${TIME}, exclusive (default: its end)` },
      json: { type: 'boolean', help: 'print the alerts as JSON lines' },
    },
    examples: [['backtest --config colloquy.yaml --rule agent-transfer-spike', 'its alerts, and how many a channel-week']],
  },
  connectors: {
    group: 'Steer a running group',
    summary: 'connectors of a running group: class, state, tasks, worker',
    words: { names: 'NAME', least: 0, most: Infinity },
    arguments: ANY_NAMES,
    options: CONTROL_OPTIONS,
    examples: [
      ['connectors', 'of the worker on this machine'],
      ['connectors --url https://colloquy.example --token TOKEN', 'of a group elsewhere'],
    ],
  },
  status: {
    group: 'Steer a running group',
    summary: 'connectors and their tasks: state, worker, and why one failed',
    words: { names: 'NAME', least: 0, most: Infinity },
    arguments: ANY_NAMES,
    options: CONTROL_OPTIONS,
    examples: [['status acme-chat', 'its tasks']],
  },
  pause: {
    group: 'Steer a running group',
    summary: 'read no more until resumed; tasks stay where they are',
    words: { names: 'NAME', least: 1, most: Infinity },
    arguments: NAMES,
    options: { ...CONTROL_OPTIONS, ...WAIT },
    examples: [['pause acme-chat', 'until `colloquy resume acme-chat`']],
  },
  resume: {
    group: 'Steer a running group',
    summary: 'go on where it was paused or stopped',
    words: { names: 'NAME', least: 1, most: Infinity },
    arguments: NAMES,
    options: { ...CONTROL_OPTIONS, ...WAIT },
    examples: [['resume acme-chat --wait', 'and return when it runs']],
  },
  stop: {
    group: 'Steer a running group',
    summary: 'take the tasks away until resumed; offsets can be changed then',
    words: { names: 'NAME', least: 1, most: Infinity },
    arguments: NAMES,
    options: { ...CONTROL_OPTIONS, ...WAIT },
    examples: [['stop acme-chat --wait', 'before `colloquy offsets acme-chat --from TIME`']],
  },
  restart: {
    group: 'Steer a running group',
    summary: 'restart a connector with its tasks, what has failed, or one task',
    words: { names: 'NAME', least: 1, most: Infinity },
    arguments: NAMES,
    options: {
      ...CONTROL_OPTIONS,
      failed: { type: 'boolean', help: 'only what has failed' },
      task: { type: 'int', range: [0, 100_000], value: 'N', help: 'only this task' },
    },
    examples: [['restart acme-chat --failed', 'what has failed']],
  },
  offsets: {
    group: 'Steer a running group',
    summary: 'show the offsets of a connector, or set them back to a time or to the beginning',
    more: 'Stop the connector before its offsets are set back. Rows inside the lookback that did not change are not published again.',
    words: { names: 'NAME', least: 1, most: Infinity },
    arguments: [{ term: '<NAME>', help: 'name of a connector' }],
    options: {
      ...CONTROL_OPTIONS,
      stream: { type: 'string', value: 'NAME', help: 'only source partitions of this stream' },
      scope: { type: 'string', value: 'NAME', help: 'only source partitions of this scope' },
      from: { type: 'string', value: 'TIME', help: `set back to this time; ${TIME}` },
      reset: { type: 'boolean', help: 'forget the cursor: begin as a new connector does' },
      history: { type: 'boolean', help: 'the last changes: when, who, what' },
      'dry-run': { type: 'boolean', help: 'with --from or --reset: only say what would be read again' },
    },
    examples: [
      ['offsets acme-chat', 'those of each source partition'],
      ['offsets acme-chat --from 2026-11-20T00:00:00Z --dry-run', 'what going back would take'],
    ],
  },
  demo: {
    group: 'Try out',
    summary: 'the whole product on this machine, with simulators of all vendors',
    more: 'Starts Kafka and a schema registry (Java 17 and Maven, fetched once), the simulators and all roles on free ports. Ctrl-C stops everything.',
    words: NO_WORDS,
    arguments: [],
    options: {},
    examples: [['demo', 'a live table, and the addresses to open']],
  },
  simulate: {
    group: 'Try out',
    summary: 'vendor simulators, over the conversations of one seeded world',
    more: 'When all of them listen, one JSON line says by vendor what a connector needs in the config file.',
    words: { names: 'VENDOR', least: 0, most: Infinity },
    arguments: [
      { term: '[VENDOR...]', help: 'ids of connectors, or folders with a simulator.ts (default: all ids)', of: 'classes' },
    ],
    options: {
      port: {
        type: 'int',
        range: PORT_RANGE,
        value: 'N',
        help: 'the first port; each vendor takes the next (default: free ones)',
      },
      host: {
        type: 'string',
        value: 'HOST',
        help: 'name or address to listen on, also in the printed addresses (default: 127.0.0.1)',
      },
      seed: { type: 'int', value: 'N', help: 'which world (default: 1)' },
      sessions: { type: 'int', range: [0, 5_000_000], value: 'N', help: 'conversations of the last seven days (default: 2000)' },
      live: { type: 'int', range: [0, 60_000], value: 'PER_MINUTE', help: 'conversations that begin each minute (default: 0)' },
      faults: { type: 'int', range: [0, 90], value: 'PERCENT', help: 'so many of a hundred answers go wrong (default: 0)' },
    },
    examples: [
      ['simulate --port 9100 --live 60', 'all vendors, one conversation a second'],
      ['simulate --host simulators.example --port 9100', 'for other machines, which know this one by that name'],
    ],
  },
  stack: {
    group: 'Try out',
    summary: 'Kafka and a schema registry as local processes, in the foreground',
    more: 'When both answer, one JSON line with their addresses. Needs Java 17 or newer and Maven.',
    words: NO_WORDS,
    arguments: [],
    options: {
      'kafka-port': { type: 'int', range: PORT_RANGE, value: 'N', help: 'port of Kafka (default: a free one)' },
      'registry-port': { type: 'int', range: PORT_RANGE, value: 'N', help: 'port of the registry (default: a free one)' },
      data: { type: 'string', value: 'DIR', help: 'keep topics and schemas here (default: thrown away)' },
    },
    examples: [['stack --kafka-port 9092 --registry-port 8081 --data ./data', 'one that survives restarts']],
  },
  new: {
    group: 'Write a connector',
    summary: 'write a connector, its simulator and its test into a new folder',
    more: 'They are those of a small invented vendor, to be changed into yours, and pass the conformance suite as they are. In a checkout the folder is connectors/NAME, elsewhere ./NAME.',
    words: { names: 'NAME', least: 1, most: 1 },
    arguments: [{ term: '<NAME>', help: 'lower case letters and digits, with dashes between words' }],
    options: { into: { type: 'string', value: 'DIR', help: 'where the new folder is made' } },
    examples: [['new acme-chat', 'then `colloquy conformance acme-chat`, and `colloquy simulate acme-chat`']],
  },
  conformance: {
    group: 'Write a connector',
    summary: 'run the conformance suite over a connector that `colloquy new` wrote',
    more: 'Imports `subject.ts` of its folder and runs every check of it; that takes a minute or two. One line a check. Exits with 1 when a check fails.',
    words: { names: 'NAME', least: 1, most: 1 },
    arguments: [{ term: '<NAME>', help: 'folder of the connector; in a checkout also its name' }],
    options: {
      only: { type: 'string', value: 'TEXT', help: 'only checks whose names begin with it' },
      json: { type: 'boolean', help: 'print JSON lines' },
    },
    examples: [
      ['conformance ./acme-chat', 'every check'],
      ['conformance ./acme-chat --only topics:', 'what must hold on the topics'],
    ],
  },
  completion: {
    group: 'Try out',
    summary: 'print a script that completes commands and options in your shell',
    words: { names: 'SHELL', least: 1, most: 1 },
    arguments: [{ term: '<SHELL>', help: SHELLS.join(', '), of: SHELLS }],
    options: {},
    examples: [
      ['completion bash > ~/.local/share/bash-completion/completions/colloquy', 'bash'],
      ['completion zsh > "${fpath[1]}/_colloquy"', 'zsh'],
      ['completion fish > ~/.config/fish/completions/colloquy.fish', 'fish'],
    ],
  },
} as const satisfies Record<string, CommandSpec>

export type CommandName = keyof typeof COMMANDS

/** Rows of the table whose literal types do not matter. */
export const commandSpecs: readonly (readonly [CommandName, CommandSpec])[] = Object.entries(COMMANDS) as [
  CommandName,
  CommandSpec,
][]
