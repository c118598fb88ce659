/**
 * Assigns tasks to workers. Pure: the members' claims and the wanted tasks in, the lists of all members out.
 *
 * Incremental: a task that a member owns is on nobody else's list before that member has given it up, so a move takes two rounds: revoked in the first,
 * assigned in the second. Tasks without an owner are assigned at once, except those of a worker that left on purpose: they wait a little for the worker that
 * replaces it. Tasks move for balance only when the group has been quiet for a while, so that a rolling deploy moves each task once; in a new group they move
 * at once, because workers that start together do not join at the same moment.
 *
 * Tasks that share a vendor quota (a key) are kept on one worker where they fit, and on no more workers than the quota can be divided into.
 */

export interface TaskToPlace {
  /** See `taskKey`. */
  readonly key: string
  readonly connector: string
  /** Quotas of the vendor that its requests count against, if they have limits. */
  readonly quotas: readonly string[]
}

export interface Member {
  /** Member id in the group. */
  readonly id: string
  /** Tasks that it runs or is still stopping. */
  readonly owned: readonly string[]
  /** The generation in which it got them. If two claim a task, the later generation wins. */
  readonly generation: number
  /** It will leave once its tasks are stopped, and takes no new ones. */
  readonly isLeaving: boolean
  /** Connectors that it cannot run, such as one that is not in its file. */
  readonly lacks: ReadonlySet<string>
}

export interface Wants {
  readonly tasks: readonly TaskToPlace[]
  /** By quota: largest number of workers it may be divided among. Absent: any number. */
  readonly divisible: ReadonlyMap<string, number>
}

export interface Patience {
  /** How long the group must be quiet before tasks move for balance. */
  readonly quietMs: number
  /** How long the tasks of a worker that left on purpose wait for its replacement. */
  readonly holdMs: number
  /** How long a group counts as new: its tasks move for balance at once. */
  readonly youngMs: number
}

export interface Plan {
  /** By member, each list in the order of the tasks. */
  readonly lists: ReadonlyMap<string, readonly string[]>
  /** Tasks on no list, because their owner must give them up first; the value is the next owner, if it is decided. */
  readonly moving: ReadonlyMap<string, string | null>
  /** Tasks that wait for a new worker, with the number of tasks their worker had. */
  readonly held: ReadonlyMap<string, number>
  /** Tasks that no member can run. */
  readonly homeless: readonly string[]
  /** When to run again though nothing has changed, in milliseconds; null: no need. */
  readonly againInMs: number | null
}

/** State kept from round to round; the next leader reads it from the last assignment. */
export interface Remembered {
  readonly left: ReadonlyMap<string, number>
  readonly intended: ReadonlyMap<string, string>
}

export const NOTHING_REMEMBERED: Remembered = { left: new Map(), intended: new Map() }

/** Name of a task in lists: neither half has a slash. */
export function taskKey({ connector, task }: { readonly connector: string; readonly task: number }): string {
  return `${connector}/${task}`
}

/** Tasks that are kept together where possible. */
interface Cluster {
  readonly tasks: readonly string[]
  /** On at most this many workers, whatever the balance. */
  readonly most: number
}

export class Leader {
  readonly #patience: Patience
  /** Tasks whose worker left on purpose: how many it had, and since when this one has no owner; null: not given up yet. */
  readonly #left: Map<string, { readonly load: number; sinceMs: number | null }>
  #intended: ReadonlyMap<string, string>
  #population = ''
  #quietSinceMs = -Infinity
  /** When the group began; null: no round seen yet. */
  #beganMs: number | null = null

  constructor(patience: Patience, remembered: Remembered = NOTHING_REMEMBERED) {
    this.#patience = patience
    this.#left = new Map([...remembered.left].map(([key, load]) => [key, { load, sinceMs: null }]))
    this.#intended = remembered.intended
  }

