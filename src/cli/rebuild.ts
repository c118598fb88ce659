import { rebuild } from '../aggregate/rebuild.ts'
import { systemClock } from '../clock.ts'
import { readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { type Io, refuse } from './io.ts'
import { openKafka, openRegistry, prepareTopics, readSetup } from './setup.ts'
import { notATime, timeOf } from './times.ts'

/** `colloquy rebuild`: counts the series again from the topics. One JSON line for each partition number on stdout. */
export async function rebuildCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.rebuild.options)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const { config: file = '', from } = args.values
  const fromMs = from === undefined ? null : timeOf(from)
  if (fromMs !== null && !Number.isFinite(fromMs)) {
    return refuse(io.log, 'CALL_INVALID', [{ path: '--from', message: notATime(from ?? '') }])
  }
  const read = await readSetup(file, io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)
  const { config, names } = read.setup
  const kafka = openKafka(read.setup, io.log)
  try {
    await prepareTopics(read.setup, kafka)
    const rebuilt = rebuild({
      kafka,
      registry: openRegistry(read.setup, io.log),
      names,
      partitions: config.topics.partitions,
      groupId: config.aggregator.groupId,
      retention: config.aggregator.retention,
      includeTest: config.aggregator.includeTest,
      maxSeries: config.aggregator.maxSeries,
      fromMs,
      log: io.log,
      clock: systemClock,
      signal: io.signal,
    })
    for await (const result of rebuilt) io.stdout(JSON.stringify(result))
    return 0
  } finally {
    await kafka.close()
  }
}
