import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { GroupMember, GroupOptions, Kafka } from '../../src/kafka/port.ts'
import { brokers, closing, kafka, proxy, topic, unique, until } from '../kafka/fixture.ts'

const SESSION_TIMEOUT_MS = 1_500

/** A member that keeps what it was told, in order. */
async function member(k: Kafka, options: Pick<GroupOptions, 'groupId' | 'topics'> & Partial<GroupOptions>) {
  const calls: [string, ...number[]][] = []
  const has = new Set<number>()
  const joined: GroupMember = await k.joinGroup({
    sessionTimeoutMs: SESSION_TIMEOUT_MS,
    onAssigned: async numbers => {
      calls.push(['assigned', ...numbers])
      for (const number of numbers) has.add(number)
    },
    onRevoked: async numbers => {
      calls.push(['revoked', ...numbers])
      for (const number of numbers) has.delete(number)
    },
    onLost: error => {
      throw error
    },
    ...options,
  })
  return { calls, has, leave: () => joined.leave() }
}

function childMember(groupId: string, name: string): { child: ChildProcess; assigned: number[][] } {
  const file = fileURLToPath(new URL('../kafka/member.ts', import.meta.url))
  const child = spawn(process.execPath, [file, brokers(), groupId, name, String(SESSION_TIMEOUT_MS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  closing({
    close: async () => {
      child.kill('SIGKILL')
    },
  })
  const assigned: number[][] = []
  child.stdout.on('data', (data: Buffer) => {
    for (const line of data.toString().trim().split('\n')) assigned.push(JSON.parse(line) as number[])
  })
  return { child, assigned }
}

test('members share the partition numbers of all topics, each number with one member, and take over from one who leaves', async () => {
  const k = kafka()
  const of = { groupId: unique('group'), topics: [await topic(k, 5), await topic(k, 5)] }
  const first = await member(k, of)
  await until(() => first.has.size === 5)
  const second = await member(k, of)
  await until(() => first.has.size + second.has.size === 5 && second.has.size === 2)
  expect([...first.has, ...second.has].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4])
  // What stays is not interrupted.
  expect(first.calls).toEqual([
    ['assigned', 0, 1, 2, 3, 4],
    ['revoked', ...second.has],
  ])
  await first.leave()
  expect(first.has.size).toBe(0)
  await until(() => second.has.size === 5)
  expect(second.calls.every(([what]) => what === 'assigned')).toBe(true)
})

test('the numbers of a member that was killed go to the others', async () => {
  const k = kafka()
  const name = await topic(k, 4)
  const groupId = unique('group')
  const { child, assigned } = childMember(groupId, name)
  await until(() => assigned.length > 0)
  expect(assigned).toEqual([[0, 1, 2, 3]])
  const survivor = await member(k, { groupId, topics: [name] })
  await until(() => survivor.has.size === 2)
  child.kill('SIGKILL')
  await until(() => survivor.has.size === 4)
  expect(survivor.calls.filter(([what]) => what === 'revoked')).toEqual([])
})

test('a member that works for longer than the session stays a member', async () => {
  const k = kafka()
  const of = { groupId: unique('group'), topics: [await topic(k, 2)] }
  const gate = Promise.withResolvers<void>()
  const calls: string[] = []
  await member(k, {
    ...of,
    onAssigned: async numbers => {
      calls.push(`assigned ${numbers.join()}`)
      await gate.promise
    },
    onRevoked: async numbers => {
      calls.push(`revoked ${numbers.join()}`)
    },
  })
  const startMs = Date.now()
  await until(() => Date.now() > startMs + 2 * SESSION_TIMEOUT_MS)
  const second = await member(k, of)
  await until(() => second.has.size === 1)
  expect(second.calls).toEqual([['assigned', 1]])
  // The next call waits for the one before.
  expect(calls).toEqual(['assigned 0,1'])
  gate.resolve()
  await until(() => calls.length === 2)
  expect(calls).toEqual(['assigned 0,1', 'revoked 1'])
})

test('a member that was cut off has nothing any more, and is given its numbers anew when it is back', async () => {
  const line = await proxy()
  const k = kafka()
  const of = { groupId: unique('group'), topics: [await topic(k, 2)] }
  const lost = await member(kafka({ brokers: [line.address] }), of)
  await until(() => lost.has.size === 2)
  line.breakOff()
  const other = await member(k, of)
  await until(() => other.has.size === 2 && lost.has.size === 0)
  line.restore()
  await until(() => other.has.size === 1 && lost.has.size === 1)
  expect([...lost.has, ...other.has].sort((a, b) => a - b)).toEqual([0, 1])
  expect(lost.calls.slice(0, 2)).toEqual([
    ['assigned', 0, 1],
    ['revoked', 0, 1],
  ])
})

test('topics with different numbers of partitions cannot be shared by number', async () => {
  const k = kafka()
  const joining = member(k, { groupId: unique('group'), topics: [await topic(k, 2), await topic(k, 3)] })
  await expect(joining).rejects.toMatchObject({ code: 'TOPIC_MISMATCH', details: { found: 3, wanted: 2 } })
})
