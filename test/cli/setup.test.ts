import { expect, test } from 'vitest'
import botmaker from '../../connectors/botmaker/index.ts'
import { logDeprecations } from '../../src/cli/setup.ts'
import { createLog } from '../../src/log.ts'
import { checked } from '../../src/source/registry.ts'

test('the log has a warning for each deprecated name of a plugin, once however many connectors use it', () => {
  const lines: Record<string, unknown>[] = []
  const log = createLog('info', line => lines.push(JSON.parse(line) as Record<string, unknown>))
  const { enrich: expand, ...sessions } = (botmaker.streams['sessions'] ?? {}) as Record<string, unknown>
  const plugin = checked({ ...botmaker, streams: { ...botmaker.streams, sessions: { ...sessions, expand } } }, './mine.ts')
  const configured = { name: 'a', connector: plugin, base: {} as never, config: {} }
  logDeprecations({ connectors: [configured, { ...configured, name: 'b' }], plugins: new Map([['botmaker', plugin]]) }, log)
  logDeprecations({ connectors: [{ ...configured, connector: botmaker }], plugins: new Map() }, log)
  expect(lines).toEqual([
    expect.objectContaining({
      level: 'warn',
      plugin: 'botmaker',
      deprecated: 'streams.sessions.expand is now enrich',
      msg: 'found deprecated name in plugin',
    }),
  ])
})
