/**
 * What the console's own endpoints (`/ui/api/…`) answer: the server, what it asks of the rest of the process, and the pages in `ui/` share them.
 * Not part of the public API: they change together with the pages. Times are epoch milliseconds.
 */
import type { StreamState } from './metrics.ts'
import type { Alert, Lane } from './records.ts'

/** Pages by the part of their path below `/ui/`; the overview is `/ui/` itself. */
export const CONSOLE_PAGES = ['connectors', 'alerts', 'dead-letters', 'topics'] as const
export type ConsolePage = (typeof CONSOLE_PAGES)[number]

/** A role of the process that answers. `why`: what it waits for, or what is wrong. */
export interface RoleState {
  readonly role: string
  readonly ok: boolean
  readonly why: string | null
}

/** In every answer. */
export interface ConsoleFrame {
  readonly atMs: number
  readonly version: string
  /** Of the process that answers; others may run further roles. */
  readonly roles: readonly RoleState[]
  /** Alerts that fire now. */
  readonly firing: number
}

/** What was read from Kafka, registry or workers; `problem` says why it is old or missing. */
export interface Reading<T> {
  /** null: it has not been read yet. */
  readonly value: T | null
  /** When `value` was read; null with it. */
  readonly readMs: number | null
  /** null: `value` is as new as it should be. */
  readonly problem: string | null
}

// ---- Overview ----

export const RANGES = ['1h', '6h', '24h', '7d', '30d'] as const
export type Range = (typeof RANGES)[number]

export interface OverviewAnswer extends ConsoleFrame {
  readonly range: Range
  readonly bucketMs: number
  /** Why there are no figures yet; null: there are. */
  readonly unready: string | null
  /** Beginning of each bucket. */
  readonly times: readonly number[]
  /** One for each vendor and channel. */
  readonly groups: readonly OverviewGroup[]
  /** By vendor: every session that began earlier has been read; null: not known yet. */
  readonly completeUntil: Readonly<Record<string, number | null>>
  /** Firing alerts first, then those of the range, newest first. */
  readonly alerts: readonly Alert[]
}

/** Values by bucket; null: nothing was read of that time, or the vendor does not report it. */
export interface OverviewGroup {
  readonly vendor: string
  readonly channel: string
  readonly sessions: readonly (number | null)[]
  readonly messages: readonly (number | null)[]
  readonly transfers: readonly (number | null)[]
}

// ---- Connectors ----

export interface ConnectorsAnswer extends ConsoleFrame {
  /** Whether this process can pause, resume, restart and rewind connectors; if not, why. */
  readonly control: { readonly isThere: boolean; readonly why: string | null }
  readonly connectors: readonly ConnectorView[]
}

export interface ConnectorView {
  readonly name: string
  /** null: only a worker knows. */
  readonly className: string | null
  /** Kafka Connect's word; null: only a worker knows. */
  readonly state: string | null
  readonly workerId: string | null
  /** Why it failed, then the cure. */
  readonly trace: string | null
  readonly tasks: readonly TaskView[]
  /** null: only a worker with tasks of the connector knows. */
  readonly requests: RequestsView | null
  readonly partitions: readonly PartitionView[]
}

export interface TaskView {
  readonly id: number
  readonly state: string
  readonly workerId: string
  readonly trace: string | null
}

/** Requests of this process to the vendor. */
export interface RequestsView {
  /** In the last hour, or since `sinceMs` if that is later. */
  readonly count: number
  readonly sinceMs: number
  /** What the vendor's limits allow in an hour; null: they bound none. */
  readonly perHour: number | null
}

export interface PartitionView {
  readonly stream: string
  readonly scope: string
  /** null: read by another process, whose state is not known here. */
  readonly state: StreamState | null
  readonly task: number | null
  readonly completeUntilMs: number | null
  readonly committedAtMs: number | null
  /** What the last commit read. */
  readonly lane: Lane | null
  readonly backfill: BackfillView | null
  readonly error: { readonly code: string; readonly message: string; readonly cure: string; readonly atMs: number } | null
  /** Since this process began; null: read by another process. */
  readonly restarts: number | null
}

/** `[fromMs, reachedMs)` of `[fromMs, untilMs)` has been read. */
export interface BackfillView {
  readonly fromMs: number
  readonly reachedMs: number
  readonly untilMs: number
  /** The first commit that this process saw of it: the pace follows from it. */
  readonly seen: { readonly atMs: number; readonly reachedMs: number }
}

// ---- Alerts ----

export interface AlertsAnswer extends ConsoleFrame {
  readonly unready: string | null
  readonly alerts: readonly Alert[]
  /** As `/v1/rules` shows them. */
  readonly rules: readonly Readonly<Record<string, unknown>>[]
}

// ---- Dead letters ----

export interface LettersAnswer extends ConsoleFrame {
  readonly letters: Reading<LettersView>
}

export interface LettersView {
  /** Open dead letters in all. */
  readonly total: number
  readonly byReason: readonly { readonly reason: string; readonly connector: string; readonly count: number }[]
  /** The newest first, 500 at most. */
  readonly newest: readonly LetterView[]
}

export interface LetterView {
  /** `partition:offset` on the rejects topic. */
  readonly id: string
  readonly atMs: number
  readonly connector: string
  readonly stream: string
  readonly scope: string
  readonly reason: string
  readonly stage: string
  readonly path: string
  readonly message: string
  /** The vendor's row id; empty where it is not known. */
  readonly rowId: string
}

export interface LetterAnswer {
  readonly id: string
  /** What a person does about it. */
  readonly cure: string | null
  /** The vendor's row as JSON, masked by policy. */
  readonly row: string
  readonly isMasked: boolean
}

// ---- Schemas and topics ----

export interface TopicsAnswer extends ConsoleFrame {
  readonly topics: Reading<readonly TopicView[]>
  readonly subjects: Reading<readonly SubjectView[]>
}

export interface TopicView {
  readonly topic: string
  readonly holds: string
  readonly partitions: readonly TopicPartitionView[]
}

export interface TopicPartitionView {
  readonly partition: number
  readonly low: number
  readonly high: number
  /** Records that the aggregator has not counted yet, commit markers included; null: it does not read the topic, or has committed nothing. */
  readonly lag: number | null
}

export interface SubjectView {
  readonly subject: string
  /** The newest version and its schema's id; null: not registered. */
  readonly newest: { readonly version: number; readonly id: number } | null
}

/** What the rest of the process knows that the server role does not. A part that throws or is absent is said to be missing. */
export interface ConsoleSources {
  connectors(): Pick<ConnectorsAnswer, 'control' | 'connectors'>
  letters(): Promise<Reading<LettersView>>
  /** @throws FlowError NOT_FOUND, KAFKA_UNREACHABLE */
  letter(partition: number, offset: number): Promise<LetterAnswer>
  topics(): Promise<Reading<readonly TopicView[]>>
  subjects(): Promise<Reading<readonly SubjectView[]>>
}
