/**
 * Names of the fields in the vendor's rows. The vendor documents the content, but no names: the defaults were seen in a client of the API, or are assumed. So
 * each is a setting.
 */
import { z } from 'zod'

const field = (usual: string, what: string) => z.string().min(1).default(usual).describe(`Row field: ${what}`)
/** Without a setting, each of several usual names is tried. */
const anyField = (what: string) => z.string().min(1).optional().describe(`Row field: ${what}`)

export const fieldKeys = {
  fieldSessionCode: field('sessionCode', 'code of the conversation, in conversations, details and messages'),
  fieldStartedAt: field('conversationStartedAt', 'start of a conversation'),
  fieldDuration: field('durationInSeconds', 'length of a conversation, seconds'),
  fieldUserMessages: field('userMessages', 'count of user messages of a conversation'),
  fieldSatisfaction: field('satisfaction', 'rating of a conversation'),
  fieldFlows: field('flowsTravelledNames', 'names of the flows that a conversation went through'),
  fieldTags: field('tags', 'tags of a conversation or message'),
  fieldChannel: field('channel', 'channel of a conversation or message'),
  fieldMessages: field('messages', 'list of messages in the details of a conversation'),
  fieldMessageId: field('messageId', 'id of a message, in details and messages'),
  fieldMessageType: field('type', 'type of a message in details; USER_INPUT is the user'),
  fieldMessageContent: field('content', 'what was said, in details'),
  fieldMessageIntent: field('intent', 'intent of a message in details'),
  fieldMessageNe: field('isNe', 'whether a message in details was not understood'),
  fieldMessageNlp: field('nlpResponses', 'what the engine found in a message in details'),
  fieldMessageTime: anyField('time of a message in details; absent: deliveredAt, createdAt, date or timestamp, whichever it has'),
  fieldTechnicalText: field('technicalText', 'technical text of an answer in details, where the message broker reads a handover'),
  fieldDeliveredAt: field('deliveredAt', 'time of a row of messages/list'),
  fieldUserMessage: anyField('what was said, in messages/list; absent: userMessage, message, text or content, whichever it has'),
  fieldConfidence: field('confidence', 'confidence of a row of messages/list'),
  fieldLanguage: field('language', 'language of a row of messages/list'),
  fieldBusinessKey: field('businessKey', 'who writes, in messages/list and conversations'),
  fieldNlpResponse: field('nlpResponse', 'name of what the engine found, in messages/list'),
  fieldAnswer: field('answer', 'text of the answer, in messages/list'),
  fieldAnswerNames: field('answerNames', 'names of the answers, in messages/list'),
  fieldTranslation: field('translation', 'translation of a row of messages/list'),
}

const Fields = z.object(fieldKeys)
/** The connector's config has all of them. */
export type FieldNames = z.output<typeof Fields>

/** Without settings. */
export const USUAL: FieldNames = Fields.parse({})
