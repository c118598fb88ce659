/**
 * What wolkvox's documents leave open, tell in two ways, or tell wrongly as clients have found. The defaults are the documents' word, or the one
 * thing that was met in the field where they have none; everything else has to be switched on.
 */
export interface Quirks {
  /** A window without rows: 404 that blames the dates (met in the field), `data: []` (documented for one report), null, or no `data` at all. */
  readonly empty: '404' | 'list' | 'null' | 'absent'
  /** Rows exactly at `date_ini` and `date_end`. Unknown in truth; clients send `…000000` to `…235959`, which fits inclusive ends. */
  readonly edges: 'inclusive' | 'exclusive' | 'half-open'
  /** By which of its times a chat is selected in `chat_2` and `chat_8`. Unknown in truth; closing was met for `chat_1`. `opening` shows open chats too. */
  readonly chatDate: 'closing' | 'opening'
  /** Above the limit of rows: the rest is cut off in silence, or the answer is an error. Unknown in truth. */
  readonly overflow: 'cut' | 'error'
  /** Order of rows. Unknown in truth. */
  readonly order: 'oldest' | 'newest' | 'shuffled'
  /** `code` in the body: number in `diagram_*` and text in `chat_*`, or `"0"` everywhere (all three stand in the documents' samples). */
  readonly code: 'mixed' | 'zero'
  /** `error` of a good answer is null, or the text `null`. */
  readonly nullError: boolean
  /** Errors come with HTTP 200, and their status in `code` only (a client guards against it). */
  readonly errorsAs200: boolean
  /** `data` is the row itself where there is one. */
  readonly loneObject: boolean
  /** Keys as the samples misspell them: `chanel`, `agent_name ` with a trailing blank, upper case. */
  readonly misspelt: boolean
  /** What stands for no value. */
  readonly blank: '' | '-'
  readonly durations: 'clock' | 'seconds'
  /** On which turns of `diagram_9` the chat's id stands: all, the hand-over alone, or none. The sample shows `"0"`. */
  readonly connIds: 'all' | 'handover' | 'none'
  /** Which chats of `chat_8` have an id: all, those with an agent, or none; of the others it is `-`, and no turn tells one. The sample shows `"-"`. */
  readonly chatIds: 'all' | 'agent' | 'none'
  /** The skill stands behind the control value: `transfer_skill - Name` (met by a client). */
  readonly skillNames: boolean
  /** Warnings of PHP stand before every answer (met by a client). */
  readonly warnings: boolean
  /** Chats that stayed with the bot show in `chat_2` too. Unknown in truth; documented for chats with agents. */
  readonly botChats: boolean
  /** What the customer wrote is told masked, in `routing_answer`, on some turns. */
  readonly masked: boolean
  /** Some turns come twice in the same second. */
  readonly twins: boolean
  /** Every turn and event is dated at the beginning of its ten minutes. */
  readonly tied: boolean
  /** One row in five shows this much later than its time, milliseconds. */
  readonly lateMs: number
  /** Of one chat in three, `customer_id` is filled in so much later than a row's time, milliseconds. */
  readonly changesAfterMs: number
  /** A range that crosses a month end is refused, as in the Manager's own pages. */
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
