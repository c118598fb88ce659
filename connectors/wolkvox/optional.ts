/**
 * Four reports that are read only if the config names them: calls (`diagram_11`), conversations with a voice bot (`diagram_15`), agents' notes on chats
 * (`chat_1`), and cases of mail and social networks (`chat_4`). Fields are those of the vendor's Postman collection, whose samples are empty except for
 * `diagram_15`; nothing here is measured.
 */
import { contentId } from '../../src/source/index.ts'
import { type Cells, rowOf, stampOf } from './rows.ts'
import type { ReportedTime } from './wall.ts'

type Attributes = Readonly<Record<string, unknown>>

export interface Call {
  readonly connId: string
  readonly rpId: string | null
  /** Time of the routing point's part: its end, or its start; the docs call it both. */
  readonly told: ReportedTime
  /** Seconds, as the next two. */
  readonly timeOnRp: number | null
  readonly timeWithAgent: number | null
  readonly totalTime: number | null
  readonly wentToAgent: boolean | null
  readonly skillId: string | null
  readonly agentId: string | null
  readonly agentName: string | null
  readonly outcome: string | null
  readonly customerId: string | null
  readonly phone: string | null
  readonly attributes: Attributes
}

export const CallRow = rowOf((cells): Call => {
  const goToAgent = cells.text('go_to_agent')?.toLowerCase() ?? null
  return {
    connId: required(cells, 'conn_id'),
    rpId: cells.keyId('rp_id'),
    told: cells.told('end_date_rp'),
    timeOnRp: cells.seconds('time_on_rp'),
    timeWithAgent: cells.seconds('time_with_agent'),
    totalTime: cells.seconds('total_time'),
    wentToAgent: goToAgent === null ? null : YES.has(goToAgent),
    skillId: cells.chatId('skill_id'),
    agentId: cells.chatId('agent_id'),
    agentName: cells.text('agent_name'),
    outcome: cells.text('cod_act'),
    customerId: cells.peek('customer_id'),
    phone: cells.peek('ani'),
    attributes: cells.rest(),
  }
})

const YES: ReadonlySet<string> = new Set(['yes', 'si', 'sí', 'true', '1'])

export interface VoiceConversation {
  readonly connectId: string
  /** The routing point: `conversations-voice-61083`. */
  readonly rpId: string | null
  /** Its end: in every row of the sample it is `ivr_time` after the second in `connect_id`. */
  readonly told: ReportedTime
  readonly ivrTime: number | null
  readonly attributes: Attributes
}

export const VoiceRow = rowOf(
  (cells): VoiceConversation => ({
    connectId: required(cells, 'connect_id'),
    rpId: cells.keyId('conversational_id'),
    told: cells.told('date'),
    ivrTime: cells.seconds('ivr_time'),
    attributes: cells.rest(),
  }),
)

export interface Handled {
  readonly id: string
  readonly connId: string
  readonly channel: string | null
  readonly opened: ReportedTime
  readonly closed: ReportedTime | null
  /** Seconds. */
  readonly duration: number | null
  readonly code: string | null
  readonly customerId: string | null
  readonly attributes: Attributes
}

export const HandledRow = rowOf((cells): Handled => {
  const connId = required(cells, 'conn_id')
  const opened = cells.told('date')
  return {
    // One chat may be closed by one agent after another.
    id: contentId('chat_1', connId, cells.peek('agent_id'), stampOf(opened)),
    connId,
    channel: cells.text('channel'),
    opened,
    closed: cells.timeIfAny('date_close'),
    duration: cells.seconds('chat_duration'),
    code: cells.text('cod_act'),
    customerId: cells.peek('customer_id'),
    attributes: cells.rest(),
  }
})

export interface Case {
  readonly caseId: string
  readonly channel: string | null
  readonly created: ReportedTime
  readonly closed: ReportedTime | null
  readonly status: string | null
  readonly agentName: string | null
  readonly skillId: string | null
  readonly from: string | null
  readonly body: string | null
  readonly answer: string | null
  readonly rating: number | null
  readonly code: string | null
  readonly attributes: Attributes
}

export const CaseRow = rowOf(
  (cells): Case => ({
    caseId: required(cells, 'case_id'),
    channel: cells.text('channel'),
    created: cells.told('date_creation'),
    closed: cells.timeIfAny('close_date'),
    status: cells.text('status'),
    agentName: cells.text('agent_name'),
    skillId: cells.chatId('skill_id'),
    from: cells.text('from'),
    body: cells.words('body'),
    answer: cells.words('answer'),
    rating: cells.number('evaluation_survey'),
    code: cells.text('cod_act'),
    attributes: cells.rest(),
  }),
)

function required(cells: Cells, name: string): string {
  const id = cells.keyId(name)
  if (id === null) cells.fault(name, 'is missing')
  return id ?? ''
}