  /** One round of the group. @param nowMs Steady clock. */
  round(members: readonly Member[], wants: Wants, nowMs: number): Plan {
    const names = members.map(({ id, isLeaving }) => `${id} ${isLeaving}`)
    const population = names.toSorted((a, b) => (a < b ? -1 : 1)).join()
    if (population !== this.#population) {
      this.#population = population
      this.#quietSinceMs = nowMs
    }
    // If the group existed before this leader, members own something, or did.
    this.#beganMs ??= members.every(({ generation, owned }) => generation < 0 && owned.length === 0) ? nowMs : -Infinity
    const board = new Board(members, wants)
    const deadlineMs = this.#holding(board, members, nowMs)
    for (const key of board.free) {
      const member = this.#intended.get(key)
      if (member !== undefined && !this.#left.has(key)) board.giveIfAllowed(key, member)
    }
    board.keepTogether()
    board.place(key => {
      const left = this.#left.get(key)
      return left !== undefined && left.sinceMs !== null && nowMs < left.sinceMs + this.#patience.holdMs ? left.load : null
    })
    for (const key of this.#left.keys()) if (board.isPlaced(key)) this.#left.delete(key)

    const isYoung = nowMs < this.#beganMs + this.#patience.youngMs
    const isQuiet = isYoung || nowMs >= this.#quietSinceMs + this.#patience.quietMs
    const asPlaced = board.lists()
    // Tasks still to be placed affect the balance, too.
    const hasWaiting = board.moving.size > 0 || board.held.size > 0
    const moves = hasWaiting ? new Map<string, string>() : board.balance(isQuiet)
    const againAtMs = Math.min(
      ...[...board.held.keys()].map(key => deadlineMs.get(key) ?? Infinity),
      moves.size > 0 && !isQuiet ? this.#quietSinceMs + this.#patience.quietMs : Infinity,
    )
    if (isQuiet) for (const [key, member] of moves) board.moving.set(key, member)
    this.#intended = new Map([...board.moving].filter((move): move is [string, string] => move[1] !== null))
    return {
      lists: isQuiet ? board.lists() : asPlaced,
      moving: board.moving,
      held: new Map([...this.#left].map(([key, { load }]) => [key, load])),
      homeless: board.homeless,
      againInMs: Number.isFinite(againAtMs) ? Math.max(0, againAtMs - nowMs) : null,
    }
  }

  /** Remembers the tasks of leaving members, and since when they have no owner. @returns until when each task is held */
  #holding(board: Board, members: readonly Member[], nowMs: number): ReadonlyMap<string, number> {
    for (const { id, owned, isLeaving } of members) {
      if (!isLeaving) continue
      const had = owned.filter(key => board.ownerOf(key) === id)
      for (const key of had) if (!this.#left.has(key)) this.#left.set(key, { load: had.length, sinceMs: null })
    }
    const untilMs = new Map<string, number>()
    for (const [key, left] of this.#left) {
      if (!board.isWanted(key)) this.#left.delete(key)
      else if (board.free.has(key)) untilMs.set(key, (left.sinceMs ??= nowMs) + this.#patience.holdMs)
    }
    return untilMs
  }
}

/** Current places of the tasks during placement. */
class Board {
  /** Wanted, without an owner. */
  readonly free = new Set<string>()
  readonly moving = new Map<string, string | null>()
  readonly held = new Set<string>()
  readonly homeless: string[] = []
  readonly #tasks: ReadonlyMap<string, TaskToPlace>
  /** Members that stay, by id, in a fixed order. */
  readonly #members: ReadonlyMap<string, Member>
  readonly #owners = new Map<string, string>()
  readonly #at = new Map<string, string>()
  readonly #loads: Map<string, number>
  /** By member: its tasks of each cluster. */
  readonly #has: ReadonlyMap<string, Map<Cluster, string[]>>
  readonly #clusters: readonly Cluster[]
  readonly #clusterOf = new Map<string, Cluster>()
  /** Largest number of tasks of a member if all were spread evenly. */
  readonly #fair: number

  constructor(members: readonly Member[], wants: Wants) {
    this.#tasks = new Map(wants.tasks.map(task => [task.key, task]))
    const staying = members.filter(({ isLeaving }) => !isLeaving).toSorted((a, b) => (a.id < b.id ? -1 : 1))
    this.#members = new Map(staying.map(member => [member.id, member]))
    this.#loads = new Map(staying.map(({ id }) => [id, 0]))
    this.#has = new Map(staying.map(({ id }) => [id, new Map()]))
    this.#fair = Math.max(1, Math.ceil(this.#tasks.size / Math.max(1, staying.length)))
    this.#clusters = clustersOf(wants)
    for (const cluster of this.#clusters) for (const key of cluster.tasks) this.#clusterOf.set(key, cluster)

    for (const { id, owned } of members.toSorted((a, b) => b.generation - a.generation || (a.id < b.id ? -1 : 1)))
      for (const key of owned) if (this.#tasks.has(key) && !this.#owners.has(key)) this.#owners.set(key, id)
    for (const { key, connector } of wants.tasks) {
      const owner = this.#owners.get(key)
      const member = owner === undefined ? undefined : this.#members.get(owner)
      if (member !== undefined && !member.lacks.has(connector)) this.#put(key, member.id)
      else if (owner !== undefined) this.moving.set(key, null)
      else if (staying.every(each => each.lacks.has(connector))) this.homeless.push(key)
      else this.free.add(key)
    }
  }

  isWanted(key: string): boolean {
    return this.#tasks.has(key)
  }

  ownerOf(key: string): string | undefined {
    return this.#owners.get(key)
  }

  isPlaced(key: string): boolean {
    return this.#at.has(key)
  }

  lists(): ReadonlyMap<string, readonly string[]> {
    const lists = new Map([...this.#members.keys()].map(id => [id, [] as string[]]))
    for (const key of this.#tasks.keys()) {
      const id = this.#at.get(key)
      if (id !== undefined && !this.moving.has(key)) lists.get(id)?.push(key)
    }
    return lists
  }

  /** A task meant for a member in the previous round goes to it, unless something has changed. */
  giveIfAllowed(key: string, id: string): void {
    const cluster = this.#clusterOf.get(key) as Cluster
    if (!this.#canHave(key, id)) return
    const holders = this.#holders(cluster)
    if (!holders.has(id) && holders.size >= cluster.most) return
    this.free.delete(key)
    this.#put(key, id)
  }

  /** Revokes tasks of a cluster that is on more workers than its quota can be divided into. */
  keepTogether(): void {
    for (const cluster of this.#clusters) {
      if (cluster.most === Infinity) continue
      const parts = this.#parts(cluster)
      if (parts.length <= cluster.most) continue
      const [keeper] = parts
      for (const { keys } of parts.slice(cluster.most)) {
        for (const key of keys) {
          this.#take(key)
          // A task assigned in this round has no owner to wait for.
          if (this.#owners.has(key)) this.moving.set(key, cluster.most === 1 ? (keeper?.id ?? null) : null)
          else this.free.add(key)
        }
      }
    }
  }

  /**
   * Assigns free tasks, the largest clusters first.
   *
   * @param held How many tasks the worker of this task had, if the task waits for a replacement; null: it need not wait.
   */
  place(held: (key: string) => number | null): void {
    const highest = Math.max(0, ...this.#loads.values())
    for (const cluster of this.#clusters) {
      const mine = cluster.tasks.filter(key => this.free.has(key))
      const pieces = cluster.tasks.length <= this.#fair || cluster.most === 1 ? [mine] : mine.map(key => [key])
      for (const piece of pieces) this.#placePiece(cluster, piece, held, highest)
    }
  }

  #placePiece(cluster: Cluster, piece: readonly string[], held: (key: string) => number | null, highest: number): void {
    const [first] = piece
    if (first === undefined) return
    const id = this.#homeFor(cluster, first)
    if (id === null) {
      // A member must give up a part of the cluster first.
      for (const key of piece) this.moving.set(key, null)
      return
    }
    const loads = piece.map(held)
    const cap = Math.max(highest, ...loads.map(load => load ?? 0))
    const mustWait = loads.some(load => load !== null) && this.#load(id) + piece.length > cap
    for (const key of piece) {
      if (mustWait) this.held.add(key)
      else {
        this.free.delete(key)
        this.#put(key, id)
      }
    }
  }

  /** The least loaded member that may have it; among the current members of the cluster, if it is on enough of them. */
  #homeFor(cluster: Cluster, key: string): string | null {
    const holders = this.#holders(cluster)
    const able = [...this.#members.keys()].filter(id => this.#canHave(key, id))
    const wanted = this.#spread(cluster)
    const known = able.filter(id => holders.has(id))
    const among = known.length > 0 && holders.size >= wanted ? known : holders.size < cluster.most ? able : known
    return this.#leastLoaded(among)
  }

  #leastLoaded(ids: readonly string[]): string | null {
    let least: string | null = null
    for (const id of ids) if (least === null || this.#load(id) < this.#load(least)) least = id
    return least
  }

  /**
   * Moves that make the loads more even.
   *
   * @param isMeant False: only checks whether there are any.
   * @returns tasks and their targets; the board already has them there
   */
  balance(isMeant: boolean): ReadonlyMap<string, string> {
    const moves = new Map<string, string>()
    const move = (key: string, id: string) => {
      this.#take(key)
      this.#put(key, id)
      if (this.#owners.get(key) === id) moves.delete(key)
      else moves.set(key, id)
    }
    for (const cluster of this.#clusters) {
      const parts = this.#parts(cluster)
      const [largest, ...others] = parts
      if (largest === undefined || others.length === 0 || cluster.tasks.length > this.#fair) continue
      const able = parts.find(({ id }) => cluster.tasks.every(key => this.#canHave(key, id)))
      if (able === undefined) continue
      for (const { id, keys } of parts) if (id !== able.id) for (const key of keys) move(key, able.id)
    }
    for (let step = this.#bestStep(); step !== null; step = this.#bestStep()) {
      for (const key of step.keys) move(key, step.to)
      if (!isMeant && moves.size > 0) break
    }
    // A task assigned in this round is not a move.
    for (const key of moves.keys()) if (!this.#owners.has(key)) moves.delete(key)
    return moves
  }

  /** The move that evens out most between a pair of members, the most uneven pair first. Each one reduces the sum of squares, so the moves end. */
  #bestStep(): { readonly keys: readonly string[]; readonly to: string } | null {
    const ids = [...this.#loads.keys()].toSorted((a, b) => this.#load(b) - this.#load(a))
    for (const from of ids) {
      for (const to of ids.toReversed()) {
        const gap = this.#load(from) - this.#load(to)
        if (gap < 2) break
        let best: { keys: readonly string[]; left: number } | null = null
        for (const [cluster, keys] of this.#has.get(from) ?? []) {
          const size = this.#movable(cluster, keys.length, to, gap)
          const left = Math.abs(gap - 2 * size)
          if (size === 0 || left >= (best?.left ?? gap)) continue
          const some = keys.slice(-size)
          if (some.every(key => this.#canHave(key, to))) best = { keys: some, left }
          if (left < 2) break
        }
        if (best !== null) return { keys: best.keys, to }
      }
    }
    return null
  }

  /** How many of a part may go to the member; 0: none. */
  #movable(cluster: Cluster, size: number, to: string, gap: number): number {
    const holders = this.#holders(cluster)
    const half = Math.floor(gap / 2)
    if (holders.has(to) || holders.size < this.#spread(cluster)) return Math.min(size, half)
    return size < gap ? size : 0
  }

  /** Number of workers the cluster should be on: one where it fits. */
  #spread({ tasks, most }: Cluster): number {
    return Math.max(1, Math.min(most, Math.ceil(tasks.length / this.#fair)))
  }

  /** Members with tasks of the cluster, the largest part first. */
  #parts(cluster: Cluster): { readonly id: string; readonly keys: readonly string[] }[] {
    const parts = [...this.#has].flatMap(([id, clusters]) => {
      const keys = clusters.get(cluster)
      return keys === undefined ? [] : [{ id, keys: [...keys] }]
    })
    return parts.toSorted((a, b) => b.keys.length - a.keys.length || (a.id < b.id ? -1 : 1))
  }

  /** All members that have tasks of the cluster now or from this round on, including those that must give them up. */
  #holders({ tasks }: Cluster): ReadonlySet<string> {
    const holders = new Set<string>()
    for (const key of tasks) {
      const owner = this.#owners.get(key)
      const at = this.#at.get(key)
      if (at !== undefined) holders.add(at)
      if (owner !== undefined && (at === undefined || at === owner)) holders.add(owner)
    }
    return holders
  }

  #canHave(key: string, id: string): boolean {
    const member = this.#members.get(id)
    return member !== undefined && !member.lacks.has(this.#tasks.get(key)?.connector ?? '')
  }

  #load(id: string): number {
    return this.#loads.get(id) ?? 0
  }

  #put(key: string, id: string): void {
    this.#at.set(key, id)
    this.#loads.set(id, this.#load(id) + 1)
    const clusters = this.#has.get(id)
    const cluster = this.#clusterOf.get(key) as Cluster
    const keys = clusters?.get(cluster)
    if (keys === undefined) clusters?.set(cluster, [key])
    else keys.push(key)
  }

  #take(key: string): void {
    const id = this.#at.get(key)
    if (id === undefined) return
    this.#at.delete(key)
    this.#loads.set(id, this.#load(id) - 1)
    const clusters = this.#has.get(id)
    const cluster = this.#clusterOf.get(key) as Cluster
    const keys = clusters?.get(cluster)?.filter(each => each !== key) ?? []
    if (keys.length > 0) clusters?.set(cluster, keys)
    else clusters?.delete(cluster)
  }
}

/** Tasks connected by quotas, the largest cluster first; a task without a quota is a cluster of its own. */
function clustersOf({ tasks, divisible }: Wants): readonly Cluster[] {
  const heads = new Map<string, string>()
  const headOf = (key: string): string => {
    const up = heads.get(key)
    if (up === undefined || up === key) return key
    const head = headOf(up)
    heads.set(key, head)
    return head
  }
  const byQuota = new Map<string, string>()
  for (const { key, quotas } of tasks) {
    for (const quota of quotas) {
      const other = byQuota.get(quota)
      if (other === undefined) byQuota.set(quota, key)
      else heads.set(headOf(key), headOf(other))
    }
  }
  const clusters = Map.groupBy(tasks, ({ key }) => headOf(key))
  return [...clusters.values()]
    .map(mine => ({
      tasks: mine.map(({ key }) => key),
      most: Math.min(
        Infinity,
        ...mine.flatMap(({ quotas }) => quotas.map(quota => Math.max(1, divisible.get(quota) ?? Infinity))),
      ),
    }))
    .toSorted((a, b) => b.tasks.length - a.tasks.length || ((a.tasks[0] ?? '') < (b.tasks[0] ?? '') ? -1 : 1))
}

/**
 * Share of each quota for each worker, where the quota is on more than one; by quota, then by member. The sum is at most 1, and each share allows at least one
 * request of every limit of the quota.
 *
 * @param owners Owner of each task, including one that still has to give it up.
 */
export function sharesOf(
  owners: ReadonlyMap<string, ReadonlySet<string>>,
  wants: Wants,
): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const counts = new Map<string, Map<string, number>>()
  for (const { key, quotas } of wants.tasks) {
    for (const quota of quotas) {
      const mine = counts.get(quota) ?? new Map<string, number>()
      counts.set(quota, mine)
      for (const id of owners.get(key) ?? []) mine.set(id, (mine.get(id) ?? 0) + 1)
    }
  }
  const shares = new Map<string, ReadonlyMap<string, number>>()
  for (const [quota, mine] of counts) {
    const units = wants.divisible.get(quota)
    if (units === undefined || mine.size < 2) continue
    shares.set(quota, inUnits(mine, units))
  }
  return shares
}

/** Whole units for each, at least one, roughly in proportion. Where there are too few, those with the most tasks get them, the others none. */
function inUnits(counts: ReadonlyMap<string, number>, units: number): ReadonlyMap<string, number> {
  const ordered = [...counts].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
  const total = ordered.reduce((sum, [, count]) => sum + count, 0)
  const spare = Math.max(0, units - ordered.length)
  const given = ordered.map(([id, count], index) => ({ id, units: index < units ? 1 + Math.floor((spare * count) / total) : 0 }))
  return new Map(given.map(each => [each.id, each.units / units]))
}
