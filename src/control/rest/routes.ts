/**
 * Kafka Connect's REST API, one entry per route: path, who answers, status and shape. Messages are Kafka Connect's where it has some, because its tools compare
 * them.
 */
import { LEVEL_WORDS, type LevelWord, type LoggerLevel, type LogLevels } from '../../log.ts'
import type { ConnectorClasses } from '../classes.ts'
import { ControlError, type Herder, type OffsetEntry, type TargetState } from '../port.ts'
import type { Resolve } from '../validate.ts'
import { definitionsOf, pluginsOf, validateFor } from '../validate.ts'
import { type OffsetChanges, readConfig, readForValidation, readLevel, readNewConnector, readOffsets, readPatch } from './body.ts'

/** The part of a request that routes use. */
export interface Ask {
  readonly herder: Herder
  /** Decoded once. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  /** The raw body; empty if there is none. */
  readonly text: string
  /** Who asks, for the history of changes. */
  readonly by: string
}

export interface Answer {
  readonly status: number
  readonly body?: unknown
  readonly location?: string
}

export type Query = Readonly<Record<string, string | readonly string[] | undefined>>
type AnsweredBy = 'anyone' | 'leader'

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  /** `anyone`: the worker that receives it. `leader`: forwarded to the leader, the only one that changes what is stored. */
  readonly answeredBy: AnsweredBy | ((query: Query) => AnsweredBy)
  readonly answer: (ask: Ask) => Answer | Promise<Answer>
}

export interface Means {
  readonly classes: ConnectorClasses
  readonly levels: LogLevels
  readonly resolve: Resolve
  /** Our own version. */
  readonly version: string
}

const ok = (body: unknown): Answer => ({ status: 200, body })

export function routes(means: Means): readonly Route[] {
  return [...connectors, ...lifecycle, ...offsets, ...internal, ...plugins(means), ...loggers(means)]
}

const connectors: readonly Route[] = [
  {
    method: 'GET',
    path: '/connectors',
    answeredBy: 'anyone',
    answer: ({ herder, query }) => ok(query['expand'] === undefined ? herder.names() : expanded(herder, all(query['expand']))),
  },
  {
    method: 'POST',
    path: '/connectors',
    answeredBy: 'leader',
    answer: async ({ herder, text }) => {
      const { name, config, target } = readNewConnector(text)
      if (herder.names().includes(name)) throw new ControlError(409, `Connector ${name} already exists`)
      return { status: 201, body: await herder.create(name, config, target), location: locationOf(name) }
    },
  },
  {
    method: 'GET',
    path: '/connectors/:connector',
    answeredBy: 'anyone',
    answer: ({ herder, params }) => ok(herder.info(known(herder, params))),
  },
  {
    method: 'GET',
    path: '/connectors/:connector/config',
    answeredBy: 'anyone',
    answer: ({ herder, params }) => ok(herder.info(known(herder, params)).config),
  },
  {
    method: 'PUT',
    path: '/connectors/:connector/config',
    answeredBy: 'leader',
    answer: async ({ herder, params, text }) => {
      const name = nameIn(params)
      const { isNew, info } = await herder.put(name, readConfig(name, text))
      return isNew ? { status: 201, body: info, location: locationOf(name) } : ok(info)
    },
  },
  {
    method: 'PATCH',
    path: '/connectors/:connector/config',
    answeredBy: 'leader',
    answer: async ({ herder, params, text }) => {
      const name = known(herder, params)
      return ok(await herder.patch(name, readPatch(name, text)))
    },
  },
  {
    method: 'DELETE',
    path: '/connectors/:connector',
    answeredBy: 'leader',
    answer: async ({ herder, params }) => {
      await herder.remove(known(herder, params))
      return { status: 204 }
    },
  },
  {
    method: 'GET',
    path: '/connectors/:connector/tasks',
    answeredBy: 'anyone',
    answer: ({ herder, params }) => ok(herder.taskConfigs(known(herder, params))),
  },
  {
    method: 'GET',
    path: '/connectors/:connector/status',
    answeredBy: 'anyone',
    answer: ({ herder, params }) => ok(herder.status(known(herder, params, name => `No status found for connector ${name}`))),
  },
  {
    method: 'GET',
    path: '/connectors/:connector/tasks/:task/status',
    answeredBy: 'anyone',
    answer: ({ herder, params }) => {
      const name = nameIn(params)
      const task = taskIn(params)
      const missing = () => `No status found for task ${name}-${task}`
      const found = herder.status(known(herder, params, missing)).tasks.find(({ id }) => id === task)
      if (found === undefined) throw new ControlError(404, missing())
      return ok(found)
    },
  },
  {
    method: 'GET',
    path: '/connectors/:connector/topics',
    answeredBy: 'anyone',
    // Kafka Connect does not check whether the connector exists.
    answer: ({ herder, params }) => {
      const name = nameIn(params)
      return ok({ [name]: { topics: herder.names().includes(name) ? herder.topics(name) : [] } })
    },
  },
  {
    method: 'PUT',
    path: '/connectors/:connector/topics/reset',
    answeredBy: 'leader',
    answer: async ({ herder, params }) => {
      const name = nameIn(params)
      if (herder.names().includes(name)) await herder.resetTopics(name)
      return { status: 202 }
    },
  },
]

