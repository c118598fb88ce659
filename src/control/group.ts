/**
 * A worker's membership in the group: its claim for the leader, how it acts on its assignment, and, on the leader, the assignment of tasks (`assign.ts`).
 *
 * Only the broker decides who is in the group, and only the leader who has which task. A revoked task is stopped first; then the worker rejoins without it, and
 * only then another one gets it. Should two run it all the same (a process that was frozen and thaws), the transactional ids of its source partitions keep them
 * apart.
 */
import { aborted } from '../abort.ts'
import { type Clock, steadyMs } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { SESSION_TIMEOUT_MS } from '../kafka/group.ts'
import type { Kafka, Membership } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import { persist } from '../persist.ts'
import { Leader, type Member, type Patience, sharesOf, taskKey, type TaskToPlace, type Wants } from './assign.ts'
import type {
  ConnectorTasks,
  GroupView,
  RestartRequest,
  Runner,
  Status,
  Statuses,
  TaskId,
  TaskReport,
  TaskState,
  Wanted,
  WantedConnector,
} from './port.ts'
import { type Assignment, type Claim, idOf, keysIn, pack, tasksIn, tasksOfKeys, unpackAssignment, unpackClaim } from './words.ts'

export interface WorkerGroupOptions {
  readonly kafka: Pick<Kafka, 'joinMembers'>
  /** Kafka Connect's `group.id`. */
  readonly groupId: string
  readonly sessionTimeoutMs?: number
  readonly patience?: Patience
  readonly me: { readonly workerId: string; readonly url: string; readonly process: string }
  readonly wanted: Wanted
  readonly statuses: Statuses
  readonly runner: Runner
  /** Depends on the config only: every worker gets the same result. Never throws. */
  readonly tasksOf: (connector: WantedConnector) => ConnectorTasks
  readonly observer?: GroupObserver
  readonly clock: Clock
  readonly log: Log
  /** Ends it: stops the tasks, then leaves the group. */
  readonly signal: AbortSignal
}

/** For metrics. */
export interface GroupObserver {
  rebalancing(isUnderWay: boolean): void
  group(shape: {
    readonly workers: number
    readonly unassigned: number
    readonly generation: number
    readonly isLeader: boolean
  }): void
  /** State of a task of this worker; null: it is no longer here. */
  status(id: TaskId, state: TaskState | null): void
}

export interface WorkerGroup {
  view(): GroupView
  /** Called after each change of the view. @returns function to unsubscribe */
  onChange(changed: () => void): () => void
  /** Why this worker, or the group as a whole, cannot work; null: it can. */
  whyNot(): string | null
  /** See `Membership.certainSinceMs`. */
  certainSinceMs(): number
  /** The state of a task that runs here has changed. */
  report(id: TaskId, report: TaskReport): void
  /** Whether a process is a worker of this group. */
  hasProcess(name: string): boolean
  /** Resolves when the signal has aborted, everything is stopped and the group is left. @throws FlowError that waiting does not fix */
  readonly done: Promise<void>
}

const PROTOCOL = 'colloquy-tasks'
export const PATIENCE: Patience = { quietMs: 10_000, holdMs: 7_000, youngMs: 10_000 }
/** Stopped tasks are given up together, but wait at most this long for slower ones. */
const GIVE_UP_TOGETHER_MS = 1_000
/** Time limit for announcing that we leave, while tasks are stopped: a group that waits for a dead member does not hear it. */
const FAREWELL_MS = 3_000
/** A task without an owner for this long makes every worker unready. */
const UNASSIGNED_MS = 30_000
/** At most this many of them are listed. */
const MOST_NAMED = 5

export function startGroup(options: WorkerGroupOptions): WorkerGroup {
  const worker = new Worker(options)
  return {
    view: () => worker.view(),
    onChange: changed => worker.onChange(changed),
    whyNot: () => worker.whyNot(),
    certainSinceMs: () => worker.certainSinceMs(),
    report: (id, report) => worker.report(id, report),
    hasProcess: name => worker.hasProcess(name),
    done: worker.run(),
  }
}

