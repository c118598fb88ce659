/** What is done to the system in a round: each kind of fault with how often it is drawn. A fault ends with what it broke in working order again. */
import type { Fault as VendorFault } from '../../src/sim/faults.ts'
import { Random } from '../../src/sim/random.ts'
import type { Ship } from '../support/fleet.ts'
import { electPreferredLeaders, setProducerQuota } from './admin.ts'
import { type Broker, type Cluster, pause } from './cluster.ts'
import type { Life } from './crew.ts'
import type { Gate, Mode } from './gate.ts'
import { KAFKA_POINTS, type KafkaPoint, type Order, type Point, STAGE_POINTS } from './points.ts'

/** What faults act on. */
export interface Scene {
  readonly cluster: Cluster
  readonly registry: Gate
  readonly fleet: readonly Ship[]
  /** The process of the role that was started last and is there. */
  current(role: Victim): Life
  /** Starts another process with the config of the round; those that there are stay. */
  begin(role: Victim): Life
  /** Records that the system could not be expected to commit meanwhile. */
  outage<T>(work: () => Promise<T>): Promise<T>
  /** Records that a fault of this kind was tried. */
  count(kind: string): void
  /** Records something that must not be. */
  complain(what: string): void
}

export type Victim = 'worker' | 'aggregator'

/** Faults of one resource are never under way at once. */
export type Resource = Victim | 'brokers' | 'registry' | 'vendors'

export interface Kind {
  readonly name: string
  readonly weight: number
  readonly resource: (random: Random) => Resource
  /** Everything random is drawn before anything is done, so that a seed gives the same faults again. */
  readonly draw: (random: Random, resource: Resource) => (scene: Scene) => Promise<void>
}

const FAULTS_SALT = 4

const VICTIMS = [
  { role: 'worker', weight: 3 },
  { role: 'aggregator', weight: 2 },
] as const
const victim = (random: Random): Victim => random.weighted(VICTIMS).role

/** Points that a process passes again and again while there is work, and those of its start. */
const AT_WORK = ['before send', 'after send', 'in commit', 'after commit'] as const satisfies readonly KafkaPoint[]
const AT_START = [
  'before fence',
  'after fence',
  'in restore',
  'after restore',
  'before send',
  'after send',
] as const satisfies readonly KafkaPoint[]
/** How long a process may take to come to a point: to one of its work once it is ready, to one of its start from its start. */
const STRIKE_MS = 5_000
const START_MS = 12_000

function pointAtWork(random: Random, role: Victim): Point {
  return role === 'worker' && random.chance(0.4) ? `stage ${random.pick(STAGE_POINTS.slice(1))}` : random.pick(AT_WORK)
}

