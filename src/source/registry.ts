/** Finds connectors: the folders of `connectors/`, and npm packages or files that a config names. A connector is imported only when it is needed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire, isBuiltin, registerHooks } from 'node:module'
import { dirname, extname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { z } from 'zod'
import { nearestOf } from '../did-you-mean.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { isSecret } from './config.ts'
import type { Connector } from './contract.ts'
import { instead } from './watchdog.ts'

/** Next to `src` in a checkout, and next to the compiled `src` in the package. */
const BUILT_IN = fileURLToPath(new URL('../../connectors/', import.meta.url))

const limit = z.number().min(0).optional()
const fn = z.custom<(...args: never[]) => unknown>(value => typeof value === 'function', 'is not a function')

const Window = z.object({
  longestMs: z.union([z.number().positive(), z.literal(Infinity)]),
  smallestMs: z.number().positive().optional(),
  lagMs: z.number().min(0),
  lookbackMs: z.number().min(0),
  lookbackIntervalMs: z.number().positive().optional(),
  pollIntervalMs: z.number().positive().optional(),
  durableResume: z.boolean(),
})

const Shape = z.object({
  manifest: z.object({
    id: z.string().regex(/^[a-z][a-z0-9-]*$/, 'takes lower case letters, digits and dashes'),
    title: z.string().min(1),
    apiVersion: z.string().min(1),
    docs: z.url(),
    quota: z.object({
      perSecond: limit,
      perMinute: limit,
      perHour: limit,
      concurrency: limit,
      gapMs: limit,
      sharedBy: z.union([z.string(), z.object({ what: z.string().min(1), of: fn })]).optional(),
    }),
    pollIntervalMs: z.number().positive(),
    sessionStream: z.string().nullable(),
    optionalStreams: z.array(z.string()).optional(),
  }),
  // By its shape and not by its class: a package may bring its own zod.
  config: z.custom<z.ZodObject>(value => zodType(value) === 'object', 'is not a zod object'),
  http: fn,
  streams: z.record(
    z.string().regex(/^[\w-]+$/, 'takes letters, digits, dashes and underscores'),
    z.object({
      window: z.union([fn, Window]),
      feeds: z
        .array(z.enum(['session', 'message', 'event']))
        .min(1)
        .optional(),
      scopes: fn.optional(),
      row: z.custom(value => zodType(value) !== undefined, 'is not a zod schema'),
      read: fn,
      enrich: fn.optional(),
      enrichRows: z.int().min(1).optional(),
      follow: z.object({ isOpen: fn, read: fn, atOnce: z.int().min(1), longestMs: z.number().positive() }).optional(),
      changes: z.object({ read: fn, lagMs: z.number().min(0), joinMs: z.number().min(0).optional() }).optional(),
      timeOf: fn.optional(),
      requestsBeside: fn.optional(),
      derive: fn.optional(),
      formerId: fn.optional(),
      sharedId: fn.optional(),
      rowFor: fn.optional(),
      identify: fn,
      fingerprint: fn.optional(),
      normalise: fn,
    }),
  ),
})

function zodType(value: unknown): string | undefined {
  return (value as { _zod?: { def?: { type?: string } } } | null | undefined)?._zod?.def?.type
}

/** Connectors that the config file loads by `plugins`, by their own ids. */
export interface Plugins {
  readonly byId: ReadonlyMap<string, Connector>
  /** Errors of single entries. */
  readonly faults: readonly { readonly index: number; readonly error: FlowError }[]
}

/**
 * Loads each entry of `plugins`: a path or an npm package, as in `connector.class`. Its connector can then be named by its own id.
 *
 * @param from Folder of the config file.
 */
export async function loadPlugins(entries: readonly string[], from: string): Promise<Plugins> {
  const byId = new Map<string, Connector>()
  const faults: { index: number; error: FlowError }[] = []
  for (const [index, entry] of entries.entries()) {
    try {
      const connector = await findConnector(entry, from)
      const { id } = connector.manifest
      if (builtInFiles().has(id) || byId.has(id))
        throw new FlowError('PLUGIN_INVALID', {
          connectorClass: entry,
          hint: `its id ${id} is ${byId.has(id) ? 'that of another plugin' : 'built in'}: load only one connector for each id`,
        })
      byId.set(id, connector)
    } catch (thrown) {
      faults.push({ index, error: asFlowError(thrown) })
    }
  }
  return { byId, faults }
}

/**
 * The connector that `connector.class` names: a built-in id; the id of a plugin; a path (`./mine.ts`, absolute or relative to `from`); or an npm package,
 * resolved from `from`.
 *
 * @param from Folder of the config file.
 * @throws FlowError PLUGIN_UNKNOWN with the known ids; PLUGIN_INVALID with what is wrong in the connector.
 */
