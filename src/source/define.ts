import type { z } from 'zod'
import type {
  Connector,
  Derive,
  Draft,
  ExpandArgs,
  Follow,
  FollowArgs,
  HttpSpec,
  Json,
  Manifest,
  Page,
  ReadArgs,
  RecordKind,
  Scope,
  Turn,
  WindowSpec,
} from './contract.ts'
import type { RowContext } from './records.ts'

/** A stream as its author writes it: typed by the connector's config `C` and by its own row schema `R`. See `Stream` for what each part means. */
export interface StreamDefinition<C, R extends z.ZodType> {
  readonly window: WindowSpec | ((config: C) => WindowSpec)
  readonly gives?: readonly RecordKind[]
  scopes?(config: C, account: string): readonly Scope[]
  readonly row: R
  read(args: Omit<ReadArgs, 'config'> & { readonly config: C }): AsyncIterable<Page>
  expand?(
    args: Omit<ExpandArgs, 'config' | 'rows'> & { readonly config: C; readonly rows: readonly z.output<R>[] },
  ): Promise<readonly z.output<R>[]>
  readonly expandRows?: number
  formerId?(row: z.output<R>): string | null
  readonly follow?: Omit<Follow, 'isOpen' | 'read'> & {
    isOpen(row: z.output<R>, ctx: RowContext<C>): boolean
    read(args: Omit<FollowArgs, 'config'> & { readonly config: C }): Promise<readonly unknown[]>
  }
  derive?(config: C): (Omit<Derive, 'turn'> & { turn(row: z.output<R>, ctx: RowContext<C>): Turn | null }) | null
  identify(row: z.output<R>): string
  fingerprint?(row: z.output<R>, ctx: RowContext<C>): Json
  normalise(row: z.output<R>, ctx: RowContext<C>): readonly Draft[]
}

/** A connector as its author writes it; types are inferred from `config` and from each stream's `row`. */
export function defineConnector<C extends z.ZodObject, R extends Record<string, z.ZodType>>(definition: {
  readonly manifest: Manifest
  readonly config: C
  http(config: z.output<C>): HttpSpec
  readonly streams: { readonly [S in keyof R]: StreamDefinition<z.output<C>, R[S]> }
}): Connector {
  return definition
}
