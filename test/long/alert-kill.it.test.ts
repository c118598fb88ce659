import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, inject, test, vi } from 'vitest'
import { backtest } from '../../src/alert/backtest.ts'
import { createJudge } from '../../src/alert/judge.ts'
import { systemClock } from '../../src/clock.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { silentLog } from '../../src/log.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { Random } from '../../src/sim/random.ts'
import { ago, historyOf, MINUTE_MS } from '../alert/history.ts'
import { seriesWorld } from '../support/series-world.ts'

const script = fileURLToPath(new URL('../alert/child.ts', import.meta.url))
const PARTITIONS = 3
const KILLS = 20
const HOME = partitionOf('botmaker:acme:b1', PARTITIONS)

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

test('killed with SIGKILL twenty times during an incident, one alert fires and one is resolved, those of a backtest', async () => {
  const of = await seriesWorld({ stack: inject('stack'), partitions: PARTITIONS, ending: end => endings.push(end) })
  const startMs = ago(52)
  const incident = { fromMs: startMs + 5 * MINUTE_MS, untilMs: startMs + 20 * MINUTE_MS, times: 5 }
  const all = historyOf({ fromMs: startMs - 9 * 86_400_000, untilMs: startMs + 50 * MINUTE_MS, incident })
  const isHistory = ({ at }: { at: string | number }) => Number(at) < startMs
  await of.read(HOME, new Date(startMs).toISOString(), all.filter(isHistory))

  const random = new Random(20, 26, 11)
  const ending = new AbortController()
  const feeding = (async () => {
    for (const each of all.filter(point => !isHistory(point))) {
      await of.read(HOME, new Date(Number(each.at) + MINUTE_MS).toISOString(), [each])
      await sleep(1500)
      if (ending.signal.aborted) return
    }
  })()
  endings.push(async () => {
    ending.abort()
    await feeding
  })
  for (let life = 0; life < KILLS; life++) {
    const running = child(of)
    // Some die while they restore, some while they judge.
    if (life % 3 > 0) await running.ready
    await sleep(random.int(0, life % 3 > 0 ? 2_500 : 1_500))
    await running.kill()
  }
  await feeding
  child(of)
  await vi.waitFor(async () => expect((await of.alerts()).map(({ state }) => state)).toEqual(['FIRING', 'RESOLVED']), {
    timeout: 120_000,
    interval: 500,
  })
  await sleep(3000)
  const told = await of.alerts()
  expect(told.map(({ state }) => state)).toEqual(['FIRING', 'RESOLVED'])

  const replayed = await backtest({
    ...of,
    rules: [DEFAULT_RULE],
    zoneOf: () => 'UTC',
    createJudge,
    fromMs: startMs - 7 * 86_400_000,
    untilMs: null,
    log: silentLog,
    clock: systemClock,
    signal: new AbortController().signal,
  })
  expect(replayed.alerts.map(({ alert_id, state, starts_at }) => [alert_id, state, starts_at])).toEqual(
    told.map(({ alert_id, state, starts_at }) => [alert_id, state, starts_at]),
  )
}, 600_000)

function child(of: Awaited<ReturnType<typeof seriesWorld>>): { readonly ready: Promise<void>; kill: () => Promise<void> } {
  const options = { groupId: `${of.names.alerts}-group`, sessionTimeoutMs: 2_000 }
  const args = JSON.stringify({ ...inject('stack'), names: of.names, partitions: PARTITIONS, options })
  const spawned: ChildProcess = spawn(process.execPath, [script, args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<void>(resolve => spawned.once('exit', () => resolve()))
  const ready = Promise.withResolvers<void>()
  if (spawned.stdout !== null) createInterface(spawned.stdout).on('line', line => line === '{"ok":true}' && ready.resolve())
  const kill = async () => {
    spawned.kill('SIGKILL')
    await ended
  }
  endings.push(kill)
  return { ready: Promise.race([ready.promise, ended]), kill }
}
