/**
 * A worker's place in the group: what it tells the leader, what it does with what it is given, and, on the leader, who gets what (`assign.ts`).
 *
 * Nobody but the broker decides who is in the group, and nobody but the group's leader who has which task. A task that is taken away is stopped first; then the
 * worker joins again without it, and only then another gets it. Should two run one all the same (a process that was frozen and thaws), the transactional ids of its
 * source partitions keep them apart.
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
  /** From the config alone: every worker comes to the same. Never throws. */
  readonly tasksOf: (connector: WantedConnector) => ConnectorTasks
  readonly observer?: GroupObserver
  readonly clock: Clock
  readonly log: Log
  /** Ends it: tasks are stopped, then the group is left. */
  readonly signal: AbortSignal
}

/** For metrics. */
export interface GroupObserver {
  rebalancing(isUnderWay: boolean): void
  group(of: {
    readonly workers: number
    readonly unassigned: number
    readonly generation: number
    readonly isLeader: boolean
  }): void
  /** Of a task of this worker; null: it is no longer here. */
  status(id: TaskId, state: TaskState | null): void
}

export interface WorkerGroup {
  view(): GroupView
  /** Called after each change of the view. @returns what ends it */
  onChange(changed: () => void): () => void
  /** Why this worker, or the group as a whole, is not able to work; null: it is. */
  whyNot(): string | null
  /** See `Membership.certainSinceMs`. */
  certainSinceMs(): number
  /** A task that runs here is in another state than before. */
  report(id: TaskId, report: TaskReport): void
  /** Whether a process is a worker of this group. */
  hasProcess(name: string): boolean
  /** Resolves when the signal has aborted, everything is stopped and the group is left. @throws FlowError that time does not mend */
  readonly done: Promise<void>
}

const PROTOCOL = 'colloquy-tasks'
export const PATIENCE: Patience = { quietMs: 10_000, holdMs: 7_000, youngMs: 10_000 }
/** What is stopped is given up together, but nothing waits longer for what stops more slowly. */
const GIVE_UP_TOGETHER_MS = 1_000
/** How long it may take to say that we leave, while everything is stopped: a group that waits for a dead member does not hear it. */
const FAREWELL_MS = 3_000
/** A task that nobody has for so long makes every worker unready. */
const UNASSIGNED_MS = 30_000
/** So many of them are named. */
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

