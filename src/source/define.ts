import type { z } from 'zod'
import type {
  Changed,
  Changes,
  Connector,
  DailyLimit,
  Derive,
  Draft,
  EnrichArgs,
  FactsArgs,
  Follow,
  FollowArgs,
  HttpSpec,
  Json,
  Manifest,
  Page,
  ReadArgs,
  RecordKind,
  RequestsBeside,
  Scope,
  Stream,
  Turn,
  WindowSpec,
} from './contract.ts'
import { byCursor, type CursorSpec, type PollArgs, type PolledPage } from './poll.ts'
import type { RowContext } from './records.ts'
import type { Transfers } from './transfers.ts'

/** A stream as its author writes it: typed by the connector's config `C` and by its own row schema `R`. See `Stream` for what each part means. */
export type StreamDefinition<C, R extends z.ZodType> = StreamParts<C, R> & (ReadByWindow<C> | ReadByCursor<C>)

/** Read by time windows. */
export interface ReadByWindow<C> {
  readonly window: WindowSpec | ((config: C) => WindowSpec)
  read(args: Omit<ReadArgs, 'config'> & { readonly config: C }): AsyncIterable<Page>
  readonly poll?: undefined
}

/** Read by the vendor's own cursor. */
export interface ReadByCursor<C> {
  readonly cursor: CursorSpec
  poll(args: PollArgs<C>): AsyncIterable<PolledPage>
  readonly read?: undefined
  readonly window?: undefined
}

interface StreamParts<C, R extends z.ZodType> {
  readonly feeds?: readonly RecordKind[]
  scopes?(config: C, account: string): readonly Scope[]
  readonly row: R
  rowFor?(config: C): z.ZodType<z.output<R>>
  enrich?(
    args: Omit<EnrichArgs, 'config' | 'rows'> & { readonly config: C; readonly rows: readonly z.output<R>[] },
  ): Promise<readonly z.output<R>[]>
  readonly enrichRows?: number
  formerId?(row: z.output<R>): string | null
  readonly follow?: Omit<Follow, 'isOpen' | 'read'> & {
    isOpen(row: z.output<R>, ctx: RowContext<C>): boolean
    read(args: Omit<FollowArgs, 'config'> & { readonly config: C }): Promise<readonly unknown[]>
  }
  readonly changes?: Omit<Changes, 'read'> & {
    read(args: Omit<ReadArgs, 'config' | 'resume' | 'again'> & { readonly config: C }): Promise<Changed>
  }
  timeOf?(row: z.output<R>): number
  requestsBeside?(config: C): RequestsBeside
  derive?(config: C): (Omit<Derive, 'turn'> & { turn(row: z.output<R>, ctx: RowContext<C>): Turn | null }) | null
  identify(row: z.output<R>): string
  sharedId?(row: z.output<R>): string
  fingerprint?(row: z.output<R>, ctx: RowContext<C>): Json
  normalise(row: z.output<R>, ctx: RowContext<C>): readonly Draft[]
}

/** A connector as its author writes it; types are inferred from `config` and from each stream's `row`. */
export function defineConnector<C extends z.ZodObject, R extends Record<string, z.ZodType>>(definition: {
  readonly manifest: Omit<Manifest, 'dailyLimit'> & {
    readonly dailyLimit?: Omit<DailyLimit, 'units'> & { units(config: z.output<C>): number | null }
  }
  readonly config: C
  http(config: z.output<C>): HttpSpec
  detectsTransfers?(config: z.output<C>, rules: Transfers): boolean
  facts?(args: Omit<FactsArgs, 'config'> & { readonly config: z.output<C> }): Promise<readonly string[]>
  readonly streams: { readonly [S in keyof R]: StreamDefinition<z.output<C>, R[S]> }
}): Connector {
  const streams = Object.entries(definition.streams).map(([name, stream]): [string, Stream] => [name, streamOf(stream)])
  return { ...definition, streams: Object.fromEntries(streams) }
}

function streamOf<C, R extends z.ZodType>(stream: StreamDefinition<C, R>): Stream {
  if (stream.poll === undefined) return stream
  return { ...stream, ...byCursor(stream.cursor, args => stream.poll(args)) }
}
