/** What the blocks for `results.md` have in common. */
import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'

/** `2026-11-26, commit 0f28b55` */
export function dateAndCommit(): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  return `${new Date().toISOString().slice(0, 10)}, commit ${commit}`
}

export function machine(kafkaVersion: string): string {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown CPU'
  return `${cpus().length} × ${cpu}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, Kafka ${kafkaVersion}`
}

/** `median (least to most)`, the one value where all are written alike, and nothing of nothing. */
export function spread(values: readonly number[], digits = 0): string {
  if (values.length === 0) return ''
  const sorted = values.toSorted((a, b) => a - b)
  const [least, median, most] = [0, Math.floor(sorted.length / 2), sorted.length - 1].map(at =>
    figure(sorted[at] as number, digits),
  )
  return least === most ? `${most}` : `${median} (${least} to ${most})`
}

export function figure(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
