/** The connectors of the config file as what is wanted, until the configs topic is followed, too. */
import { createHash } from 'node:crypto'
import type { Statuses, Status, Wanted, WantedConnector, TaskState } from '../control/port.ts'
import type { ConfiguredConnector } from './setup.ts'

/** Of the file alone; nothing of it changes. */
export function wantedOfFile(connectors: readonly ConfiguredConnector[]): Wanted {
  const wanted = connectors.map(
    ({ name, base, config }): WantedConnector => ({
      name,
      origin: 'file',
      written: {},
      target: 'RUNNING',
      version: createHash('sha256')
        .update(JSON.stringify([base, config]))
        .digest('hex')
        .slice(0, 16),
    }),
  )
  return {
    connectors: new Map(wanted.map(connector => [connector.name, connector])),
    offset: 0,
    readTo: async () => {},
    onChange: () => () => {},
    onRestart: () => () => {},
  }
}

/** Of this process alone. */
export function ownStatuses(): Statuses {
  const connectors = new Map<string, Status>()
  const tasks = new Map<string, Map<number, Status<TaskState>>>()
  return {
    connector: name => connectors.get(name) ?? null,
    task: ({ connector, task }) => tasks.get(connector)?.get(task) ?? null,
    tasksOf: name => [...(tasks.get(name) ?? [])].map(([task, status]) => ({ task, status })),
    tell: async ({ connector, task }, status) => {
      if (task === undefined) {
        if (status === null) connectors.delete(connector)
        else connectors.set(connector, status)
        return
      }
      const mine = tasks.get(connector) ?? new Map<number, Status<TaskState>>()
      tasks.set(connector, mine)
      if (status === null) mine.delete(task)
      else mine.set(task, status as Status<TaskState>)
    },
    topics: () => [],
    wrote: () => {},
  }
}
