/**
 * `colloquy connectors | status | pause | resume | stop | restart | offsets`: a client of the REST API that every worker serves (Kafka Connect's). Any worker
 * answers for the whole group.
 */
import { z } from 'zod'
import { systemClock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { errorFields } from '../log.ts'
import { type Parsed, readArgs } from './args.ts'
import { COMMANDS, type CommandSpec, type CONTROL_OPTIONS } from './commands.ts'
import { type ControlClient, openControl, readAddress } from './control-client.ts'
import { type Command, type Io, refuse } from './io.ts'
import { oneLine, table } from './table.ts'
import { notATime, timeOf } from './times.ts'

const Part = z.looseObject({ state: z.string(), worker_id: z.string(), trace: z.string().optional() })
const Status = z.looseObject({
  name: z.string(),
  connector: Part,
  tasks: z.array(z.looseObject({ ...Part.shape, id: z.number() })),
})
type Status = z.output<typeof Status>
const Info = z.looseObject({ name: z.string(), config: z.record(z.string(), z.unknown()) })
const Names = z.array(z.string())
const Expanded = z.record(z.string(), z.looseObject({ info: Info, status: Status }))
const Primitives = z.record(z.string(), z.unknown())
const Offsets = z.looseObject({ offsets: z.array(z.looseObject({ partition: Primitives, offset: Primitives.nullable() })) })
type Offset = z.output<typeof Offsets>['offsets'][number]
const Plan = z.looseObject({
  partition: Primitives,
  rereads: z.looseObject({ from: z.string(), until: z.string() }).nullable(),
  requests: z.number().nullable(),
  seconds: z.number().nullable(),
})
type Plan = z.output<typeof Plan>
const Altered = z.looseObject({ message: z.string(), plans: z.array(Plan).optional() })
const History = z.looseObject({ changes: z.array(z.looseObject({ at: z.string(), by: z.string(), plans: z.array(Plan) })) })

/** Context of a command after its call is parsed. */
interface Call<O> {
  readonly client: ControlClient
  readonly names: readonly string[]
  readonly options: O
  readonly print: Print
  readonly io: Io
}

interface Print {
  readonly json: boolean
  /** A line for machines. */
  line(value: object): void
  /** Lines for people. */
  text(...lines: string[]): void
}

type ControlName = 'connectors' | 'status' | 'pause' | 'resume' | 'stop' | 'restart' | 'offsets'
type Options<K extends ControlName> = Parsed<(typeof COMMANDS)[K]['options']>

/** A command: parses the call, opens the client, and does the work. */
function command<K extends ControlName>(
  name: K,
  work: (call: Call<Options<K>>) => Promise<number>,
  faultsOf: (options: Options<K>, names: readonly string[]) => readonly { path: string; message: string }[] = () => [],
): Command {
  const spec: CommandSpec = COMMANDS[name]
  return async (argv, io) => {
    const args = readArgs(argv, spec.options, spec.words)
    if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
    const options = args.values as Options<K> & Parsed<typeof CONTROL_OPTIONS>
    const names = [...new Set(args.words)]
    const noNames = names.filter(name => /^\.{0,2}$/.test(name)).map(path => ({ path, message: 'is not a connector name' }))
    const faults = [...noNames, ...faultsOf(options, names)]
    if (faults.length > 0) return refuse(io.log, 'CALL_INVALID', faults)
    const read = readAddress(options, io)
    if (!read.ok) return refuse(io.log, read.code, read.faults)
    const client = openControl(read.address, io)
    const print: Print = {
      json: options.json,
      line: value => options.json && io.stdout(JSON.stringify(value)),
      text: (...lines) => options.json || lines.forEach(line => io.stdout(line)),
    }
    try {
      return await work({ client, names, options, print, io })
    } finally {
      await client.close()
    }
  }
}

/** Each of the named connectors in turn; an error with one does not stop the others. */
async function forEach({ names, io }: Call<unknown>, work: (name: string) => Promise<void>): Promise<number> {
  let failures = 0
  for (const name of names) {
    try {
      await work(name)
    } catch (thrown) {
      const error = asFlowError(thrown)
      // Without a worker that answers, the others would fail like this one.
      if (!['NOT_FOUND', 'CONTROL_REFUSED'].includes(error.code)) throw error
      failures += 1
      io.log.error({ connector: name, ...errorFields(error) }, error.message)
    }
  }
  return failures === 0 ? 0 : 1
}

const pathOf = (name: string, rest = '') => `/connectors/${encodeURIComponent(name)}${rest}`

async function get<T extends z.ZodType>(client: ControlClient, path: string, form: T): Promise<z.output<T>> {
  return formed(await client.ask('GET', path), form)
}

function formed<T extends z.ZodType>(answer: unknown, form: T): z.output<T> {
  const parsed = form.safeParse(answer)
  if (parsed.success) return parsed.data
  throw new FlowError('CONTROL_REFUSED', {
    hint: "the answer does not have the form of Kafka Connect's: is this the address of a worker?",
  })
}

/** All connectors, or those that are named; a missing one is reported. */
async function chosen(
  call: Call<unknown>,
  show: (name: string, entry: z.output<typeof Expanded>[string] | null) => Promise<void> | void,
): Promise<number> {
  const { client, names } = call
  const known = await get(client, '/connectors', Names)
  const expanded = await get(client, '/connectors?expand=info&expand=status', Expanded)
  const wanted = names.length === 0 ? known.toSorted() : names
  return forEach({ ...call, names: wanted }, async name => {
    if (!known.includes(name)) throw new FlowError('NOT_FOUND', { hint: `there is no connector ${oneLine(name)}` })
    // Connect leaves out connectors whose status is not known yet.
    await show(name, Object.hasOwn(expanded, name) ? (expanded[name] ?? null) : null)
  })
}

export const connectorsCommand: Command = command('connectors', async call => {
  const { client, print } = call
  const rows: string[][] = []
  const code = await chosen(call, async (name, entry) => {
    const status = entry?.status ?? null
    const info = entry?.info ?? (await get(client, pathOf(name), Info))
    print.line({ name, info, status })
    const kind = info.config['connector.class']
    rows.push([
      name,
      typeof kind === 'string' ? kind : '-',
      status?.connector.state ?? '-',
      status === null ? '-' : tasksText(status),
      status?.connector.worker_id ?? '-',
    ])
  })
  print.text(...table(['CONNECTOR', 'CLASS', 'STATE', 'TASKS', 'WORKER'], rows))
  return code
})

/** Such as `2/3 running, 1 failed`. */
function tasksText({ tasks }: Status): string {
  const states = Map.groupBy(tasks, ({ state }) => state)
  const running = states.get('RUNNING')?.length ?? 0
  const others = [...states]
    .filter(([state]) => state !== 'RUNNING')
    .map(([state, those]) => `${those.length} ${state.toLowerCase()}`)
  return [`${running}/${tasks.length} running`, ...others].join(', ')
}

export const statusCommand: Command = command('status', async call => {
  const { print } = call
  const rows: string[][] = []
  const code = await chosen(call, (name, entry) => {
    const status = entry?.status ?? null
    print.line(status ?? { name, connector: null, tasks: [] })
    if (status === null) {
      rows.push([name, '-', '-', '-', 'no status yet'])
      return
    }
    const row = (task: string, { state, worker_id: worker, trace = '' }: z.output<typeof Part>) =>
      rows.push([name, task, state, worker, trace.trim().split('\n')[0] ?? ''])
    row('-', status.connector)
    for (const task of status.tasks) row(String(task.id), task)
  })
  print.text(...table(['CONNECTOR', 'TASK', 'STATE', 'WORKER', 'REASON'], rows, { widest: WIDEST_REASON }))
  return code
})

const WIDEST_REASON = 200

/** pause, resume and stop: sent for each connector, carried out by the group soon afterwards; with `--wait`, done when the command ends. */
function target(action: 'pause' | 'resume' | 'stop', words: string, state: string): Command {
  return command(action, call => {
    const { client, options, print } = call
    return forEach(call, async name => {
      await client.ask('PUT', pathOf(name, `/${action}`))
      if (options.wait) await untilAll(call, name, state)
      print.line({ connector: name, action, ...(options.wait ? { state } : {}) })
      print.text(`${oneLine(name)}  ${options.wait ? `is ${state.toLowerCase()}` : words}`)
    })
  })
}

const LOOK_MS = 500
const LONGEST_WAIT_MS = 60_000

/** Waits until connector and tasks are in the state; a stopped connector has no tasks. @throws FlowError CONTROL_REFUSED, with their actual states */
async function untilAll({ client, io }: Call<unknown>, name: string, state: string): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
    const { connector, tasks } = await get(client, pathOf(name, '/status'), Status)
    if (connector.state === state && tasks.every(task => task.state === state)) return
    if (waitedMs >= LONGEST_WAIT_MS) {
      const how = [connector.state, ...tasks.map(task => `task ${task.id} ${task.state}`)].join(', ')
      throw new FlowError('CONTROL_REFUSED', {
        hint: `${oneLine(name)} is not ${state} after ${LONGEST_WAIT_MS / 1000} s: ${how}`,
      })
    }
    await systemClock.sleep(LOOK_MS, io.signal)
    if (io.signal.aborted) throw new FlowError('STOPPED')
  }
}

