import type { Reading, SubjectView, TopicsAnswer, TopicView } from '../../src/console.ts'
import { usePolled } from '../fetching.ts'
import { count, localTime, MISSING } from '../format.ts'
import type { PageProps } from '../main.tsx'
import { type Column, Notice, Table } from '../parts.tsx'

const REFRESH_MS = 5000

export function TopicsPage({ Frame }: PageProps) {
  const polled = usePolled<TopicsAnswer>('/ui/api/topics', REFRESH_MS)
  const { answer } = polled
  return (
    <Frame page="topics" polled={polled}>
      {answer !== null && (
        <>
          <Problem what="Kafka" reading={answer.topics} />
          {answer.topics.value !== null && (
            <Table
              class="card"
              caption="Topics"
              columns={TOPIC_COLUMNS}
              rows={answer.topics.value}
              keyOf={({ topic }) => topic}
              empty="There are no topics."
            />
          )}
          <p class="soft note">
            Records are counted from the first to the end, with commit markers and with what compaction has removed. Lag is what
            the aggregator has still to count.
          </p>
          <Problem what="The schema registry" reading={answer.subjects} />
          {answer.subjects.value !== null && (
            <Table
              class="card"
              caption="Schemas"
              columns={SUBJECT_COLUMNS}
              rows={answer.subjects.value}
              keyOf={({ subject }) => subject}
              empty="There are no subjects."
            />
          )}
        </>
      )}
    </Frame>
  )
}

function Problem({ what, reading: { problem, readMs } }: { what: string; reading: Reading<unknown> }) {
  if (problem === null) return null
  return (
    <Notice tone="warn">
      {what} does not answer: {problem}.{readMs === null ? '' : ` What is shown is of ${localTime(readMs, Date.now())}.`}
    </Notice>
  )
}

const recordsOf = ({ partitions }: TopicView) => partitions.reduce((sum, { low, high }) => sum + high - low, 0)

function lagOf({ partitions }: TopicView): number | null {
  return partitions.reduce<number | null>((sum, { lag }) => (lag === null ? sum : (sum ?? 0) + lag), null)
}

const TOPIC_COLUMNS: readonly Column<TopicView>[] = [
  {
    head: 'Topic',
    cell: ({ topic, holds }) => (
      <>
        <b class="breaks">{topic}</b>
        <p class="soft small">{holds}</p>
      </>
    ),
  },
  {
    head: 'Partitions',
    class: 'wide',
    cell: topic => (
      <details class="plain">
        <summary>{topic.partitions.length}</summary>
        <Table
          caption={`Partitions of ${topic.topic}`}
          isCaptionHidden
          columns={PARTITION_COLUMNS}
          rows={topic.partitions}
          keyOf={({ partition }) => String(partition)}
          empty="none"
        />
      </details>
    ),
  },
  { head: 'Records', isNumber: true, cell: topic => count(recordsOf(topic)) },
  { head: 'Lag', isNumber: true, cell: topic => count(lagOf(topic)) },
]

const PARTITION_COLUMNS: readonly Column<TopicView['partitions'][number]>[] = [
  { head: 'Partition', isNumber: true, cell: ({ partition }) => partition },
  { head: 'First', isNumber: true, cell: ({ low }) => count(low) },
  { head: 'End', isNumber: true, cell: ({ high }) => count(high) },
  { head: 'Lag', isNumber: true, cell: ({ lag }) => count(lag) },
]

const SUBJECT_COLUMNS: readonly Column<SubjectView>[] = [
  { head: 'Subject', cell: ({ subject }) => <b class="breaks">{subject}</b> },
  { head: 'Newest version', isNumber: true, cell: ({ newest }) => newest?.version ?? <span class="soft">not registered</span> },
  { head: 'Schema id', isNumber: true, cell: ({ newest }) => newest?.id ?? MISSING },
]
