/**
 * Personal data in Chatlayer's rows. `conversation_id` may contain the user's number on the channel; a session's id is a hash of it, which the policy hashes
 * once more with its key, as a number can be guessed. Callers of `track` choose ids, names and values of events.
 */
import type { PiiSpec } from '../../src/source/index.ts'

/** Attributes of events that are the connector's own, and never what a bot's builder tracks under the same name. */
export const OWN_NAMES: ReadonlySet<string> = new Set([
  'bot_version',
  'channel_id',
  'transition_id',
  'depth',
  'drop_off',
  'from_step.type',
  'to_step.type',
  // Of the vendor's own statistics, which are about nobody.
  'endpoint',
  'value',
  'x_value',
  'x_place',
  'bucket',
  'group_by',
  'stat',
  'team_id',
  'range_start',
  'range_end',
])

export const pii: PiiSpec = {
  standard: [
    '*.session_id=hash',
    'event.event_id=hash',
    ...['bot_version', 'derived_from', 'channel_id', 'merged_sessions'].map(name => `session.attributes.${name}=keep`),
    ...[...OWN_NAMES, 'series.*'].map(name => `event.attributes.${name}=keep`),
    // From the flow's builder.
    ...['flow', 'subflow', 'step_name', 'step_number', 'from_step.id', 'to_step.id'].map(name => `event.attributes.${name}=mask`),
    ...['labels', 'series_label'].map(name => `event.attributes.${name}=mask`),
  ],
  row: {
    persons: ['user_id', 'userId', 'conversation_id', 'conversationId', 'id', 'attributes'],
    texts: ['event', 'labels', 'seriesLabel', 'from_step', 'to_step'],
    plain: [
      'flow',
      'transitions',
      'watched',
      'fault',
      'bot_id',
      'version',
      'channel_id',
      'channelId',
      'channel_type',
      'channelType',
      'timestamp',
      'firstMs',
      'lastMs',
      'events',
      'depth',
      'type',
      'endpoint',
      'bucket',
      'groupBy',
      'stat',
      'x',
      'place',
      'value',
      'fromMs',
      'untilMs',
      'refused',
      'series',
      'filter',
      'values',
      'path',
    ],
  },
}
