/**
 * The scorer of the Numenta Anomaly Benchmark: for each labelled window the earliest detection counts, by a scaled sigmoid of its place; detections outside cost more
 * the farther behind a window they are; one threshold for the whole corpus, the best for the profile; 0 is no detection, 100 is perfect. Proven against
 * the published scores of detectors whose result files are kept with the data.
 */

export interface NabFile {
  readonly name: string
  /** Epoch milliseconds. */
  readonly times: Float64Array
  readonly values: Float64Array
  /** Labelled windows: first and last row, inclusive. */
  readonly windows: readonly (readonly [number, number])[]
}

export interface Profile {
  readonly tpWeight: number
  readonly fnWeight: number
  readonly fpWeight: number
}

/** The first rows are not scored: detectors may learn from them. */
export function probation(rows: number): number {
  return Math.min(Math.floor(0.15 * rows), 750)
}

function sigmoid(position: number): number {
  return position > 3 ? -1 : 2 / (1 + Math.exp(5 * position)) - 1
}

/** @param scores By file, a score for each row; higher is more unusual. */
export function nabScore(
  files: readonly NabFile[],
  scores: readonly Float64Array[],
  profile: Profile,
): { score: number; threshold: number } {
  const rows: { score: number; gain: number; window: number }[] = []
  const most = sigmoid(-1)
  let windows = 0
  let scoredWindows = 0
  for (const [f, file] of files.entries()) {
    const begin = probation(file.times.length)
    const numbers = file.windows.map(([, last]) => (last >= begin ? scoredWindows++ : -1))
    windows += file.windows.length
    let current = 0
    for (let i = 0; i < file.times.length; i++) {
      while (current < file.windows.length && i > (file.windows[current] as readonly [number, number])[1]) current++
      const window = file.windows[current]
      const isInside = window !== undefined && i >= window[0]
      let gain: number
      if (isInside) {
        gain = (sigmoid(-(window[1] - i + 1) / (window[1] - window[0] + 1)) * profile.tpWeight) / most
      } else {
        const before = file.windows[current - 1]
        gain = (before === undefined ? -1 : sigmoid((i - before[1]) / (before[1] - before[0]))) * profile.fpWeight
      }
      if (i >= begin)
        rows.push({ score: (scores[f] as Float64Array)[i] as number, gain, window: isInside ? (numbers[current] as number) : -1 })
    }
  }
  rows.sort((a, b) => b.score - a.score)
  const parts = new Float64Array(scoredWindows).fill(-profile.fnWeight)
  let sum = -profile.fnWeight * scoredWindows
  let best = sum
  let threshold = Number.POSITIVE_INFINITY
  for (let i = 0; i < rows.length; i++) {
    const { score, gain, window } = rows[i] as (typeof rows)[number]
    if (window < 0) sum += gain
    else if (gain > (parts[window] as number)) {
      sum += gain - (parts[window] as number)
      parts[window] = gain
    }
    if (rows[i + 1]?.score !== score && sum > best) {
      best = sum
      threshold = score
    }
  }
  const none = -profile.fnWeight * scoredWindows
  return { score: (100 * (best - none)) / (windows * profile.tpWeight - none), threshold }
}
