import { useRef, useState } from 'preact/hooks'
import type { ConnectorsAnswer, ConnectorView, PartitionView } from '../../src/console.ts'
import { backfillProgress } from '../backfill.ts'
import { type Plan, planRewind, restart, rewind, setTarget } from '../control.ts'
import { AnswerError, usePolled } from '../fetching.ts'
import { count, duration, MISSING, percent } from '../format.ts'
import type { PageProps } from '../main.tsx'
import { Ago, Badge, type Column, Notice, Table, Time, useNow } from '../parts.tsx'
import { connectorWords, failureText, stateWords } from '../words.ts'

const REFRESH_MS = 3000

export function ConnectorsPage({ Frame }: PageProps) {
  const polled = usePolled<ConnectorsAnswer>('/ui/api/connectors', REFRESH_MS)
  const nowMs = useNow()
  const { answer, refresh } = polled
  return (
    <Frame page="connectors" polled={polled}>
      {answer !== null && (
        <>
          {answer.control.why !== null && <Notice tone="calm">{answer.control.why}</Notice>}
          {answer.connectors.length === 0 && (
            <p class="none card">No connectors: the config has none, and none was created over REST.</p>
          )}
          {answer.connectors.map(each => (
            <Connector key={each.name} of={each} nowMs={nowMs} isControlled={answer.control.isThere} refresh={refresh} />
          ))}
        </>
      )}
    </Frame>
  )
}

interface ConnectorProps {
  readonly of: ConnectorView
  readonly nowMs: number
  readonly isControlled: boolean
  readonly refresh: () => void
}

function Connector({ of, nowMs, isControlled, refresh }: ConnectorProps) {
  const { name, className, state, trace, tasks, partitions } = of
  const words = connectorWords(state)
  const failedTasks = tasks.filter(task => task.trace !== null)
  return (
    <section class="card connector" id={`connector-${name}`} aria-labelledby={`name-${name}`}>
      <header>
        <h2 id={`name-${name}`}>{name}</h2>
        <Badge tone={words.tone} sign={words.sign} word={words.word} title={words.why} />
        <span class="soft">{[className, workersOf(of)].filter(Boolean).join(' · ')}</span>
        <Requests of={of} nowMs={nowMs} />
      </header>
      {trace !== null && <Trace text={trace} />}
      {failedTasks.map(task => (
        <Trace key={task.id} text={`Task ${task.id}: ${task.trace ?? ''}`} />
      ))}
      <Table
        caption={`Source partitions of ${name}`}
        isCaptionHidden
        columns={columnsOf(nowMs)}
        rows={partitions}
        keyOf={({ stream, scope }) => JSON.stringify([stream, scope])}
        empty={
          state === 'STOPPED' ? 'It is stopped, and has no tasks.' : 'No source partition runs here or has committed anything.'
        }
      />
      {isControlled && state !== null && <Controls of={of} refresh={refresh} />}
    </section>
  )
}

function workersOf({ tasks, workerId }: ConnectorView): string {
  const workers = [
    ...new Set([...tasks.map(task => task.workerId), ...(tasks.length === 0 && workerId !== null ? [workerId] : [])]),
  ]
  return workers.length === 0 ? '' : `${tasks.length} ${tasks.length === 1 ? 'task' : 'tasks'} on ${workers.join(', ')}`
}

function Requests({ of: { requests }, nowMs }: { of: ConnectorView; nowMs: number }) {
  if (requests === null) return null
  const { perHour } = requests
  const seenMs = nowMs - requests.sinceMs
  const span = seenMs < 3_500_000 ? `the last ${duration(Math.max(60_000, seenMs))}` : 'the last hour'
  const allowed = perHour === null ? null : (perHour * Math.min(3_600_000, Math.max(60_000, seenMs))) / 3_600_000
  return (
    <span class="requests" title="Requests of this process to the vendor; several workers share the quota">
      {count(requests.count)} requests in {span}
      {allowed === null ? '' : `, ${percent(requests.count, allowed)} of the quota`}
      {allowed !== null && <meter min={0} max={1} value={Math.min(1, requests.count / allowed)} aria-hidden="true" />}
    </span>
  )
}

