import { z } from 'zod'
import { ALGORITHMS, CIPHERS, claimsOf, encryptionKeyOf, keyOf } from './jwt.ts'

export const ANALYTICS_LISTS = [
  'successintent',
  'failintent',
  'unhandledutterance',
  'successtask',
  'failtask',
  'performance',
] as const

/** The channels that getAnalytics accepts, all 24 of its docs. Without a list it returns only rows of `rtm` (documented). */
export const ANALYTICS_CHANNELS = [
  ...([
    'msteams',
    'twitter',
    'spark',
    'rtm',
    'facebook',
    'slack',
    'kore',
    'email',
    'sms',
    'ringcentral',
    'jabber',
    'yammer',
  ] as const),
  ...(['alexa', 'twiliovoice', 'telegram', 'ivr', 'ivrVoice', 'smartassist', 'line', 'liveperson', 'googleactions'] as const),
  ...(['hangoutchat', 'mattermost', 'rcs'] as const),
] as const

export const STREAMS = ['sessions', 'analytics', 'contact-center'] as const
export const CONTAINMENT_TYPES = ['dropOff', 'selfService', 'agent'] as const
export const SESSION_TYPES = ['interactive', 'non-interactive'] as const
const TAG = /^(user|session):([^=]+)=(.+)$/

