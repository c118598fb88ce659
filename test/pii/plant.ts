/** Puts marked persons into the rows of each vendor's answers: where the vendor's documents have them, and in fields that nobody knows yet. */
import { marked, type Marked } from './marks.ts'

type Row = Record<string, unknown>

export interface Plants {
  /** For the proxy before the vendor. */
  edit(body: unknown): boolean
  /** Kinds of rows that were met. */
  readonly met: ReadonlySet<string>
}

/** Rows that are spoilt, by their number: each in its own way, the others are good. */
const SPOILT_EVERY = 4

export function plants(vendor: string): Plants {
  const numbers = new Map<string, number>()
  const met = new Set<string>()
  /** The same thing has the same person at every reading. */
  const of = (id: unknown) => {
    const key = String(id)
    const n = numbers.get(key) ?? numbers.size
    numbers.set(key, n)
    return { n, who: marked(n) }
  }
  const listsOf = (body: unknown) => (kind: string, rows: unknown, plant: (row: Row) => void) => {
    if (!Array.isArray(rows)) return false
    for (const row of rows) if (typeof row === 'object' && row !== null) plant(row as Row)
    if (rows.length > 0) met.add(kind)
    void body
    return rows.length > 0
  }
  const edits: Record<string, (body: Row) => boolean> = {
    botmaker: body => {
      const plantIn = listsOf(body)
      const v2 = plantIn('sessions', body['items'], row => botmaker(row, of(row['id'])))
      const v1 = plantIn('exports', body['sessions'], row => botmakerV1(row, of(row['sessionId'])))
      return v1 || v2
    },
    koreai: body => {
      const plantIn = listsOf(body)
      const all = [
        plantIn('sessions', body['sessions'], row => koreaiSession(row, of(row['sessionId']))),
        plantIn('messages', body['messages'], row => koreaiMessage(row, of(row['sessionId']))),
        plantIn('findings', body['result'], row => koreaiFinding(row, of(row['sessionId']))),
        plantIn('contacts', body['results'], row => koreaiContact(row, of(row['botSessionId']))),
      ]
      return all.includes(true)
    },
    syntphony: body => {
      const plantIn = listsOf(body)
      const all = [
        plantIn('rows', body['content'], row =>
          'userMessage' in row ? syntphonyListed(row, of(row['sessionCode'])) : syntphonyRow(row, of(row['sessionCode'])),
        ),
        plantIn('turns', body['messages'], row => syntphonyTurn(row, of(row['messageId']))),
      ]
      return all.includes(true)
    },
    wolkvox: body => listsOf(body)('rows', body['data'], row => wolkvox(row, of(row['session_id'] ?? row['conn_id']))),
    chatlayer: body => {
      const plantIn = listsOf(body)
      const all = [
        plantIn('events', body['events'], row => chatlayer(row, of(row['conversation_id'] ?? row['id']))),
        plantIn('transitions', body['transitions'], row => void Object.assign(row, drifted(marked(1)))),
      ]
      if (Array.isArray(body['transitions'])) Object.assign(body, { user_id: marked(1).userId, ...drifted(marked(1)) })
      return all.includes(true)
    },
  }
  const edit = edits[vendor]
  if (edit === undefined) throw new Error(`there are no plants for ${vendor}`)
  return { edit: body => typeof body === 'object' && body !== null && edit(body as Row), met }
}

interface Who {
  readonly n: number
  readonly who: Marked
}

/** Fields that the vendor has not documented. */
function drifted({ name, phone, email, said, userId }: Marked): Row {
  return {
    cuenta: { titular: { name, telefono: `+${phone}` }, notas: [said, { email }], userId },
    holderName: name,
    newNumber: Number(phone),
    [`answers_${email}`]: 1,
    list_of_numbers: [Number(phone), phone],
  }
}

/** One row in four is no good: no time, a time that is a person, a placeholder, too large for its topic. */
function spoil(row: Row, n: number, time: string, text: (said: string) => void, said: string): void {
  if (n % SPOILT_EVERY !== 3) return
  const how = Math.floor(n / SPOILT_EVERY) % 6
  if (how === 0) delete row[time]
  else if (how === 1) row[time] = said
  else if (how === 2) row[time] = '1970-01-01T00:00:00.000Z'
  else if (how === 3) row[time] = { [said]: said }
  else if (how === 4) text(`${said} ${'x'.repeat(70_000)}`)
  else {
    delete row[time]
    text(`${said} ${'y'.repeat(70_000)}`)
  }
}

