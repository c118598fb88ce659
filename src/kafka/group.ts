/**
 * Membership in a consumer group, and nothing else of it: no fetching, no offsets. Members share partition numbers rather than partitions, so that
 * whoever has a number has it of every topic of the group.
 *
 * kafkajs's consumer ties its heartbeats to fetching and stops everything at each rebalance. This one beats by a timer of its own, and
 * numbers that a member keeps through a rebalance are not interrupted; the transactional id of each number keeps two owners apart.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import { backoffMs, codeOf, isConnectionFailure, isCoordinatorMoved, kafkaError } from './failures.ts'
import { type Broker, type Cluster, MemberAssignment, MemberMetadata } from './kafkajs.ts'
import type { GroupMember, GroupOptions } from './port.ts'
import { patiently } from './reader.ts'

const PROTOCOL = 'colloquy-numbers'
/** Default of `GroupOptions.sessionTimeoutMs`. */
export const SESSION_TIMEOUT_MS = 10_000
/** How long the group waits at a rebalance for a member that still beats but does not join. */
const REBALANCE_TIMEOUT_MS = 10_000
const LEAVE_PATIENCE_MS = 2_000
/** A coordinator that is well answers a heartbeat at once; it is asked at least every 3 s. */
const SILENCE_MS = 7_000
/** A rebalance may take as long as the group waits for its members, and a little more. */
const REJOIN_GRACE_MS = 3_000

const ILLEGAL_GENERATION = 22
const UNKNOWN_MEMBER = 25
const REBALANCING = 27
/** Of older brokers and of the join itself: call again with the id that came with it; kafkajs does so. */
const MEMBER_ID_REQUIRED = 79

export interface GroupParts {
  readonly connect: () => Cluster
  readonly drop: (cluster: Cluster) => Promise<void>
  readonly log: Log
}

/** What a member tells the leader: what it has, and since when; so that numbers stay where they are. */
interface Claim {
  readonly owned: readonly number[]
  readonly generation: number
}