/** A task on this worker: running, paused, or being stopped. */
interface Own {
  readonly id: TaskId
  /** Until it has stopped; it may be wanted again meanwhile. */
  isStopping: boolean
  isPaused: boolean
  report: TaskReport
}

class Worker {
  readonly #options: WorkerGroupOptions
  readonly #log: Log
  readonly #listeners = new Set<() => void>()
  readonly #own = new Map<string, Own>()
  #member: Membership | null = null
  #memberId = ''
  #generation = -1
  #assignment: Assignment | null = null
  /** Tasks assigned to us. */
  #mine: ReadonlySet<string> = new Set()
  #turn = 0
  #isLeaving = false
  /** Why we are not a member. */
  #why = 'has not joined its group yet'
  #leader: Leader | null = null
  /** The leader's last assignment, to detect changes. */
  #assigned = ''
  /** Ends the wait for the next round that the leader has planned. */
  #alarm = new AbortController()
  #givingUp = false
  /** Tasks without an owner, and since when, steady clock. */
  readonly #unassignedMs = new Map<string, number>()
  readonly #tasks = new WeakMap<WantedConnector, ConnectorTasks>()
  /** Cached as long as the same connectors are wanted. */
  #wantsNow: { readonly connectors: Wanted['connectors']; readonly wants: Wants } | null = null

  constructor(options: WorkerGroupOptions) {
    this.#options = options
    this.#log = options.log.child({ group: options.groupId })
  }

