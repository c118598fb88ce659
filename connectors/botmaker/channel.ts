/**
 * The platform's word in a channel id: `{business}-{platform}-{number or null}-{id}` (`testbot-webchat-null-SBBZ2F73DL`). A business may have dashes and even a
 * platform's name in its own name, so the id is parsed from its end; if it has another form, its last part that names a channel is used.
 *
 * @returns the whole id if no part names a channel, null without an id.
 */
import { channelOf } from '../../src/source/index.ts'

export function channelWord(channelId: string | null): string | null {
  if (channelId === null) return null
  const parts = channelId.split('-')
  const [platform, number] = parts.slice(-3)
  if (
    parts.length >= 4 &&
    platform &&
    number !== undefined &&
    /^(null|\+?\d+)$/.test(number) &&
    /[a-z]/i.test(platform) &&
    platform !== 'null'
  )
    return platform
  const named = (part: string) => channelOf(part) !== 'other' && channelOf(part) !== null
  return parts.slice(0, -1).findLast(named) ?? parts.slice(-1).find(named) ?? channelId
}