export async function findConnector(className: string, from: string, plugins?: Plugins['byId']): Promise<Connector> {
  const builtIn = builtInFiles().get(className)
  if (builtIn !== undefined) return load(builtIn, className)
  const plugin = plugins?.get(className)
  if (plugin !== undefined) return plugin
  const file =
    /^\.{0,2}[/\\]|^\.\.?$/.test(className) || isAbsolute(className) ? pathOf(className, from) : packageOf(className, from)
  if (file === null)
    throw new FlowError('PLUGIN_UNKNOWN', {
      connectorClass: className,
      hint: `${knownIds(className, plugins)}; an npm package must be installed next to the config file, a path begins with ./ or /`,
    })
  offerOwnPackages()
  return load(file, className)
}

/** The known ids, and the one that was probably meant. */
export function knownIds(className: string, plugins?: Plugins['byId']): string {
  const known = [...builtInFiles().keys(), ...(plugins?.keys() ?? [])]
  const nearest = nearestOf(className, known)
  return `${nearest === undefined ? '' : `did you mean ${nearest}? `}known are ${known.join(', ')}`
}

/** All of `connectors/`, ordered by id. */
export async function builtInConnectors(): Promise<Connector[]> {
  return Promise.all([...builtInFiles()].map(([id, file]) => load(file, id)))
}

/** Ids of the built-in connectors, without importing one. */
export function builtInIds(): string[] {
  return [...builtInFiles().keys()]
}

function builtInFiles(): Map<string, string> {
  const files = new Map<string, string>()
  if (!existsSync(BUILT_IN)) return files
  for (const id of readdirSync(BUILT_IN).toSorted()) {
    const file = indexOf(join(BUILT_IN, id))
    if (file !== null) files.set(id, file)
  }
  return files
}

function indexOf(folder: string): string | null {
  return ['index.ts', 'index.js'].map(name => join(folder, name)).find(file => existsSync(file)) ?? null
}

function pathOf(path: string, from: string): string | null {
  const file = resolve(from, path)
  if (!existsSync(file)) return null
  return indexOf(file) ?? file
}

function packageOf(name: string, from: string): string | null {
  // Only what can be a package name, with or without a path inside it: anything else could import any file.
  if (!/^(@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*(\/[\w./-]+)?$/i.test(name)) return null
  if (isBuiltin(name)) return null
  try {
    return createRequire(join(resolve(from), 'config.yaml')).resolve(name)
  } catch {
    return null
  }
}

async function load(file: string, className: string): Promise<Connector> {
  return checked(defaultOf(await imported(file, className)), className)
}

/**
 * The exports of a file next to a connector, such as its `simulator.ts`. The file may import `colloquy` and `zod` without having them installed.
 *
 * @param className The connector's name in the error.
 * @throws FlowError PLUGIN_INVALID with why it cannot be loaded.
 */
export async function loadBeside(file: string, className: string): Promise<Readonly<Record<string, unknown>>> {
  offerOwnPackages()
  return imported(file, className)
}

async function imported(file: string, className: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>
  } catch (thrown) {
    throw new FlowError(
      'PLUGIN_INVALID',
      { connectorClass: className, hint: `it cannot be loaded: ${whyNotLoaded(thrown, file)}` },
      thrown,
    )
  }
}

/** The default export, also of a module compiled to CommonJS. */
function defaultOf({ default: own }: Readonly<Record<string, unknown>>): unknown {
  const compiled = own as { __esModule?: unknown; default?: unknown } | null | undefined
  return compiled?.__esModule === true ? compiled.default : own
}

/** The error, and the missing package if that is the cause. */
function whyNotLoaded(thrown: unknown, file: string): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const { code } = thrown as NodeJS.ErrnoException
  const [, missing] = (code === 'ERR_MODULE_NOT_FOUND' && /^Cannot find package '([^']+)'/.exec(thrown.message)) || []
  if (missing !== undefined) return `${thrown.message}; install it next to the connector: npm install ${missing}`
  const manifest = thrown instanceof SyntaxError ? commonJsManifest(file) : null
  if (manifest === null) return thrown.message
  const ending = extname(file)
  return `${thrown.message}: ${manifest} says "type": "commonjs", and the file is an ES module; write "type": "module" there, or end the file's name in .m${ending.slice(1)}`
}

/** The package.json because of which Node treats the file as CommonJS; null: it does not. Without a "type" Node detects the format by itself. */
function commonJsManifest(file: string): string | null {
  if (!['.js', '.ts'].includes(extname(file))) return null
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json')
    if (existsSync(manifest)) {
      const { type } = JSON.parse(readFileSync(manifest, 'utf8')) as { type?: unknown }
      return type === 'commonjs' ? manifest : null
    }
    if (folder === dirname(folder)) return null
  }
}

const ENDING = extname(import.meta.url)

