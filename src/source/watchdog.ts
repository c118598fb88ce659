/**
 * Ends calls of a connector that hang by themselves: a promise that nobody resolves must not block a task for ever. A connector that waits for the vendor or
 * for its quota waits inside our client, which has its own time limits; so only time without such a call counts.
 *
 * Real timers, as for requests: what is watched is real, also if a test moves its clock by hand. Code that never yields the thread cannot be ended.
 */
import { FlowError } from '../errors.ts'
import type { Changes, FollowArgs, Http, Stream } from './contract.ts'

/** How long a call of a connector may run without calling us. Everything it does by itself is quick. */
export const PLUGIN_PATIENCE_MS = 60_000

/** A timer this late was not served, because the process was stopped or busy: then the connector was not, either. */
const LATE_MS = 5_000

export interface Watchdog {
  /**
   * @param call Name of the call, for the error.
   * @throws FlowError PLUGIN_HUNG when the work neither ended nor was busy for the whole patience; its later result is dropped.
   */
  watch<T>(call: string, work: () => T | Promise<T>): Promise<T>
  /** Runs a request of the connector to us, which does not count as hanging. Rejects with STOPPED after the call was ended. */
  busy<T>(work: () => Promise<T>): Promise<T>
}

/** For one thread of work of a connector: one call, or the pages of one listing. */
export function watchdog(patienceMs = PLUGIN_PATIENCE_MS): Watchdog {
  let underWay = 0
  let isDead = false
  const watches = new Set<{ arm(): void; rest(): void }>()

  return {
    watch: (call, work) =>
      new Promise((resolve, reject) => {
        let timer: NodeJS.Timeout | undefined
        const rest = () => clearTimeout(timer)
        const arm = () => {
          rest()
          if (underWay > 0) return
          const dueMs = performance.now() + patienceMs
          timer = setTimeout(() => {
            if (performance.now() - dueMs > LATE_MS) return arm()
            isDead = true
            end()
            reject(new FlowError('PLUGIN_HUNG', { call, patienceMs, hint: `${call} neither ended nor asked for anything` }))
          }, patienceMs).unref()
        }
        const mine = { arm, rest }
        const end = () => {
          rest()
          watches.delete(mine)
        }
        watches.add(mine)
        arm()
        // In a function of its own, so that an immediate throw also ends the watch.
        const begun = async () => await work()
        begun().finally(end).then(resolve, reject)
      }),

    busy: async work => {
      if (isDead) throw new FlowError('STOPPED', { hint: 'the calling method was ended' })
      underWay++
      for (const each of watches) each.rest()
      try {
        return await work()
      } finally {
        underWay--
        for (const each of watches) each.arm()
      }
    },
  }
}

/**
 * The stream with `read`, `enrich`, `follow.read` and `changes.read` under watch; each throws PLUGIN_HUNG when it hangs. Everything else is the stream's own,
 * wherever it comes from (a prototype, a getter, a private field).
 */
export function watchedStream(stream: Stream, patienceMs?: number): Stream {
  const watchedCall = <A extends { readonly http: Http }, T>(call: string, work: (args: A) => Promise<T>) => {
    return (args: A): Promise<T> => {
      const dog = watchdog(patienceMs)
      return dog.watch(call, () => work({ ...args, http: busyHttp(args.http, dog) }))
    }
  }
  const read: Stream['read'] = args => {
    const dog = watchdog(patienceMs)
    const pages = stream.read({ ...args, http: busyHttp(args.http, dog) })[Symbol.asyncIterator]()
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => dog.watch('read', () => pages.next()),
        return: async () => (await pages.return?.()) ?? { done: true, value: undefined },
      }),
    }
  }
  const replaced: Partial<Stream> = { read }
  if (stream.enrich) replaced.enrich = watchedCall('enrich', async args => await (stream.enrich as Enrich)(args))
  const { follow } = stream
  const asked = follow && watchedCall('follow.read', async (args: FollowArgs) => await follow.read(args))
  const { changes } = stream
  const watchedChanges = changes && watchedCall('changes.read', async (args: ChangesArgs) => await changes.read(args))
  return instead(stream, {
    ...replaced,
    ...(follow && asked ? { follow: instead(follow, { read: asked }) } : {}),
    ...(changes && watchedChanges ? { changes: instead(changes, { read: watchedChanges }) } : {}),
  })
}

type Enrich = NonNullable<Stream['enrich']>
type ChangesArgs = Parameters<Changes['read']>[0]

/** The object with some members replaced; the others run on the object itself. */
export function instead<T extends object>(target: T, members: Partial<T>): T {
  const bound = new Map<unknown, unknown>()
  // The target is not the object itself: members of a frozen one could not be replaced.
  return new Proxy(Object.create(target) as T, {
    has: (_, name) => Object.hasOwn(members, name) || Reflect.has(target, name),
    get: (_, name) => {
      if (Object.hasOwn(members, name)) return members[name as keyof T]
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (!bound.has(value)) bound.set(value, value.bind(target))
      return bound.get(value)
    },
  })
}

function busyHttp(http: Http, dog: Watchdog): Http {
  return {
    getJson: (...args) => dog.busy(() => http.getJson(...args)),
    postJson: (...args) => dog.busy(() => http.postJson(...args)),
  }
}