/** The first line says what happened, the next ones what to do. */
function Trace({ text }: { text: string }) {
  const [first = '', ...cure] = text.split('\n')
  return (
    <div class="trace" role="status">
      <p>
        <b>{first}</b>
      </p>
      {cure.length > 0 && <p>{cure.join(' ')}</p>}
    </div>
  )
}

function columnsOf(nowMs: number): Column<PartitionView>[] {
  return [
    {
      head: 'Source partition',
      cell: ({ stream, scope }) => (
        <>
          <b>{stream}</b> <span class="soft breaks">{scope}</span>
        </>
      ),
    },
    {
      head: 'State',
      class: 'wide',
      cell: partition => {
        const words = stateWords(partition)
        const isExplained = partition.state !== 'live' && partition.error === null
        return (
          <>
            <Badge tone={words.tone} sign={words.sign} word={words.word} title={words.why} />
            {isExplained && <p class="soft small">{words.why}</p>}
            {partition.error !== null && (
              <p class="small">
                <b>{partition.error.code}</b> <Ago ms={partition.error.atMs} nowMs={nowMs} />: {partition.error.message}
                <br />
                <span class="cure">{partition.error.cure}</span>
              </p>
            )}
          </>
        )
      },
    },
    { head: 'Complete until', isNumber: true, cell: ({ completeUntilMs }) => <Ago ms={completeUntilMs} nowMs={nowMs} /> },
    { head: 'Last commit', isNumber: true, cell: ({ committedAtMs }) => <Ago ms={committedAtMs} nowMs={nowMs} /> },
    { head: 'Lane', cell: ({ lane }) => lane ?? MISSING },
    { head: 'Backfill', class: 'backfill', cell: partition => <Backfill of={partition} nowMs={nowMs} /> },
    { head: 'Restarts', isNumber: true, cell: ({ restarts }) => count(restarts) },
  ]
}

function Backfill({ of: { backfill, state, committedAtMs }, nowMs }: { of: PartitionView; nowMs: number }) {
  if (backfill === null) return <span class="soft">{state === null || committedAtMs === null ? MISSING : 'done'}</span>
  const { share, leftMs } = backfillProgress(backfill, nowMs)
  return (
    <>
      <progress max={1} value={share} aria-label="Backfill" /> {percent(share, 1)}
      <p class="soft small">
        {leftMs === null ? 'no pace yet' : `about ${duration(leftMs)} left`}, at <Time ms={backfill.reachedMs} />
      </p>
    </>
  )
}

// ---- Controls ----

const wordsOf = (error: unknown): string => (error instanceof AnswerError ? failureText(error.failure) : String(error))

function Controls({ of: { name, state, partitions }, refresh }: Pick<ConnectorProps, 'of' | 'refresh'>) {
  const [said, setSaid] = useState<{ text: string; isBad: boolean } | null>(null)
  const [isBusy, setBusy] = useState(false)
  const [isRewinding, setRewinding] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const run = (done: string, work: () => Promise<unknown>) => () => {
    setBusy(true)
    setSaid(null)
    void work()
      .then(() => setSaid({ text: done, isBad: false }))
      .catch((error: unknown) => setSaid({ text: wordsOf(error), isBad: true }))
      .finally(() => {
        setBusy(false)
        refresh()
      })
  }
  const isHalted = state === 'PAUSED' || state === 'STOPPED'
  return (
    <footer>
      {isHalted ? (
        <button type="button" disabled={isBusy} onClick={run('It runs again.', () => setTarget(name, 'resume'))}>
          Resume
        </button>
      ) : (
        <button
          type="button"
          disabled={isBusy}
          onClick={run('It is paused: nothing is read until it is resumed.', () => setTarget(name, 'pause'))}
        >
          Pause
        </button>
      )}
      <button type="button" disabled={isBusy} onClick={run('It is being restarted.', () => restart(name))}>
        Restart
      </button>
      <button ref={button} type="button" disabled={isBusy} aria-expanded={isRewinding} onClick={() => setRewinding(!isRewinding)}>
        Rewind…
      </button>
      {said !== null && (
        <span role="status" class={said.isBad ? 'bad-text' : 'soft'}>
          {said.text}
        </span>
      )}
      {isRewinding && (
        <Rewind
          name={name}
          partitions={partitions}
          refresh={refresh}
          close={() => {
            setRewinding(false)
            button.current?.focus()
          }}
        />
      )}
    </footer>
  )
}

