/** Conversations and messages as the dashboard API shows them, with field names that a client has seen, else proposed ones. */
import type { Conversation, WorldMessage } from '../../../src/sim/index.ts'
import {
  answerNameOf,
  businessKeyOf,
  channelInfoOf,
  durationOf,
  flowsOf,
  HANDOVER,
  handoverOf,
  type Organization,
  satisfactionOf,
  sessionCodeOf,
  tagsOf,
  understoodIn,
  wordsOf,
} from './organization.ts'
import type { Quirks } from './quirks.ts'

export type Row = Record<string, unknown>

const TYPES = {
  text: 'TEXT',
  buttons: 'BUTTON',
  button_click: 'TEXT',
  template: 'TEMPLATE',
  image: 'IMAGE',
  audio: 'AUDIO',
  video: 'VIDEO',
  file: 'DOCUMENT',
} as const

export class Rows {
  readonly #organization: Organization
  readonly #quirks: Quirks

  constructor(organization: Organization, quirks: Quirks) {
    this.#organization = organization
    this.#quirks = quirks
  }

  startOf({ startedAtMs }: Conversation): number {
    const { startStepMs } = this.#quirks
    return Math.floor(startedAtMs / startStepMs) * startStepMs
  }

  conversation(conversation: Conversation): Row {
    const { description: _, ...channel } = channelInfoOf(this.#organization, conversation)
    const flows = flowsOf(conversation)
    return this.#named({
      sessionCode: sessionCodeOf(this.#organization, conversation),
      conversationStartedAt: this.#time(this.startOf(conversation)),
      durationInSeconds: this.#number(durationOf(conversation, this.startOf(conversation))),
      userMessages: this.#number(conversation.messages.filter(({ sender }) => sender === 'user').length),
      flowsTravelled: this.#number(flows.length),
      ...this.#list('flowsTravelledNames', flows),
      satisfaction: this.#number(satisfactionOf(conversation)),
      ...this.#list('tags', tagsOf(this.#organization, conversation)),
      channel,
    })
  }

  details(conversation: Conversation): Row {
    const { uuid: _, ...channel } = channelInfoOf(this.#organization, conversation)
    return this.#named({
      ...(this.#quirks.detailsCode ? { sessionCode: sessionCodeOf(this.#organization, conversation) } : {}),
      conversationStartedAt: this.#time(this.startOf(conversation)),
      channel,
      messages: conversation.messages.map(message => this.#turn(conversation, message)),
    })
  }

  /** The row of a listed message in the message list. */
  message(conversation: Conversation, message: WorldMessage): Row {
    const { deliveredAtMissing, confidence, listCode } = this.#quirks
    const place = conversation.messages.indexOf(message)
    const answer = conversation.messages.slice(place + 1).find(({ sender }) => sender !== 'user')
    const understood = understoodIn(conversation, message)
    const share = understood?.confidence ?? 0
    const name = answerNameOf(conversation, answer)
    const isNamed = listCode === 'all' || (listCode === 'some' && place > 1)
    return this.#named({
      ...(isNamed && { sessionCode: sessionCodeOf(this.#organization, conversation) }),
      businessKey: businessKeyOf(conversation),
      deliveredAt: deliveredAtMissing && place % 4 < 2 ? null : this.#time(message.atMs),
      userMessage: wordsOf(message),
      confidence: understood === null ? null : this.#number(confidence === 'percent' ? Math.round(share * 1000) / 10 : share),
      nlpResponse: understood?.name ?? null,
      answer: answer === undefined ? null : wordsOf(answer),
      ...this.#list('answerNames', name === null ? [] : [name]),
      channel: channelInfoOf(this.#organization, conversation).name,
      ...this.#list('tags', tagsOf(this.#organization, conversation)),
      translation: null,
      language: conversation.language,
    })
  }

  #turn(conversation: Conversation, message: WorldMessage): Row {
    const { messageTime, messageTypes, missed } = this.#quirks
    const understood = understoodIn(conversation, message)
    const type = message.sender === 'user' ? 'USER_INPUT' : TYPES[message.kind]
    const odd = message.sender === 'user' ? 'User_Input' : message.kind === 'text' ? 'text' : 'carousel-v2'
    const isShown = understood !== null && !(understood.missed && missed === 'empty')
    return this.#named({
      messageId: message.id,
      type: messageTypes === 'odd' ? odd : type,
      content: wordsOf(message),
      intent: understood === null || understood.missed ? null : understood.name,
      isNe: understood?.missed ?? false,
      ...this.#list('nlpResponses', isShown ? [{ responseType: 'INTENT', responseName: understood.name }] : []),
      ...this.#technicalText(conversation, message),
      ...(messageTime === null ? {} : { [messageTime]: this.#time(message.atMs) }),
    })
  }

  /** The part of an answer for the vendor's message broker: here only that the conversation goes to a person. */
  #technicalText(conversation: Conversation, message: WorldMessage): Row {
    const { handover } = this.#quirks
    if (handover === 'none' || message.id !== handoverOf(conversation)?.id) return {}
    const technicalText = { type: 'handover', handover: HANDOVER, exit_command: 'exit', action: 'connect' }
    return { technicalText: handover === 'text' ? JSON.stringify(technicalText) : technicalText }
  }

  #named(row: Row): Row {
    const { names } = this.#quirks
    return Object.fromEntries(Object.entries(row).map(([name, value]) => [names[name] ?? name, value]))
  }

  #list(name: string, items: readonly unknown[]): Row {
    const { emptyLists } = this.#quirks
    if (items.length > 0 || emptyLists === 'array') return { [name]: items }
    return emptyLists === 'null' ? { [name]: null } : {}
  }

  #number(value: number | null): number | string | null {
    return this.#quirks.numbers === 'text' && value !== null ? String(value) : value
  }

  #time(ms: number): string | number {
    const text = new Date(ms).toISOString()
    const forms = { z: text, offset: `${text.slice(0, -1)}+0000`, bare: text.slice(0, -1), epoch: ms }
    return forms[this.#quirks.times]
  }
}
