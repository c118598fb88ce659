import { FlowError } from '../errors.ts'
import { configJsonSchema } from '../source/config.ts'
import type { Connector } from '../source/contract.ts'
import { builtInConnectors, findConnector } from '../source/registry.ts'
import { readArgs } from './args.ts'
import { type Io, refuse } from './io.ts'

/** `colloquy plugins [ID]`: a line a connector, or one connector's manifest and the JSON Schema of its config. */
export async function pluginsCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, {}, { names: 'ID', least: 0, most: 1 })
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const [id] = args.words
  if (id === undefined) {
    for (const { manifest } of await builtInConnectors())
      io.stdout(JSON.stringify({ id: manifest.id, title: manifest.title, api: manifest.apiVersion, docs: manifest.docs }))
    return 0
  }
  let connector: Connector
  try {
    connector = await findConnector(id, process.cwd())
  } catch (error) {
    if (error instanceof FlowError && error.code === 'PLUGIN_UNKNOWN')
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
