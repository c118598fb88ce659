import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { readIndependently } from '../support/independent/read-topics.ts'
import { type Finished, type Running, querySeries, start } from '../support/product.ts'
import { asServed, recount } from '../support/recount.ts'
import { expectTheWorld, type History, startHistory } from '../support/whole-way.ts'

describe.each([{ version: 'v2' }, { version: 'v1' }])('a history at Botmaker $version', ({ version }) => {
  const stack = inject('stack')
  let history: History
  let product: Running
  let base: string

  beforeAll(async () => {
    history = await startHistory(stack, {
      seed: 7,
      sessions: 400,
      days: 4,
      pageSize: 60,
      exportPageSize: 60,
      v1: version === 'v1',
    })
    product = start(['run', '--config', history.config])
    base = await product.base()
    await history.complete(base)
  })
  afterAll(async () => {
    await product.kill('SIGKILL')
    await history.stop()
  })

  test('stands on the topics exactly as a reader that shares no code with us finds it', async () => {
    const { sessions, messages, events } = history.names
    expectTheWorld(await readIndependently(stack.brokers, stack.registry, [sessions, messages, events]), history)
  })

  test('is counted by every measure as a recount of the topics counts it', async () => {
    const { sessions, messages, events } = history.names
    const counted = recount(await readIndependently(stack.brokers, stack.registry, [sessions, messages, events]), history.names)
    const served = await asServed(query => querySeries(base, query), history.fromMs - 86_400_000, Date.now())
    expect(counted.size).toBeGreaterThan(100)
    expect(Object.fromEntries(served)).toEqual(Object.fromEntries(counted))
  })

  test('is counted once by kcat', () => {
    let count = 0
    try {
      const read = ['-b', stack.brokers, '-C', '-t', history.names.messages, '-o', 'beginning', '-e', '-q', '-f', '%k\n']
      count = execFileSync('kcat', [...read, '-X', 'isolation.level=read_committed'], { encoding: 'utf8' })
        .trim()
        .split('\n').length
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return // no kcat on this machine; the Python reader has counted them
    }
    expect(count).toBe(history.expected.messages.size)
  })

  test('ends on SIGTERM with 0, quickly, and has told no secret and no message', async () => {
    const ended: Finished = await product.kill('SIGTERM')
    expect(ended.code).toBe(0)
    expect(ended.output).not.toContain(history.vendor.config['access.token'])
    const said = [...history.expected.messages.values()].map(message => message.text).filter(text => (text ?? '').length > 20)
    expect(said.filter(text => ended.output.includes(text ?? ''))).toEqual([])
  })
})
