/** Membership of a role in the group that shares partition numbers: joined until stopped, and rejoined whenever it is removed. */
import { aborted } from '../abort.ts'
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import { persist } from '../persist.ts'
import { SESSION_TIMEOUT_MS } from './group.ts'
import type { Kafka } from './port.ts'

/** Why something cannot work; null: it can. Called on demand. */
export type WhyNot = () => string | null

/** Why some of them cannot work, prefixed with the key of each; null: all can. */
export function whyNotAll(reasons: ReadonlyMap<string, WhyNot>): string | null {
  const all = [...reasons].map(([what, whyNot]) => ({ what, why: whyNot() })).filter(({ why }) => why !== null)
  return all.length === 0 ? null : all.map(({ what, why }) => `${what} ${why}`).join('; ')
}

const LEAST_FENCED_WAIT_MS = 15_000

/**
 * How long a fenced owner of a number waits before it claims it again: longer than the group takes to notify a member that it has lost the number. Earlier, a
 * member that does not know of its loss would fence its successor.
 */
export function fencedWaitMs(sessionTimeoutMs: number = SESSION_TIMEOUT_MS): number {
  return Math.max(LEAST_FENCED_WAIT_MS, 1.5 * sessionTimeoutMs)
}

export interface MembershipOptions {
  readonly kafka: Pick<Kafka, 'joinGroup'>
  readonly groupId: string
  /** Topics with the same number of partitions. */
  readonly topics: readonly string[]
  readonly sessionTimeoutMs?: number | undefined
  readonly clock: Clock
  readonly log: Log
  /** Ends it: gives up the numbers, then leaves the group. */
  readonly signal: AbortSignal
  /** Log message for when the group cannot be joined. */
  readonly message: string
  /** Numbers assigned to us from now on. */
  gained(numbers: readonly number[]): Promise<void>
  /** Numbers no longer assigned to us; their next owner fences us. */
  lost(numbers: readonly number[]): Promise<void>
  /** Gives up all numbers, before leaving the group. */
  letGo(): Promise<void>
  readonly report: (whyNot: WhyNot) => void
}

/** Returns after the signal has ended it. @throws FlowError that waiting does not fix */
export async function beMember(options: MembershipOptions): Promise<void> {
  const { kafka, groupId, topics, sessionTimeoutMs, clock, log, signal, message, report } = options
  const failed = ({ message: why }: { message: string }) => report(() => `could not start: ${why}`)
  while (!signal.aborted) {
    const thrownOut = Promise.withResolvers<void>()
    const member = await persist({ clock, log, signal, message, failed }, () =>
      kafka.joinGroup({
        groupId,
        topics,
        ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
        onAssigned: numbers => options.gained(numbers),
        onRevoked: numbers => options.lost(numbers),
        onLost: error => {
          log.warn(errorFields(asFlowError(error)), 'removed from the group, rejoining')
          report(() => 'was removed from its group')
          thrownOut.resolve()
        },
      }),
    )
    if (member === null) continue
    report(() => member.problem())
    await Promise.race([thrownOut.promise, aborted(signal)])
    // Give up the numbers first, so that their next owner finds no open transaction of ours.
    if (signal.aborted) await options.letGo()
    await member.leave()
  }
  await options.letGo()
}