export const pauseCommand: Command = target('pause', 'is being paused', 'PAUSED')
export const resumeCommand: Command = target('resume', 'is being resumed', 'RUNNING')
export const stopCommand: Command = target('stop', 'is being stopped', 'STOPPED')

/** With its tasks, since a connector of ours does nothing without them. */
export const restartCommand: Command = command(
  'restart',
  call => {
    const { client, options, print } = call
    return forEach(call, async name => {
      const { task, failed } = options
      if (task !== undefined) await client.ask('POST', pathOf(name, `/tasks/${task}/restart`))
      else await client.ask('POST', pathOf(name, `/restart?includeTasks=true&onlyFailed=${failed}`))
      print.line({ connector: name, action: 'restart', ...(task === undefined ? { onlyFailed: failed } : { task }) })
      const what = task === undefined ? (failed ? 'what has failed' : 'connector and tasks') : `task ${task}`
      print.text(`${oneLine(name)}  ${what} being restarted`)
    })
  },
  ({ failed, task }) => (failed && task !== undefined ? [{ path: '--failed', message: 'does not go with --task' }] : []),
)

type OffsetOptions = Options<'offsets'>

/** Offsets: show those of a connector, set them back to a time or to the beginning, and show who did so. */
export const offsetsCommand: Command = command(
  'offsets',
  call => {
    const { options } = call
    return forEach(call, name => {
      if (options.history) return showHistory(call, name)
      return options.from === undefined && !options.reset ? showOffsets(call, name) : alter(call, name)
    })
  },
  offsetFaults,
)

