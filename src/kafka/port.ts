/**
 * What the rest of Colloquy knows of Kafka. No type of the client library passes this page, so that another client can be put behind it.
 *
 * Offsets are numbers (safe up to 2^53). All readers are read-committed: records of aborted or open transactions are never handed out.
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
  /** Reaches the cluster. @throws FlowError KAFKA_UNREACHABLE */
  describe(): Promise<{ clusterId: string; brokers: number }>
  /**
   * Makes the topics that are missing, all in one request, and looks at those that exist. With `create`, another clean-up, a shorter retention where the spec
   * needs it (`needs`) and longer segments are changed to what the spec says, and logged. What stays different is logged, or an error:
   *
   * @throws FlowError TOPIC_MISMATCH (names topic, setting, found, wanted and the cure; for the number of partitions, and for clean-up or a needed
   *   retention that may not be changed), TOPIC_MISSING where `create` is false.
   */
  ensureTopics(topics: readonly TopicSpec[], options: { create: boolean }): Promise<void>
  /** Settings as they are in force, by topic. @throws FlowError KAFKA_REFUSED (such as an unknown topic) */
  topicSettings(topics: readonly string[], settings: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>>
  /** Sets the given settings; the others stay. @returns the topics that were refused, with the reason. Never by itself: somebody must have asked for it. */
  alterTopicSettings(changes: readonly TopicSettings[]): Promise<ReadonlyMap<string, FlowError>>
  /** Replicas of each topic that exists, and how many must have a record before it counts as written. */
  durability(topics: readonly string[]): Promise<TopicDurability[]>
  /**
   * `max.message.bytes` of each topic: no record batch larger than this is taken. Read again after a minute, and when a broker has refused a batch as too
   * large. The map that is returned follows what is read later, whoever asked for it; it may hold more topics.
   */
  maxMessageBytes(topics: readonly string[]): Promise<ReadonlyMap<string, number>>
  partitionCount(topic: string): Promise<number>
  /** The id that the topic was given when it was created: another one of the same name has another. null: brokers before 2.8, and clusters without ids of topics. */
  topicId(topic: string): Promise<string | null>
  /**
   * Low and high watermark of each partition asked for (isolation read_uncommitted: open transactions are below `high`). Partitions without an
   * answer are asked again, for 30 s. Where a reader has read everything is `lastOffsets` of ends.ts. @throws FlowError KAFKA_UNREACHABLE
   */
  watermarks(places: readonly TopicPartition[]): Promise<(TopicPartition & { low: number; high: number })[]>

  /** The first record of each partition that was written at the time or later; null: there is none. @throws FlowError KAFKA_UNREACHABLE */
  offsetsAt(places: readonly TopicPartition[], timeMs: number): Promise<(TopicPartition & { offset: number | null })[]>

  /**
   * Asks the leader of every partition of the topics where the partition ends, on a connection of its own; without topics, one broker for the
   * cluster's metadata. For `watchKafka`; one call at a time.
   *
   * @throws FlowError KAFKA_UNREACHABLE within `timeoutMs`: says what did not answer, or which partition has no leader.
   */
  ping(options: { readonly topics: readonly string[]; readonly timeoutMs: number }): Promise<void>

  openWriter(options: {
    transactionalId: string
    /** Default 30_000: it bounds how long a crash blocks readers. */
    transactionTimeoutMs?: number
    /** Awaited right before each request that claims the id, also a repeated one. Rejects where it must not be claimed any more. */
    mayClaim?: () => Promise<void>
  }): Writer

  /**
   * Reads one partition from `from` (default: its start) to the high watermark that it has when called, control records included. Waits for
   * transactions that are open below that watermark to end. Call it after fencing, and nothing committed before is missed, but where the leader
   * that answers has been replaced without knowing it yet: `past` is an offset that is known to be there, and is read past.
   * @returns the next offset to read from.
   */
  readToEnd(
    place: TopicPartition & { from?: number; past?: number },
    onRecord: (record: ReadRecord) => void,
    signal?: AbortSignal,
  ): Promise<number>

  /**
   * Reads the records of one partition in `[from, until)`. Ends early, and does not wait, where a transaction begins that is open now. What retention has
   * removed is passed over. Up to a quarter of a MiB, or one batch, is handed over at once.
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
   * Reads the given partitions from the given offsets on, for ever, without a consumer group (assign mode). Each iteration hands out what one
   * fetch brought, per partition; `next` is the offset to go on from (control and aborted records skipped), so a chunk can have no records and
   * still move on. An offset that retention has removed is moved to the partition's start, and logged. Ends quietly when the signal aborts.
   */
  tail(places: readonly (TopicPartition & { offset: number })[], options: TailOptions): AsyncIterable<Chunk[]>

  /**
   * Joins a consumer group for its assignment alone: members share the partition **numbers** of co-partitioned topics, so that whoever has
   * number 3 has number 3 of every topic. Nothing is fetched through the group; use `tail` and offsets of your own.
   */
  joinGroup(options: GroupOptions): Promise<GroupMember>
  /** Joins a consumer group whose members tell their leader, and are told by it, what they like: bytes. */
  joinMembers(options: MembershipOptions): Promise<Membership>
  /** Group offsets as the broker has them, and the words that were committed with them; null, and the empty string, where there is none. */
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
  /** Settings of `config` that must hold, beside cleanup.policy: `retention.ms` where forgetting earlier would make the product wrong. */
  readonly needs?: readonly string[]
}

