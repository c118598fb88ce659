/**
 * The platform's word in a channel id: `{business}-{platform}-{number or null}-{id}` (`testbot-webchat-null-SBBZ2F73DL`). A business may have dashes and
 * even a platform's name in its own, so the id is read from its end; where it has another form, its last part that names a channel is taken.
 *
 * @returns the whole id where no part tells the channel, null where there is no id.
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