const lifecycle: readonly Route[] = [
  ...(
    [
      ['pause', 'PAUSED', 202],
      ['resume', 'RUNNING', 202],
      ['stop', 'STOPPED', 204],
    ] as const
  ).map(
    ([word, target, status]: readonly [string, TargetState, number]): Route => ({
      method: 'PUT',
      path: `/connectors/:connector/${word}`,
      answeredBy: 'leader',
      answer: async ({ herder, params }) => {
        await herder.setTarget(
          known(herder, params, name => `Unknown connector ${name}`),
          target,
        )
        return { status }
      },
    }),
  ),
  {
    method: 'POST',
    path: '/connectors/:connector/restart',
    answeredBy: 'leader',
    answer: async ({ herder, params, query }) => {
      const how = { includeTasks: isTrue(query['includeTasks']), onlyFailed: isTrue(query['onlyFailed']) }
      const state = await herder.restart(
        known(herder, params, name => `Unknown connector: ${name}`),
        how,
      )
      return how.includeTasks || how.onlyFailed ? { status: 202, body: state } : { status: 204 }
    },
  },
  {
    method: 'POST',
    path: '/connectors/:connector/tasks/:task/restart',
    answeredBy: 'leader',
    answer: async ({ herder, params }) => {
      const connector = known(herder, params, name => `Unknown connector: ${name}`)
      const task = taskIn(params)
      if (!herder.info(connector).tasks.some(each => each.task === task))
        throw new ControlError(404, `Unknown task: ${connector}-${task}`)
      await herder.restartTask({ connector, task })
      return { status: 204 }
    },
  },
]

const offsets: readonly Route[] = [
  {
    method: 'GET',
    path: '/connectors/:connector/offsets',
    answeredBy: 'anyone',
    answer: async ({ herder, params }) => ok({ offsets: await herder.offsets(known(herder, params)) }),
  },
  {
    method: 'PATCH',
    path: '/connectors/:connector/offsets',
    answeredBy: 'leader',
    answer: async ask => {
      const name = known(ask.herder, ask.params)
      return alter(ask, name, await entriesOf(ask.herder, name, readOffsets(ask.text)))
    },
  },
  {
    method: 'DELETE',
    path: '/connectors/:connector/offsets',
    answeredBy: 'leader',
    answer: ask => alter(ask, known(ask.herder, ask.params), null),
  },
  {
    // Beyond Kafka Connect.
    method: 'GET',
    path: '/connectors/:connector/offsets/history',
    answeredBy: 'anyone',
    answer: async ({ herder, params }) => ok({ changes: await herder.offsetHistory(known(herder, params)) }),
  },
]

async function alter({ herder, query, by }: Ask, name: string, changes: readonly OffsetEntry[] | null): Promise<Answer> {
  const dryRun = isTrue(query['dryRun'])
  const plans = await herder.alterOffsets(name, changes, { dryRun, by })
  const done = changes === null ? 'reset' : 'altered'
  const message = dryRun
    ? `Nothing has been changed: the offsets for this connector can be ${done}`
    : `The offsets for this connector have been ${done} successfully`
  return ok({ message, plans })
}

/** One entry for each source partition if all are set back to a time. */
async function entriesOf(herder: Herder, name: string, changes: OffsetChanges): Promise<readonly OffsetEntry[]> {
  if (!('from' in changes)) return changes
  return (await herder.offsets(name)).map(({ partition }) => ({ partition, offset: { from: changes.from } }))
}

