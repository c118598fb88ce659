/**
 * Consumer group membership, without fetching and offsets. Members and their leader exchange bytes; workers share tasks this way (`src/control/group.ts`),
 * aggregators and alerters share partition numbers (`numbers.ts`).
 *
 * kafkajs's consumer ties heartbeats to fetching and stops everything at each rebalance. This one sends heartbeats on a timer of its own, and a rebalance does
 * not interrupt what a member keeps; the transactional id of each shared unit keeps two owners apart.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { backoffMs, codeOf, isConnectionFailure, isCoordinatorMoved, kafkaError } from './failures.ts'
import { type Broker, type Cluster, MemberAssignment, MemberMetadata } from './kafkajs.ts'
import type { Membership, MembershipOptions } from './port.ts'
import { Standstill } from './standstill.ts'

/**
 * Default of `MembershipOptions.sessionTimeoutMs`: a dead member is removed after this time; a second for the heartbeat, a second to start, and its work runs
 * elsewhere.
 */
export const SESSION_TIMEOUT_MS = 8_000
/** How long a rebalance waits for a member that sends heartbeats but does not join. */
const REBALANCE_TIMEOUT_MS = 10_000
const LEAVE_PATIENCE_MS = 2_000
/** A healthy coordinator answers a heartbeat at once; we send at least one every 3 s. */
const SILENCE_MS = 5_500
/** A process that stood still for this long asks the group before it continues. */
const STILL_MS = 1_000
/** A rebalance may take as long as the group waits for its members, plus a little. */
const REJOIN_GRACE_MS = 3_000

const ILLEGAL_GENERATION = 22
const UNKNOWN_MEMBER = 25
const REBALANCING = 27
/** From older brokers and for the join itself: join again with the id in the answer; kafkajs does so. */
const MEMBER_ID_REQUIRED = 79

export interface GroupParts {
  readonly connect: () => Cluster
  readonly drop: (cluster: Cluster) => Promise<void>
  readonly log: Log
}

/** What a member and its leader exchange, in the format that Kafka's own tools read. */
export interface MemberPayload {
  /** By topic, for tools that show which member has which partition. */
  readonly partitions: Readonly<Record<string, readonly number[]>>
  readonly data: Buffer
}

/** Options of a membership: `MembershipOptions`, and what it needs from its cluster connections. */
export interface JoinOptions extends Omit<MembershipOptions, 'assign' | 'onAssignment'> {
  /** For tools, and for finding the groups of a topic. */
  readonly topics: readonly string[]
  /** Called before the first join, and on a leader before each assignment. Throws if the group cannot be joined. */
  readonly prepare?: (cluster: Cluster) => Promise<void>
  readonly assign: (members: readonly { readonly id: string; readonly claim: Buffer }[]) => ReadonlyMap<string, MemberPayload>
  readonly onAssignment: (
    payload: MemberPayload,
    joined: { readonly generation: number; readonly isLeader: boolean; readonly memberId: string },
  ) => void
}

