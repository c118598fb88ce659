import { systemClock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { peekConnector } from '../ingest/peek.ts'
import { createLog, errorFields } from '../log.ts'
import { readArgs } from './args.ts'
import { type Io, refuse } from './io.ts'
import { openKafka, openRegistry, readSetup } from './setup.ts'

const TIMEOUT_MS = 60_000

/**
 * `colloquy check`: the file first, then Kafka, the registry and every vendor with its real credentials. One line a finding on stdout, good or bad;
 * all are tried, also when one fails.
 */
export async function checkCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, { config: { type: 'string', required: true } })
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const read = await readSetup(args.values.config ?? '', io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)
  const { setup } = read
  io.stdout(JSON.stringify({ finding: 'ok', what: 'config', connectors: setup.connectors.map(({ name }) => name) }))

  const quiet = createLog('silent')
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(TIMEOUT_MS)])
  let faults = 0
  const find = async (what: string, ask: () => Promise<object>) => {
    try {
      io.stdout(JSON.stringify({ finding: 'ok', what, ...(await ask()) }))
    } catch (thrown) {
      faults += 1
      const error = asFlowError(thrown)
      io.stdout(JSON.stringify({ finding: 'fault', what, ...errorFields(error) }))
    }
  }

  const kafka = openKafka(setup, quiet)
  await find('kafka', () => kafka.describe())
  await kafka.close()
  await find('registry', async () => {
    await openRegistry(setup, quiet).ping()
    return { url: setup.config.registry.url }
  })
  for (const connector of setup.connectors)
    await find(`connectors.${connector.name}`, async () => {
      let records = 0
      for await (const peeked of peekConnector({ ...connector, limit: 1, clock: systemClock, log: quiet, signal })) {
        records += 1
        if (peeked.kind === 'reject')
          return { answers: true, newest: 'reject', reason: peeked.record.reason, path: peeked.record.path }
      }
      return { answers: true, records }
    })
  return faults === 0 ? 0 : 1
}