function offsetFaults(options: OffsetOptions, names: readonly string[]): { path: string; message: string }[] {
  const { from, reset, history, stream, scope } = options
  const faults: { path: string; message: string }[] = []
  const isChange = from !== undefined || reset
  if (names.length > 1)
    faults.push({ path: names.slice(1).join(' '), message: 'is one word too many: offsets takes one connector' })
  if (from !== undefined && Number.isNaN(timeOf(from))) faults.push({ path: '--from', message: notATime(from) })
  if (from !== undefined && reset) faults.push({ path: '--reset', message: 'does not go with --from' })
  if (history && isChange) faults.push({ path: '--history', message: 'does not go with --from or --reset' })
  if (history && (stream ?? scope) !== undefined)
    faults.push({ path: '--history', message: 'does not go with --stream or --scope' })
  if (options['dry-run'] && !isChange) faults.push({ path: '--dry-run', message: 'goes with --from or --reset' })
  return faults
}

/** The source partitions of the connector that the call means. @throws FlowError NOT_FOUND, with the existing ones */
async function chosenOffsets({ client, options }: Call<OffsetOptions>, name: string): Promise<Offset[]> {
  const { stream, scope } = options
  const { offsets } = await get(client, pathOf(name, '/offsets'), Offsets)
  const found = offsets.filter(
    ({ partition }) =>
      (stream === undefined || partition['stream'] === stream) && (scope === undefined || partition['scope'] === scope),
  )
  if (found.length > 0 || (stream ?? scope) === undefined) return found
  const there = offsets.map(({ partition }) => `${text(partition['stream'])}/${text(partition['scope'])}`).join(', ')
  throw new FlowError('NOT_FOUND', {
    hint: `${oneLine(name)} has no offset of such a stream and scope; there are ${there === '' ? 'none' : oneLine(there, WIDEST_REASON)}`,
  })
}

