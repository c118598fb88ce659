/**
 * Loaded before a process that is profiled (`node --import profiled.ts …`): its parent says when a CPU profile begins and where it is written when it ends, so that
 * it holds what is measured and neither start-up nor warm-up.
 */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

/** What the parent sends; it is answered when it is done. */
export type Profiling = { readonly profile: 'begin' } | { readonly profile: 'end'; readonly file: string }

const session = new Session()
session.connect()

async function obey(asked: Profiling): Promise<void> {
  if (asked.profile === 'begin') {
    await session.post('Profiler.enable')
    await session.post('Profiler.start')
  } else {
    const { profile } = await session.post('Profiler.stop')
    writeFileSync(asked.file, JSON.stringify(profile))
  }
  process.send?.({ done: asked.profile })
}

process.on('message', (asked: Profiling) => void obey(asked))
// To listen is no reason to stay.
process.channel?.unref()
