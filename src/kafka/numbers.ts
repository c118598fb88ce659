/**
 * Groups whose members share partition numbers rather than partitions: the owner of a number has it for every topic of the group. A rebalance does not
 * interrupt numbers that a member keeps.
 */
import type { Admin } from 'kafkajs'
import { FlowError } from '../errors.ts'
import { type GroupParts, join } from './group.ts'
import { type Cluster, MemberMetadata } from './kafkajs.ts'
import type { GroupMember, GroupOptions } from './port.ts'
import { patiently } from './reader.ts'

const PROTOCOL = 'colloquy-numbers'

/** What a member sends to the leader: its numbers and their generation, so that numbers stay where they are. */
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
  /** The numbers assigned to us by the group. */
  let assigned: readonly number[] = []
  /** The numbers that the callbacks know of, changed only by `notify`. */
  let notified: ReadonlySet<number> = new Set()
  let telling: Promise<void> = Promise.resolve()

  /** Notifies the callbacks of the difference to last time. `all`: everything was lost in between, including numbers that are ours again. */
  function notify(numbers: readonly number[], all = false): void {
    telling = telling.then(async () => {
      const lost = [...notified].filter(number => all || !numbers.includes(number))
      if (lost.length > 0) {
        notified = new Set([...notified].filter(number => !lost.includes(number)))
        await quietly('onRevoked', () => options.onRevoked(lost))
      }
      const gained = numbers.filter(number => !notified.has(number))
      if (gained.length === 0 || isLeaving) return
      notified = new Set(numbers)
      await quietly('onAssigned', () => options.onAssigned(gained))
    })
  }

  /** An error in a callback does not end the membership. */
  async function quietly(name: string, callback: () => Promise<void>): Promise<void> {
    try {
      await callback()
    } catch (error) {
      log.error({ callback: name, error: String(error) }, 'failed in group callback')
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
      notify(assigned)
    },
    onForgotten: () => {
      assigned = []
      notify([], true)
    },
    onLost: why => void telling.then(() => options.onLost(why)),
  })
  return {
    problem: () => member.problem(),
    leave: async () => {
      isLeaving = true
      await member.leave()
      notify([], true)
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
      // While the group rebalances, the topics of its members are not known.
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
 * Shares the numbers 0 … count − 1 evenly. A member keeps its numbers as far as the even share allows; if two claim the same one, the later generation wins.
 */
export function share(count: number, members: readonly ({ id: string } & Claim)[]): Map<string, number[]> {
  const ordered = members.toSorted((a, b) => b.generation - a.generation || (a.id < b.id ? -1 : 1))
  const least = Math.floor(count / members.length)
  /** How many members get one more than the others. */
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
