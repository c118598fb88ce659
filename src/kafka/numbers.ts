/**
 * Groups whose members share partition numbers rather than partitions, so that whoever has a number has it of every topic of the group. Numbers that a member
 * keeps through a rebalance are not interrupted.
 */
import type { Admin } from 'kafkajs'
import { FlowError } from '../errors.ts'
import { type GroupParts, join } from './group.ts'
import { type Cluster, MemberMetadata } from './kafkajs.ts'
import type { GroupMember, GroupOptions } from './port.ts'
import { patiently } from './reader.ts'

const PROTOCOL = 'colloquy-numbers'

/** What a member tells the leader: what it has, and since when; so that numbers stay where they are. */
interface Claim {
  readonly owned: readonly number[]
  readonly generation: number
}

/** See `Kafka.joinGroup`. */
export async function joinGroup(parts: GroupParts, options: GroupOptions): Promise<GroupMember> {
  const { groupId, topics } = options
  const log = parts.log.child({ group: groupId })
  let isLeaving = false
  let numberCount = 0
  /** The numbers that the group gives us. */
  let assigned: readonly number[] = []
  /** What the callbacks have been told, changed only by `tell`. */
  let told: ReadonlySet<number> = new Set()
  let telling: Promise<void> = Promise.resolve()

  /** Tells the difference to what was told before. `all`: everything was lost in between, also what has been given to us again. */
  function tell(numbers: readonly number[], all = false): void {
    telling = telling.then(async () => {
      const lost = [...told].filter(number => all || !numbers.includes(number))
      if (lost.length > 0) {
        told = new Set([...told].filter(number => !lost.includes(number)))
        await quietly('onRevoked', () => options.onRevoked(lost))
      }
      const gained = numbers.filter(number => !told.has(number))
      if (gained.length === 0 || isLeaving) return
      told = new Set(numbers)
      await quietly('onAssigned', () => options.onAssigned(gained))
    })
  }

  /** What a callback throws is its own affair: the membership goes on. */
  async function quietly(name: string, callback: () => Promise<void>): Promise<void> {
    try {
      await callback()
    } catch (error) {
      log.error({ callback: name, error: String(error) }, 'group callback failed')
    }
  }

  const member = await join(parts, {
    ...(options.sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs: options.sessionTimeoutMs }),
    groupId,
    protocol: PROTOCOL,
    topics,
    prepare: async cluster => {
      numberCount = await patiently(cluster, () => countOf(cluster, topics))
    },
    claim: generation => Buffer.from(JSON.stringify({ owned: assigned, generation } satisfies Claim)),
    assign: members => {
      const shares = share(
        numberCount,
        members.map(({ id, claim }) => ({ id, ...claimOf(claim) })),
      )
      return new Map(
        [...shares].map(([id, numbers]) => [
          id,
          { partitions: Object.fromEntries(topics.map(topic => [topic, numbers])), data: Buffer.alloc(0) },
        ]),
      )
    },
    onAssignment: ({ partitions }, { generation, isLeader }) => {
      assigned = partitions[topics[0] ?? ''] ?? []
      log.info({ generation, numbers: assigned.join(','), leader: isLeader }, 'joined the group')
      tell(assigned)
    },
    onForgotten: () => {
      assigned = []
      tell([], true)
    },
    onLost: why => void telling.then(() => options.onLost(why)),
  })
  return {
    problem: () => member.problem(),
    leave: async () => {
      isLeaving = true
      await member.leave()
      tell([], true)
      await telling
    },
  }
}

async function countOf(cluster: Cluster, topics: readonly string[]): Promise<number> {
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

function claimOf(data: Buffer): Claim {
  try {
    const claim = JSON.parse(data.toString('utf8')) as Claim
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
