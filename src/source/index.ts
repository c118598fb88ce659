/** Everything a connector author needs, and nothing else. */
export { type ErrorCode, FlowError } from '../errors.ts'
export { EVENT_TYPES, type Event, type Message, type Session } from '../records.ts'
export { channelOf } from '../channels.ts'
export { contentId, contentIds } from './content-id.ts'
export type {
  AuthArgs,
  CallOptions,
  Changed,
  Changes,
  Classified,
  Connector,
  DailyLimit,
  Derive,
  Draft,
  EnrichArgs,
  FactsArgs,
  Follow,
  FollowArgs,
  Http,
  HttpSpec,
  Json,
  Manifest,
  Page,
  PlainFetch,
  Query,
  Quota,
  ReadArgs,
  RecordKind,
  RequestsBeside,
  Scope,
  SharedBy,
  Stream,
  Turn,
  Window,
  WindowSpec,
} from './contract.ts'
export { defineConnector, type StreamDefinition } from './define.ts'
export {
  bool,
  clean,
  EARLIEST_MS,
  instant,
  inUrl,
  isPlaceholder,
  jsonOf,
  LATEST_MS,
  number,
  put,
  realTime,
  text,
  texts,
  time,
  timeFault,
} from './lenient.ts'
export type { CursorSpec, PollArgs, PolledPage } from './poll.ts'
export { parseJson } from './json.ts'
export { type ListPage, listing, type ListPosition as Place, placeOf } from './listing.ts'
export { isObject, type Loose, looseObject, objectOf } from './loose.ts'
export { saysFault, twice } from './nothing.ts'
export type { PiiSpec } from './pii.ts'
export {
  type EventFields,
  event,
  eventWithoutSession,
  type LoneEventFields,
  type MessageFields,
  message,
  type RowContext,
  rowContext,
  type SessionFields,
  type SessionIdentity,
  type SessionRef,
  session,
} from './records.ts'
export type { Said, Transfers, TransferSource, TransferType } from './transfers.ts'
export { retryAfterMs, waitBySize } from './wait.ts'
export { align, iso, split } from './windows.ts'
export { instantsOf, wallOf, type Zone, zoneOf } from './zones.ts'
