/**
 * Resolves a config on this machine, and decides what is shown of it: secrets never leave in clear text, and a class named over REST must be one of this
 * installation. The checks and their messages are in `validate.ts`.
 */
import { createHash } from 'node:crypto'
import { type ConnectorMap, resolveMap } from '../config.ts'
import { SECRET_KEY } from '../config-file.ts'
import { shown } from '../config-values.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { type ConnectorToRun, partitionsOf } from '../ingest/source-partition.ts'
import { hideSecret } from '../log.ts'
import { parseConnectorConfig, secretsByKey } from '../source/config.ts'
import type { Connector } from '../source/contract.ts'
import { builtInIds, findConnector, knownIds, type Plugins } from '../source/registry.ts'
import type { Config } from './port.ts'

/** What configs are resolved with on this machine. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder of the config file: base of relative paths. */
  readonly folder: string
  readonly plugins: Plugins['byId']
}

export type Resolved = {
  /** Changes with the config and the resolved values of its references on this machine. Never leaves this process. */
  readonly digest: string
} & (
  | { readonly ok: true; readonly connector: ConnectorToRun }
  | {
      readonly ok: false
      readonly error: FlowError
      /** For a person: code, sentence, fix; without values. */
      readonly why: string
      /** null: about the config as a whole. */
      readonly faults: readonly { readonly key: string | null; readonly message: string }[]
      /** Set where the class is known, even if the config is wrong. */
      readonly plugin: Connector | null
    }
)

/** Replaces a secret in answers; in requests it means the stored one. */
export const HIDDEN = '[hidden]'
/** A value that is one reference and nothing else. */
const REFERENCE = /^\s*\$\{(env|file):[^${}]+\}\s*$/
/** `https://user:password@host`. */
export const CREDENTIALS = /\/\/[^/\s@]*:[^/\s@]*@/

/**
 * The connector of a config, its references resolved on this machine.
 *
 * @param origin `rest`: the class must be a built-in id or in `plugins` of the file; nothing else is tried: a path would run any file of this machine.
 */
export async function resolveConnector(
  name: string,
  written: ConnectorMap,
  origin: 'file' | 'rest',
  { env, folder, plugins }: Surroundings,
): Promise<Resolved> {
  const failed = (error: FlowError, faults: readonly { key: string | null; message: string }[], plugin: Connector | null) => {
    const why = `${error.code}: ${error.message}\n${error.cure}`
    return { ok: false as const, error, why, faults, plugin, digest: digestOf([written, why]) }
  }
  const { map, faults: unresolved } = resolveMap(written, { env, folder })
  const wanted = map['connector.class']
  if (typeof wanted !== 'string' || wanted.trim() === '') {
    const message = 'is missing: it names the connector class; `colloquy plugins` lists them'
    return failed(invalid(name, `connector.class ${message}`), [{ key: 'connector.class', message }], null)
  }
  let plugin: Connector
  try {
    if (origin === 'rest') expectKnown(wanted, plugins)
    plugin = await findConnector(wanted, folder, plugins)
  } catch (thrown) {
    const error = asFlowError(thrown)
    return failed(error, [{ key: 'connector.class', message: error.message }], null)
  }
  const parsed = parseConnectorConfig(name, map, plugin)
  const prefix = `connectors.${name}`
  const faults = [
    ...[...unresolved].map(([key, message]) => ({ key, message })),
    ...(parsed.ok ? [] : parsed.faults)
      .map(({ path, message }) => ({ key: path === prefix ? null : path.slice(prefix.length + 1), message }))
      .filter(({ key }) => key === null || !unresolved.has(key)),
  ]
  if (parsed.ok) for (const secret of parsed.secrets) hideSecret(secret)
  if (parsed.ok && faults.length === 0) {
    const connector: ConnectorToRun = { name, connector: plugin, base: parsed.base, config: parsed.config }
    try {
      partitionsOf(plugin, parsed.base, parsed.config)
      return { ok: true, connector, digest: digestOf(map) }
    } catch (thrown) {
      const error = asFlowError(thrown)
      return failed(error, [{ key: null, message: error.message }], plugin)
    }
  }
  return failed(
    invalid(name, faults.map(({ key, message }) => [key, message].filter(Boolean).join(' ')).join('; ')),
    faults,
    plugin,
  )
}

function expectKnown(className: string, plugins: Plugins['byId']): void {
  if (!builtInIds().includes(className) && !plugins.has(className))
    throw new FlowError('PLUGIN_UNKNOWN', { connectorClass: shown(className), hint: knownIds(className, plugins) })
}

function invalid(connector: string, hint: string): FlowError {
  return new FlowError('CFG_INVALID', { connector, hint })
}

/** Keys of secrets whose value is not a reference. */
export function literalSecrets(map: ConnectorMap, connector: Connector | null): string[] {
  const isSecret = secretTest(connector)
  return Object.entries(map).flatMap(([key, value]) => (isSecret(key) && !isReference(value) ? [key] : []))
}

/** An unknown key counts as a secret if its name sounds like one: the key is rejected, but its value may be a secret. */
function secretTest(connector: Connector | null): (key: string) => boolean {
  const keys = connector === null ? new Map<string, boolean>() : secretsByKey(connector)
  return key => keys.get(key) ?? SECRET_KEY.test(key)
}

/** Whether it is a reference and nothing else: a secret stored on a topic must be one. */
export function isReference(value: ConnectorMap[string]): boolean {
  return [value].flat().every(each => typeof each === 'string' && REFERENCE.test(each))
}

/** Lists of rules are text separated by `;`, others by commas. */
const SEMICOLONS = new Set(['pii.rules', 'transfer.rules'])

/** The config as Kafka Connect shows it: text, with the name in it, and literal secrets as `[hidden]`. */
export function shownConfig(name: string, written: ConnectorMap, connector: Connector | null): Config {
  const hidden = new Set(literalSecrets(written, connector))
  const entries = Object.entries(written).map(([key, value]) => [key, hidden.has(key) ? HIDDEN : textOf(key, value)] as const)
  return { ...Object.fromEntries(entries), name }
}

function textOf(key: string, value: ConnectorMap[string]): string {
  const text = Array.isArray(value)
    ? (value as readonly unknown[])
        .map(each => (SEMICOLONS.has(key) ? String(each) : String(each).replaceAll(',', '\\,')))
        .join(SEMICOLONS.has(key) ? ';' : ',')
    : String(value)
  return text.replace(CREDENTIALS, `//${HIDDEN}@`)
}

/** The config with the stored value for each secret given as `[hidden]`. */
export function withStored(config: Config, stored: ConnectorMap | undefined, connector: Connector | null): Config {
  const isSecret = secretTest(connector)
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      const kept = value === HIDDEN && isSecret(key) ? stored?.[key] : undefined
      return [key, kept === undefined ? value : textOf(key, kept)]
    }),
  )
}

/** Digest of plain values, independent of key order. */
export function digestOf(value: unknown): string {
  const plain = JSON.stringify(value, (_, each: unknown) =>
    typeof each !== 'object' || each === null || Array.isArray(each)
      ? each
      : Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1))),
  )
  return createHash('sha256').update(plain).digest('hex').slice(0, 16)
}