function botmaker(row: Row, { n, who }: Who): void {
  const { name, first, phone, email, said, userId } = who
  const id = `${userId}_${String(row['creationTime'])}`
  const chat = (row['chat'] ?? {}) as Row
  row['id'] = id
  row['chat'] = {
    ...chat,
    chat: { ...(chat['chat'] as Row), chatId: userId, contactId: phone, alias: name },
    firstName: first,
    lastName: 'Quimbolt',
    email,
    externalId: `X ${userId}`,
    tags: ['vip', `call ${phone}`, first],
    variables: { first_name: first, document: `CC ${phone}`, [`+${phone}`]: 'x', note: said },
    agentId: userId,
    onHoldAgentId: userId,
    ...drifted(who),
  }
  row['startingCause'] = `Link of ${email}`
  row['aiAnalysis'] = { summary: said, justification: said, name: 'quality', aspectScores: { [first]: { result: said } } }
  const messages = (row['messages'] ?? []) as Row[]
  for (const [place, message] of messages.entries()) {
    message['content'] = { type: 'text', text: said, buttons: [said, first], selectedButton: email, location: { name } }
    if (place % 3 === 1)
      message['content'] = { type: 'image', media: { url: `https://files.example/${phone}/${email}`, caption: said } }
    message['agentId'] = userId
    message['queueId'] = `queue of ${phone}`
    Object.assign(message, drifted(who))
  }
  const events = (row['events'] ?? []) as Row[]
  for (const [place, event] of events.entries()) {
    event['info'] = {
      ...(event['info'] as Row),
      agentName: name,
      agentId: userId,
      variableValue: said,
      typification: said,
      reason: said,
      queue: said,
      intentName: said,
      error: said,
    }
    if (place % 3 === 1)
      event['info'] = [
        { name: 'user', value: name },
        { name: 'note', value: said },
      ]
    Object.assign(event, drifted(who))
  }
  Object.assign(row, drifted(who))
  spoil(row, n, 'creationTime', text => Object.assign(messages[0] ?? row, { content: { type: 'text', text } }), said)
  if (n % 11 === 5 && messages[0]) messages[0]['creationTime'] = said
}

function botmakerV1(row: Row, { n, who }: Who): void {
  const { name, phone, said, userId } = who
  row['sessionId'] = `${userId}_${String(row['sessionDate'])}`
  Object.assign(row, drifted(who), {
    customerId: userId,
    platformContactId: phone,
    conversation: `https://go.botmaker.com/#/chats/${userId}`,
  })
  row['variables'] = [`name:${name}`, `note:${said}`, { phone }]
  row['topics'] = [said]
  const messages = (row['sessionMessages'] ?? []) as Row[]
  for (const message of messages)
    Object.assign(message, drifted(who), { message: said, operator: name, queue: said, ruleName: said })
  for (const event of (row['events'] ?? []) as Row[]) Object.assign(event, drifted(who), { info: [{ name: 'key', value: said }] })
  spoil(row, n, 'sessionDate', text => Object.assign(messages[0] ?? row, { message: text }), said)
}

function koreaiSession(row: Row, { n, who }: Who): void {
  const { name, phone, said, userId, email } = who
  const tags = {
    userTags: [
      { name: 'customer', value: name },
      { name: 'score', value: userId },
      { name: 'phone', value: Number(phone) },
    ],
    sessionTags: [
      { name: 'about', value: said },
      { name: `of ${email}`, value: true },
    ],
    altText: [{ name: 'email', value: email }],
  }
  Object.assign(row, drifted(who), { userId, tags, channel: n % 5 === 2 ? `rtm +${phone}` : row['channel'] })
  spoil(row, n, 'start_time', text => (row['description'] = text), said)
}

function koreaiMessage(row: Row, { n, who }: Who): void {
  const { name, first, phone, said, userId, email } = who
  Object.assign(row, drifted(who), {
    createdBy: userId,
    lmodifiedBy: userId,
    channels: [{ type: 'rtm', channelUId: phone, nested: { userInfo: { firstName: first, lastName: 'Quimbolt', email } } }],
    components: [
      { _id: 'c1', cT: 'text', data: { text: said, title: name } },
      { _id: 'c2', cT: 'image', data: { url: `https://files.example/${phone}`, caption: said } },
    ],
    tags: { userTags: [{ name: 'customer', value: name }], messageTags: [{ name: 'note', value: said }] },
    author: { id: userId, firstName: first, lastName: 'Quimbolt', email, type: 'USER' },
  })
  if (n % 9 === 4 && row['type'] === 'incoming') row['createdOn'] = said
}

function koreaiFinding(row: Row, { n, who }: Who): void {
  const { name, phone, said, userId } = who
  Object.assign(row, drifted(who), {
    userId,
    channelUId: phone,
    utterance: said,
    intent: said,
    winningIntent: [said],
    taskName: said,
    customTags: { userTags: [{ name: 'customer', value: name }] },
    NLAnalysis: { input: said },
  })
  spoil(row, n, 'timestamp', text => (row['utterance'] = text), said)
}