export const Config = z
  .strictObject({
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'takes an http or https address' })
      .describe('Environment address, `https://platform.kore.ai` say; customer-hosted ones have their own'),
    clientId: z.string().min(1).describe("Client id of the app (`cs-…`): a bot's for `bot.ids`, the Admin Console's without"),
    clientSecret: z
      .string()
      .min(1)
      .meta({ secret: true })
      .describe('Client secret of the app; with RS256, RS384 or RS512 the private key, PKCS#8 PEM'),
    botIds: z
      .array(z.string().regex(/^[^/\s]+$/, "takes ids such as `st-…`, without '/' or blanks"))
      .min(1)
      .optional()
      .describe('Bots to read, a comma list of `st-…`; absent: the account-wide call'),
    botPath: z.enum(['bot', 'stream']).default('bot').describe('stream: the path of v7, `/api/public/stream/{id}/getSessions`'),
    jwtAlgorithm: z.enum(ALGORITHMS).default('HS256').describe('How tokens are signed, as the app says'),
    jwtSub: z.string().min(1).default('colloquy').describe('Claim `sub` of tokens; the vendor takes any'),
    jwtIssuer: z.string().min(1).optional().describe('Claim `iss` of tokens, for servers that ask for it; absent: none'),
    jwtAudience: z.string().min(1).optional().describe('Claim `aud` of tokens, for servers that ask for it; absent: none'),
    jwtClaims: z.string().min(2).optional().describe('Further claims of tokens, a JSON object'),
    jwtTtlSeconds: z
      .int()
      .min(60)
      .max(3600)
      .default(300)
      .describe('How long a token lives, half of it before now, for clocks that differ'),
    jweKey: z
      .string()
      .min(1)
      .optional()
      .describe(
        "The platform's public key, as the console shows it with *Enforce JWE* (JWK), or PEM: tokens are encrypted for it. Absent: they are not",
      ),
    jweKid: z.string().min(1).optional().describe("Id of that key, `kid` of the token's header; default: that of the JWK"),
    jweEnc: z.enum(CIPHERS).default('A128CBC-HS256').describe('How the content of encrypted tokens is encrypted'),
    jweContent: z
      .enum(['jwt', 'claims'])
      .default('jwt')
      .describe('What is encrypted: the signed token, or its claims alone, unsigned; not documented'),
    streams: z
      .array(z.enum(STREAMS))
      .min(1)
      .default(['sessions'])
      .describe('Streams to read. With `contact-center`, sessions have its queue, agent and time of transfer, too'),
    accountId: z
      .string()
      .min(1)
      .optional()
      .describe("The vendor's id of the account (24 hex digits), which stream contact-center sends in the header `accountId`"),
    contactCenterOrder: z
      .enum(['newest', 'any'])
      .default('newest')
      .describe(
        'Order of conversations of the contact center. newest: the newest start first, as in samples, so a listing is read down to the window; any: it is read whole each time',
      ),
    pageSize: z
      .int()
      .min(1)
      .max(10_000)
      .default(500)
      .describe("Sessions (and analytics rows) a page; the vendor's most is not documented, and a server may give fewer"),
    trustTotal: z
      .boolean()
      .default(true)
      .describe(
        'false: `total` is not heeded, for servers that count otherwise; a listing that shifts is then found by repeats alone',
      ),
    inactivityMinutes: z
      .int()
      .min(5)
      .max(20_160)
      .default(15)
      .describe(
        'Silence that ends a session, as set in the app; the lookback reaches an hour further, and never less than a day',
      ),
    containmentTypes: z
      .array(z.enum(CONTAINMENT_TYPES))
      .min(1)
      .optional()
      .describe(
        `Read sessions of these kinds only, a comma list of ${CONTAINMENT_TYPES.join(', ')}, one listing each. Sessions have no kind while they are active, so a transfer shows later. Default: all`,
      ),
    sessionTypes: z
      .array(z.enum(SESSION_TYPES))
      .min(1)
      .optional()
      .describe(`Read sessions of these types only, a comma list of ${SESSION_TYPES.join(', ')}. Default: all`),
    tags: z
      .array(z.string().regex(TAG, 'takes user:NAME=VALUE or session:NAME=VALUE'))
      .min(1)
      .optional()
      .describe(
        'Read sessions (and analytics) with these tags only, a list of `user:NAME=VALUE` and `session:NAME=VALUE`; values of one name are alternatives. Default: all',
      ),
    userId: z
      .string()
      .min(1)
      .optional()
      .describe(
        "Read sessions (and analytics) of this user only, by the platform's id, e-mail address or the enterprise's id. Default: all",
      ),
    includeMessages: z.boolean().default(true).describe('Read the messages of sessions (scope Chat History)'),
    messagesApi: z
      .enum(['v2', 'v1'])
      .default('v2')
      .describe('v1: with messages of Alert and Action tasks, 100 a page; the account-wide call is always v1'),
    messagesPageSize: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe('Messages a page; default: the most, 10000 in v2, 100 in v1'),
    agentsInfo: z.boolean().default(true).describe("Ask who wrote agents' messages; without, they count as the bot's"),
    agentDetails: z
      .boolean()
      .optional()
      .describe(
        'Ask for the time of each agent transfer, one conversationDetails request per session that was handed over (scope Chat History). Default: yes, and where the call is refused, the first message of an agent tells the time; true: a refusal stops the stream; false: it is not asked',
      ),
    analyticsTypes: z
      .array(z.enum(ANALYTICS_LISTS))
      .min(1)
      .default(['successintent', 'failintent', 'unhandledutterance', 'successtask', 'failtask'])
      .describe(`Lists that stream analytics reads, a comma list of ${ANALYTICS_LISTS.join(', ')}`),
    analyticsChannels: z
      .array(z.enum(ANALYTICS_CHANNELS))
      .min(1)
      .default([...ANALYTICS_CHANNELS])
      .describe('Channels that stream analytics asks for, a comma list; default: all that the vendor accepts there'),
  })
  .superRefine((config, ctx) => {
    const refuse = (path: keyof Config, message: string) => ctx.addIssue({ code: 'custom', path: [path], message })
    const attempt = (path: keyof Config, work: () => unknown) => {
      try {
        work()
      } catch (error) {
        refuse(path, error instanceof TypeError ? error.message : 'cannot be used')
      }
    }
    attempt('clientSecret', () => keyOf(config.jwtAlgorithm, config.clientSecret))
    attempt('jwtClaims', () => claimsOf(config.jwtClaims))
    attempt('jweKey', () => config.jweKey === undefined || encryptionKeyOf(config.jweKey))
    if (config.jweKey === undefined && config.jweKid !== undefined) refuse('jweKid', 'has no effect without jwe.key')
    const readsContacts = config.streams.includes('contact-center')
    if (readsContacts && config.accountId === undefined) refuse('accountId', 'is required for stream contact-center')
    if (!readsContacts && config.accountId !== undefined)
      refuse('accountId', 'has no effect without stream contact-center: name it in streams')
    if (readsContacts && config.botIds === undefined)
      refuse('botIds', 'is required for stream contact-center, which has no account-wide call')
    if (config.botIds !== undefined && new Set(config.botIds).size < config.botIds.length) refuse('botIds', 'names a bot twice')
  })
export type Config = z.output<typeof Config>

/** The documented filter by tags; undefined: none. */
export function tagsFilter({ tags }: Pick<Config, 'tags'>) {
  if (tags === undefined) return undefined
  const parts = tags.map(tag => TAG.exec(tag)).filter(part => part !== null)
  const byName = Map.groupBy(parts, ([, type, name]) => `${type}:${name}`)
  return {
    and: [...byName.values()].map(same => ({
      name: same[0]?.[2] as string,
      values: same.map(([, , , value]) => value as string),
      type: same[0]?.[1] as string,
    })),
  }
}
