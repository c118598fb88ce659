/**
 * wolkvox for the conformance suite: its simulator over a small world, with each quirk a switch of it. A report is one answer without pages, so what grows,
 * shrinks or ignores a token between two of them changes nothing here.
 */
import wolkvox from '../../../connectors/wolkvox/index.ts'
import { type Quirks, startWolkvoxSimulator } from '../../../connectors/wolkvox/simulator.ts'
import { createWorld } from '../../../src/sim/index.ts'
import type { Quirk, Start, Subject, Vendor } from '../../../src/conformance/index.ts'
import { truthOf, turnsTruthOf } from '../truth/wolkvox.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const FROM = Date.parse('2026-11-03T00:00:00Z')
/** Conversations start on half a day; nearly all of them close within a day and a half more. */
const world = createWorld({ seed: 7, sessions: 22, fromMs: FROM, untilMs: FROM + DAY / 2, transferShare: 0.4 })

const QUIRKS: Readonly<Partial<Record<Quirk, Partial<Quirks>>>> = {
  late: { lateMs: 20 * MINUTE },
  changing: { changesAfterMs: 30 * MINUTE },
  tied: { tied: true, twins: true },
  edges_inclusive: { edges: 'inclusive', twins: true },
  edges_exclusive: { edges: 'exclusive', twins: true },
}
const CLOCK_MS: Readonly<Partial<Record<Quirk, number>>> = { clock_ahead: 2 * MINUTE, clock_behind: -2 * MINUTE }
/** There are no pages, but answers that are cut off: so few rows that windows are halved time and again. */
const FEW = { turnRows: 60, rows: 12 }

/** All five reports. */
export const subject: Subject = subjectOf({}, truthOf)

/** Turns alone, whose sessions are derived. */
export const subjectTurns: Subject = { ...subjectOf({ streams: 'diagram_9' }, turnsTruthOf), streams: ['diagram_9'] }

function subjectOf(keys: Readonly<Record<string, string>>, truth: typeof truthOf): Subject {
  const waiver = {
    check: 'prompt: what is said',
    reason: 'a thousand calls a day: turns are read every 10 minutes, and what agents say once an hour',
    until: '2027-05-31',
  }
  return { connector: wolkvox, waivers: [waiver], start: how => start(how, keys, truth) }
}

async function start({ quirk, now }: Start, keys: Readonly<Record<string, string>>, truth: typeof truthOf): Promise<Vendor> {
  const offMs = (quirk !== null && CLOCK_MS[quirk]) || 0
  const simulator = await startWolkvoxSimulator({
    world,
    now: () => now() + offMs,
    ...(quirk !== null && { quirks: QUIRKS[quirk] ?? {}, ...FEW }),
    ...(quirk === 'quota' && { licences: 1, arrivalClock: now, answerMs: 2 }),
  })
  return {
    config: { ...simulator.config, ...keys, ...(quirk !== null && { 'max.rows.turns': FEW.turnRows, 'max.rows': FEW.rows }) },
    window: { fromMs: FROM, untilMs: FROM + 2 * DAY },
    truth: nowMs => truth(simulator, nowMs + offMs),
    refusedForQuota: () => simulator.refusedForQuota(),
    stop: () => simulator.stop(),
  }
}
