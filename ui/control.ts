/** Kafka Connect's REST API of the same listener: what a person can do to a connector. */
import { ask } from './fetching.ts'

const base = (name: string) => `/connectors/${encodeURIComponent(name)}`

export type Deed = 'pause' | 'resume' | 'stop'

export async function setTarget(name: string, deed: Deed): Promise<void> {
  await ask(`${base(name)}/${deed}`, { method: 'PUT' })
}

/** The connector and all of its tasks. */
export async function restart(name: string): Promise<void> {
  await ask(`${base(name)}/restart?includeTasks=true`, { method: 'POST' })
}

/** What a rewind does to one source partition. */
export interface Plan {
  readonly partition: Readonly<Record<string, unknown>>
  /** ISO 8601; null: nothing is read again. */
  readonly rereads: { readonly from: string; readonly until: string } | null
  /** Estimates; null: cannot be said. */
  readonly requests: number | null
  readonly seconds: number | null
}

/** Connectors must be stopped for it, unless it is a dry run. @param place null: every source partition. */
async function alter(
  name: string,
  from: string,
  place: { stream: string; scope: string } | null,
  isDry: boolean,
): Promise<readonly Plan[]> {
  const body = place === null ? { from } : { offsets: [{ partition: place, offset: { from } }] }
  const { plans } = await ask<{ plans: readonly Plan[] }>(
    `${base(name)}/offsets${isDry ? '?dryRun=true' : ''}`,
    { method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
    60_000,
  )
  return plans
}

export const planRewind = (name: string, from: string, place: { stream: string; scope: string } | null) =>
  alter(name, from, place, true)

/** Stops the connector, sets it back, and lets it run again, also where setting back was refused. */
export async function rewind(
  name: string,
  from: string,
  place: { stream: string; scope: string } | null,
): Promise<readonly Plan[]> {
  await setTarget(name, 'stop')
  try {
    return await alter(name, from, place, false)
  } finally {
    await setTarget(name, 'resume')
  }
}