/** See `Kafka.joinGroup`. */
export async function joinGroup(parts: GroupParts, options: GroupOptions): Promise<GroupMember> {
  const { groupId, topics } = options
  const sessionTimeoutMs = options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS
  const beatMs = Math.min(Math.max(Math.floor(sessionTimeoutMs / 10), 100), 3_000)
  const log = parts.log.child({ group: groupId })
  const cluster = parts.connect()
  const leaving = new AbortController()

  let coordinator: Broker | null = null
  let memberId = ''
  let generation = -1
  /** The numbers that the group gives us. */
  let assigned: readonly number[] = []
  /** What the callbacks have been told, changed only by `tell`. */
  let told: ReadonlySet<number> = new Set()
  let telling: Promise<void> = Promise.resolve()
  /** When the coordinator answered us last. */
  let answeredAtMs = Date.now()
  let isJoining = true

  /** Tells the difference to what was told before. `all`: everything was lost in between, also what has been given to us again. */
  function tell(numbers: readonly number[], all = false): void {
    telling = telling.then(async () => {
      const lost = [...told].filter(number => all || !numbers.includes(number))
      if (lost.length > 0) {
        told = new Set([...told].filter(number => !lost.includes(number)))
        await quietly('onRevoked', () => options.onRevoked(lost))
      }
      const gained = numbers.filter(number => !told.has(number))
      if (gained.length === 0 || leaving.signal.aborted) return
      told = new Set(numbers)
      await quietly('onAssigned', () => options.onAssigned(gained))
    })
  }

  /** What a callback throws is its own affair: the membership goes on. */
  async function quietly(name: string, callback: () => Promise<void>): Promise<void> {
    try {
      await callback()
    } catch (error) {
      log.error({ callback: name, error: String(error) }, 'Group callback failed')
    }
  }

  function forget(): void {
    memberId = ''
    generation = -1
    assigned = []
    tell([], true)
  }

  async function join(): Promise<void> {
    coordinator = await cluster.findGroupCoordinator({ groupId, coordinatorType: 0 })
    const claim: Claim = { owned: assigned, generation }
    const joined = await coordinator.joinGroup({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: Math.max(REBALANCE_TIMEOUT_MS, sessionTimeoutMs),
      memberId,
      groupProtocols: [
        { name: PROTOCOL, metadata: MemberMetadata.encode({ version: 0, topics, userData: Buffer.from(JSON.stringify(claim)) }) },
      ],
    })
    ;({ memberId } = joined)
    const shares =
      joined.leaderId === joined.memberId
        ? share(
            await numberCount(),
            joined.members.map(member => ({ id: member.memberId, ...claimOf(member.memberMetadata) })),
          )
        : new Map<string, number[]>()
    const { memberAssignment } = await coordinator.syncGroup({
      groupId,
      generationId: joined.generationId,
      memberId,
      groupAssignment: [...shares].map(([id, numbers]) => ({
        memberId: id,
        memberAssignment: MemberAssignment.encode({
          version: 0,
          assignment: Object.fromEntries(topics.map(topic => [topic, numbers])),
          userData: Buffer.alloc(0),
        }),
      })),
    })
    generation = joined.generationId
    answeredAtMs = Date.now()
    isJoining = false
    assigned = MemberAssignment.decode(memberAssignment)?.assignment[topics[0] ?? ''] ?? []
    log.info({ generation, numbers: assigned.join(','), leader: joined.leaderId === memberId }, 'Joined the group')
    tell(assigned)
  }

  async function numberCount(): Promise<number> {
    await cluster.addMultipleTargetTopics(topics)
    const counts = topics.map(topic => cluster.findTopicPartitionMetadata(topic).length)
    const [first = 0] = counts
    const other = counts.findIndex(count => count !== first)
    if (other !== -1) {
      throw new FlowError('TOPIC_MISMATCH', {
        hint: `${topics[0]} has ${first} partitions and ${topics[other]} has ${counts[other]}: both are read by partition number and need the same`,
        topic: topics[other] ?? '',
        setting: 'partitions',
        found: counts[other] ?? 0,
        wanted: first,
      })
    }
    return first
  }

  /** Joins, again while the group is in motion or does not answer. @throws FlowError when the group will not have us */
  async function joinPatiently(): Promise<void> {
    isJoining = true
    const lostAtMs = Date.now() + sessionTimeoutMs
    for (let count = 0; !leaving.signal.aborted; count++) {
      try {
        await cluster.connect()
        await join()
        return
      } catch (error) {
        if (leaving.signal.aborted) return
        const code = codeOf(error)
        if (code === UNKNOWN_MEMBER || code === ILLEGAL_GENERATION) forget()
        else if (!isInMotion(error)) throw kafkaError(error, { group: groupId })
        else if (code === null && Date.now() > lostAtMs && assigned.length > 0) forget()
        if (code === null) await cluster.refreshMetadata().catch(() => {})
      }
      await pause(backoffMs(count + 4))
    }
  }

  function isInMotion(error: unknown): boolean {
    const code = codeOf(error)
    return (
      code === REBALANCING ||
      code === MEMBER_ID_REQUIRED ||
      code === 3 ||
      code === 5 ||
      isCoordinatorMoved(code) ||
      isConnectionFailure(error)
    )
  }

  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: leaving.signal }).catch(() => {})
  }

  /** Beats until the group is in motion or has gone on without us; returns to join again. */
  async function beat(): Promise<void> {
    while (!leaving.signal.aborted) {
      await pause(beatMs)
      if (leaving.signal.aborted) return
      try {
        coordinator ??= await cluster.findGroupCoordinator({ groupId, coordinatorType: 0 })
        await coordinator.heartbeat({ groupId, groupGenerationId: generation, memberId })
        answeredAtMs = Date.now()
      } catch (error) {
        const code = codeOf(error)
        if (code === REBALANCING) return
        if (code === UNKNOWN_MEMBER || code === ILLEGAL_GENERATION) {
          log.warn({ kafkaCode: code }, 'The group has gone on without us; joining again')
          forget()
          return
        }
        if (!isCoordinatorMoved(code) && !isConnectionFailure(error)) throw kafkaError(error, { group: groupId })
        coordinator = null
        if (Date.now() - answeredAtMs > sessionTimeoutMs) {
          log.warn({}, 'The group does not answer; others may have our partitions')
          forget()
          return
        }
      }
    }
  }

  async function stay(): Promise<void> {
    while (!leaving.signal.aborted) {
      await beat()
      if (!leaving.signal.aborted) await joinPatiently()
    }
  }

  try {
    await patiently(cluster, numberCount)
    await joinPatiently()
  } catch (error) {
    leaving.abort()
    await parts.drop(cluster)
    throw error
  }
  const staying = stay().catch(async (error: unknown) => {
    if (leaving.signal.aborted) return
    tell([], true)
    await telling
    options.onLost(kafkaError(error))
  })

  return {
    problem: () => {
      if (generation < 0) return 'is not in its group and joins again'
      const silentMs = Date.now() - answeredAtMs
      const patienceMs = isJoining ? Math.max(REBALANCE_TIMEOUT_MS, sessionTimeoutMs) + REJOIN_GRACE_MS : SILENCE_MS
      return silentMs > patienceMs ? `has had no answer from its group for ${Math.round(silentMs / 1000)} s` : null
    },
    leave: async () => {
      if (leaving.signal.aborted) return
      leaving.abort()
      if (memberId !== '' && coordinator !== null) {
        const left = coordinator.leaveGroup({ groupId, memberId }).catch(() => {})
        await Promise.race([left, sleep(LEAVE_PATIENCE_MS, undefined, { ref: false })])
      }
      await parts.drop(cluster)
      await staying
      tell([], true)
      await telling
    },
  }
}

