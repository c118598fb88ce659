/**
 * Alertmanager's v2 API: every instance is told what fires, again and again while it fires, and once when it is over. Silences, groups and paging are its own.
 *
 * Each instance has a line of its own, so that one that is away holds up nobody; what it has missed it is told when it is back.
 */
import { request } from 'undici'
import type { Clock } from '../clock.ts'
import { aborted } from '../abort.ts'
import type { Connections } from '../dispatcher.ts'
import type { Log } from '../log.ts'
import type { Alert } from '../records.ts'
import type { AlertOutlet } from './run.ts'
import { linkOf, summaryOf } from './words.ts'

/** An Alertmanager takes an alert for over when it has not heard of it for 5 minutes, unless it is told otherwise. */
const REPEAT_MS = 60_000
/** The end of an alert is told for so long to who has not heard of it; then an Alertmanager has forgotten it by itself. */
const OVER_KEPT_MS = 3_600_000
const FIRST_RETRY_MS = 1000
const LONGEST_RETRY_MS = 30_000
const TIMEOUT_MS = 10_000
/** Alerts of one request. */
const MOST_A_REQUEST = 500
/** Of an answer that is an error, for the log. */
const MOST_QUOTED = 300

export interface AlertmanagerOptions {
  /** Each with its route prefix, without a slash at the end. */
  readonly urls: readonly string[]
  readonly auth?: { readonly username: string; readonly password: string } | { readonly token: string } | undefined
  /** The address of this product, for links. */
  readonly baseUrl: string
  /** Label of an alert of the rule. */
  readonly severityOf: (rule: string) => string
  readonly connections: Connections
  readonly notified?: (alertmanager: string, outcome: 'ok' | 'failed') => void
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface Alertmanagers extends AlertOutlet {
  /** Resolves when the signal has ended it. */
  readonly done: Promise<void>
}

export function startAlertmanagers(options: AlertmanagerOptions): Alertmanagers {
  const { urls, clock, signal } = options
  /** By label set, the newest alert: of two with the same labels an Alertmanager knows one. */
  const alerts = new Map<string, Alert>()
  const lines = urls.map(url => createLine(url, options, alerts))

  function take(alert: Alert): void {
    const group = groupOf(alert)
    const known = alerts.get(group)
    if (known !== undefined && known.alert_id !== alert.alert_id && known.starts_at > alert.starts_at) return
    if (alert.state === 'RESOLVED' && clock.now() - alert.updated_at > OVER_KEPT_MS) return
    alerts.set(group, alert)
  }

  return {
    restore(all, vendors) {
      for (const [group, { vendor }] of alerts) if (vendors(vendor)) alerts.delete(group)
      all.forEach(take)
      for (const line of lines) line.wake()
    },
    tell(all) {
      all.forEach(take)
      for (const line of lines) line.wake()
    },
    done: Promise.all(lines.map(line => line.run(signal)))
      .then(() => options.connections.close())
      .then(() => {}),
  }
}

const groupOf = ({ rule, vendor, account, bot_id, channel, language }: Alert) =>
  JSON.stringify([rule, vendor, account, bot_id, channel, language])

function createLine(url: string, options: AlertmanagerOptions, alerts: ReadonlyMap<string, Alert>) {
  const { clock, log } = options
  const target = new URL(`${url}/api/v2/alerts`)
  /** By label set, the alert as it was told last: whoever is told of the end is not told again. */
  const told = new Map<string, { alert: Alert; atMs: number }>()
  let called = Promise.withResolvers<void>()
  let isAway = false

  function due(): [string, Alert][] {
    const nowMs = clock.now()
    for (const group of told.keys()) if (!alerts.has(group)) told.delete(group)
    return [...alerts].filter(([group, alert]) => {
      const last = told.get(group)
      const isNew = last === undefined || last.alert !== alert
      if (alert.state === 'FIRING') return isNew || nowMs - last.atMs >= REPEAT_MS
      return isNew && nowMs - alert.updated_at <= OVER_KEPT_MS
    })
  }

  /** @throws where it was not taken. */
  async function post(batch: readonly Alert[], signal: AbortSignal): Promise<void> {
    const { statusCode, body } = await request(target, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization(options.auth) },
      body: JSON.stringify(batch.map(alert => posted(alert, options))),
      dispatcher: options.connections.dispatcherFor(target),
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    })
    const text = (await body.text()).slice(0, MOST_QUOTED)
    if (statusCode < 200 || statusCode >= 300) throw new Error(`it answered ${statusCode}: ${text}`)
  }

  return {
    wake: () => called.resolve(),

    async run(signal: AbortSignal): Promise<void> {
      let waitMs = FIRST_RETRY_MS
      while (!signal.aborted) {
        called = Promise.withResolvers<void>()
        const batch = due().slice(0, MOST_A_REQUEST)
        if (batch.length === 0) {
          const pause = new AbortController()
          const rest = clock.sleep(REPEAT_MS / 4, AbortSignal.any([signal, pause.signal]))
          await Promise.race([called.promise, aborted(signal), rest])
          pause.abort()
          continue
        }
        try {
          const atMs = clock.now()
          await post(
            batch.map(([, alert]) => alert),
            signal,
          )
          for (const [group, alert] of batch) told.set(group, { alert, atMs })
          options.notified?.(target.host, 'ok')
          if (isAway) log.info({ alertmanager: target.host }, 'alertmanager is back, and has been told')
          isAway = false
          waitMs = FIRST_RETRY_MS
        } catch (error) {
          if (signal.aborted) return
          options.notified?.(target.host, 'failed')
          // Once: it may be away for long.
          if (!isAway)
            log.warn(
              { alertmanager: target.host, error: reasonOf(error), alerts: batch.length },
              'alertmanager cannot be told; trying again',
            )
          isAway = true
          await clock.sleep(waitMs, signal)
          waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)
        }
      }
    },
  }
}

/** What an Alertmanager is told. Labels are the same for the whole life of the alert: they are its name there. */
export function posted(alert: Alert, { baseUrl, severityOf }: Pick<AlertmanagerOptions, 'baseUrl' | 'severityOf'>): object {
  const { rule, vendor, account, bot_id, channel, language, state, starts_at, ends_at, updated_at, evidence } = alert
  const labels = { alertname: rule, severity: severityOf(rule), vendor, account, bot_id, channel, language }
  const link = linkOf(alert, baseUrl)
  return {
    labels: Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== null && value !== '')),
    annotations: {
      ...Object.fromEntries(Object.entries(evidence).filter(([name, value]) => ANNOTATION.test(name) && value !== '')),
      summary: summaryOf(alert),
      description: Object.entries(evidence)
        .map(([name, value]) => `${name}: ${value}`)
        .join('\n'),
      dashboard: link,
    },
    startsAt: new Date(starts_at).toISOString(),
    ...(state === 'RESOLVED'
      ? { endsAt: new Date(Math.max(starts_at, Math.min(ends_at ?? updated_at, updated_at))).toISOString() }
      : {}),
    generatorURL: link,
  }
}

const ANNOTATION = /^[a-zA-Z_][a-zA-Z0-9_]*$/

function authorization(auth: AlertmanagerOptions['auth']): Record<string, string> {
  if (auth === undefined) return {}
  if ('token' in auth) return { authorization: `Bearer ${auth.token}` }
  return { authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` }
}

/** Why there was no answer, or a bad one. Addresses with credentials are refused by the config. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`
  return code === undefined ? error.message : `${code}${error.message === '' ? '' : `: ${error.message}`}`
}