  async run(): Promise<void> {
    const { kafka, groupId, sessionTimeoutMs = SESSION_TIMEOUT_MS, wanted, clock, signal } = this.#options
    const ends = [wanted.onChange(() => this.#wantedChanged()), wanted.onRestart(asked => this.#restart(asked))]
    const message = 'failed to join the worker group, retrying'
    const failed = ({ message: why }: { message: string }) => (this.#why = `could not join its group: ${why}`)
    try {
      while (!signal.aborted) {
        const thrownOut = Promise.withResolvers<void>()
        this.#member = await persist({ clock, log: this.#log, signal, message, failed }, () =>
          kafka.joinMembers({
            groupId,
            protocol: PROTOCOL,
            sessionTimeoutMs,
            claim: generation => pack(this.#claim(generation)),
            assign: members => this.#assign(members),
            onAssignment: (data, joined) => this.#take(data, joined),
            onForgotten: () => this.#forget(),
            onLost: error => {
              this.#log.warn(errorFields(asFlowError(error)), 'removed from the group, rejoining')
              this.#why = 'was removed from its group'
              thrownOut.resolve()
            },
          }),
        )
        if (this.#member === null) break
        // For changes from before the membership was available.
        this.#wantedChanged()
        if (this.#givingUp) this.#giveUp()
        await Promise.race([thrownOut.promise, aborted(signal)])
        if (signal.aborted) await this.#leave(this.#member)
        else await this.#member.leave()
        this.#member = null
      }
    } finally {
      for (const end of ends) end()
      this.#alarm.abort()
      await Promise.all([...this.#own.values()].map(({ id }) => this.#options.runner.stop(id)))
    }
  }

  // ---- What others see ----

  view(): GroupView {
    const assignment = this.#assignment
    const leader = assignment?.members.find(({ id }) => id === assignment.leader)
    return {
      leader: leader === undefined ? null : { workerId: leader.worker, url: leader.url, isMe: leader.id === this.#memberId },
      generation: this.#generation,
      workers: (assignment?.members ?? []).map(({ worker, url, tasks }) => ({ workerId: worker, url, tasks: tasksIn(tasks) })),
      unassigned: this.#unassigned(),
    }
  }

  onChange(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => this.#listeners.delete(changed)
  }

  hasProcess(name: string): boolean {
    return this.#assignment?.members.some(({ process }) => process === name) === true
  }

  whyNot(): string | null {
    const why = this.#member === null ? this.#why : this.#member.problem()
    if (why !== null) return why
    const nowMs = steadyMs(this.#options.clock)
    this.#lookForUnassigned()
    const old = [...this.#unassignedMs].filter(([, sinceMs]) => nowMs - sinceMs >= UNASSIGNED_MS).map(([key]) => key)
    if (old.length === 0) return null
    const more = old.length > MOST_NAMED ? ` and ${old.length - MOST_NAMED} more` : ''
    return `no worker has had ${old.length} of the tasks for ${UNASSIGNED_MS / 1000} s: ${old.slice(0, MOST_NAMED).join(', ')}${more}`
  }

  certainSinceMs(): number {
    return this.#member?.certainSinceMs() ?? -Infinity
  }

  #unassigned(): TaskId[] {
    const had = new Set(this.#assignment?.members.flatMap(({ tasks }) => keysIn(tasks)))
    return this.#wants()
      .tasks.filter(({ key }) => !had.has(key))
      .map(({ key }) => idOf(key))
  }

  #lookForUnassigned(): void {
    const nowMs = steadyMs(this.#options.clock)
    const unassigned = new Set(this.#unassigned().map(taskKey))
    for (const key of this.#unassignedMs.keys()) if (!unassigned.has(key)) this.#unassignedMs.delete(key)
    for (const key of unassigned) if (!this.#unassignedMs.has(key)) this.#unassignedMs.set(key, nowMs)
  }

  // ---- What is wanted ----

  #tasksOf(connector: WantedConnector): ConnectorTasks {
    let tasks = this.#tasks.get(connector)
    if (tasks === undefined) this.#tasks.set(connector, (tasks = this.#options.tasksOf(connector)))
    return tasks
  }

  /** Every task that should have an owner. */
  #wants(): Wants {
    const connectors = this.#options.wanted.connectors
    if (this.#wantsNow?.connectors !== connectors) this.#wantsNow = { connectors, wants: this.#wantsOf(connectors) }
    return this.#wantsNow.wants
  }

  #wantsOf(connectors: Wanted['connectors']): Wants {
    const tasks: TaskToPlace[] = []
    const divisible = new Map<string, number>()
    for (const connector of connectors.values()) {
      if (connector.target === 'STOPPED') continue
      const wanted = this.#tasksOf(connector)
      wanted.tasks.forEach(({ quotas }, task) => {
        const id = { connector: connector.name, task }
        tasks.push({ key: taskKey(id), connector: connector.name, quotas })
      })
      for (const [quota, most] of wanted.divisible) divisible.set(quota, Math.min(most, divisible.get(quota) ?? Infinity))
    }
    return { tasks, divisible }
  }

  /** The connector, if it should have this task. */
  #wantedFor({ connector: name, task }: TaskId): WantedConnector | null {
    const connector = this.#options.wanted.connectors.get(name)
    if (connector === undefined || connector.target === 'STOPPED') return null
    return task < this.#tasksOf(connector).tasks.length ? connector : null
  }

  #wantedChanged(): void {
    this.#work()
    if (this.#leader !== null) {
      if (this.#assigned !== JSON.stringify(this.#wants().tasks)) this.#member?.rejoin()
    } else if (this.#file !== this.#fileNames().join()) this.#member?.rejoin()
    this.#changed()
  }

  /** As in the last claim. */
  #file = ''

  #fileNames(): string[] {
    return [...this.#options.wanted.connectors.values()].filter(({ origin }) => origin === 'file').map(({ name }) => name)
  }

  // ---- Rounds of the group ----

  #claim(generation: number): Claim {
    const { me, wanted } = this.#options
    const file = this.#fileNames()
    this.#file = file.join()
    this.#givingUp = false
    this.#options.observer?.rebalancing(true)
    return {
      worker: me.workerId,
      url: me.url,
      process: me.process,
      generation,
      turn: this.#turn++,
      configs: wanted.offset,
      tasks: tasksOfKeys(this.#own.keys()),
      isLeaving: this.#isLeaving,
      file,
    }
  }

  /** On the leader. */
  #assign(members: readonly { readonly id: string; readonly claim: Buffer }[]): ReadonlyMap<string, Buffer> {
    const { wanted, clock, patience = PATIENCE } = this.#options
    const beganMs = steadyMs(clock)
    const before = this.#assignment
    this.#leader ??= new Leader(patience, {
      left: new Map(Object.entries(before?.held ?? {})),
      intended: new Map(Object.entries(before?.intended ?? {})),
    })
    const wants = this.#wants()
    const ofFile = this.#fileNames()
    const claims = members.map(({ id, claim }) => ({ id, claim: unpackClaim(claim) }))
    const known = claims.filter((each): each is { id: string; claim: Claim } => each.claim !== null)
    if (known.length < claims.length) this.#log.warn({}, 'found a group member with an incompatible protocol; it gets no tasks')
    const toPlace = known.map(({ id, claim }): Member => {
      const has = new Set(claim.file)
      return {
        id,
        owned: keysIn(claim.tasks),
        generation: claim.generation,
        isLeaving: claim.isLeaving,
        lacks: new Set(ofFile.filter(name => !has.has(name))),
      }
    })
    const plan = this.#leader.round(toPlace, wants, steadyMs(clock))
    const owners = new Map<string, Set<string>>()
    const own = (key: string, id: string) => owners.set(key, (owners.get(key) ?? new Set()).add(id))
    for (const { id, owned } of toPlace) for (const key of owned) own(key, id)
    for (const [id, keys] of plan.lists) for (const key of keys) own(key, id)
    const shares = [...sharesOf(owners, wants)].map(([quota, parts]) => [quota, Object.fromEntries(parts)])
    const assignment: Assignment = {
      leader: this.#memberIdIn(known),
      configs: wanted.offset,
      members: known.map(({ id, claim: { worker, url, process, isLeaving } }) => ({
        id,
        worker,
        url,
        process,
        isLeaving,
        tasks: tasksOfKeys(plan.lists.get(id) ?? []),
      })),
      shares: Object.fromEntries(shares) as Assignment['shares'],
      held: Object.fromEntries(plan.held),
      intended: Object.fromEntries([...plan.moving].filter((move): move is [string, string] => move[1] !== null)),
    }
    this.#assigned = JSON.stringify(wants.tasks)
    const data = pack(assignment)
    this.#log.info(
      {
        workers: known.length,
        tasks: wants.tasks.length,
        moving: plan.moving.size,
        held: plan.held.size,
        againInMs: plan.againInMs,
        tookMs: Math.round(steadyMs(clock) - beganMs),
      },
      'assigned tasks',
    )
    this.#roundIn(plan.againInMs)
    return new Map(claims.map(({ id }) => [id, data]))
  }

  /** Our Kafka member id is found in the claims by our process name: it is not known before the first round is over. */
  #memberIdIn(known: readonly { readonly id: string; readonly claim: Claim }[]): string {
    return known.find(({ claim }) => claim.process === this.#options.me.process)?.id ?? ''
  }

  #roundIn(ms: number | null): void {
    this.#alarm.abort()
    this.#alarm = new AbortController()
    if (ms === null) return
    const { signal } = this.#alarm
    void this.#options.clock.sleep(ms, signal).then(() => {
      if (!signal.aborted) this.#member?.rejoin()
    })
  }

  #take(data: Buffer, { generation, isLeader, memberId }: { generation: number; isLeader: boolean; memberId: string }): void {
    const assignment = unpackAssignment(data)
    if (assignment === null) this.#log.error({}, 'found a group leader with an incompatible protocol; this worker gets no tasks')
    if (!isLeader) {
      this.#leader = null
      this.#alarm.abort()
    }
    this.#generation = generation
    this.#memberId = memberId
    this.#assignment = assignment
    const mine = assignment?.members.find(({ id }) => id === memberId)
    this.#mine = new Set(mine === undefined ? [] : keysIn(mine.tasks))
    this.#log.info({ generation, leader: isLeader, tasks: this.#mine.size }, 'joined the group')
    const shares = Object.entries(assignment?.shares ?? {}).map(([quota, parts]) => [quota, parts[memberId] ?? 1] as const)
    this.#options.runner.quota(new Map(shares))
    this.#options.observer?.rebalancing(false)
    this.#work()
    this.#correctStatuses()
    if (isLeader) this.#reportUnassigned()
    this.#changed()
  }

  #forget(): void {
    this.#assignment = null
    this.#mine = new Set()
    this.#generation = -1
    this.#leader = null
    this.#alarm.abort()
    this.#work()
    this.#changed()
  }

  #changed(): void {
    this.#lookForUnassigned()
    this.#options.observer?.group({
      workers: this.#assignment?.members.length ?? 0,
      unassigned: this.#unassignedMs.size,
      generation: this.#generation,
      isLeader: this.#leader !== null,
    })
    for (const listener of this.#listeners) listener()
  }