/** See `Kafka.groupsSharing`. */
export async function groupsSharing(admin: Admin, topic: string, groupId: string): Promise<string[]> {
  const { groups } = await admin.listGroups()
  const listed = groups.filter(group => group.protocolType === 'consumer').map(group => group.groupId)
  if (listed.length === 0) return []
  const described = await admin.describeGroups(listed)
  return described.groups
    .filter(group => group.members.length > 0)
    .filter(group => {
      // While the group is in motion its members' topics are not known.
      if (group.groupId === groupId) return true
      return group.protocol === PROTOCOL && group.members.some(member => topicsOf(member.memberMetadata).includes(topic))
    })
    .map(group => group.groupId)
}

function topicsOf(metadata: Buffer): readonly string[] {
  try {
    return MemberMetadata.decode(metadata).topics
  } catch {
    return []
  }
}

function claimOf(metadata: Buffer): Claim {
  try {
    const claim = JSON.parse(MemberMetadata.decode(metadata).userData.toString('utf8')) as Claim
    return { owned: claim.owned.filter(Number.isInteger), generation: claim.generation }
  } catch {
    return { owned: [], generation: -1 }
  }
}

/**
 * Shares the numbers 0 … count − 1 evenly. Whoever has one keeps it as far as evenness allows; of two who claim the same, the one of the later
 * generation is right.
 */
export function share(count: number, members: readonly ({ id: string } & Claim)[]): Map<string, number[]> {
  const ordered = members.toSorted((a, b) => b.generation - a.generation || (a.id < b.id ? -1 : 1))
  const least = Math.floor(count / members.length)
  /** So many members have one more than the others. */
  let extras = count % members.length
  const shares = new Map(ordered.map(({ id }) => [id, [] as number[]]))
  const free = new Set(Array.from({ length: count }, (_, number) => number))
  for (const { id, owned } of ordered) {
    const own = shares.get(id) ?? []
    for (const number of owned) {
      if (!free.has(number) || own.length > least || (own.length === least && extras === 0)) continue
      if (own.length === least) extras--
      own.push(number)
      free.delete(number)
    }
  }
  for (const number of free) {
    const [smallest] = [...shares.values()].sort((a, b) => a.length - b.length)
    smallest?.push(number)
  }
  for (const numbers of shares.values()) numbers.sort((a, b) => a - b)
  return shares
}
