/** Settings of channels and transfers. */
import { z } from 'zod'
import { channelOf, type Transfers } from '../../src/source/index.ts'
import type { Conversation } from './rows.ts'

type Channel = NonNullable<ReturnType<typeof channelOf>>

/** A rule of `channel.map`: the name or key of a channel in the vendor's data, and our channel. */
export const channelRule = z.string().check(ctx => {
  const rules = rulesIn([ctx.value])
  if (rules.length === 0) fault('takes NAME=CHANNEL, such as Main site=web')
  for (const { name, channel } of rules) {
    if (name === '') fault('takes NAME=CHANNEL, such as Main site=web')
    else if (!isChannel(channel)) fault('takes a channel after the last =: web, whatsapp, messenger, instagram, …, or other')
  }
  function fault(message: string): void {
    ctx.issues.push({ code: 'custom', input: ctx.value, message })
  }
})

/** The channel of the first matching rule; null: none matches. */
export function channelIn(rules: readonly string[], name: string | null, uuid: string | null): Channel | null {
  if (rules.length === 0) return null
  const sought = [name, uuid].flatMap(word => (word === null ? [] : [word.trim().toLowerCase()]))
  const found = rulesIn(rules).find(rule => sought.some(word => fits(rule.name, word)))
  return found !== undefined && isChannel(found.channel) ? found.channel : null
}

/** Parts of one text may be separated by `;`, as in other rules. */
function rulesIn(texts: readonly string[]): { readonly name: string; readonly channel: string }[] {
  return texts
    .flatMap(text => text.split(';'))
    .filter(part => part.trim() !== '')
    .map(part => {
      const equals = part.lastIndexOf('=')
      return {
        name: part.slice(0, Math.max(0, equals)).trim().toLowerCase(),
        channel: part
          .slice(equals + 1)
          .trim()
          .toLowerCase(),
      }
    })
}

/** `*` is any run of characters. Without a regular expression, so that no name takes long. */
function fits(pattern: string, word: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return word === first
  if (!word.startsWith(first)) return false
  let at = first.length
  for (const part of rest) {
    const found = word.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return word.length - last.length >= at && word.endsWith(last)
}

function isChannel(word: string): word is Channel {
  return channelOf(word) === word
}

interface TransferSettings {
  readonly transferFlowPattern?: string | undefined
  readonly includeMessageList: boolean
  readonly nlpResponses: readonly string[]
}

/** Fields of the rows that rules can look at; the vendor names no steps. */
type Source = 'flow' | 'tag' | 'answer' | 'content'

/**
 * Whether the rules would have shown a transfer to a person: a rule for transfers looks at a field that was read. If none does, a conversation without a
 * transfer may have had one.
 */
export function isCovered({ flows, tags, content }: Conversation, config: TransferSettings, rules: Transfers): boolean {
  const sources = sourcesOf(config, rules)
  const details = content?.details ?? null
  return (
    (sources.has('flow') && flows !== null) ||
    (sources.has('tag') && tags !== null) ||
    (sources.has('content') && details !== null) ||
    (sources.has('answer') && details !== null && content?.delivered !== null)
  )
}

/** The message broker's own transfers are seen without rules, but not every bot uses it: without rules it is unknown. */
export function detectsTransfers(config: TransferSettings, rules: Transfers): boolean {
  return sourcesOf(config, rules).size > 0
}

/** Sources of the rules that give `agent_transferred`: one that only shows a request for a person does not show that none came. */
function sourcesOf(config: TransferSettings, rules: Transfers): Set<Source> {
  const sources = new Set<Source>()
  if (config.transferFlowPattern !== undefined) sources.add('flow')
  for (const rule of rules.texts.filter(text => text.trim().endsWith('agent_transferred'))) {
    const source = rule.slice(0, rule.indexOf('~')).trim()
    if (source === 'flow' || source === 'tag') sources.add(source)
    else if (source === 'answer') {
      if (listsAnswers(config)) sources.add('answer')
    } else if (source !== 'step') sources.add('content')
  }
  return sources
}

/** Answers are named next to the messages of the user, in messages/list: whether all of these are read. */
function listsAnswers({ includeMessageList, nlpResponses }: TransferSettings): boolean {
  return includeMessageList && (nlpResponses.length === 0 || nlpResponses.includes('ALL'))
}
