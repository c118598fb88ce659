/** CPU profiles of V8 as text: where a process spent its time. */
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What is read of a `.cpuprofile`. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    /** Samples in which it ran itself, not something that it called. */
    readonly hitCount?: number
  }[]
  /** Microseconds. */
  readonly startTime: number
  readonly endTime: number
}

export interface Entry {
  readonly where: string
  readonly selfMs: number
  /** Of the time that the process was busy, 0 to 1. */
  readonly share: number
}

export type By = 'file' | 'function'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const IDLE = '(idle)'

/** The entries with most time of their own, and how long the process was busy. Time in which it waited is left out. */
export function hottest({ nodes, startTime, endTime }: CpuProfile, most: number, by: By): { busyMs: number; entries: Entry[] } {
  const hits = new Map<string, number>()
  let all = 0
  let busy = 0
  for (const { callFrame, hitCount = 0 } of nodes) {
    all += hitCount
    if (callFrame.functionName === IDLE || hitCount === 0) continue
    busy += hitCount
    const where = by === 'file' ? fileOf(callFrame) : functionOf(callFrame)
    hits.set(where, (hits.get(where) ?? 0) + hitCount)
  }
  const msPerHit = all === 0 ? 0 : (endTime - startTime) / 1000 / all
  const entries = [...hits]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([where, count]) => ({ where, selfMs: count * msPerHit, share: count / busy }))
  return { busyMs: busy * msPerHit, entries }
}

type Frame = CpuProfile['nodes'][number]['callFrame']

/** Files of the repository by their path in it. What has no file is V8's own: `(garbage collector)`, or a function written in C++ or in V8's builtins. */
function fileOf({ url, functionName }: Frame): string {
  if (url.startsWith('file:')) return relative(ROOT, fileURLToPath(url))
  if (url !== '') return url.startsWith('wasm:') ? 'wasm' : url
  return functionName.startsWith('(') ? functionName : `native ${functionName}`
}

function functionOf(frame: Frame): string {
  const file = fileOf(frame)
  return frame.url === '' ? file : `${frame.functionName || '(anonymous)'} ${file}:${frame.lineNumber + 1}`
}

/** The first `most` entries by file, then by function, as lines for a terminal. */
export function profileText(title: string, file: string, profile: CpuProfile, most = 20): string {
  const table = (by: By) =>
    hottest(profile, most, by).entries.map(
      ({ where, selfMs, share }) => `${selfMs.toFixed(0).padStart(9)}  ${(100 * share).toFixed(1).padStart(5)} %  ${where}`,
    )
  const { busyMs } = hottest(profile, most, 'file')
  return [
    `${title}: busy for ${(busyMs / 1000).toFixed(1)} s; ${file}`,
    '  self ms   share  file',
    ...table('file'),
    '  self ms   share  function',
    ...table('function'),
    '',
  ].join('\n')
}