export const KINDS: readonly Kind[] = [
  {
    name: 'killed at a point',
    weight: 6,
    resource: victim,
    draw: (random, role) => {
      const order = drawOrder(random, role as Victim, 'SIGKILL')
      const awayMs = random.int(0, 600)
      return async scene => {
        const life = scene.current(role as Victim)
        const struck = await strikeAtWork(life, order)
        scene.count(struck ? `${role} killed ${order.at}` : `${role} killed at random`)
        await life.kill()
        await restart(scene, role as Victim, awayMs)
      }
    },
  },
  {
    name: 'killed at random',
    weight: 2,
    resource: victim,
    draw: (random, role) => {
      const afterMs = random.int(0, 2_500)
      const awayMs = random.int(0, 1_500)
      return async scene => {
        await pause(afterMs)
        scene.count(`${role} killed at random`)
        await scene.current(role as Victim).kill()
        await restart(scene, role as Victim, awayMs)
      }
    },
  },
  {
    name: 'killed at its start',
    weight: 3,
    resource: victim,
    draw: (random, role) => {
      const order: Order = { at: random.pick(AT_START), skip: random.int(0, 3), signal: 'SIGKILL' }
      return async scene => {
        await scene.current(role as Victim).kill()
        const life = scene.begin(role as Victim)
        const struck = await scene.outage(() => life.strike(order, START_MS))
        scene.count(struck ? `${role} killed ${order.at}, at its start` : `${role} killed at random`)
        await life.kill()
        await restart(scene, role as Victim, 0)
      }
    },
  },
  {
    name: 'stopped and continued',
    weight: 3,
    resource: victim,
    draw: (random, role) => {
      const order = drawOrder(random, role as Victim, 'SIGSTOP')
      const stillMs = random.int(300, 4_000)
      return async scene => {
        const life = scene.current(role as Victim)
        const struck = await strikeAtWork(life, order)
        scene.count(struck ? `${role} stopped ${order.at}` : `${role} stopped at random`)
        if (!struck) life.freeze()
        await scene.outage(() => pause(stillMs))
        life.thaw()
      }
    },
  },
  {
    name: 'asked to end',
    weight: 3,
    resource: victim,
    draw: (random, role) => {
      const order = drawOrder(random, role as Victim, 'SIGTERM')
      return async scene => {
        const life = scene.current(role as Victim)
        const struck = await strikeAtWork(life, order)
        scene.count(struck ? `${role} ended ${order.at}` : `${role} ended at random`)
        await endWell(scene, life)
        await restart(scene, role as Victim, 0)
      }
    },
  },
  {
    name: 'killed in its shutdown',
    weight: 2,
    resource: victim,
    draw: (random, role) => {
      const order: Order = { at: 'in close', skip: random.int(0, 4), signal: 'SIGKILL' }
      const afterMs = random.int(0, 400)
      const atPoint = random.chance(0.5)
      return async scene => {
        const life = scene.current(role as Victim)
        scene.count(`${role} killed in its shutdown`)
        const struck = atPoint ? life.strike(order, 2_000) : pause(afterMs)
        void life.terminate()
        await struck
        await life.kill()
        await restart(scene, role as Victim, 0)
      }
    },
  },
  {
    name: 'hand-over',
    weight: 4,
    resource: victim,
    draw: (random, role) => {
      const who = random.pick(['elder killed', 'elder stopped', 'newcomer killed', 'newcomer ended'] as const)
      const order: Order = {
        at: random.pick(['after fence', 'after restore', 'before send', 'after send', 'after commit'] as const),
        skip: random.int(0, 3),
        signal: who === 'newcomer ended' ? 'SIGTERM' : 'SIGKILL',
      }
      const atWork = random.pick(AT_WORK)
      const stillMs = random.int(2_000, 5_000)
      return async scene => {
        const elder = scene.current(role as Victim)
        scene.count(`${role} in hand-over, ${who}`)
        if (who === 'elder stopped') {
          // In the middle of a transaction, so that what it wakes up with has been taken over.
          if (!(await strikeAtWork(elder, { at: atWork, skip: 0, signal: 'SIGSTOP' }))) elder.freeze()
          scene.begin(role as Victim)
          await scene.outage(() => pause(stillMs))
          elder.thaw()
          return
        }
        const newcomer = scene.begin(role as Victim)
        if (who === 'elder killed') {
          const struck = newcomer.strike({ ...order, signal: 'SIGSTOP' }, START_MS)
          await scene.outage(async () => {
            await struck
            await elder.kill()
          })
          newcomer.thaw()
          return
        }
        await newcomer.strike(order, START_MS)
        if (who === 'newcomer ended') await endWell(scene, newcomer)
        else await newcomer.kill()
      }
    },
  },
  {
    name: 'broker killed',
    weight: 3,
    resource: () => 'brokers',
    draw: random => {
      const which = random.int(0, 2)
      const awayMs = random.int(0, 2_500)
      return async scene => {
        scene.count('broker killed')
        await scene.outage(async () => {
          const broker = scene.cluster.brokers[which] as Broker
          await broker.kill()
          await pause(awayMs)
          await broker.start()
        })
      }
    },
  },
  {
    name: 'broker stopped',
    weight: 3,
    resource: () => 'brokers',
    draw: random => {
      const which = random.int(0, 2)
      const stillMs = random.int(500, 6_000)
      return async scene => {
        scene.count('broker stopped')
        await scene.outage(async () => {
          const broker = scene.cluster.brokers[which] as Broker
          broker.freeze()
          await pause(stillMs)
          broker.thaw()
        })
      }
    },
  },
  {
    name: 'all brokers stopped',
    weight: 1,
    resource: () => 'brokers',
    draw: random => {
      const stillMs = random.int(1_000, 4_000)
      return async scene => {
        scene.count('all brokers stopped')
        await scene.outage(async () => {
          for (const broker of scene.cluster.brokers) broker.freeze()
          await pause(stillMs)
          for (const broker of scene.cluster.brokers) broker.thaw()
        })
      }
    },
  },
  {
    name: 'leaders moved',
    weight: 2,
    resource: () => 'brokers',
    draw: () => async scene => {
      scene.count('leaders moved')
      await electPreferredLeaders(scene.cluster.adminAddress())
    },
  },
  {
    name: 'producer quota',
    weight: 2,
    resource: () => 'brokers',
    draw: random => {
      const bytesPerSecond = random.int(20, 100) * 1_000
      const forMs = random.int(1_500, 4_000)
      return async scene => {
        scene.count('producer quota')
        await scene.outage(async () => {
          await setProducerQuota(scene.cluster.adminAddress(), scene.cluster.user, bytesPerSecond)
          await pause(forMs)
          await setProducerQuota(scene.cluster.adminAddress(), scene.cluster.user, null)
        })
      }
    },
  },
  {
    name: 'registry away',
    weight: 2,
    resource: () => 'registry',
    draw: random => {
      const mode = random.pick<Mode>(['refuse', 'hang', 'fail'])
      const forMs = random.int(500, 4_000)
      return async scene => {
        scene.count(`registry away: ${mode}`)
        await scene.outage(async () => {
          scene.registry.set(mode)
          await pause(forMs)
          scene.registry.set('pass')
        })
      }
    },
  },
  {
    name: 'vendor',
    weight: 5,
    resource: () => 'vendors',
    draw: random => {
      const { name, fault, probability } = random.pick(VENDOR_FAULTS)
      const all = random.chance(0.4)
      const lot = random.int(0, 1_000)
      const seed = random.int(1, 1_000_000)
      const forMs = random.int(500, 3_000)
      return async scene => {
        scene.count(`${all ? 'all vendors' : 'vendor'}: ${name}`)
        const struck = all ? scene.fleet : [scene.fleet[lot % scene.fleet.length] as Ship]
        await scene.outage(async () => {
          for (const { simulator } of struck) {
            simulator.faults.clear()
            simulator.faults.sometimes(fault, { probability, seed })
          }
          await pause(forMs)
          struck.forEach(atPace)
        })
      }
    },
  },
]

