/** A run of rounds as a block of `bench/results.md`. */
import type { Report } from './rounds.ts'

export function report({ seed, rounds, faults, atEnd }: Report, tookMs: number): { text: string; good: boolean } {
  const total = (of: (round: Report['rounds'][number]) => number) => rounds.reduce((sum, round) => sum + of(round), 0)
  const worst = (of: (round: Report['rounds'][number]) => number) => Math.max(0, ...rounds.map(of))
  const median = (of: (round: Report['rounds'][number]) => number) =>
    rounds.map(of).toSorted((a, b) => a - b)[Math.floor(rounds.length / 2)] ?? 0
  const seconds = (ms: number) => (ms / 1000).toFixed(1)
  const lost = total(({ lost }) => lost) + atEnd.lost
  const twice = total(({ twice }) => twice) + atEnd.twice
  const hands = total(({ hands }) => hands.length)
  const count = [...faults.values()].reduce((sum, tried) => sum + tried, 0)
  const kinds = [...faults].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([kind, tried]) => `${kind} ${tried}`)
  const longest = rounds.toSorted((a, b) => b.silenceMs - a.silenceMs)[0]
  const text = [
    '| What | |',
    '| --- | --- |',
    `| Rounds (seed ${seed}) | ${rounds.length} in ${Math.round(tookMs / 60_000)} min, median ${seconds(median(({ tookMs: ms }) => ms))} s |`,
    `| Records read back | ${total(({ records }) => records)} |`,
    `| Faults | ${count} |`,
    `| Lost | ${lost} |`,
    `| Twice | ${twice} |`,
    `| Hands needed | ${hands} |`,
    `| Longest silence | ${seconds(longest?.silenceMs ?? 0)} s (round ${longest?.round ?? 0}, ${longest?.silent ?? ''}) |`,
    `| From the last fault to all read and served | median ${seconds(median(({ recoveredMs }) => recoveredMs))} s, longest ${seconds(worst(({ recoveredMs }) => recoveredMs))} s |`,
    '',
    `Faults by kind: ${kinds.join('; ')}.`,
    ...rounds
      .filter(({ lost, twice, hands }) => lost + twice + hands.length > 0)
      .map(
        ({ round, lost, twice, hands, details }) =>
          `Round ${round}: ${lost} lost, ${twice} twice; ${[...hands, ...details].join('; ')}`,
      ),
    ...atEnd.details,
  ].join('\n')
  return { text, good: lost + twice + hands === 0 }
}
