/** What a page says where something is missing. Pure. */
import type { ConsoleFrame, PartitionView } from '../src/console.ts'
import type { StreamState } from '../src/metrics.ts'

/** Why there is no new answer. */
export type Failure =
  | { readonly kind: 'network' }
  | { readonly kind: 'timeout'; readonly afterMs: number }
  | { readonly kind: 'status'; readonly status: number; readonly message: string }

export function failureText(failure: Failure): string {
  if (failure.kind === 'network') return 'Colloquy does not answer: the process has ended, or the network is down.'
  if (failure.kind === 'timeout') return `Colloquy has not answered within ${Math.round(failure.afterMs / 1000)} s.`
  if (failure.status === 401) return 'Colloquy asks for its token (401). Load the page again and give the token as the password.'
  if (failure.status === 403) return `Colloquy refuses this address (403): ${failure.message}.`
  if (failure.status === 404)
    return 'This process does not serve the console any more (404): it may have been restarted without the server role.'
  return `Colloquy answered with an error (${failure.status}): ${failure.message}.`
}

/** One line for each reason why roles cannot work; roles with the same reason share it. */
export function roleProblems(roles: ConsoleFrame['roles']): string[] {
  const troubled = roles.filter(({ ok }) => !ok)
  const byWhy = Map.groupBy(troubled, ({ why }) => why ?? 'not ready')
  return [...byWhy].map(([why, own]) => {
    const names = own.map(({ role }) => role)
    return `${names.join(', ')}: ${why}`
  })
}

interface StateWords {
  readonly word: string
  /** Shape beside the word, so that colour is not needed. */
  readonly sign: string
  readonly tone: 'good' | 'calm' | 'warn' | 'bad'
  readonly why: string
}

const STATES: Readonly<Record<StreamState, StateWords>> = {
  live: { word: 'live', sign: '●', tone: 'good', why: 'Reads what the vendor shows now.' },
  catching_up: { word: 'catching up', sign: '◐', tone: 'calm', why: 'Is behind, and reads on.' },
  throttled: {
    word: 'throttled',
    sign: '◆',
    tone: 'warn',
    why: "Waits for the vendor's quota, or because the vendor asked it to.",
  },
  stalled: {
    word: 'stalled',
    sign: '▲',
    tone: 'warn',
    why: 'The vendor takes requests and does not answer them, or nothing has been read for two polls.',
  },
  failed: { word: 'failed', sign: '■', tone: 'bad', why: 'Ended with an error, and is started again by itself.' },
  paused: { word: 'paused', sign: '‖', tone: 'calm', why: 'Somebody paused it, or another process has taken it over.' },
}

const ELSEWHERE: StateWords = {
  word: 'elsewhere',
  sign: '○',
  tone: 'calm',
  why: 'Another process reads it; its state is shown there.',
}

export const stateWords = ({ state }: Pick<PartitionView, 'state'>): StateWords => (state === null ? ELSEWHERE : STATES[state])

/** Kafka Connect's states of connectors and tasks. */
export function connectorWords(state: string | null): StateWords {
  switch (state) {
    case null:
      return { word: 'unknown', sign: '○', tone: 'calm', why: 'Only a process with the worker role knows its state.' }
    case 'RUNNING':
      return { word: 'running', sign: '●', tone: 'good', why: 'Has tasks that run.' }
    case 'PAUSED':
      return { word: 'paused', sign: '‖', tone: 'calm', why: 'Somebody paused it.' }
    case 'STOPPED':
      return { word: 'stopped', sign: '‖', tone: 'calm', why: 'Somebody stopped it: it has no tasks.' }
    case 'FAILED':
      return { word: 'failed', sign: '■', tone: 'bad', why: 'Its config cannot be used, or its tasks have failed.' }
    default:
      return { word: state.toLowerCase(), sign: '◐', tone: 'calm', why: 'The group is in motion.' }
  }
}

/** Why the overview shows no conversations. */
export function emptyOverview(answer: {
  readonly unready: string | null
  readonly hasStreams: boolean
  readonly isFiltered: boolean
}): string {
  if (answer.unready !== null) return `There are no figures yet: ${answer.unready}.`
  if (answer.isFiltered) return 'No conversations of this vendor and channel in this range.'
  if (!answer.hasStreams) return 'Nothing has been read yet: no connector has committed a page. The page Connectors says why.'
  return 'No conversations in this range.'
}