/** A vendor without faults, which takes a moment for each answer, so that a history lasts for some seconds. */
export function atPace({ simulator }: Ship): void {
  simulator.faults.clear()
  simulator.faults.sometimes({ kind: 'delay', ms: 25 }, { probability: 1 })
}

const VENDOR_FAULTS: readonly { readonly name: string; readonly fault: VendorFault; readonly probability: number }[] = [
  { name: 'connections closed', fault: { kind: 'hang_up' }, probability: 1 },
  { name: 'connections closed now and then', fault: { kind: 'hang_up' }, probability: 0.3 },
  { name: 'answers cut', fault: { kind: 'cut' }, probability: 0.5 },
  { name: 'answers malformed', fault: { kind: 'malformed' }, probability: 0.5 },
  { name: 'slow', fault: { kind: 'delay', ms: 700 }, probability: 1 },
  { name: 'dripping', fault: { kind: 'drip', pieces: 10, everyMs: 60 }, probability: 1 },
  { name: 'hung', fault: { kind: 'delay', ms: 6_000 }, probability: 1 },
  { name: '503', fault: { kind: 'status', status: 503 }, probability: 1 },
  { name: '500 now and then', fault: { kind: 'status', status: 500 }, probability: 0.3 },
  { name: '401', fault: { kind: 'status', status: 401 }, probability: 1 },
  { name: '429', fault: { kind: 'status', status: 429, retryAfter: { seconds: 1, as: 'seconds' } }, probability: 0.7 },
]

function drawOrder(random: Random, role: Victim, signal: Order['signal']): Order {
  return { at: pointAtWork(random, role), skip: random.int(0, 8), signal }
}

/** A process that has just been started comes to no point of its work before it is ready. */
async function strikeAtWork(life: Life, order: Order): Promise<boolean> {
  await life.ready(START_MS)
  return life.strike(order, STRIKE_MS)
}

async function restart(scene: Scene, role: Victim, awayMs: number): Promise<void> {
  await scene.outage(() => pause(awayMs))
  scene.begin(role)
}

async function endWell(scene: Scene, life: Life): Promise<void> {
  const { code, slow } = await life.terminate()
  if (slow) scene.complain(`${life.name} did not end within 10 s of SIGTERM`)
  else if (code !== 0) scene.complain(`${life.name} ended with code ${code} on SIGTERM`)
}

/** A fault of a round: when it begins, and what it does. */
export interface Planned {
  readonly atMs: number
  readonly name: string
  readonly resource: Resource
  readonly run: (scene: Scene) => Promise<void>
}

/** The faults of a round of a seed. */
export function drawFaults(seed: number, round: number, kinds: readonly Kind[] = KINDS): Planned[] {
  const random = new Random(seed, round, FAULTS_SALT)
  const count = random.int(2, 4)
  return Array.from({ length: count }, (_, index) => {
    const kind = random.weighted(kinds)
    const resource = kind.resource(random)
    return {
      atMs: index === 0 ? random.int(0, 500) : random.int(0, 3_000),
      name: kind.name,
      resource,
      run: kind.draw(random, resource),
    }
  })
}

/** All points that a plan can name, so that a test can hold them to those that the product passes. */
export const POINTS: readonly Point[] = [...KAFKA_POINTS, ...STAGE_POINTS.map(point => `stage ${point}` as const)]