/** What external connectors may import without installing it; parts of our own package by their files, which a checkout has not built. */
const OWN_PACKAGES: ReadonlyMap<string, string> = new Map([
  ['colloquy', `./index${ENDING}`],
  ['colloquy/conformance', `../conformance/index${ENDING}`],
  ['colloquy/sim', `../sim/index${ENDING}`],
  ['zod', 'zod'],
])
let offersOwnPackages = false

/** A connector without `colloquy` or `zod` in its folder gets ours, so that a folder anywhere works. Its own copies come first. */
function offerOwnPackages(): void {
  if (offersOwnPackages) return
  offersOwnPackages = true
  registerHooks({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context)
      } catch (error) {
        const own = OWN_PACKAGES.get(specifier)
        if (own === undefined) throw error
        // By its address: `require` would look for a name next to the connector again.
        return { url: import.meta.resolve(own), shortCircuit: true }
      }
    },
  })
}

/** Earlier names of the contract, which are still read. */
const RENAMED = { tellsTransfers: 'detectsTransfers' }
const RENAMED_OF_STREAM = { expand: 'enrich', expandRows: 'enrichRows', gives: 'feeds' }

const deprecations = new WeakMap<Connector, readonly string[]>()

/** Deprecated names that the connector uses, each with its new name: `streams.sessions.expand is now enrich`. */
export function deprecationsOf(connector: Connector): readonly string[] {
  return deprecations.get(connector) ?? []
}

/** The object with the new names for those members that have only an earlier one. */
function renamed<T extends object>(part: T, names: Readonly<Record<string, string>>, found: (name: string) => void): T {
  const members = Object.entries(names).flatMap(([earlier, now]): [string, unknown][] => {
    const value: unknown = Reflect.get(part, earlier)
    if (value === undefined || Reflect.get(part, now) !== undefined) return []
    found(`${earlier} is now ${now}`)
    return [[now, typeof value === 'function' ? (value.bind(part) as unknown) : value]]
  })
  return members.length === 0 ? part : instead(part, Object.fromEntries(members) as Partial<T>)
}

function withNewNames(candidate: object): { current: object; found: readonly string[] } {
  const found: string[] = []
  const current = renamed(candidate, RENAMED, name => found.push(name))
  const streams: unknown = Reflect.get(candidate, 'streams')
  if (typeof streams !== 'object' || streams === null) return { current, found }
  const count = found.length
  const updated = Object.entries(streams).map(([name, stream]: [string, unknown]) => [
    name,
    typeof stream === 'object' && stream !== null
      ? renamed(stream, RENAMED_OF_STREAM, member => found.push(`streams.${name}.${member}`))
      : stream,
  ])
  return { current: found.length === count ? current : instead(current, { streams: Object.fromEntries(updated) }), found }
}

/** The connector, if it has the contract's shape. */
export function checked(given: unknown, className: string): Connector {
  const invalid = (hint: string) => new FlowError('PLUGIN_INVALID', { connectorClass: className, hint })
  if (typeof given !== 'object' || given === null) throw invalid('its default export is not a connector')
  const { current: candidate, found } = withNewNames(given)
  const shape = Shape.safeParse(candidate)
  const faults = shape.success
    ? []
    : shape.error.issues.map(issue => `${issue.path.join('.')} ${issue.message.replace(/^Invalid input: /, '')}`)
  if (shape.success) {
    const { manifest, streams, config } = shape.data
    const names = Object.keys(streams)
    if (names.length === 0) faults.push('streams is empty')
    if (manifest.sessionStream !== null && !names.includes(manifest.sessionStream))
      faults.push(`manifest.sessionStream names ${manifest.sessionStream}, which is not a stream`)
    for (const name of manifest.optionalStreams ?? [])
      if (!names.includes(name)) faults.push(`manifest.optionalStreams names ${name}, which is not a stream`)
    const { sharedBy } = manifest.quota
    if (typeof sharedBy === 'string' && !(sharedBy in config.shape))
      faults.push(`manifest.quota.sharedBy names ${sharedBy}, which is not a key of config`)
    for (const [key, field] of Object.entries(config.shape)) {
      if (!/^[a-z][a-zA-Z0-9]*$/.test(key)) faults.push(`config.${key} is not written in camelCase`)
      if (looksSecret(key) && !isSecret(field))
        faults.push(`config.${key} sounds like a secret and is not marked .meta({ secret: true })`)
    }
  }
  if (faults.length > 0) throw invalid(faults.join('; '))
  const connector = candidate as Connector
  if (found.length > 0) deprecations.set(connector, found)
  return connector
}

/** Names such as `accessToken` and `clientSecret`; not `tokenUrl`, `tokenId` or `refreshTokenFile`, which are only about one. */
function looksSecret(key: string): boolean {
  return /(token|secret|password|apikey)$/i.test(key)
}
