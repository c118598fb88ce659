/**
 * Where persons stand in the rows of wolkvox' reports. `session_id` begins with the customer's number (`573001112233.1040.2985`), and stands for
 * the customer's id where no other is told. `conn_id`, the chat's own id, holds nobody; but a session that is made of turns has an id of both.
 */
import type { PiiSpec } from '../../src/source/index.ts'

export const pii: PiiSpec = {
  standard: [
    '*.session_id=hash',
    ...['conn_id', 'masked', 'attempt', 'second_event'].map(name => `*.attributes.${name}=keep`),
    ...['time_on_chatbot', 'time_with_agent', 'total_time', 'customer_chars', 'agent_chars', 'total_chars', 'asa'].map(
      name => `session.attributes.${name}=mask`,
    ),
    ...['go_to_agent', 'last_sender'].map(name => `session.attributes.${name}=mask`),
    ...['started_at', 'transferred_at', 'merged_sessions'].map(name => `session.attributes.${name}=keep`),
    ...['routing_answer', 'cod_opc_menu', 'channel'].map(name => `*.attributes.${name}=mask`),
  ],
  row: {
    persons: [
      'session_id',
      'customer_name',
      'customer_email',
      'customer_phone',
      'customer_id',
      'telephone',
      'from_name',
      'from_name phone',
      'to_name',
      'agent_id',
      'agent_name',
      'agent_dni',
      'transfer_agent_id',
      'transfer_agent_name',
      'transfer_agent_dni',
      'receiver_agent_id',
      'receiver_agent_name',
      'receiver_agent_dni',
    ],
    texts: ['customer_query', 'routing_answer', 'message', 'cod_opc_menu', 'last_sender'],
    plain: [
      'conversation',
      'conn_id',
      'rp_id',
      'channel',
      'chanel',
      'date',
      'start_date',
      'end_date',
      'from',
      'go_to_agent',
      'times_chatted',
      'time_on_chatbot',
      'time_with_agent',
      'total_time',
      'customer_chars',
      'agent_chars',
      'total_chars',
      'asa',
      'attempt',
      'second_event',
      'colloquy:ordinal',
      'colloquy:rp_id',
      'colloquy:conn_id',
      'colloquy:rows_before_the_cut',
    ],
  },
}
