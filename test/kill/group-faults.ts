/** What is done to a group of workers: each fault drawn whole before anything is done, so that a seed gives the same ones again. */
import { Random } from '../../src/sim/random.ts'
import { pause } from './cluster.ts'
import type { Life } from './crew.ts'

export interface Fleet {
  /** Workers that are there and have not been asked to end, the eldest first. */
  workers(): readonly Life[]
  begin(): Life
  /** From now on the source partitions that this worker has are silent until somebody reads them again. */
  hit(worker: Life): void
  /** Records something that must not be. */
  complain(what: string): void
}

export interface GroupFault {
  readonly name: string
  /** From the end of the one before. */
  readonly afterMs: number
  readonly run: (fleet: Fleet) => Promise<void>
}

const SALT = 12
export const WORKERS = 3
/** How long a worker that comes in the place of another may take until it is ready: as a deployment waits. */
const READY_MS = 60_000

interface Kind {
  readonly name: string
  readonly weight: number
  readonly draw: (random: Random) => (fleet: Fleet) => Promise<void>
}

const KINDS: readonly Kind[] = [
  {
    name: 'killed',
    weight: 3,
    draw: random => {
      const lot = random.int(0, 1_000)
      const awayMs = random.int(0, 5_000)
      return async fleet => {
        const worker = oneOf(fleet, lot)
        fleet.hit(worker)
        await worker.kill()
        await pause(awayMs)
        fleet.begin()
      }
    },
  },
  {
    name: 'frozen',
    weight: 3,
    draw: random => {
      const lot = random.int(0, 1_000)
      const stillMs = random.int(2_000, 25_000)
      return async fleet => {
        const worker = oneOf(fleet, lot)
        fleet.hit(worker)
        worker.freeze()
        await pause(stillMs)
        worker.thaw()
      }
    },
  },
  {
    name: 'stopped',
    weight: 3,
    draw: random => {
      const lot = random.int(0, 1_000)
      return async fleet => {
        await end(fleet, oneOf(fleet, lot))
        fleet.begin()
      }
    },
  },
  {
    name: 'added or taken away',
    weight: 2,
    draw: random => {
      const lot = random.int(0, 1_000)
      return async fleet => {
        if (fleet.workers().length > WORKERS) await end(fleet, oneOf(fleet, lot))
        else fleet.begin()
      }
    },
  },
  {
    // As `deploy/kubernetes` does it: the new one is ready before the old one is asked to end.
    name: 'rolled',
    weight: 1,
    draw: () => async fleet => {
      for (const worker of fleet.workers()) {
        await fleet.begin().ready(READY_MS)
        await end(fleet, worker)
      }
    },
  },
]

function oneOf(fleet: Fleet, lot: number): Life {
  const workers = fleet.workers()
  return workers[lot % workers.length] as Life
}

async function end(fleet: Fleet, worker: Life): Promise<void> {
  fleet.hit(worker)
  const { code, slow } = await worker.terminate()
  if (slow) fleet.complain(`${worker.name} did not end within 10 s of SIGTERM`)
  else if (code !== 0) fleet.complain(`${worker.name} ended with code ${code} on SIGTERM`)
}

export function drawGroupFaults(seed: number, count: number, only?: readonly string[]): GroupFault[] {
  const random = new Random(seed, 0, SALT)
  const kinds = only === undefined ? KINDS : KINDS.filter(({ name }) => only.includes(name))
  if (kinds.length < (only?.length ?? 1)) throw new Error(`faults of a group are ${KINDS.map(({ name }) => name).join('; ')}`)
  return Array.from({ length: count }, () => {
    const kind = random.weighted(kinds)
    return { name: kind.name, afterMs: random.int(5_000, 20_000), run: kind.draw(random) }
  })
}