/** Signed requests between Kafka Connect's workers. Ours use the group for that. */
const internal: readonly Route[] = [
  { method: 'POST', path: '/connectors/:connector/tasks', answeredBy: 'anyone', answer: refuseInternal },
  { method: 'PUT', path: '/connectors/:connector/fence', answeredBy: 'anyone', answer: refuseInternal },
]

function refuseInternal(): never {
  throw new ControlError(400, 'Internal request missing required signature')
}

function plugins({ classes, resolve, version }: Means): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/connector-plugins',
      answeredBy: 'anyone',
      answer: async () => ok(await pluginsOf(classes, version)),
    },
    {
      method: 'GET',
      path: '/connector-plugins/:plugin/config',
      answeredBy: 'anyone',
      answer: async ({ params }) => ok(await definitionsOf(classes, params['plugin'] ?? '')),
    },
    {
      method: 'PUT',
      path: '/connector-plugins/:plugin/config/validate',
      answeredBy: 'anyone',
      answer: async ({ herder, params, text }) => {
        const config = readForValidation(text)
        const { name = null } = config
        const stored = name !== null && herder.names().includes(name) ? herder.info(name).config : null
        return ok(await validateFor(params['plugin'] ?? '', config, { classes, resolve, stored }))
      },
    },
  ]
}

function loggers({ levels }: Means): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/admin/loggers',
      answeredBy: 'anyone',
      answer: () => ok(Object.fromEntries(levels.list().map(([logger, level]) => [logger, shownLevel(level)]))),
    },
    {
      method: 'GET',
      path: '/admin/loggers/:logger',
      answeredBy: 'anyone',
      answer: ({ params }) => {
        const logger = params['logger'] ?? ''
        const found = levels.get(logger)
        if (found === null) throw new ControlError(404, `Logger ${logger} not found.`)
        return ok(shownLevel(found))
      },
    },
    {
      method: 'PUT',
      path: '/admin/loggers/:logger',
      answeredBy: query => (isForCluster(query) ? 'leader' : 'anyone'),
      answer: async ({ herder, params, query, text }) => {
        const logger = params['logger'] ?? ''
        const level = levelIn(text)
        if (!isForCluster(query)) return ok(levels.set(logger, level))
        await herder.setClusterLevel(logger, level)
        return { status: 204 }
      },
    },
  ]
}

const shownLevel = ({ level, changedAtMs }: LoggerLevel): object => ({ level, last_modified: changedAtMs })

/** Any other scope, and none, means this worker only. */
const isForCluster = (query: Query): boolean => all(query['scope'])[0]?.toLowerCase() === 'cluster'

function levelIn(text: string): LevelWord {
  const given = readLevel(text)
  if (given === null) throw new ControlError(400, "Desired 'level' parameter was not specified in request.")
  const word = given.trim().toUpperCase()
  if (!Object.hasOwn(LEVEL_WORDS, word)) throw new ControlError(404, `invalid log level '${given.slice(0, 100)}'.`)
  return word as LevelWord
}

function expanded(herder: Herder, kinds: readonly string[]): object {
  return Object.fromEntries(
    herder.names().flatMap(name => {
      try {
        const info = kinds.includes('info') ? { info: herder.info(name) } : {}
        const status = kinds.includes('status') ? { status: herder.status(name) } : {}
        return [[name, { ...info, ...status }]]
      } catch (error) {
        // Its status is not known yet, or it has just been removed: tools expect all requested parts, or nothing.
        if (error instanceof ControlError && error.status === 404) return []
        throw error
      }
    }),
  )
}

/** The name of the connector that the request is about. @throws ControlError 404, where there is none */
function known(
  herder: Herder,
  params: Ask['params'],
  missing: (name: string) => string = name => `Connector ${name} not found`,
): string {
  const name = nameIn(params)
  if (!herder.names().includes(name)) throw new ControlError(404, missing(name))
  return name
}

const nameIn = (params: Ask['params']): string => params['connector'] ?? ''

function taskIn(params: Ask['params']): number {
  const text = params['task'] ?? ''
  if (!/^\d{1,9}$/.test(text)) throw new ControlError(404, 'a task is a number')
  return Number(text)
}

const all = (value: string | readonly string[] | undefined): readonly string[] => (value === undefined ? [] : [value].flat())

const isTrue = (value: string | readonly string[] | undefined): boolean => all(value)[0]?.toLowerCase() === 'true'

const locationOf = (name: string): string => `/connectors/${encodeURIComponent(name)}`
