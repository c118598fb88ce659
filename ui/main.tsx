import { render } from 'preact'
import { useEffect } from 'preact/hooks'
import type { ConsoleFrame } from '../src/console.ts'
import type { Polled } from './fetching.ts'
import { AlertsPage } from './pages/alerts.tsx'
import { ConnectorsPage } from './pages/connectors.tsx'
import { LettersPage } from './pages/letters.tsx'
import { OverviewPage } from './pages/overview.tsx'
import { TopicsPage } from './pages/topics.tsx'
import { Link, Notice, useNow } from './parts.tsx'
import { localTime } from './format.ts'
import { type PageName, pathOf, usePlace } from './router.ts'
import { failureText, roleProblems } from './words.ts'
import './style.css'

const TITLES: Readonly<Record<PageName, string>> = {
  overview: 'Overview',
  connectors: 'Connectors',
  alerts: 'Alerts',
  'dead-letters': 'Dead letters',
  topics: 'Schemas and topics',
}

const PAGES = {
  overview: OverviewPage,
  connectors: ConnectorsPage,
  alerts: AlertsPage,
  'dead-letters': LettersPage,
  topics: TopicsPage,
} as const satisfies Record<PageName, unknown>

export interface PageProps {
  readonly query: Readonly<Record<string, string>>
  /** What every page has around it; to be called with the page's answer. */
  readonly Frame: typeof Frame
}

function App() {
  const { page, query } = usePlace()
  const Page = PAGES[page]
  useEffect(() => {
    document.title = `${TITLES[page]} · Colloquy`
  }, [page])
  return (
    <>
      <a class="skip" href="#content">
        To the content
      </a>
      <Page key={page} query={query} Frame={Frame} />
    </>
  )
}

/** Navigation, what is wrong with the process, and the page itself. */
function Frame({ page, polled, children }: { page: PageName; polled: Polled<ConsoleFrame>; children: preact.ComponentChildren }) {
  const { answer, failure } = polled
  const problems = answer === null ? [] : roleProblems(answer.roles)
  return (
    <>
      <header class="top">
        <span class="brand">Colloquy</span>
        <nav aria-label="Pages">
          {(Object.keys(TITLES) as PageName[]).map(each => (
            <Link key={each} to={pathOf(each)} aria-current={each === page ? 'page' : undefined}>
              {each === 'topics' ? 'Topics' : TITLES[each]}
              {each === 'alerts' && answer !== null && answer.firing > 0 && (
                <span class="firing-count">{answer.firing} firing</span>
              )}
            </Link>
          ))}
        </nav>
        <Health answer={answer} isAnswering={failure === null} />
      </header>
      <main id="content" tabIndex={-1}>
        <h1>{TITLES[page]}</h1>
        {failure !== null && (
          <Notice tone="bad">
            {failureText(failure)}
            {answer === null ? '' : ` What is shown is of ${localTime(answer.atMs, Date.now())}.`}
          </Notice>
        )}
        {problems.map(each => (
          <Notice key={each} tone="warn">
            {each}
          </Notice>
        ))}
        {answer === null && failure === null ? <p class="soft">Loading…</p> : children}
      </main>
    </>
  )
}

function Health({ answer, isAnswering }: { answer: ConsoleFrame | null; isAnswering: boolean }) {
  useNow()
  if (answer === null) return <span class="health" />
  const roles = answer.roles.map(({ role }) => role).join(', ')
  const isGood = isAnswering && answer.roles.every(({ ok }) => ok)
  return (
    <span class="health" title={`Roles of this process: ${roles}`}>
      <span class={`badge ${isGood ? 'good' : 'warn'}`}>
        <span aria-hidden="true">{isGood ? '●' : '▲'}</span> {isGood ? 'ready' : isAnswering ? 'not ready' : 'no answer'}
      </span>{' '}
      <span class="soft">{answer.version}</span>
    </span>
  )
}

const root = document.getElementById('app')
if (root !== null) render(<App />, root)
