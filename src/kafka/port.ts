/**
 * The interface to Kafka for the rest of Colloquy. No type of the client library leaves this file, so that another client can be put behind it.
 *
 * Offsets are numbers (safe up to 2^53). All readers are read-committed: they never return records of aborted or open transactions.
 */
import type { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'

export interface KafkaOptions {
  readonly brokers: readonly string[]
  readonly clientId: string
  /** true: TLS with the system's certificates; an object: PEM texts. */
  readonly ssl?: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string }
  readonly sasl?: SaslOptions
  readonly log: Log
}

export type SaslOptions =
  | { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string }
  | { readonly mechanism: 'oauthbearer'; readonly token: () => Promise<string> }

export interface Kafka {
  /** Connects to the cluster. @throws FlowError KAFKA_UNREACHABLE */
  describe(): Promise<{ clusterId: string; brokers: number }>
  /**
   * Creates the missing topics, all in one request, and checks the existing ones. With `create`, a different clean-up policy, a shorter retention where the
   * spec needs it (`needs`) and longer segments are changed to the spec's, and logged. Other differences are logged, or an error:
   *
   * @throws FlowError TOPIC_MISMATCH (names topic, setting, found, wanted and the fix; for the number of partitions, and for a clean-up policy or a needed
   *   retention that may not be changed), TOPIC_MISSING where `create` is false.
   */
  ensureTopics(topics: readonly TopicSpec[], options: { create: boolean }): Promise<void>
  /** Effective settings, by topic. @throws FlowError KAFKA_REFUSED (such as an unknown topic) */
  topicSettings(topics: readonly string[], settings: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>>
  /** Sets the given settings; the others stay. @returns the topics that were refused, with the reason. Only ever called on an explicit request. */
  alterTopicSettings(changes: readonly TopicSettings[]): Promise<ReadonlyMap<string, FlowError>>
  /** Replicas of each existing topic, and how many must have a record before it counts as written. */
  durability(topics: readonly string[]): Promise<TopicDurability[]>
  /**
   * `max.message.bytes` of each topic: brokers reject larger record batches. Read again after a minute, and when a broker has rejected a batch as too large.
   * The returned map is updated by later reads of any caller; it may hold more topics.
   */
  maxMessageBytes(topics: readonly string[]): Promise<ReadonlyMap<string, number>>
  partitionCount(topic: string): Promise<number>
  /** The id that the topic was given when it was created: another one of the same name has another. null: brokers before 2.8, and clusters without ids of topics. */
  topicId(topic: string): Promise<string | null>
  /**
   * Low and high watermark of each partition (isolation read_uncommitted: open transactions are below `high`). Partitions without an answer are asked again,
   * for 30 s. For where a reader has read everything, use `lastOffsets` of ends.ts. @throws FlowError KAFKA_UNREACHABLE
   */
  watermarks(places: readonly TopicPartition[]): Promise<(TopicPartition & { low: number; high: number })[]>

  /** The first record of each partition written at the time or later; null: there is none. @throws FlowError KAFKA_UNREACHABLE */
  offsetsAt(places: readonly TopicPartition[], timeMs: number): Promise<(TopicPartition & { offset: number | null })[]>

  /**
   * Asks the leader of every partition of the topics for the partition's end, on a connection of its own; without topics, asks one broker for the cluster's
   * metadata. For `watchKafka`; one call at a time.
   *
   * @throws FlowError KAFKA_UNREACHABLE within `timeoutMs`: says what did not answer, or which partition has no leader.
   */
  ping(options: { readonly topics: readonly string[]; readonly timeoutMs: number }): Promise<void>

  openWriter(options: {
    transactionalId: string
    /** Default 30_000: it limits how long a crash blocks readers. */
    transactionTimeoutMs?: number
    /** Awaited right before each request that claims the id, also a repeated one. Rejects when the id must not be claimed any more. */
    mayClaim?: () => Promise<void>
  }): Writer

  /**
   * Reads one partition from `from` (default: its start) to its high watermark at the time of the call, control records included. Waits for transactions that
   * are open below that watermark. Called after fencing, it misses nothing committed before, except where the answering leader has been replaced without
   * knowing it yet: `past` is an offset known to exist, and the read goes past it.
   * @returns the next offset to read from.
   */
  readToEnd(
    place: TopicPartition & { from?: number; past?: number },
    onRecord: (record: ReadRecord) => void,
    signal?: AbortSignal,
  ): Promise<number>

  /**
   * Reads the records of one partition in `[from, until)`. Ends early, without waiting, at the start of a transaction that is open now. Skips what retention
   * has removed. Delivers up to 256 KiB, or one batch, at a time.
   *
   * @param place `until` is at most the high watermark.
   * @returns the next offset to read from, `until` at most.
   * @throws FlowError KAFKA_UNREACHABLE, STOPPED when the signal aborts
   */
  readRange(
    place: TopicPartition & { readonly from: number; readonly until: number },
    onRecord: (record: ReadRecord) => void,
    signal?: AbortSignal,
  ): Promise<number>

  /**
   * Reads the given partitions from the given offsets on, for ever, without a consumer group (assign mode). Each iteration yields the result of one fetch, per
   * partition; `next` is the offset to continue from (control and aborted records skipped), so a chunk can have no records and still advance. An offset that
   * retention has removed is moved to the partition's start, and logged. Ends without an error when the signal aborts.
   */
  tail(places: readonly (TopicPartition & { offset: number })[], options: TailOptions): AsyncIterable<Chunk[]>

  /**
   * Joins a consumer group for its assignment only: members share the partition **numbers** of co-partitioned topics, so that the owner of number 3 has number
   * 3 of every topic. Nothing is fetched through the group; use `tail` and offsets of your own.
   */
  joinGroup(options: GroupOptions): Promise<GroupMember>
  /** Joins a consumer group whose members and leader exchange bytes of their own format. */
  joinMembers(options: MembershipOptions): Promise<Membership>
  /** Committed group offsets with their metadata; null and the empty string where there is none. */
  groupOffsets(
    groupId: string,
    topics: readonly string[],
  ): Promise<(TopicPartition & { offset: number | null; metadata: string })[]>

  /** Groups that have members who share this topic's partition numbers (`joinGroup`) right now, and `groupId` if it has any members. */
  groupsSharing(topic: string, groupId: string): Promise<string[]>

  close(): Promise<void>
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface TopicSpec {
  readonly topic: string
  readonly partitions: number
  /** null: the broker's default. */
  readonly replicationFactor: number | null
  /** Topic settings, such as `cleanup.policy` and `retention.ms`. */
  readonly config: Readonly<Record<string, string>>
  /** Settings of `config` that are required, besides cleanup.policy: `retention.ms` where a shorter one would give wrong results. */
  readonly needs?: readonly string[]
}

export interface TopicSettings {
  readonly topic: string
  readonly settings: Readonly<Record<string, string>>
}

export interface TopicDurability {
  readonly topic: string
  /** Of the partition with the fewest. */
  readonly replicas: number
  readonly minInsync: number
}

/**
 * A transactional producer. Life cycle: opened → `fence` → `transact` … → `close`. After KAFKA_OUTCOME_UNKNOWN or KAFKA_FENCED it cannot be used again: close
 * it. When the outcome is unknown, open another with the same id, fence, read the cursor again, and continue from there; never send again from memory.
 */
export interface Writer {
  readonly transactionalId: string
  /** Claims the transactional id: fences older owners and aborts their open transactions. @throws FlowError KAFKA_UNREACHABLE */
  fence(): Promise<void>
  /**
   * Runs `work` in one transaction. Returns its result once committed. When `work` throws, aborts the transaction and rethrows.
   * @throws FlowError KAFKA_FENCED (another process owns the id now), KAFKA_OUTCOME_UNKNOWN (the commit was sent, its answer is not known), KAFKA_ABORTED
   *   (nothing was written; the writer cannot be used again all the same).
   */
  transact<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  /** Aborts an open transaction and disconnects. Never throws. */
  close(): Promise<void>
}

export interface Transaction {
  /** Sends records, split into batches below the topics' size limits, and returns their offsets. One entry per partition. */
  write(batches: readonly PartitionBatch[]): Promise<WrittenRange[]>
  /**
   * Commits group offsets with the transaction: for tools that show lag, and with `metadata` that belongs to them (4096 bytes at most, unless the broker's
   * `offset.metadata.max.bytes` differs). They expire when the group is gone for long.
   */
  commitGroupOffsets(groupId: string, offsets: readonly GroupOffset[]): Promise<void>
}

export interface GroupOffset extends TopicPartition {
  readonly offset: number
  readonly metadata?: string
}

export interface PartitionBatch extends TopicPartition {
  readonly records: readonly WriteRecord[]
}

/** The record's timestamp is the time of sending, never a vendor's time. */
export interface WriteRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, string>>
}

export interface WrittenRange extends TopicPartition {
  readonly firstOffset: number
  readonly lastOffset: number
}

export interface ReadRecord {
  readonly offset: number
  /** Epoch milliseconds. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer>>
}

export interface Chunk extends TopicPartition {
  readonly records: readonly ReadRecord[]
  readonly next: number
  /** High watermark at the time of the fetch: lag is `high - next`. */
  readonly high: number
}

export interface TailOptions {
  readonly signal: AbortSignal
  /** How long the broker may hold a fetch that finds nothing. Default 500 ms. */
  readonly maxWaitMs?: number
  /** Most bytes of one fetch and partition. Default 1 MiB. */
  readonly maxBytesPerPartition?: number
  /** Called with each answer of a broker, also one without records: these partitions were answered just now. */
  readonly onAnswer?: (places: readonly TopicPartition[]) => void
}

export interface GroupOptions {
  readonly groupId: string
  /** Topics with the same number of partitions. */
  readonly topics: readonly string[]
  readonly sessionTimeoutMs?: number
  /** Partition numbers assigned to this member from now on. Awaited before the next call of either callback. */
  readonly onAssigned: (partitions: readonly number[]) => Promise<void>
  /** Partition numbers it no longer has; their next owner fences us, so a late stop does no harm. */
  readonly onRevoked: (partitions: readonly number[]) => Promise<void>
  /** The member could not stay in the group and has given up; everything was revoked. */
  readonly onLost: (error: Error) => void
}

export interface GroupMember {
  /** Why it is not an active member of its group right now; null: it is, and the group has answered recently. */
  problem(): string | null
  leave(): Promise<void>
}

export interface MembershipOptions {
  readonly groupId: string
  /** Must be the same for all members of a group. */
  readonly protocol: string
  /** A member without a heartbeat for this long is removed. Default 8 s; heartbeats are sent ten times as often. */
  readonly sessionTimeoutMs?: number
  /** Our data for the leader, requested at each join. @param generation Of the last assignment; -1: no assignment is valid any more. */
  readonly claim: (generation: number) => Buffer
  /** On the leader: the data for each member, by member id. */
  readonly assign: (members: readonly { readonly id: string; readonly claim: Buffer }[]) => ReadonlyMap<string, Buffer>
  readonly onAssignment: (
    data: Buffer,
    joined: { readonly generation: number; readonly isLeader: boolean; readonly memberId: string },
  ) => void
  /** The group has continued without us: no earlier assignment is valid any more. */
  readonly onForgotten: () => void
  /** The member could not stay in the group and has given up. */
  readonly onLost: (error: Error) => void
}

export interface Membership extends GroupMember {
  /**
   * Since when the process has run without a standstill as a member of its group, by `performance.now()`; -Infinity: always. Infinity: the group may have
   * continued without us, until it answers again.
   */
  certainSinceMs(): number
  /** Rejoins with a new claim. A changed claim, or the leader's, makes all members rejoin. Returns at once. */
  rejoin(): void
}