function koreaiContact(row: Row, { n, who }: Who): void {
  const { name, first, phone, said, userId, email } = who
  const agent = { name, agentId: userId, emailId: email, queueName: said }
  const people = Array.isArray(row['participants']) ? (row['participants'] as Row[]) : []
  Object.assign(row, drifted(who), {
    userId,
    phoneNumber: phone,
    userInfo: { firstName: first, lastName: 'Quimbolt', email },
    formData: { question: said, mail: email },
    agentDesktopMeta: { caller: name },
    participants: people.map(each => ({ ...each, ...agent })),
    transferDetails: [
      {
        transferredAt: row['startTime'],
        transferredBy: userId,
        transferredTo: [{ type: 'AGENT', id: userId, name, emailId: email }],
      },
    ],
    notes: [said],
    dispositions: [{ note: said }],
  })
  spoil(row, n, 'startTime', text => (row['notes'] = [text]), said)
}

function syntphonyRow(row: Row, { n, who }: Who): void {
  const { said, userId } = who
  Object.assign(row, drifted(who), {
    businessKey: userId,
    tags: [{ name: said, uuid: 'u1' }],
    flowsTravelledNames: ['Welcome', said],
  })
  spoil(row, n, 'conversationStartedAt', text => (row['description'] = text), said)
}

function syntphonyListed(row: Row, { who }: Who): void {
  const { said, userId } = who
  Object.assign(row, drifted(who), {
    businessKey: userId,
    answer: said,
    nlpResponse: said,
    translation: said,
    tags: [said],
    answerNames: [said],
  })
}

function syntphonyTurn(row: Row, { n, who }: Who): void {
  const { name, said, userId } = who
  Object.assign(row, drifted(who), {
    content: n % 3 === 1 ? { text: said, contact: { name } } : said,
    intent: said,
    user: { id: userId, name },
    nlpResponses: [{ responseType: 'ENTITY', responseName: said, value: name, contact: { name } }],
  })
}

function wolkvox(row: Row, { n, who }: Who): void {
  const { name, phone, email, said, userId } = who
  const customer = { customer_name: name, customer_email: email, customer_phone: phone, customer_id: userId }
  const lines = row['conversation']
  if ('session_id' in row) row['session_id'] = `${phone}.1040.2985`
  if ('customer_query' in row)
    Object.assign(row, customer, {
      customer_query: said,
      routing_answer: row['routing_answer'] === 'transfer_skill' ? 'transfer_skill' : said,
    })
  else if (Array.isArray(lines)) {
    Object.assign(row, { customer_name: name, agent_name: name })
    for (const line of lines as Row[])
      Object.assign(line, drifted(who), {
        from_name: line['from'] === 'CUSTOMER' ? name : line['from_name'],
        to_name: name,
        message: said,
        customer_id: userId,
        customer_phone: phone,
      })
  } else if ('start_date' in row) Object.assign(row, customer, { agent_id: userId, agent_name: name, last_sender: said })
  else if ('cod_opc_menu' in row) Object.assign(row, { telephone: phone, customer_id: userId, cod_opc_menu: said })
  else
    Object.assign(row, {
      transfer_agent_id: userId,
      transfer_agent_name: name,
      transfer_agent_dni: `CC ${phone}`,
      receiver_agent_id: userId,
      receiver_agent_name: name,
      receiver_agent_dni: phone,
    })
  Object.assign(row, drifted(who))
  const time = 'start_date' in row ? 'start_date' : 'date'
  const large = (text: string) => Object.assign(row, 'customer_query' in row ? { customer_query: text } : { observation: text })
  if (time in row) spoil(row, n, time, large, said)
  else if (n % SPOILT_EVERY === 3) row['conversation'] = said
}

function chatlayer(row: Row, { n, who }: Who): void {
  const { name, first, phone, email, said, userId } = who
  Object.assign(row, drifted(who), { user_id: userId, id: `${String(row['id'])}-${email}` })
  if (row['conversation_id'] !== null && row['conversation_id'] !== undefined) row['conversation_id'] = `${phone}:${first}:${n}`
  row['attributes'] = {
    ...(row['attributes'] as Row),
    customer_name: name,
    phone,
    value: name,
    depth: first,
    note: said,
    flow: said,
    step_name: said,
    [`+${phone}`]: 'x',
  }
  if (n % 7 === 3 && String(row['id']).charCodeAt(1) % 3 === 0) row['timestamp'] = said
}
