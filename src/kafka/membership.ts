/** A role's place in the group that shares partition numbers: joined until stopped, and joined again whenever it was thrown out. */
import { aborted } from '../abort.ts'
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import { persist } from '../persist.ts'
import { SESSION_TIMEOUT_MS } from './group.ts'
import type { Kafka } from './port.ts'

/** Why something is not able to work; null: it is. Asked whenever somebody wants to know. */
export type WhyNot = () => string | null

/** Why not all of them are able to work, by what each reason is about; null: all are. */
export function whyNotAll(reasons: ReadonlyMap<string, WhyNot>): string | null {
  const all = [...reasons].map(([what, whyNot]) => ({ what, why: whyNot() })).filter(({ why }) => why !== null)
  return all.length === 0 ? null : all.map(({ what, why }) => `${what} ${why}`).join('; ')
}

const LEAST_FENCED_WAIT_MS = 15_000

/**
 * How long a fenced owner of a number waits before it claims it again: longer than the group takes to tell a member that it was given up. Sooner, a member
 * that does not know of its loss would fence its successor.
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
  /** Ends it: numbers are let go, then the group is left. */
  readonly signal: AbortSignal
  /** For the log, when the group cannot be joined: `the aggregator could not start; trying again`. */
  readonly message: string
  /** Numbers that are ours from now on. */
  gained(numbers: readonly number[]): Promise<void>
  /** Numbers that are ours no longer; whoever gets them fences us. */
  lost(numbers: readonly number[]): Promise<void>
  /** Lets go of all numbers, before the group is left. */
  letGo(): Promise<void>
  readonly report: (whyNot: WhyNot) => void
}

/** Returns when the signal has ended it. @throws FlowError that time does not mend */
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
          log.warn(errorFields(asFlowError(error)), 'thrown out of the group; joining again')
          report(() => 'was thrown out of its group')
          thrownOut.resolve()
        },
      }),
    )
    if (member === null) continue
    report(() => member.problem())
    await Promise.race([thrownOut.promise, aborted(signal)])
    // Numbers are let go first, so that whoever gets them finds no transaction of ours open.
    if (signal.aborted) await options.letGo()
    await member.leave()
  }
  await options.letGo()
}
