/** A run of a group of workers as a block of `bench/results.md`. */
import type { GroupReport } from './group.ts'

/** The issue's: no source partition is silent for longer, and 95 of 100 times for no longer. */
const MOST_SILENT_MS = 30_000
const MOST_SILENT_P95_MS = 15_000

export function groupReport(of: GroupReport): { text: string; good: boolean } {
  const seconds = (ms: number) => (ms / 1000).toFixed(1)
  const figures = ({ count, medianMs, p95Ms, maxMs }: GroupReport['silence']) =>
    `median ${seconds(medianMs)} s, p95 ${seconds(p95Ms)} s, longest ${seconds(maxMs)} s (${count})`
  const count = [...of.faults.values()].reduce((sum, tried) => sum + tried, 0)
  const kinds = [...of.faults].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([kind, tried]) => `${kind} ${tried}`)
  const rolls = of.rolls.map(({ tasks, moves, most }) => `${tasks} tasks in ${moves} moves, ${most} at most for one`)
  const text = [
    '| What | |',
    '| --- | --- |',
    `| Faults (seed ${of.seed}) | ${count} in ${Math.round(of.tookMs / 60_000)} min |`,
    `| Source partitions, tasks | ${of.sourcePartitions}, ${of.tasks} |`,
    `| Records read back | ${of.records} |`,
    `| Lost | ${of.finding.lost} |`,
    `| Twice | ${of.finding.twice} |`,
    `| Hands needed | ${of.hands.length} |`,
    `| Requests beyond a limit | ${of.breaks.length} of ${of.requests} |`,
    `| Silence of a source partition | ${figures(of.silence)} |`,
    `| The same, where a fault struck its worker | ${figures(of.struck)} |`,
    `| Well again after the last fault | ${seconds(of.wellMs)} s |`,
    `| Read whole before the last fault | ${of.wholeBefore.join(', ') || 'no vendor'} |`,
    '',
    `Faults by kind: ${kinds.join('; ')}.`,
    ...(rolls.length === 0 ? [] : [`Rolls: ${rolls.join('; ')}.`]),
    ...of.longest,
    ...of.hands,
    ...of.breaks.slice(0, 20),
    ...of.finding.details,
  ].join('\n')
  const isQuiet = of.silence.maxMs <= MOST_SILENT_MS && of.silence.p95Ms <= MOST_SILENT_P95_MS
  const good = of.finding.lost + of.finding.twice + of.hands.length + of.breaks.length === 0 && isQuiet
  return { text, good }
}
