/** A line chart by time: axes, values under the pointer, gaps where nothing was read, and a dashed line where values may still grow. */
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { clockTime, shortDate, utcTime } from './format.ts'
import { isolated, type Line, splitAtEdge } from './series.ts'

interface ChartProps {
  readonly title: string
  readonly lines: readonly Line[]
  readonly times: readonly number[]
  readonly bucketMs: number
  readonly format: (value: number | null) => string
}

const HEIGHT = 200
const COLOURS = 6

/** Custom properties of style.css, which change between light and dark. */
const colourOf = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

export function Chart({ title, lines, times, bucketMs, format }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const [at, setAt] = useState<number | null>(null)
  const [scheme, setScheme] = useState(0)
  const split = lines.map(line => splitAtEdge(line, times, bucketMs))
  const data: uPlot.AlignedData = [times.map(ms => ms / 1000), ...split.flatMap(({ final, unfinished }) => [final, unfinished])]
  const edgeMs = lines.reduce<number | null>(
    (least, { completeUntilMs }) => (least === null || completeUntilMs === null ? null : Math.min(least, completeUntilMs)),
    Infinity,
  )
  const shown = useRef({ edgeMs, format })
  shown.current = { edgeMs, format }
  const shape = JSON.stringify([lines.map(({ name }) => name), scheme])

  useEffect(() => {
    const media = matchMedia('(prefers-color-scheme: dark)')
    const changed = () => setScheme(each => each + 1)
    media.addEventListener('change', changed)
    return () => media.removeEventListener('change', changed)
  }, [])

  useEffect(() => {
    const box = place.current
    if (box === null) return undefined
    const [soft, grid, veil] = [colourOf('--soft'), colourOf('--line'), colourOf('--veil')]
    const font = `12px ${getComputedStyle(box).fontFamily}`
    const dots = (u: uPlot, seriesIndex: number) => isolated((u.data[seriesIndex] ?? []) as (number | null)[])
    const series = lines.flatMap((_, index) => {
      const stroke = colourOf(`--line-${index % COLOURS}`)
      const common = { stroke, width: 1.75, spanGaps: false, points: { show: true, size: 5, fill: stroke, filter: dots } }
      return [common, { ...common, dash: [4, 4] }]
    })
    const made = new uPlot(
      {
        width: box.clientWidth,
        height: HEIGHT,
        padding: [8, 10, 0, 0],
        legend: { show: false },
        cursor: { y: false, sync: { key: 'overview' }, drag: { x: false, y: false }, points: { size: 7 } },
        scales: { y: { range: (_u, _low, high) => [0, high > 0 ? high * 1.08 : 1] } },
        axes: [
          { stroke: soft, font, grid: { show: false }, ticks: { stroke: grid, size: 4 }, size: 42, values: axisTimes },
          {
            stroke: soft,
            font,
            grid: { stroke: grid, width: 1 },
            ticks: { show: false },
            size: 52,
            values: (_u, ticks) => ticks.map(tick => shown.current.format(tick)),
          },
        ],
        series: [{}, ...series],
        hooks: {
          setCursor: [u => setAt(u.cursor.idx ?? null)],
          drawClear: [u => veilUnfinished(u, shown.current.edgeMs, veil)],
        },
      },
      data,
      box,
    )
    plot.current = made
    const watch = new ResizeObserver(() => made.setSize({ width: box.clientWidth, height: HEIGHT }))
    watch.observe(box)
    return () => {
      watch.disconnect()
      made.destroy()
      plot.current = null
    }
    // Made anew only when lines or colours change; new values are set below.
  }, [shape])

  useEffect(() => plot.current?.setData(data), [times, lines])

  const isHovered = at !== null && times[at] !== undefined
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>
        <span class="soft">{isHovered ? <PointTime ms={times[at] ?? 0} bucketMs={bucketMs} /> : ''}</span>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${title} over time; the table below has the sums`} />
      <ul class="legend">
        {lines.map(({ name, values }, index) => (
          <li key={name}>
            <span class={`swatch line-${index % COLOURS}`} aria-hidden="true" />
            {name}
            {isHovered && (
              <b>
                {format(values[at] ?? null)}
                {(split[index]?.final[at] ?? null) === null && (values[at] ?? null) !== null ? ' so far' : ''}
              </b>
            )}
          </li>
        ))}
      </ul>
    </figure>
  )
}

function PointTime({ ms, bucketMs }: { ms: number; bucketMs: number }) {
  const [from, until] = [new Date(ms), new Date(ms + bucketMs)]
  return (
    <time dateTime={from.toISOString()} title={utcTime(ms)}>
      {shortDate(from)} {clockTime(from)}–{clockTime(until)}
    </time>
  )
}

/** Times of the axis in the reader's zone and language; the date where the day changes. */
function axisTimes(u: uPlot, ticks: number[]): string[] {
  const span = (u.scales['x']?.max ?? 0) - (u.scales['x']?.min ?? 0)
  return ticks.map((tick, index) => {
    const at = new Date(tick * 1000)
    if (span > 2 * 86_400) return at.getHours() === 0 ? shortDate(at) : ''
    const before = ticks[index - 1]
    const isNewDay = before === undefined || new Date(before * 1000).getDate() !== at.getDate()
    return isNewDay ? `${clockTime(at)}\n${shortDate(at)}` : clockTime(at)
  })
}

/** What is not complete yet has a ground of its own. */
function veilUnfinished(u: uPlot, edgeMs: number | null, colour: string): void {
  const { left, top, width, height } = u.bbox
  const from = edgeMs === null ? left : Math.max(left, Math.min(left + width, u.valToPos(edgeMs / 1000, 'x', true)))
  u.ctx.save()
  u.ctx.fillStyle = colour
  u.ctx.fillRect(from, top, left + width - from, height)
  u.ctx.restore()
}
