import { CHANNELS, type Channel } from './records.ts'

/** Vendors' words, lower case, letters and digits only, for our channels with other names. */
const WORDS: Readonly<Record<string, Channel>> = {
  rtm: 'web',
  webchat: 'web',
  website: 'web',
  webclient: 'web',
  webwidget: 'web',
  widget: 'web',
  widgetsdk: 'web',
  livechat: 'web',
  wa: 'whatsapp',
  waba: 'whatsapp',
  facebook: 'messenger',
  fb: 'messenger',
  fbmessenger: 'messenger',
  ig: 'instagram',
  tg: 'telegram',
  text: 'sms',
  twiliosms: 'sms',
  mail: 'email',
  ivr: 'voice',
  ivrvoice: 'voice',
  phone: 'voice',
  call: 'voice',
  telephone: 'voice',
  telephony: 'voice',
  twiliovoice: 'voice',
  korevg: 'voice',
  audiocodes: 'voice',
  voicegateway: 'voice',
  teams: 'msteams',
  microsoftteams: 'msteams',
  x: 'twitter',
  rest: 'api',
  restapi: 'api',
}

/** Words that name the channel anywhere in a longer one (`whatsapp-business`, `facebook_messenger`); the first match wins. */
const WITHIN: readonly (readonly [string, Channel])[] = [
  ['whatsapp', 'whatsapp'],
  ['instagram', 'instagram'],
  ['messenger', 'messenger'],
  ['facebook', 'messenger'],
  ['telegram', 'telegram'],
  ['twitter', 'twitter'],
  ['msteams', 'msteams'],
  ['microsoftteams', 'msteams'],
  ['slack', 'slack'],
  ['webchat', 'web'],
  ['widget', 'web'],
  ['email', 'email'],
  ['voice', 'voice'],
]

const known = new Map<string, Channel>([...CHANNELS.map(channel => [channel, channel] as const), ...Object.entries(WORDS)])

/** Cache of words; limited, because a vendor may send an id as a channel. */
const met = new Map<string, Channel>()
const MET_MOST = 1000

/** The channel of a vendor's word; `other` if it is none of ours, null without a word. */
export function channelOf(raw: string | null | undefined): Channel | null {
  if (raw === null || raw === undefined) return null
  const before = met.get(raw)
  if (before !== undefined) return before
  const word = raw.toLowerCase().replace(/[^a-z0-9]/g, '')
  if (word === '' && raw.trim() === '') return null
  const channel = known.get(word) ?? WITHIN.find(([part]) => word.includes(part))?.[1] ?? 'other'
  if (met.size >= MET_MOST) met.clear()
  met.set(raw, channel)
  return channel
}
