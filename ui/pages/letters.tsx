import { useEffect, useState } from 'preact/hooks'
import type { LetterAnswer, LettersAnswer, LetterView } from '../../src/console.ts'
import { AnswerError, ask, usePolled } from '../fetching.ts'
import { count, localTime, pretty } from '../format.ts'
import type { PageProps } from '../main.tsx'
import { type Column, Link, Notice, Table, Time } from '../parts.tsx'
import { go, pathOf } from '../router.ts'
import { failureText } from '../words.ts'

const REFRESH_MS = 10_000

export function LettersPage({ query, Frame }: PageProps) {
  const polled = usePolled<LettersAnswer>('/ui/api/letters', REFRESH_MS)
  const { answer } = polled
  const { reason = '', connector = '', id = '' } = query
  const reading = answer?.letters
  const view = reading?.value ?? null
  const shown =
    view?.newest.filter(
      each => (reason === '' || each.reason === reason) && (connector === '' || each.connector === connector),
    ) ?? []
  const isFiltered = reason !== '' || connector !== ''
  const close = () => go(pathOf('dead-letters', { reason, connector }), 'replace')
  return (
    <Frame page="dead-letters" polled={polled}>
      {reading !== undefined && reading.problem !== null && (
        <Notice tone="warn">
          The rejects topic cannot be read: {reading.problem}.
          {reading.readMs === null ? '' : ` What is shown is of ${localTime(reading.readMs, Date.now())}.`}
        </Notice>
      )}
      {view !== null && (
        <>
          <p class="soft lead">
            Rows and records that could not be read or mapped, with the reason: {count(view.total)} open
            {view.total > view.newest.length ? `, the newest ${count(view.newest.length)} are listed` : ''}. They stay on the
            topic until they are redriven, discarded, or leave it by age.
          </p>
          {view.byReason.length > 0 && (
            <ul class="reasons" aria-label="By reason">
              {view.byReason.map(each => {
                const isOn = each.reason === reason && each.connector === connector
                return (
                  <li key={`${each.reason} ${each.connector}`}>
                    <Link
                      to={pathOf('dead-letters', isOn ? {} : { reason: each.reason, connector: each.connector })}
                      class="chip"
                      aria-current={isOn ? 'true' : undefined}
                    >
                      <b>{count(each.count)}</b> {each.reason} <span class="soft">{each.connector}</span>
                    </Link>
                  </li>
                )
              })}
              {isFiltered && (
                <li>
                  <Link to={pathOf('dead-letters')} class="chip">
                    show all
                  </Link>
                </li>
              )}
            </ul>
          )}
          {id !== '' && <Letter key={id} id={id} letter={view.newest.find(each => each.id === id)} close={close} />}
          <Table
            class="card"
            caption={isFiltered ? `${reason} of ${connector}` : 'Open dead letters, the newest first'}
            columns={columnsOf({ reason, connector })}
            rows={shown}
            keyOf={each => each.id}
            empty={isFiltered ? 'No dead letter with this reason.' : 'No dead letters: every row could be mapped.'}
          />
        </>
      )}
    </Frame>
  )
}

function columnsOf(filter: { reason: string; connector: string }): Column<LetterView>[] {
  return [
    {
      head: 'Id',
      cell: ({ id }) => (
        <Link to={pathOf('dead-letters', { ...filter, id })} title="Show the row">
          {id}
        </Link>
      ),
    },
    { head: 'Rejected', cell: ({ atMs }) => <Time ms={atMs} /> },
    {
      head: 'Source partition',
      cell: ({ connector, stream, scope }) => (
        <>
          {connector} <b>{stream}</b> <span class="soft breaks">{scope}</span>
        </>
      ),
    },
    {
      head: 'Reason',
      class: 'wide',
      cell: ({ reason, stage, path, message }) => (
        <>
          <b>{reason}</b> <span class="soft">{stage}</span>
          <p class="small">
            {path !== '' && !message.startsWith(`${path}:`) && (
              <>
                <code>{path}</code>:{' '}
              </>
            )}
            {message}
          </p>
        </>
      ),
    },
    { head: 'Row', class: 'breaks', cell: ({ rowId }) => (rowId === '' ? <span class="soft">not known</span> : rowId) },
  ]
}

/** The row as the topic has it, what to do, and the command that maps it again. */
function Letter({ id, letter, close }: { id: string; letter: LetterView | undefined; close: () => void }) {
  const [answer, setAnswer] = useState<LetterAnswer | string | null>(null)
  useEffect(() => {
    const ending = new AbortController()
    const [partition = '', offset = ''] = id.split(':')
    ask<LetterAnswer>(`/ui/api/letter?${new URLSearchParams({ partition, offset })}`, { signal: ending.signal })
      .then(setAnswer)
      .catch((error: unknown) => {
        if (!ending.signal.aborted) setAnswer(error instanceof AnswerError ? failureText(error.failure) : String(error))
      })
    return () => ending.abort()
  }, [id])
  return (
    <section class="card letter" aria-labelledby="letter">
      <header>
        <h2 id="letter">Dead letter {id}</h2>
        <button type="button" onClick={close}>
          Close
        </button>
      </header>
      {letter !== undefined && (
        <p>
          <b>{letter.reason}</b> at <code>{letter.path === '' ? letter.stage : letter.path}</code>: {letter.message}
        </p>
      )}
      {answer === null && <p class="soft">Loading the row…</p>}
      {typeof answer === 'string' && <Notice tone="warn">{answer}</Notice>}
      {answer !== null && typeof answer !== 'string' && (
        <>
          {answer.cure !== null && <p class="cure">{answer.cure}</p>}
          <p class="soft small">
            {answer.isMasked ? 'The row as the topic has it; persons are hidden by policy.' : 'The row as the vendor sent it.'}
          </p>
          <pre tabIndex={0} aria-label="Row">
            {pretty(answer.row)}
          </pre>
          <p class="soft small">
            To map it again: <code>colloquy rejects redrive {id} --config FILE</code>; to close it:{' '}
            <code>colloquy rejects discard {id} --config FILE</code>
          </p>
        </>
      )}
    </section>
  )
}