async function showOffsets(call: Call<OffsetOptions>, name: string): Promise<void> {
  const { print } = call
  const offsets = await chosenOffsets(call, name)
  for (const each of offsets) print.line({ connector: name, ...each })
  const keys = keysOf(offsets)
  const rows = offsets.map(({ partition, offset }) => [...keys.map(key => text(partition[key])), pairs(offset)])
  print.text(...table([...keys.map(key => key.toUpperCase()), 'OFFSET'], rows, { widest: WIDEST_REASON }))
}

async function alter(call: Call<OffsetOptions>, name: string): Promise<void> {
  const { client, options, print } = call
  const { from, stream, scope } = options
  const isDry = options['dry-run']
  const path = pathOf(name, `/offsets${isDry ? '?dryRun=true' : ''}`)
  const isWhole = from === undefined && (stream ?? scope) === undefined
  const offset = from === undefined ? null : { from: new Date(timeOf(from)).toISOString() }
  const offsets = isWhole ? [] : (await chosenOffsets(call, name)).map(({ partition }) => ({ partition, offset }))
  if (!isWhole && offsets.length === 0) throw new FlowError('NOT_FOUND', { hint: `${oneLine(name)} has no offsets yet` })
  const answer = await (isWhole ? client.ask('DELETE', path) : client.ask('PATCH', path, { offsets })).catch(
    (thrown: unknown) => {
      throw asFlowError(thrown).details['status'] === 400 ? withCure(asFlowError(thrown), name) : thrown
    },
  )
  const { message, plans = [] } = formed(answer, Altered)
  for (const plan of plans) print.line({ connector: name, dryRun: isDry, ...plan })
  if (plans.length === 0) print.line({ connector: name, dryRun: isDry, message })
  else print.text(...planTable(plans.map(plan => ({ plan, before: [] }))))
  print.text(isDry ? 'nothing was changed: this was a dry run' : oneLine(message, WIDEST_REASON))
}

/** The worker's error for a running connector, with the command that stops it. */
function withCure(error: FlowError, name: string): FlowError {
  const { hint = '', status } = error.details
  if (!hint.includes('STOPPED state')) return error
  return new FlowError(error.code, { status, hint: `${hint}; \`colloquy stop ${oneLine(name)} --wait\` does that` })
}

async function showHistory({ client, print }: Call<OffsetOptions>, name: string): Promise<void> {
  const { changes } = await get(client, pathOf(name, '/offsets/history'), History)
  for (const change of changes) print.line({ connector: name, ...change })
  const rows = changes.flatMap(({ at, by, plans }) => plans.map(plan => ({ plan, before: [at, by] })))
  print.text(...planTable(rows, ['AT', 'BY']))
}

/** @param heads Of the cells in `before`. */
function planTable(rows: readonly { plan: Plan; before: readonly string[] }[], heads: readonly string[] = []): string[] {
  const keys = keysOf(rows.map(({ plan }) => plan))
  const cells = rows.map(({ plan: { partition, rereads, requests, seconds }, before }) => [
    ...before,
    ...keys.map(key => text(partition[key])),
    rereads?.from ?? '-',
    rereads?.until ?? '-',
    requests === null ? '-' : String(requests),
    seconds === null ? '-' : String(Math.round(seconds)),
  ])
  return table([...heads, ...keys.map(key => key.toUpperCase()), 'READ AGAIN FROM', 'UNTIL', 'REQUESTS', 'SECONDS'], cells)
}

function keysOf(entries: readonly { readonly partition: Readonly<Record<string, unknown>> }[]): string[] {
  return [...new Set(entries.flatMap(({ partition }) => Object.keys(partition)))]
}

function text(value: unknown): string {
  return value === undefined || value === null ? '-' : typeof value === 'string' ? value : JSON.stringify(value)
}

function pairs(offset: Readonly<Record<string, unknown>> | null): string {
  if (offset === null) return '-'
  return Object.entries(offset)
    .map(([key, value]) => `${key}=${text(value)}`)
    .join(' ')
}