export interface TopicSettings {
  readonly topic: string
  readonly settings: Readonly<Record<string, string>>
}

export interface TopicDurability {
  readonly topic: string
  /** Of the partition that has the fewest. */
  readonly replicas: number
  readonly minInsync: number
}

/**
 * A transactional producer. Life: opened → `fence` → `transact` … → `close`. After KAFKA_OUTCOME_UNKNOWN or KAFKA_FENCED it is spent: close it.
 * When the outcome is unknown, open another with the same id, fence, read the cursor again, and go on from there; never send again from memory.
 */
export interface Writer {
  readonly transactionalId: string
  /** Claims the transactional id: older owners are fenced out and what they left open is aborted. @throws FlowError KAFKA_UNREACHABLE */
  fence(): Promise<void>
  /**
   * One transaction around `work`. Returns what `work` returned once it is committed. When `work` throws, the transaction is aborted and its
   * error passed on.
   * @throws FlowError KAFKA_FENCED (somebody else owns the id now), KAFKA_OUTCOME_UNKNOWN (the commit was sent, its answer is not known),
   *   KAFKA_ABORTED (nothing was written; the writer is spent all the same).
   */
  transact<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  /** Aborts an open transaction and disconnects. Never throws. */
  close(): Promise<void>
}

export interface Transaction {
  /** Sends records, split into batches below the topics' size limits, and tells the offsets they got. One entry per partition. */
  write(batches: readonly PartitionBatch[]): Promise<WrittenRange[]>
  /**
   * Commits group offsets with the transaction: for tools that show lag, and with `metadata` what belongs to them (4096 bytes at most, unless the broker's
   * `offset.metadata.max.bytes` says otherwise). They expire when the group is gone for long.
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

/** The record's timestamp is the time of sending; a vendor's time is never put there. */
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
  /** Called with each answer of a broker, also one without records: these places were answered just now. */
  readonly onAnswer?: (places: readonly TopicPartition[]) => void
}

export interface GroupOptions {
  readonly groupId: string
  /** Topics with the same number of partitions. */
  readonly topics: readonly string[]
  readonly sessionTimeoutMs?: number
  /** Partition numbers that this member has from now on. Awaited before the next call of either. */
  readonly onAssigned: (partitions: readonly number[]) => Promise<void>
  /** Partition numbers that it no longer has; whoever gets them fences us, so a late stop does no harm. */
  readonly onRevoked: (partitions: readonly number[]) => Promise<void>
  /** The member could not stay in the group and has given up; everything was revoked. */
  readonly onLost: (error: Error) => void
}

export interface GroupMember {
  /** Why it has no say in its group right now; null: it is a member, and the group has answered of late. */
  problem(): string | null
  leave(): Promise<void>
}

export interface MembershipOptions {
  readonly groupId: string
  /** Members of one group must name the same. */
  readonly protocol: string
  /** After so long without a heartbeat a member is out. Default 10 s; heartbeats come ten times as often. */
  readonly sessionTimeoutMs?: number
  /** What we tell the leader, asked for at each join. @param generation Of the last assignment; -1: none holds any more. */
  readonly claim: (generation: number) => Buffer
  /** On the leader: what each member is told, by its id. */
  readonly assign: (members: readonly { readonly id: string; readonly claim: Buffer }[]) => ReadonlyMap<string, Buffer>
  readonly onAssignment: (
    data: Buffer,
    of: { readonly generation: number; readonly isLeader: boolean; readonly memberId: string },
  ) => void
  /** The group has gone on without us: nothing that we were told holds any more. */
  readonly onForgotten: () => void
  /** The member could not stay in the group and has given up. */
  readonly onLost: (error: Error) => void
}

export interface Membership extends GroupMember {
  /**
   * Since when the process has run without a standstill as a member of its group, by `performance.now()`; -Infinity: always. Infinity: the group may have
   * gone on without us unheard, until it answers again.
   */
  certainSinceMs(): number
  /** Joins again, with a new claim. A claim that has changed, or the leader's, makes all members join again. Returns at once. */
  rejoin(): void
}
