import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { duration, localTime, MISSING, utcTime } from './format.ts'
import { go } from './router.ts'

/** The time, each second: for "ago" and "behind". */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}

interface LinkProps {
  readonly to: string
  readonly children: ComponentChildren
  readonly class?: string
  readonly title?: string
  readonly 'aria-current'?: 'page' | 'true' | undefined
}

/** A link within the console, without loading the document again. */
export function Link({ to, children, ...rest }: LinkProps) {
  const onClick = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    go(to)
  }
  return (
    <a href={to} onClick={onClick} {...rest}>
      {children}
    </a>
  )
}

/** Local time; UTC on hover. */
export function Time({ ms }: { ms: number | null }) {
  if (ms === null) return <span class="soft">{MISSING}</span>
  return (
    <time dateTime={new Date(ms).toISOString()} title={utcTime(ms)}>
      {localTime(ms, Date.now())}
    </time>
  )
}

/** How long ago; the time itself on hover. */
export function Ago({ ms, after = 'ago', nowMs }: { ms: number | null; after?: string; nowMs: number }) {
  if (ms === null) return <span class="soft">{MISSING}</span>
  return (
    <time dateTime={new Date(ms).toISOString()} title={`${localTime(ms, nowMs)} (${utcTime(ms)})`}>
      {duration(nowMs - ms)} {after}
    </time>
  )
}

export type Tone = 'good' | 'calm' | 'warn' | 'bad'

/** A state by shape and word, and only then by colour. */
export function Badge({ tone, sign, word, title }: { tone: Tone; sign: string; word: string; title?: string }) {
  return (
    <span class={`badge ${tone}`} title={title}>
      <span aria-hidden="true">{sign}</span> {word}
    </span>
  )
}

/** Something that is not as it should be, announced to screen readers. */
export function Notice({ tone, children }: { tone: 'warn' | 'bad' | 'calm'; children: ComponentChildren }) {
  return (
    <p class={`notice ${tone}`} role="status">
      <span aria-hidden="true">{tone === 'calm' ? '○' : tone === 'warn' ? '▲' : '■'}</span> <span>{children}</span>
    </p>
  )
}

export interface Column<T> {
  readonly head: string
  /** Numbers are right-aligned. */
  readonly isNumber?: boolean
  readonly cell: (row: T) => ComponentChildren
  readonly class?: string
}

interface TableProps<T> {
  readonly caption: string
  readonly columns: readonly Column<T>[]
  readonly rows: readonly T[]
  readonly keyOf: (row: T) => string
  /** What is said where there are no rows. */
  readonly empty: ComponentChildren
  /** The caption is a heading that is seen elsewhere. */
  readonly isCaptionHidden?: boolean
  readonly class?: string
}

/** On a narrow screen each row becomes a card (see style.css), so the roles are written out: with another `display`, browsers forget them. */
export function Table<T>({ caption, columns, rows, keyOf, empty, isCaptionHidden = false, class: own = '' }: TableProps<T>) {
  return (
    <table role="table" class={own}>
      <caption class={isCaptionHidden ? 'unseen' : ''}>{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map(({ head, isNumber }) => (
            <th key={head} role="columnheader" scope="col" class={isNumber === true ? 'number' : ''}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.length === 0 && (
          <tr role="row">
            <td role="cell" class="none" colSpan={columns.length}>
              {empty}
            </td>
          </tr>
        )}
        {rows.map(row => (
          <tr role="row" key={keyOf(row)}>
            {columns.map(({ head, isNumber, cell, class: name = '' }) => (
              <td role="cell" key={head} data-head={head} class={`${isNumber === true ? 'number' : ''} ${name}`}>
                <div>{cell(row)}</div>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** Choices of which one is on. */
export function Choice<T extends string>({
  label,
  choices,
  chosen,
  onChoose,
}: {
  label: string
  choices: readonly (readonly [T, string])[]
  chosen: T
  onChoose: (choice: T) => void
}) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {choices.map(([value, text]) => (
        <button key={value} type="button" aria-pressed={value === chosen} onClick={() => onChoose(value)}>
          {text}
        </button>
      ))}
    </div>
  )
}
