import { systemClock } from '../clock.ts'
import { peekConnector } from '../ingest/peek.ts'
import { didYouMean, readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { type Io, refuse } from './io.ts'
import { readConnectorsOnly } from './setup.ts'

const DEFAULT_LIMIT = 20

/** `colloquy peek CONNECTOR`: the newest records as JSON lines. Needs no Kafka, writes nothing, moves no cursor. */
export async function peekCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.peek.options, COMMANDS.peek.words)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const read = await readConnectorsOnly(args.values.config ?? '', io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)
  const [name = ''] = args.words
  const found = read.connectors.find(connector => connector.name === name)
  if (found === undefined) {
    const known = read.connectors.map(connector => connector.name)
    const message = `the file has no connector ${name}; there are: ${known.join(', ') || 'none'}${didYouMean(name, known)}`
    return refuse(io.log, 'CALL_INVALID', [{ path: 'CONNECTOR', message }])
  }
  const limit = args.values.limit ?? DEFAULT_LIMIT
  const { network } = read
  for await (const peeked of peekConnector({ ...found, limit, clock: systemClock, log: io.log, signal: io.signal, network }))
    io.stdout(JSON.stringify(peeked))
  return 0
}