/** A task that is here: running, paused, or being stopped. */
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
  /** Tasks that the assignment gives us. */
  #mine: ReadonlySet<string> = new Set()
  #turn = 0
  #isLeaving = false
  /** Why we are no member. */
  #why = 'has not joined its group yet'
  #leader: Leader | null = null
  /** What the leader assigned last, to see what has changed. */
  #assigned = ''
  /** Ends the wait for the next round that the leader wants of itself. */
  #alarm = new AbortController()
  #givingUp = false
  /** Tasks that nobody has, and since when, steady. */
  readonly #unassignedMs = new Map<string, number>()
  readonly #tasks = new WeakMap<WantedConnector, ConnectorTasks>()
  /** As long as the same is wanted. */
  #wantsNow: { readonly of: Wanted['connectors']; readonly wants: Wants } | null = null

  constructor(options: WorkerGroupOptions) {
    this.#options = options
    this.#log = options.log.child({ group: options.groupId })
  }

  async run(): Promise<void> {
    const { kafka, groupId, sessionTimeoutMs = SESSION_TIMEOUT_MS, wanted, clock, signal } = this.#options
    const ends = [wanted.onChange(() => this.#wantedChanged()), wanted.onRestart(asked => this.#restart(asked))]
    const message = 'the group of workers could not be joined; trying again'
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
            onAssignment: (data, of) => this.#take(data, of),
            onForgotten: () => this.#forget(),
            onLost: error => {
              this.#log.warn(errorFields(asFlowError(error)), 'thrown out of the group; joining again')
              this.#why = 'was thrown out of its group'
              thrownOut.resolve()
            },
          }),
        )
        if (this.#member === null) break
        // What came before the membership was at hand.
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

  /** Every task that somebody should have. */
  #wants(): Wants {
    const of = this.#options.wanted.connectors
    if (this.#wantsNow?.of !== of) this.#wantsNow = { of, wants: this.#wantsOf(of) }
    return this.#wantsNow.wants
  }

  #wantsOf(connectors: Wanted['connectors']): Wants {
    const tasks: TaskToPlace[] = []
    const divisible = new Map<string, number>()
    for (const connector of connectors.values()) {
      if (connector.target === 'STOPPED') continue
      const of = this.#tasksOf(connector)
      of.tasks.forEach(({ quotas }, task) => {
        const id = { connector: connector.name, task }
        tasks.push({ key: taskKey(id), connector: connector.name, quotas })
      })
      for (const [quota, most] of of.divisible) divisible.set(quota, Math.min(most, divisible.get(quota) ?? Infinity))
    }
    return { tasks, divisible }
  }

  /** A connector that is wanted to have this task. */
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

  /** As it was claimed last. */
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
    if (known.length < claims.length) this.#log.warn({}, 'a member of the group speaks another language; it gets no tasks')
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
      'tasks assigned',
    )
    this.#roundIn(plan.againInMs)
    return new Map(claims.map(({ id }) => [id, data]))
  }

  /** The id that Kafka gave us stands in the claims by our process: it is not told before the first round is over. */
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
    if (assignment === null) this.#log.error({}, 'the leader of the group speaks another language; this worker gets no tasks')
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
    if (isLeader) this.#tellUnassigned()
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

  /** Makes a task that we have been given run, or pause, as it is wanted. */
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
      this.#tell(own.id, own.report)
    }
    this.#options.runner.start(own.id)
  }

  #pause(own: Own, isNew: boolean): void {
    if (own.isPaused) return
    own.isPaused = true
    if (isNew) {
      this.#tell(own.id, { state: 'PAUSED' })
      return
    }
    void this.#options.runner.stop(own.id).then(() => {
      if (own.isPaused && !own.isStopping) this.#tell(own.id, { state: 'PAUSED' })
      else if (!own.isStopping) this.#work()
    })
  }

  #stop(key: string, own: Own): void {
    if (own.isStopping) return
    own.isStopping = true
    void this.#options.runner.stop(own.id).then(() => {
      this.#own.delete(key)
      if (this.#wantedFor(own.id) === null) this.#tell(own.id, null)
      // Who was thrown out of the group does not know who has it now.
      else if (this.#assignment !== null) this.#tell(own.id, { state: 'UNASSIGNED' })
      // We may have been given it again meanwhile.
      if (this.#mine.has(key)) this.#begin(key)
      this.#giveUp()
    })
  }

  /** Joins again without what has stopped, as soon as all of it has, or some time after the first. */
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
    this.#tell(id, report)
  }

  #restart({ connector, tasks, includeTasks, onlyFailed }: RestartRequest): void {
    for (const own of this.#own.values()) {
      const { id, isStopping, isPaused, report } = own
      if (id.connector !== connector || isStopping || isPaused) continue
      const isMeant = tasks === null ? includeTasks && (!onlyFailed || report.state === 'FAILED') : tasks.includes(id.task)
      if (!isMeant) continue
      this.#log.info({ ...id }, 'task is restarted on request')
      this.#tell(id, { state: 'RESTARTING' })
      void this.#options.runner.stop(id).then(() => {
        if (own.isStopping || own.isPaused) return
        own.report = { state: 'RUNNING' }
        this.#tell(id, own.report)
        this.#work()
      })
    }
  }

  /** Says that we leave, so that our tasks wait for whoever comes in our place; stops them; leaves. */
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
    for (const { id } of this.#own.values()) this.#tell(id, { state: 'UNASSIGNED' })
    if (others) await Promise.race([heard, patience])
    over.abort()
    this.#own.clear()
    await member.leave()
  }

  // ---- States that everybody can read ----

  /** Writes the status of our tasks again where a worker that the group went on without has overwritten it. */
  #correctStatuses(): void {
    const { statuses, me } = this.#options
    for (const { id, isStopping, isPaused, report } of this.#own.values()) {
      const known = statuses.task(id)
      if (isStopping || known === null || known.workerId === me.workerId) continue
      this.#tell(id, isPaused ? { state: 'PAUSED' } : report)
    }
  }

  /** On the leader: what a worker said of its tasks that is gone is true no longer. */
  #tellUnassigned(): void {
    const { statuses } = this.#options
    for (const id of this.#unassigned()) {
      const known = statuses.task(id)
      if (known !== null && known.state !== 'UNASSIGNED' && !this.#own.has(taskKey(id)))
        this.#write(id, this.#signed({ state: 'UNASSIGNED' }))
    }
  }

  #tell(id: TaskId, how: { readonly state: TaskState; readonly trace?: string } | null): void {
    this.#options.observer?.status(id, how === null || how.state === 'UNASSIGNED' ? null : how.state)
    this.#write(id, how && this.#signed(how))
  }

  #signed<S extends TaskState>(how: { readonly state: S; readonly trace?: string }): Status<S> {
    return { ...how, workerId: this.#options.me.workerId, generation: this.#generation }
  }

  #write(of: { readonly connector: string; readonly task?: number }, status: Status | null): void {
    this.#options.statuses.tell(of, status).catch((thrown: unknown) => {
      if (!this.#options.signal.aborted)
        this.#log.warn({ ...of, ...errorFields(asFlowError(thrown)) }, 'a status could not be written')
    })
  }
}
