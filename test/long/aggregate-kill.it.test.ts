import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, inject, test } from 'vitest'
import type { Harness, Item } from '../aggregate/harness.ts'
import { harness } from '../aggregate/harness.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from '../aggregate/make.ts'

const script = fileURLToPath(new URL('../aggregate/child.ts', import.meta.url))
const children = new Set<Child>()
const opened: Harness[] = []

afterEach(async () => {
  await Promise.all([...children].map(child => child.kill()))
  await Promise.all(opened.splice(0).map(h => h.close()))
})

interface Child {
  /** Resolves at the n-th transaction from now, or when the process has ended. */
  transactions(n: number): Promise<void>
  readonly seen: number
  kill(): Promise<void>
}

function child(h: Harness): Child {
  const options = { groupId: h.names.series, lingerMs: 5, maxRecords: 60, sessionTimeoutMs: 1_000 }
  const args = JSON.stringify({ ...inject('stack'), names: h.names, options })
  const process_: ChildProcess = spawn(process.execPath, [script, args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<void>(resolve => process_.once('exit', () => resolve()))
  let seen = 0
  let waiting: { n: number; resolve: () => void }[] = []
  if (process_.stdout !== null) {
    createInterface(process_.stdout).on('line', () => {
      seen++
      for (const { n, resolve } of waiting) if (seen >= n) resolve()
      waiting = waiting.filter(({ n }) => seen < n)
    })
  }
  const made: Child = {
    transactions: n => Promise.race([ended, new Promise<void>(resolve => waiting.push({ n: seen + n, resolve }))]),
    get seen() {
      return seen
    },
    async kill() {
      process_.kill('SIGKILL')
      await ended
      children.delete(made)
    },
  }
  children.add(made)
  return made
}

/** Feeds until stopped, so that there is input whenever a process dies. */
function feeding(h: Harness, r: Random): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const revisions = new Map<string, number>()
  const before: Item[] = []
  async function run(): Promise<void> {
    for (let i = 0; !stopping.signal.aborted; i++) {
      const items: Item[] = Array.from({ length: 1 + r.int(60) }, (_, j) => {
        const id = `s${r.int(3_000)}`
        const revision = (revisions.get(id) ?? 0) + 1
        const at = Date.parse('2026-11-01T00:00:00Z')
        if (j % 3 === 1) return { kind: 'message', record: makeMessage(r, `${i}-${j}`, at, 7_200_000) }
        if (j % 3 === 2) return { kind: 'event', record: makeEvent(r, `${i}-${j}`, at, 7_200_000) }
        // Now and then the numbering of a session begins anew.
        revisions.set(id, r.chance(0.1) ? 0 : revision)
        return { kind: r.chance(0.05) ? 'withdrawal' : 'session', record: makeSession(r, id, revision, at, 7_200_000) }
      })
      const counting = items.filter(({ kind }) => kind === 'message' || kind === 'event')
      await h.feed([...items, ...counting.flatMap(() => (before.length > 0 && r.chance(0.3) ? [r.pick(before)] : []))])
      before.push(...counting.slice(0, 5))
      await sleep(5)
    }
  }
  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

async function start(): Promise<Harness> {
  const made = await harness(inject('stack'))
  opened.push(made)
  return made
}

describe('killed with SIGKILL', () => {
  test('at random times while records come in, nothing is lost and nothing counted twice', async () => {
    const h = await start()
    const feed = feeding(h, random(21))
    for (let life = 0; life < 8; life++) {
      const running = child(h)
      // Some die while they restore, some after a few transactions, at no moment of ours.
      if (life % 3 > 0) await running.transactions(randomInt(1, 12))
      await sleep(randomInt(0, life % 3 > 0 ? 60 : 1_200))
      await running.kill()
    }
    await feed.stop()
    child(h)
    await h.caughtUp()
    expect(await h.table()).toEqual(h.expected())
  }, 180_000)

  test('one of two, the other takes its partitions over and the series are those of a recount', async () => {
    const h = await start()
    const feed = feeding(h, random(22))
    const first = child(h)
    await first.transactions(3)
    const second = child(h)
    await Promise.all([second.transactions(3), first.transactions(3)]) // both have a share
    await first.kill()
    await second.transactions(10)
    await feed.stop()
    await h.caughtUp()
    expect(await h.table()).toEqual(h.expected())
  }, 120_000)
})
