import { dirname, resolve } from 'node:path'
import { loadConfig } from '../config.ts'
import { FlowError } from '../errors.ts'
import { configJsonSchema } from '../source/config.ts'
import type { Connector } from '../source/contract.ts'
import { builtInConnectors, findConnector, loadPlugins } from '../source/registry.ts'
import { readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { type Io, refuse } from './io.ts'

/**
 * `colloquy plugins [ID] [--config FILE]`: a line for each connector, or one connector's manifest and the JSON Schema of its config. With a config file also
 * the connectors of its list `plugins`.
 */
export async function pluginsCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.plugins.options, COMMANDS.plugins.words)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const [id] = args.words
  const file = args.values.config
  const folder = file === undefined ? process.cwd() : dirname(resolve(file))
  const loaded = file === undefined ? null : loadConfig(file, io.env)
  // The rest of the file does not matter here.
  const others =
    loaded === null || loaded.ok ? [] : loaded.faults.filter(({ path }) => path === file || /^plugins(\.|$)/.test(path))
  const plugins = await loadPlugins(loaded?.plugins ?? [], folder)
  const faults = [...others, ...plugins.faults.map(({ index, error }) => ({ path: `plugins.${index}`, message: error.message }))]
  if (faults.length > 0) return refuse(io.log, 'CFG_INVALID', faults)
  if (id === undefined) {
    for (const { manifest } of [...(await builtInConnectors()), ...plugins.byId.values()])
      io.stdout(JSON.stringify({ id: manifest.id, title: manifest.title, api: manifest.apiVersion, docs: manifest.docs }))
    return 0
  }
  let connector: Connector
  try {
    connector = await findConnector(id, folder, plugins.byId)
  } catch (error) {
    if (error instanceof FlowError && error.exitCode === 2)
      return refuse(io.log, error.code, [{ path: id, message: error.message }])
    throw error
  }
  io.stdout(
    JSON.stringify(
      { manifest: connector.manifest, streams: Object.keys(connector.streams), config: configJsonSchema(connector) },
      null,
      2,
    ),
  )
  return 0
}