/** See `Kafka.joinMembers`. */
export async function join(parts: GroupParts, options: JoinOptions): Promise<Membership> {
  const { groupId, protocol, topics } = options
  const sessionTimeoutMs = options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS
  const rebalanceTimeoutMs = Math.max(REBALANCE_TIMEOUT_MS, sessionTimeoutMs)
  const beatMs = Math.min(Math.max(Math.floor(sessionTimeoutMs / 10), 100), 3_000)
  const log = parts.log.child({ group: groupId })
  const cluster = parts.connect()
  const leaving = new AbortController()

  let coordinator: Broker | null = null
  let memberId = ''
  let generation = -1
  /** Time of the coordinator's last answer. */
  let answeredAtMs = Date.now()
  let isJoining = true
  const standstill = new Standstill(STILL_MS)
  const looking = setInterval(() => standstill.look(), STILL_MS / 5).unref()
  /** Ends the pause between two heartbeats, to rejoin. */
  let nudge = new AbortController()

  function forget(): void {
    memberId = ''
    generation = -1
    options.onForgotten()
  }

  async function joinOnce(): Promise<void> {
    coordinator = await cluster.findGroupCoordinator({ groupId, coordinatorType: 0 })
    nudge = new AbortController()
    const joined = await coordinator.joinGroup({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      memberId,
      groupProtocols: [
        { name: protocol, metadata: MemberMetadata.encode({ version: 0, topics, userData: options.claim(generation) }) },
      ],
    })
    ;({ memberId } = joined)
    const isLeader = joined.leaderId === joined.memberId
    if (isLeader) await options.prepare?.(cluster)
    const payloads = isLeader
      ? options.assign(joined.members.map(member => ({ id: member.memberId, claim: claimOf(member.memberMetadata) })))
      : new Map<string, MemberPayload>()
    const askedAtMs = standstill.look()
    const { memberAssignment } = await coordinator.syncGroup({
      groupId,
      generationId: joined.generationId,
      memberId,
      groupAssignment: [...payloads].map(([id, { partitions, data }]) => ({
        memberId: id,
        memberAssignment: MemberAssignment.encode({ version: 0, assignment: partitions, userData: data }),
      })),
    })
    generation = joined.generationId
    answeredAtMs = Date.now()
    standstill.answered(askedAtMs)
    isJoining = false
    const decoded = MemberAssignment.decode(memberAssignment)
    log.debug({ generation, leader: isLeader }, 'joined the group')
    options.onAssignment(
      { partitions: decoded?.assignment ?? {}, data: decoded?.userData ?? Buffer.alloc(0) },
      { generation, isLeader, memberId },
    )
  }

  /** Joins, and retries while the group rebalances or does not answer. @throws FlowError when the group rejects us */
  async function joinPatiently(): Promise<void> {
    isJoining = true
    const lostAtMs = Date.now() + sessionTimeoutMs
    for (let count = 0; !leaving.signal.aborted; count++) {
      try {
        await cluster.connect()
        await joinOnce()
        return
      } catch (error) {
        if (leaving.signal.aborted) return
        const code = codeOf(error)
        if (code === UNKNOWN_MEMBER || code === ILLEGAL_GENERATION) forget()
        else if (!isInMotion(error)) throw kafkaError(error, { group: groupId })
        else if (code === null && Date.now() > lostAtMs && generation >= 0) forget()
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

  async function pause(ms: number, signal: AbortSignal = leaving.signal): Promise<void> {
    await sleep(ms, undefined, { signal }).catch(() => {})
  }

  /** Sends heartbeats until the group rebalances, has removed us, or our claim has changed; returns to rejoin. */
  async function beat(): Promise<void> {
    while (!leaving.signal.aborted && !nudge.signal.aborted) {
      await pause(beatMs, AbortSignal.any([leaving.signal, nudge.signal]))
      if (leaving.signal.aborted || nudge.signal.aborted) return
      try {
        coordinator ??= await cluster.findGroupCoordinator({ groupId, coordinatorType: 0 })
        const askedAtMs = standstill.look()
        await coordinator.heartbeat({ groupId, groupGenerationId: generation, memberId })
        answeredAtMs = Date.now()
        standstill.answered(askedAtMs)
      } catch (error) {
        const code = codeOf(error)
        if (code === REBALANCING) return
        if (code === UNKNOWN_MEMBER || code === ILLEGAL_GENERATION) {
          log.warn({ kafkaCode: code }, 'removed from the group, rejoining')
          forget()
          return
        }
        if (!isCoordinatorMoved(code) && !isConnectionFailure(error)) throw kafkaError(error, { group: groupId })
        coordinator = null
        if (Date.now() - answeredAtMs > sessionTimeoutMs) {
          log.warn({}, 'lost the group coordinator; other members may have taken over')
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
    await options.prepare?.(cluster)
    await joinPatiently()
  } catch (error) {
    leaving.abort()
    clearInterval(looking)
    await parts.drop(cluster)
    throw error
  }
  const staying = stay().catch((error: unknown) => {
    if (leaving.signal.aborted) return
    forget()
    options.onLost(kafkaError(error))
  })

  return {
    problem: () => {
      if (generation < 0) return 'is not in its group and is rejoining'
      const silentMs = Date.now() - answeredAtMs
      const patienceMs = isJoining ? rebalanceTimeoutMs + REJOIN_GRACE_MS : SILENCE_MS
      return silentMs > patienceMs ? `has had no answer from its group for ${Math.round(silentMs / 1000)} s` : null
    },
    certainSinceMs: () => (!isJoining && Date.now() - answeredAtMs >= sessionTimeoutMs ? Infinity : standstill.certainSinceMs()),
    rejoin: () => nudge.abort(),
    leave: async () => {
      if (leaving.signal.aborted) return
      leaving.abort()
      clearInterval(looking)
      if (memberId !== '' && coordinator !== null) {
        const left = coordinator.leaveGroup({ groupId, memberId }).catch(() => {})
        await Promise.race([left, sleep(LEAVE_PATIENCE_MS, undefined, { ref: false })])
      }
      await parts.drop(cluster)
      await staying
    },
  }
}

/** The claim of a member; empty where it cannot be read. */
function claimOf(metadata: Buffer): Buffer {
  try {
    return MemberMetadata.decode(metadata).userData
  } catch {
    return Buffer.alloc(0)
  }
}