interface RewindProps {
  readonly name: string
  readonly partitions: readonly PartitionView[]
  readonly refresh: () => void
  readonly close: () => void
}

/** First what it would do, then, on a second button, the deed. */
function Rewind({ name, partitions, refresh, close }: RewindProps) {
  const [from, setFrom] = useState(() => inputTime(Date.now() - 86_400_000))
  const [place, setPlace] = useState('')
  const [plans, setPlans] = useState<readonly Plan[] | null>(null)
  const [said, setSaid] = useState<{ text: string; isBad: boolean } | null>(null)
  const [isBusy, setBusy] = useState(false)
  const chosen = partitions.find(each => JSON.stringify([each.stream, each.scope]) === place)
  const target = chosen === undefined ? null : { stream: chosen.stream, scope: chosen.scope }
  const iso = () => new Date(from).toISOString()
  const changed = () => {
    setPlans(null)
    setSaid(null)
  }
  const attempt = (work: () => Promise<void>) => {
    setBusy(true)
    setSaid(null)
    void work()
      .catch((error: unknown) => setSaid({ text: wordsOf(error), isBad: true }))
      .finally(() => setBusy(false))
  }
  return (
    <form
      class="rewind"
      aria-label={`Rewind ${name}`}
      onKeyDown={event => event.key === 'Escape' && close()}
      onSubmit={event => {
        event.preventDefault()
        attempt(async () => setPlans(await planRewind(name, iso(), target)))
      }}
    >
      <label>
        Read again from
        <input
          type="datetime-local"
          required
          value={from}
          onInput={event => {
            setFrom(event.currentTarget.value)
            changed()
          }}
        />
      </label>
      <label>
        Source partition
        <select
          value={place}
          onChange={event => {
            setPlace(event.currentTarget.value)
            changed()
          }}
        >
          <option value="">all of them</option>
          {partitions.map(({ stream, scope }) => (
            <option key={`${stream} ${scope}`} value={JSON.stringify([stream, scope])}>
              {stream} {scope}
            </option>
          ))}
        </select>
      </label>
      <span class="buttons">
        <button type="submit" disabled={isBusy}>
          Show what it would do
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </span>
      {plans !== null && (
        <div class="plans">
          <Table
            caption="Dry run: nothing has been changed"
            columns={PLAN_COLUMNS}
            rows={plans}
            keyOf={({ partition }) => JSON.stringify(partition)}
            empty="There are no source partitions."
          />
          <p class="soft small">
            The connector is stopped for it and runs again afterwards. Rows that have not changed are not published again.
          </p>
          <button
            type="button"
            class="deed"
            disabled={isBusy}
            onClick={() =>
              attempt(async () => {
                await rewind(name, iso(), target)
                setPlans(null)
                setSaid({ text: 'It has been set back, and reads again.', isBad: false })
                refresh()
              })
            }
          >
            Rewind now
          </button>
        </div>
      )}
      {said !== null && (
        <p role="status" class={said.isBad ? 'bad-text' : 'soft'}>
          {said.text}
        </p>
      )}
    </form>
  )
}

/** Local time as the input takes it. */
function inputTime(ms: number): string {
  const at = new Date(ms)
  return new Date(ms - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

const PLAN_COLUMNS: readonly Column<Plan>[] = [
  { head: 'Source partition', cell: ({ partition }) => Object.values(partition).map(String).join(' ') },
  {
    head: 'Is read again',
    cell: ({ rereads }) =>
      rereads === null ? (
        'nothing'
      ) : (
        <>
          <Time ms={Date.parse(rereads.from)} /> to <Time ms={Date.parse(rereads.until)} />
        </>
      ),
  },
  { head: 'Requests', isNumber: true, cell: ({ requests }) => count(requests) },
  { head: 'Takes about', isNumber: true, cell: ({ seconds }) => (seconds === null ? MISSING : duration(seconds * 1000)) },
]
