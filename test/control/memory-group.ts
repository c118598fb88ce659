/** A consumer group in memory: a round whenever a member joins, leaves, is removed or has a new claim. The oldest member leads. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Kafka, Membership, MembershipOptions } from '../../src/kafka/port.ts'

interface InGroup {
  readonly id: string
  readonly options: MembershipOptions
  generation: number
}

export class MemoryGroup {
  #members: InGroup[] = []
  #generation = 0
  #joined = 0
  #round: Promise<void> | null = null
  #held: Promise<void> = Promise.resolve()
  /** Rounds so far. */
  rounds = 0

  /** Rounds wait until the returned function is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#held = promise
    return resolve
  }

  /** What a worker joins with. `throwOut` makes the group continue without it: it does nothing about that before `thaw`. */
  client(): { kafka: Pick<Kafka, 'joinMembers'>; throwOut: () => void; thaw: () => void } {
    let mine: InGroup | null = null
    return {
      kafka: {
        joinMembers: async options => {
          mine = this.#add(options)
          await this.#soon()
          return this.#membership(mine)
        },
      },
      throwOut: () => {
        this.#members = this.#members.filter(member => member !== mine)
        void this.#soon()
      },
      thaw: () => {
        if (mine === null) return
        mine.generation = -1
        mine.options.onForgotten()
        this.#members.push(mine)
        void this.#soon()
      },
    }
  }

  #add(options: MembershipOptions): InGroup {
    const member = { id: `member ${this.#joined++}`, options, generation: -1 }
    this.#members.push(member)
    return member
  }

  #membership(member: InGroup): Membership {
    return {
      problem: () => (this.#members.includes(member) ? null : 'is not in its group'),
      certainSinceMs: () => -Infinity,
      rejoin: () => void this.#soon(),
      leave: async () => {
        this.#members = this.#members.filter(each => each !== member)
        await this.#soon()
      },
    }
  }

  /** One round for all members that ask for one at about the same time. */
  #soon(): Promise<void> {
    this.#round ??= (async () => {
      await nextTurn()
      await this.#held
      this.#round = null
      const [leader] = this.#members
      if (leader === undefined) return
      this.rounds++
      this.#generation++
      const members = [...this.#members]
      const claims = members.map(({ id, options, generation }) => ({ id, claim: options.claim(generation) }))
      const assignments = leader.options.assign(claims)
      for (const member of members) {
        member.generation = this.#generation
        member.options.onAssignment(assignments.get(member.id) ?? Buffer.alloc(0), {
          generation: this.#generation,
          isLeader: member === leader,
          memberId: member.id,
        })
      }
    })()
    return this.#round
  }
}
