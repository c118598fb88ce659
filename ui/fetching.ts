/** One request for each refresh of a page; the last answer stays while the next one fails. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type { Failure } from './words.ts'

const TIMEOUT_MS = 10_000

export interface Polled<T> {
  /** null: nothing has been answered yet. */
  readonly answer: T | null
  /** Why the last request has no answer; null: it has. */
  readonly failure: Failure | null
  /** Asks again at once. */
  readonly refresh: () => void
}

export class AnswerError extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.kind)
    this.failure = failure
  }
}

/** @throws AnswerError */
export async function ask<T>(path: string, init: RequestInit = {}, timeoutMs = TIMEOUT_MS): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs)
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout
  let answer: Response
  let text: string
  try {
    answer = await fetch(path, { ...init, signal, credentials: 'same-origin' })
    text = await answer.text()
  } catch {
    throw new AnswerError(timeout.aborted ? { kind: 'timeout', afterMs: timeoutMs } : { kind: 'network' })
  }
  if (answer.ok) return (text === '' ? null : JSON.parse(text)) as T
  throw new AnswerError({ kind: 'status', status: answer.status, message: messageIn(text) })
}

function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    return typeof message === 'string' ? message : ''
  } catch {
    return ''
  }
}

/** Asks now and every `everyMs`, but not while nobody sees the page. */
export function usePolled<T>(path: string, everyMs: number): Polled<T> {
  const [state, setState] = useState<{ path: string; answer: T | null; failure: Failure | null }>({
    path,
    answer: null,
    failure: null,
  })
  const [turn, setTurn] = useState(0)
  const latest = useRef(path)
  latest.current = path
  const refresh = useCallback(() => setTurn(each => each + 1), [])
  useEffect(() => {
    const ending = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async () => {
      clearTimeout(timer)
      try {
        const answer = await ask<T>(path, { signal: ending.signal })
        if (!ending.signal.aborted) setState({ path, answer, failure: null })
      } catch (error) {
        if (!ending.signal.aborted && error instanceof AnswerError)
          setState(before => ({ path, answer: before.path === path ? before.answer : null, failure: error.failure }))
      }
      if (!ending.signal.aborted && !document.hidden) timer = setTimeout(() => void look(), everyMs)
    }
    const shown = () => {
      if (!document.hidden) void look()
    }
    void look()
    document.addEventListener('visibilitychange', shown)
    return () => {
      ending.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', shown)
    }
  }, [path, everyMs, turn])
  return { answer: state.answer, failure: state.failure, refresh }
}
