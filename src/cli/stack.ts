/**
 * `colloquy stack`: Kafka and a schema registry as local processes, in the foreground. When both answer, one JSON line on stdout; on SIGINT or SIGTERM, or when
 * one of the two ends by itself, everything is stopped.
 */
import { aborted } from '../abort.ts'
import { FlowError } from '../errors.ts'
import { whenOrphaned } from '../stack/orphan.ts'
import { startStack } from '../stack/stack.ts'
import { readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { failed, type Io, refuse } from './io.ts'

export async function stackCommand(argv: string[], io: Pick<Io, 'stdout' | 'log' | 'signal' | 'env'>): Promise<number> {
  const args = readArgs(argv, COMMANDS.stack.options)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const { 'kafka-port': kafkaPort = 0, 'registry-port': registryPort = 0, data: dataDir } = args.values
  if (dataDir === '') return refuse(io.log, 'CALL_INVALID', [{ path: '--data', message: 'needs a folder' }])
  if (kafkaPort !== 0 && kafkaPort === registryPort) {
    return refuse(io.log, 'CALL_INVALID', [{ path: '--registry-port', message: `is the same as --kafka-port, ${kafkaPort}` }])
  }

  const orphaned = new AbortController()
  const stopLooking = whenOrphaned(io.env, () => orphaned.abort())
  const end = AbortSignal.any([io.signal, orphaned.signal])
  try {
    const stack = await startStack({
      kafkaPort,
      registryPort,
      ...(dataDir === undefined ? {} : { dataDir }),
      profile: 'demo',
      log: io.log,
      signal: end,
      env: io.env,
    })
    io.stdout(JSON.stringify({ brokers: stack.brokers, registry: stack.registry }))
    const outcome = await Promise.race([stack.failed, aborted(end)])
    await stack.stop()
    if (outcome instanceof FlowError) return failed(io.log, outcome)
    return 0
  } catch (thrown) {
    return failed(io.log, thrown)
  } finally {
    stopLooking()
  }
}
