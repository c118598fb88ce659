/** The connector classes that a config may name. */
import type { Connector } from '../source/contract.ts'
import { builtInConnectors } from '../source/registry.ts'

export interface ConnectorClasses {
  /** By class, in order: the values of `connector.class`. */
  list(): Promise<readonly ConnectorClass[]>
  /** null: there is no such class. */
  find(className: string): Promise<Connector | null>
}

export interface ConnectorClass {
  readonly className: string
  readonly connector: Connector
}

/**
 * The built-in connectors, and those that the config file names. Never a path or a package given over REST: it would be imported, and run.
 *
 * @param ofFile By their name in `connector.class` or `plugins` of the file.
 */
export function connectorClasses(ofFile: ReadonlyMap<string, Connector> = new Map()): ConnectorClasses {
  const all = async () => {
    const byClass = new Map((await builtInConnectors()).map(connector => [connector.manifest.id, connector]))
    for (const [className, connector] of ofFile) byClass.set(className, connector)
    return byClass
  }
  return {
    list: async () =>
      [...(await all())]
        .map(([className, connector]) => ({ className, connector }))
        .toSorted((a, b) => (a.className < b.className ? -1 : 1)),
    find: async className => (await all()).get(className) ?? null,
  }
}