  // ---- Tasks of our own ----

  /** Makes what runs here what should run here. */
  #work(): void {
    if (this.#isLeaving) return
    for (const [key, own] of this.#own) if (!this.#mine.has(key) || this.#wantedFor(own.id) === null) this.#stop(key, own)
    for (const key of this.#mine) this.#begin(key)
  }

  /** Runs or pauses an assigned task, as its target state says. */
  #begin(key: string): void {
    const id = idOf(key)
    const connector = this.#wantedFor(id)
    if (connector === null || this.#isLeaving) return
    let own = this.#own.get(key)
    if (own?.isStopping === true) return
    const isNew = own === undefined
    if (own === undefined) this.#own.set(key, (own = { id, isStopping: false, isPaused: false, report: { state: 'RUNNING' } }))
    if (connector.target === 'PAUSED') this.#pause(own, isNew)
    else this.#start(own, isNew)
  }

  #start(own: Own, isNew: boolean): void {
    const hasChanged = isNew || own.isPaused
    own.isPaused = false
    if (hasChanged) {
      own.report = { state: 'RUNNING' }
      this.#report(own.id, own.report)
    }
    this.#options.runner.start(own.id)
  }

  #pause(own: Own, isNew: boolean): void {
    if (own.isPaused) return
    own.isPaused = true
    if (isNew) {
      this.#report(own.id, { state: 'PAUSED' })
      return
    }
    void this.#options.runner.stop(own.id).then(() => {
      if (own.isPaused && !own.isStopping) this.#report(own.id, { state: 'PAUSED' })
      else if (!own.isStopping) this.#work()
    })
  }

  #stop(key: string, own: Own): void {
    if (own.isStopping) return
    own.isStopping = true
    void this.#options.runner.stop(own.id).then(() => {
      this.#own.delete(key)
      if (this.#wantedFor(own.id) === null) this.#report(own.id, null)
      // After removal from the group we do not know the task's owner.
      else if (this.#assignment !== null) this.#report(own.id, { state: 'UNASSIGNED' })
      // It may have been assigned to us again meanwhile.
      if (this.#mine.has(key)) this.#begin(key)
      this.#giveUp()
    })
  }

  /** Rejoins without the stopped tasks, as soon as all have stopped, or some time after the first. */
  #giveUp(): void {
    if (this.#own.values().every(({ isStopping }) => !isStopping)) {
      this.#givingUp = true
      this.#member?.rejoin()
    } else if (!this.#givingUp) {
      this.#givingUp = true
      void this.#options.clock.sleep(GIVE_UP_TOGETHER_MS, this.#options.signal).then(() => {
        if (this.#givingUp) this.#member?.rejoin()
      })
    }
  }

  report(id: TaskId, report: TaskReport): void {
    const own = this.#own.get(taskKey(id))
    if (own === undefined || own.isStopping || own.isPaused) return
    if (own.report.state === report.state && own.report.trace === report.trace) return
    own.report = report
    this.#report(id, report)
  }

  #restart({ connector, tasks, includeTasks, onlyFailed }: RestartRequest): void {
    for (const own of this.#own.values()) {
      const { id, isStopping, isPaused, report } = own
      if (id.connector !== connector || isStopping || isPaused) continue
      const isMeant = tasks === null ? includeTasks && (!onlyFailed || report.state === 'FAILED') : tasks.includes(id.task)
      if (!isMeant) continue
      this.#log.info({ ...id }, 'restarting task on request')
      this.#report(id, { state: 'RESTARTING' })
      void this.#options.runner.stop(id).then(() => {
        if (own.isStopping || own.isPaused) return
        own.report = { state: 'RUNNING' }
        this.#report(id, own.report)
        this.#work()
      })
    }
  }

  /** Announces that we leave, so that our tasks wait for the worker that replaces us; stops them; leaves. */
  async #leave(member: Membership): Promise<void> {
    const { runner, clock } = this.#options
    this.#isLeaving = true
    const others = this.#assignment?.members.some(({ id }) => id !== this.#memberId) === true
    const over = new AbortController()
    const patience = clock.sleep(FAREWELL_MS, over.signal)
    const heard = new Promise<void>(resolve => {
      this.onChange(() => {
        if (this.#assignment?.members.some(({ id, isLeaving }) => id === this.#memberId && isLeaving) === true) resolve()
      })
    })
    if (others) member.rejoin()
    await Promise.all([...this.#own.values()].map(({ id }) => runner.stop(id)))
    for (const { id } of this.#own.values()) this.#report(id, { state: 'UNASSIGNED' })
    if (others) await Promise.race([heard, patience])
    over.abort()
    this.#own.clear()
    await member.leave()
  }

  // ---- States that everybody can read ----

  /** Writes the status of our tasks again if a worker that was removed from the group has overwritten it. */
  #correctStatuses(): void {
    const { statuses, me } = this.#options
    for (const { id, isStopping, isPaused, report } of this.#own.values()) {
      const known = statuses.task(id)
      if (isStopping || known === null || known.workerId === me.workerId) continue
      this.#report(id, isPaused ? { state: 'PAUSED' } : report)
    }
  }

  /** On the leader: the statuses that a gone worker wrote for its tasks are no longer valid. */
  #reportUnassigned(): void {
    const { statuses } = this.#options
    for (const id of this.#unassigned()) {
      const known = statuses.task(id)
      if (known !== null && known.state !== 'UNASSIGNED' && !this.#own.has(taskKey(id)))
        this.#write(id, this.#signed({ state: 'UNASSIGNED' }))
    }
  }

  #report(id: TaskId, how: { readonly state: TaskState; readonly trace?: string } | null): void {
    this.#options.observer?.status(id, how === null || how.state === 'UNASSIGNED' ? null : how.state)
    this.#write(id, how && this.#signed(how))
  }

  #signed<S extends TaskState>(how: { readonly state: S; readonly trace?: string }): Status<S> {
    return { ...how, workerId: this.#options.me.workerId, generation: this.#generation }
  }

  #write(target: { readonly connector: string; readonly task?: number }, status: Status | null): void {
    this.#options.statuses.report(target, status).catch((thrown: unknown) => {
      if (!this.#options.signal.aborted)
        this.#log.warn({ ...target, ...errorFields(asFlowError(thrown)) }, 'failed to write status')
    })
  }
}
