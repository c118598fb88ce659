import type { Channel } from '../records.ts'

/** What `normalise` and `fingerprint` may know beside the row. */
export interface RowContext {
  /** When the page was read, epoch milliseconds: the `observed_at` of its records. */
  readonly observedAtMs: number
  /** How far back this stream is read again, milliseconds: a row older than this at `observedAtMs` is seen for the last time. */
  readonly lookbackMs: number
  /** Opens a session (or names one that another stream tells) that messages and events refer to. */
  session(of: SessionIdentity): SessionRef
}

export interface SessionIdentity {
  readonly botId: string
  readonly sessionId: string
  /** The vendor's word for the channel; normalised, and kept as `channel_raw`. Null: not known. */
  readonly channel: string | null
  readonly language?: string | null
}

/** A session's identity with everything that is copied onto its records. */
export interface SessionRef {
  readonly sessionKey: string
  readonly sessionId: string
  readonly vendor: string
  readonly account: string
  readonly botId: string
  readonly connector: string
  readonly observedAtMs: number
  readonly channel: Channel | null
  readonly channelRaw: string | null
  readonly language: string | null
}
