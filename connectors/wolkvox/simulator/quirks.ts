/**
 * What wolkvox's docs leave open, say in two ways, or say wrongly as clients have found. The defaults follow the docs, or the one thing seen in the field if
 * they say nothing; everything else must be switched on.
 */
export interface Quirks {
  /** A window without rows: 404 that blames the dates (seen in the field), `data: []` (documented for one report), null, or no `data` at all. */
  readonly empty: '404' | 'list' | 'null' | 'absent'
  /** Rows exactly at `date_ini` and `date_end`. Unknown for the real vendor; clients send `…000000` to `…235959`, which fits inclusive ends. */
  readonly edges: 'inclusive' | 'exclusive' | 'half-open'
  /** The time by which `chat_2` and `chat_8` select a chat. Unknown for the real vendor; closing was seen for `chat_1`. `opening` shows open chats too. */
  readonly chatDate: 'closing' | 'opening'
  /** Above the limit of rows: the rest is cut off silently, or the answer is an error. Unknown for the real vendor. */
  readonly overflow: 'cut' | 'error'
  /** Order of rows. Unknown for the real vendor. */
  readonly order: 'oldest' | 'newest' | 'shuffled'
  /** `code` in the body: number in `diagram_*` and text in `chat_*`, or `"0"` everywhere (all three are in the docs' samples). */
  readonly code: 'mixed' | 'zero'
  /** `error` of a successful answer is null, or the text `null`. */
  readonly nullError: boolean
  /** Errors come with HTTP 200, and their status only in `code` (a client guards against it). */
  readonly errorsAs200: boolean
  /** `data` is the row itself if there is only one. */
  readonly loneObject: boolean
  /** Keys as the samples misspell them: `chanel`, `agent_name ` with a trailing blank, upper case. */
  readonly misspelt: boolean
  /** The form of a missing value. */
  readonly blank: '' | '-'
  readonly durations: 'clock' | 'seconds'
  /** Which turns of `diagram_9` have the chat's id: all, only the transfer, or none. The sample shows `"0"`. */
  readonly connIds: 'all' | 'handover' | 'none'
  /** Which chats of `chat_8` have an id: all, those with an agent, or none; for the others it is `-`, and no turn has one. The sample shows `"-"`. */
  readonly chatIds: 'all' | 'agent' | 'none'
  /** The skill follows the control value: `transfer_skill - Name` (seen by a client). */
  readonly skillNames: boolean
  /** Warnings of PHP come before every answer (seen by a client). */
  readonly warnings: boolean
  /** Chats that stayed with the bot are in `chat_2` too. Unknown for the real vendor; documented for chats with agents. */
  readonly botChats: boolean
  /** On some turns the customer's text is masked, in `routing_answer`. */
  readonly masked: boolean
  /** Some turns come twice in the same second. */
  readonly twins: boolean
  /** Every turn and event is dated at the beginning of its ten minutes. */
  readonly tied: boolean
  /** One row in five appears this much later than its time, milliseconds. */
  readonly lateMs: number
  /** For one chat in three, `customer_id` is filled in this much later than a row's time, milliseconds. */
  readonly changesAfterMs: number
  /** A range that crosses a month end is rejected, as in the Manager's own pages. */
  readonly monthRule: boolean
}

export const PLAIN: Quirks = {
  empty: '404',
  edges: 'inclusive',
  chatDate: 'closing',
  overflow: 'cut',
  order: 'oldest',
  code: 'mixed',
  nullError: false,
  errorsAs200: false,
  loneObject: false,
  misspelt: false,
  blank: '',
  durations: 'clock',
  connIds: 'all',
  chatIds: 'all',
  skillNames: false,
  warnings: false,
  botChats: false,
  masked: false,
  twins: false,
  tied: false,
  lateMs: 0,
  changesAfterMs: 0,
  monthRule: false,
}
