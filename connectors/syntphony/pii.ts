/**
 * Personal data in Syntphony's rows: `businessKey`, by which the customer's own systems identify the user, and everything that is said. The vendor generates
 * ids of conversations and messages, which identify nobody.
 */
import type { PiiSpec } from '../../src/source/index.ts'

export const pii: PiiSpec = {
  standard: [
    ...['org.uuid', 'env.uuid', 'channel.uuid', 'channel.botUuid', 'details', 'message_list'].map(
      name => `session.attributes.${name}=keep`,
    ),
    ...['channel.description', 'flowsTravelled', 'flowsTravelledNames', 'durationInSeconds', 'userMessages', 'satisfaction'].map(
      name => `session.attributes.${name}=mask`,
    ),
    'message.attributes.isNe=keep',
    ...['technicalText', 'translation', 'nlpResponse', 'answer', 'answerNames', 'tags', 'userMessage', 'message', 'text'].map(
      name => `message.attributes.${name}=mask`,
    ),
    ...['place', 'uuid', 'messageId'].map(name => `event.attributes.${name}=keep`),
    ...['responseType', 'handover'].map(name => `event.attributes.${name}=mask`),
    // Of the dashboards' points.
    ...['resource', 'value', 'x_value', 'bucket', 'day', 'range_start', 'range_end', 'compares_to', 'channel.uuid'].map(
      name => `event.attributes.${name}=keep`,
    ),
    ...['channel.name', 'previous', 'accuracy', 'previousAccuracy', 'increased', 'increaseRate', 'firstDataSet'].map(
      name => `event.attributes.${name}=mask`,
    ),
  ],
  row: {
    persons: ['businessKey', 'conversation', 'user'],
    texts: [
      'content',
      'text',
      'message',
      'userMessage',
      'answer',
      'answerNames',
      'technicalText',
      'translation',
      'nlpResponse',
      'responseName',
      'flowsTravelledNames',
      'tags',
      'name',
      'description',
      'intent',
    ],
    plain: [
      'channel',
      'sessionCode',
      'conversationStartedAt',
      'durationInSeconds',
      'userMessages',
      'flowsTravelled',
      'satisfaction',
      'uuid',
      'botUuid',
      'messageId',
      'type',
      'responseType',
      'deliveredAt',
      'createdAt',
      'date',
      'timestamp',
      'confidence',
      'language',
      'detectedLanguage',
      'dashboard',
      'pointId',
      'resource',
      'day',
      'fromMs',
      'untilMs',
    ],
  },
}
