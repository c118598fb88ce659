/**
 * `colloquy rejects list | show ID | redrive [ID…] | discard ID…`: dead letters. What is mapped or discarded is closed and no longer listed.
 */
import { systemClock } from '../clock.ts'
import type { Fault } from '../config.ts'
import { closing, type DeadLetter, isWanted, readDeadLetters } from '../ingest/rejects.ts'
import { redrive } from '../ingest/redrive.ts'
import type { Kafka } from '../kafka/port.ts'
import { toolTransactionalId } from '../topics.ts'
import { didYouMean, readArgs } from './args.ts'
import { COMMANDS, REJECT_ACTIONS } from './commands.ts'
import { type Io, refuse } from './io.ts'
import { openKafka, openRegistry, readSetup, type Setup } from './setup.ts'
import { table } from './table.ts'

type Action = (typeof REJECT_ACTIONS)[number]
/** Least and most ids that each takes. */
const IDS: Record<Action, readonly [number, number]> = {
  list: [0, 0],
  show: [1, 1],
  redrive: [0, Infinity],
  discard: [1, Infinity],
}

export async function rejectsCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.rejects.options, COMMANDS.rejects.words)
  const [word, ...ids] = args.ok ? args.words : []
  const action = REJECT_ACTIONS.find(each => each === word)
  const faults = args.ok ? callFaults(word, action, ids) : args.faults
  if (!args.ok || action === undefined || faults.length > 0) return refuse(io.log, 'CALL_INVALID', faults)
  const read = await readSetup(args.values.config ?? '', io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)

  const { setup } = read
  const { connector, stream, reason, json } = args.values
  const kafka = openKafka(setup, io.log)
  try {
    const { names, config } = setup
    const all = await readDeadLetters(kafka, names.rejects, config.topics.partitions, io.signal)
    const open = all.filter(letter => isWanted(letter, { connector, stream, reason }))
    const unknown = ids.filter(id => !open.some(letter => letter.id === id))
    if (unknown.length > 0) {
      const message = 'is no open reject; `colloquy rejects list` shows those there are'
      return refuse(
        io.log,
        'CALL_INVALID',
        unknown.map(id => ({ path: id, message })),
      )
    }
    const chosen = ids.length === 0 ? open : open.filter(letter => ids.includes(letter.id))
    if (action === 'list') list(chosen, json, io)
    else if (action === 'show') for (const letter of chosen) show(letter, json, io)
    else if (action === 'discard') await discard(chosen, setup, kafka, json, io)
    else return await redriven(chosen, setup, kafka, json, io)
    return 0
  } finally {
    await kafka.close()
  }
}

function callFaults(word: string | undefined, action: Action | undefined, ids: readonly string[]): Fault[] {
  if (action === undefined) {
    const message = `is no action; there are ${REJECT_ACTIONS.join(', ')}${didYouMean(word ?? '', REJECT_ACTIONS)}`
    return [{ path: word ?? '', message }]
  }
  const [least, most] = IDS[action]
  if (ids.length < least)
    return [{ path: 'ID', message: `is missing: \`rejects ${action}\` takes the ids that \`rejects list\` shows` }]
  if (ids.length > most)
    return ids.slice(most).map(id => ({ path: id, message: `is one word too many for \`rejects ${action}\`` }))
  return ids
    .filter(id => !/^\d+:\d+$/.test(id))
    .map(id => ({ path: id, message: 'is no id of a reject, which is PARTITION:OFFSET such as 3:120' }))
}

function list(letters: readonly DeadLetter[], json: boolean, io: Io): void {
  if (json) for (const letter of letters) io.stdout(JSON.stringify(summaryOf(letter)))
  else for (const line of table(HEADS, rowsOf(letters))) io.stdout(line)
}

function summaryOf({ id, atMs, connector, stream, scope, reason, stage, path, message, key }: DeadLetter) {
  return { id, at: new Date(atMs).toISOString(), connector, stream, scope, reason, stage, path, message, row_id: key }
}

const COLUMNS = ['id', 'at', 'connector', 'stream', 'reason', 'path', 'message', 'row_id'] as const
const HEADS = COLUMNS.map(name => name.toUpperCase())

function rowsOf(letters: readonly DeadLetter[]): string[][] {
  return letters.map(letter => {
    const summary = summaryOf(letter)
    return COLUMNS.map(name => summary[name])
  })
}

function show(letter: DeadLetter, json: boolean, io: Io): void {
  const { cursor, row } = letter
  const whole = { ...summaryOf(letter), cursor: parsed(cursor), row: parsed(row) }
  io.stdout(json ? JSON.stringify(whole) : JSON.stringify(whole, null, 2))
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? null : (JSON.parse(text) as unknown)
  } catch {
    return text
  }
}

async function discard(letters: readonly DeadLetter[], setup: Setup, kafka: Kafka, json: boolean, io: Io): Promise<void> {
  const { names, config } = setup
  const writer = kafka.openWriter({ transactionalId: toolTransactionalId(config.topics.prefix, 'rejects') })
  try {
    await writer.fence()
    const partitions = Map.groupBy(letters, letter => letter.partition)
    await writer.transact(tx =>
      tx.write(
        [...partitions].map(([partition, of]) => ({
          topic: names.rejects,
          partition,
          records: of.map(letter => closing(letter, 'discarded')),
        })),
      ),
    )
  } finally {
    await writer.close()
  }
  for (const { id } of letters) io.stdout(json ? JSON.stringify({ id, outcome: 'discarded' }) : `${id}  discarded`)
}

async function redriven(letters: readonly DeadLetter[], setup: Setup, kafka: Kafka, json: boolean, io: Io): Promise<number> {
  const { names, config, connectors } = setup
  let left = 0
  const outcomes = redrive(letters, {
    kafka,
    registry: openRegistry(setup, io.log),
    names,
    partitions: config.topics.partitions,
    connectors,
    clock: systemClock,
    log: io.log,
    signal: io.signal,
    network: setup.network,
  })
  for await (const { id, outcome, reason, path, message } of outcomes) {
    if (outcome !== 'mapped') left += 1
    if (json) io.stdout(JSON.stringify({ id, outcome, ...(outcome === 'mapped' ? {} : { reason, path, message }) }))
    else
      io.stdout(
        outcome === 'mapped' ? `${id}  mapped` : `${id}  ${outcome}: ${[reason, path, message].filter(Boolean).join(': ')}`,
      )
  }
  return left === 0 ? 0 : 1
}
