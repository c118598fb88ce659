/** Placeholder of the interface; the engine follows. */
import type { Alert, Measure } from '../records.ts'
import type { Rule } from '../rules.ts'

/** A minute of a series as the topic has it now; the newest replaces the one before. Null: the vendor does not tell. */
export interface Minute {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: string
  readonly language: string
  /** Epoch milliseconds, a whole minute. */
  readonly bucket_start: number
  readonly values: Readonly<Partial<Record<Measure, number | null>>>
}

export type SeriesKey = Pick<Minute, 'vendor' | 'account' | 'bot_id' | 'channel' | 'language'>

/** What has been read: everything of the bot before `completeUntil` (null: nothing yet), for what the rules' measures are made of. */
export interface Read {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly completeUntil: number | null
}

/** A record of the alerts topic that must be written now, in this order. */
export type Verdict = Alert

export interface JudgeOptions {
  readonly rules: readonly Rule[]
  /** IANA zone of an account, for hours of the week. Default UTC. */
  readonly zoneOf?: (vendor: string, account: string) => string
  /** What `judgedUntil` of the process before returned: what lies before is learnt and not raised. Absent: everything readable is judged, but for what is late. */
  readonly from?: Readonly<Record<string, number>>
  /** What `memory` of the process before returned. */
  readonly memory?: string
  /** Minutes that become known later than this after their time teach, but neither fire nor resolve. Default one hour. */
  readonly lateMs?: number
}

export interface Judge {
  /** Takes a minute in, also again with other values, also late, in any order. */
  put(minute: Minute): void
  /** The minute is withdrawn (a null value on the topic). One that was rolled up stays learnt. */
  remove(key: SeriesKey, bucketStartMs: number): void
  /** Alerts that stand on the topic (a restart): they go on as they stand, and are not raised again. */
  restore(alerts: readonly Alert[]): void
  /**
   * Judges, minute after minute in event time, all that has become judgeable since the last call by these marks, and the last hour again where minutes changed.
   *
   * @param nowMs When this is known; the `updated_at` of what is raised. null: a replay, in which every minute counts as known when it ends.
   */
  judge(reads: readonly Read[], nowMs: number | null): Verdict[]
  /** Up to where each bot has been judged, by bot key: `from` of the next process. */
  judgedUntil(): Record<string, number>
  /** What has been learnt from the order in which things became known, and can not be learnt from the topics again; under 2 KB an account. */
  memory(): string
}

export declare function createJudge(options: JudgeOptions): Judge
