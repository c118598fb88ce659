/**
 * The bot of a session, if one account has several. The vendor's sessions name none, but an account's bots have channels of their own, or a variable that names
 * the bot. Rules are `SOURCE~REGEX=BOT`, the first that matches decides. Patterns are RE2's: linear in time, whatever the pattern and the text.
 */
import { RE2JS } from 're2js'
import { channelOf, text } from '../../src/source/index.ts'
import { channelWord } from './channel.ts'
import type { Conversation } from './rows.ts'

interface Rule {
  /** Null: the channel. */
  readonly variable: string | null
  readonly pattern: RE2JS
  /** With `$1` to `$9` for the groups of the pattern. */
  readonly bot: string
}

const TAKES = 'takes SOURCE~REGEX=BOT, such as channel~whatsapp-5730=sales or variable.brand~(.+)=$1'
const VARIABLE = 'variable.'

/** `;` between rules in text, because patterns may hold commas. */
export function parseBotRules(given: string | readonly string[] | undefined): {
  readonly rules: readonly Rule[]
  readonly faults: readonly string[]
} {
  const rules: Rule[] = []
  const faults: string[] = []
  const texts = typeof given === 'string' ? given.split(';') : (given ?? [])
  for (const line of texts.map(each => each.trim()).filter(each => each !== '')) {
    const rule = parseRule(line)
    if (typeof rule === 'string') faults.push(rule)
    else rules.push(rule)
  }
  return { rules, faults }
}

function parseRule(line: string): Rule | string {
  const shown = JSON.stringify(line.length > 100 ? `${line.slice(0, 100)}…` : line)
  const tilde = line.indexOf('~')
  const equals = line.lastIndexOf('=')
  if (tilde < 0 || equals < tilde) return `${shown} is no rule; it ${TAKES}`
  const source = line.slice(0, tilde).trim()
  const regex = line.slice(tilde + 1, equals).trim()
  const bot = line.slice(equals + 1).trim()
  const variable = source.startsWith(VARIABLE) ? source.slice(VARIABLE.length) : null
  if (source !== 'channel' && !variable)
    return `${shown} looks at ${JSON.stringify(source)}; a rule takes channel or variable.NAME`
  if (regex === '') return `${shown} has no pattern; .* matches any text`
  if (bot === '') return `${shown} names no bot after the last =`
  try {
    const pattern = RE2JS.compile(regex, RE2JS.CASE_INSENSITIVE)
    const missing = [...bot.matchAll(/\$([1-9])/g)].find(([, group]) => Number(group) > pattern.groupCount())
    return missing ? `${shown} uses ${missing[0]}, which its pattern does not have` : { variable, pattern, bot }
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message.replace('`(?i)', '`') : 'it cannot be parsed'
    return `${shown} has a pattern that cannot be used (${why}); it takes RE2 syntax, which has no look-around and no back-references`
  }
}

/** Parsed rules, by their config. */
const parsed = new WeakMap<object, readonly Rule[]>()

/** The bot by the rules; null if none matches. */
export function botByRule(
  config: { readonly botRules?: string | readonly string[] | undefined },
  row: Conversation,
): string | null {
  if (config.botRules === undefined) return null
  let rules = parsed.get(config)
  if (rules === undefined) parsed.set(config, (rules = parseBotRules(config.botRules).rules))
  for (const { variable, pattern, bot } of rules) {
    for (const value of variable === null ? channelsOf(row) : valuesOf(row, variable)) {
      const matcher = pattern.matcher(value)
      if (!matcher.find()) continue
      const named = bot.replace(/\$([1-9])/g, (_, group: string) => matcher.group(Number(group)) ?? '').trim()
      if (named !== '') return named
    }
  }
  return null
}

/** The names that people may use for the channel: the vendor's id, its word for the platform, and ours. */
function channelsOf({ channelId }: Conversation): readonly string[] {
  const word = channelWord(channelId)
  return channelId === null || word === null ? [] : [...new Set([channelId, word, channelOf(word) ?? word])]
}

/** Values set by the session come before the contact's variables, which have their current values. */
function valuesOf({ events, variables, chat }: Conversation, name: string): readonly string[] {
  const set = events?.find(({ info }) => info['variableName'] === name)?.info['variableValue']
  return [set, variables[name], chat?.variables[name]].map(text).filter(value => value !== null)
}
