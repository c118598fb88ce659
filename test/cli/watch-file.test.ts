import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { readSetup, type Setup } from '../../src/cli/setup.ts'
import { watchFile } from '../../src/cli/watch-file.ts'
import { systemClock } from '../../src/clock.ts'
import { createLog } from '../../src/log.ts'

/** A busy machine takes its time. */
const SOON = { timeout: 15_000 }
const BOTMAKER = { 'connector.class': 'botmaker', 'access.token': '${file:token}' }

/** A config file under watch; `taken` are the connectors of each reading that was accepted. */
async function watched(of: { fails?: number } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-watch-'))
  const path = join(folder, 'colloquy.yaml')
  const write = (connectors: object, more: object = {}) =>
    writeFileSync(
      path,
      stringify({ kafka: { brokers: '127.0.0.1:9' }, registry: { url: 'http://127.0.0.1:9' }, connectors, ...more }),
    )
  writeFileSync(join(folder, 'token'), 'first-token')
  write({ one: BOTMAKER })
  const lines: string[] = []
  const log = createLog('info', line => lines.push(line))
  const ending = new AbortController()
  const hangUps = new Set<() => void>()
  const io = {
    env: {},
    log,
    signal: ending.signal,
    stdout: () => {},
    entry: '',
    onHangUp: (again: () => void) => {
      hangUps.add(again)
      return () => void hangUps.delete(again)
    },
  }
  const read = await readSetup(path, io)
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  const taken: Setup[] = []
  let fails = of.fails ?? 0
  const changed = async (setup: Setup) => {
    if (fails-- > 0) throw new Error('Kafka is away')
    taken.push(setup)
  }
  const done = watchFile({ path, io, setup: read.setup, changed, clock: systemClock, log, signal: ending.signal, everyMs: 10 })
  onTestFinished(async () => {
    ending.abort()
    await done
    expect(hangUps.size).toBe(0)
    rmSync(folder, { recursive: true })
  })
  return { folder, path, write, taken, lines, hangUp: () => hangUps.forEach(each => each()) }
}

test('the file is read again when it has changed, and only then', async () => {
  const { write, taken } = await watched()
  await systemClock.sleep(60)
  expect(taken).toEqual([])
  write({ one: BOTMAKER, two: BOTMAKER })
  await expect.poll(() => taken.map(({ written }) => Object.keys(written)), SOON).toEqual([['one', 'two']])
  expect(taken[0]?.written['two']).toEqual(BOTMAKER)
})

test('a secret in a file of its own that has changed is a change', async () => {
  const { folder, taken } = await watched()
  writeFileSync(join(folder, 'token'), 'second-token')
  await expect
    .poll(() => taken.map(({ connectors }) => connectors[0]?.config), SOON)
    .toMatchObject([{ accessToken: 'second-token' }])
})

test('a link that is exchanged, as Kubernetes does it, is a change', async () => {
  const { folder, path, taken, write } = await watched()
  write({ one: BOTMAKER, two: BOTMAKER })
  await expect.poll(() => taken, SOON).toHaveLength(1)
  renameSync(path, join(folder, 'data'))
  symlinkSync(join(folder, 'data'), join(folder, 'link'))
  renameSync(join(folder, 'link'), path)
  await systemClock.sleep(60)
  expect(taken).toHaveLength(1)
  writeFileSync(join(folder, 'data2'), stringify({ kafka: { brokers: '127.0.0.1:9' }, registry: { url: 'http://127.0.0.1:9' } }))
  symlinkSync(join(folder, 'data2'), join(folder, 'link'))
  renameSync(join(folder, 'link'), path)
  await expect.poll(() => taken.map(({ written }) => Object.keys(written)), SOON).toEqual([['one', 'two'], []])
})

test('SIGHUP reads it at once, changed or not', async () => {
  const { hangUp, taken } = await watched()
  hangUp()
  await expect.poll(() => taken, SOON).toHaveLength(1)
  hangUp()
  await expect.poll(() => taken, SOON).toHaveLength(2)
})

test('a file with faults changes nothing, and the log names them', async () => {
  const { write, taken, lines } = await watched()
  write({ one: BOTMAKER, two: { ...BOTMAKER, 'poll.interval.ms': 'often' } })
  await expect.poll(() => lines.join(''), SOON).toContain('nothing changes')
  expect(lines.join('')).toContain('connectors.two.poll.interval.ms')
  expect(taken).toEqual([])
  write({ one: BOTMAKER, two: BOTMAKER })
  await expect.poll(() => taken, SOON).toHaveLength(1)
})

test('what cannot be taken just now is tried again', async () => {
  const { write, taken } = await watched({ fails: 2 })
  write({ two: BOTMAKER })
  await expect.poll(() => taken, SOON).toHaveLength(1)
})

test('other sections hold from the next start on, and the log says which', async () => {
  const { write, lines } = await watched()
  write({ one: BOTMAKER }, { http: { port: 9999 } })
  await expect.poll(() => lines.join(''), SOON).toContain('"sections":["http"]')
})
