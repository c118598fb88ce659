/**
 * Asks a real Kafka Connect worker and one of ours the same, good and bad, and prints where status codes and keys differ: the table of
 * docs/kafka-connect.md.
 *
 *   node scripts/compare-connect.ts CONNECT_URL CONNECT_CONFIG OUR_URL OUR_CONFIG
 *
 * A config is a JSON map with `connector.class`, for connectors that may be made and taken away again; `tasks.max` must allow one task.
 */

type Side = { readonly url: string; readonly config: Readonly<Record<string, string>> }
type Call = readonly [what: string, method: string, path: string, body?: unknown, type?: string]
type Answer = { readonly status: number; readonly keys: string; readonly message: string }

const NAME = 'compared'
const [connectUrl = '', connectConfig = '{}', ourUrl = '', ourConfig = '{}'] = process.argv.slice(2)
const sides: readonly Side[] = [
  { url: connectUrl, config: JSON.parse(connectConfig) as Side['config'] },
  { url: ourUrl, config: JSON.parse(ourConfig) as Side['config'] },
]

/** What is asked, in this order; `until`: then it is waited for this state. */
function callsFor({ config }: Side): (Call | { readonly until: string })[] {
  const className = config['connector.class'] ?? ''
  const short = className.slice(className.lastIndexOf('.') + 1)
  const validate = `/connector-plugins/${short}/config/validate`
  const c = `/connectors/${NAME}`
  const named = { name: NAME, ...config }
  return [
    ['the root', 'GET', '/'],
    ['health', 'GET', '/health'],
    ['the list', 'GET', '/connectors'],
    ['plugins', 'GET', '/connector-plugins'],
    ['plugins of all kinds', 'GET', '/connector-plugins?connectorsOnly=false'],
    ["a plugin's keys", 'GET', `/connector-plugins/${className}/config`],
    ['keys of an unknown plugin', 'GET', '/connector-plugins/nothing/config'],
    ['validate: good', 'PUT', validate, named],
    ['validate: wrong value', 'PUT', validate, { ...named, 'tasks.max': 'many' }],
    ['validate: null', 'PUT', validate, { ...named, 'tasks.max': null }],
    ['validate: without a class', 'PUT', validate, { name: NAME }],
    ['validate: another class', 'PUT', '/connector-plugins/other/config/validate', named],
    ['validate: unknown class', 'PUT', '/connector-plugins/nothing/config/validate', { 'connector.class': 'nothing' }],
    ['create: no JSON', 'POST', '/connectors', '{'],
    ['create: empty body', 'POST', '/connectors', ''],
    ['create: without a config', 'POST', '/connectors', { name: NAME }],
    ['create: without a class', 'POST', '/connectors', { name: NAME, config: {} }],
    ['create: unknown class', 'POST', '/connectors', { name: NAME, config: { 'connector.class': 'nothing' } }],
    ['create: wrong value', 'POST', '/connectors', { name: NAME, config: { ...config, 'tasks.max': 'many' } }],
    ['create: null', 'POST', '/connectors', { name: NAME, config: { ...config, 'tasks.max': null } }],
    ['create: a list as a value', 'POST', '/connectors', { name: NAME, config: { ...config, 'tasks.max': ['1'] } }],
    ['create: two names', 'POST', '/connectors', { name: NAME, config: { ...config, name: 'other' } }],
    ['create: without a name', 'POST', '/connectors', { config }],
    ['create: unknown field', 'POST', '/connectors', { name: NAME, config, extra: 1 }],
    ['create: unknown initial_state', 'POST', '/connectors', { name: NAME, config, initial_state: 'RESTING' }],
    ['create: as text/plain', 'POST', '/connectors', JSON.stringify({ name: NAME, config }), 'text/plain'],
    ['create', 'POST', '/connectors', { name: NAME, config: { ...config, 'tasks.max': 1 } }],
    { until: 'RUNNING' },
    ['create: again', 'POST', '/connectors', { name: NAME, config }],
    ['the list, with a slash', 'GET', '/connectors/'],
    ['the list, expanded', 'GET', '/connectors?expand=info&expand=status'],
    ['the list, expanded by what there is not', 'GET', '/connectors?expand=nothing'],
    ['a connector', 'GET', c],
    ['an unknown one', 'GET', '/connectors/none'],
    ['its config', 'GET', `${c}/config`],
    ['config of an unknown one', 'GET', '/connectors/none/config'],
    ['its status', 'GET', `${c}/status`],
    ['status of an unknown one', 'GET', '/connectors/none/status'],
    ['its tasks', 'GET', `${c}/tasks`],
    ['tasks of an unknown one', 'GET', '/connectors/none/tasks'],
    ['status of a task', 'GET', `${c}/tasks/0/status`],
    ['status of an unknown task', 'GET', `${c}/tasks/99/status`],
    ['status of a task that is no number', 'GET', `${c}/tasks/first/status`],
    ['put: change', 'PUT', `${c}/config`, config],
    { until: 'RUNNING' },
    ['put: create', 'PUT', '/connectors/compared-too/config', config],
    ['put: two names', 'PUT', `${c}/config`, { ...config, name: 'other' }],
    ['put: wrong value', 'PUT', `${c}/config`, { ...config, 'tasks.max': 'many' }],
    ['put: empty map', 'PUT', `${c}/config`, {}],
    ['patch', 'PATCH', `${c}/config`, { 'tasks.max': null }],
    { until: 'RUNNING' },
    ['patch: unknown connector', 'PATCH', '/connectors/none/config', { 'tasks.max': '1' }],
    ['patch: wrong value', 'PATCH', `${c}/config`, { 'tasks.max': 'many' }],
    ['pause', 'PUT', `${c}/pause`],
    ['pause: unknown connector', 'PUT', '/connectors/none/pause'],
    ['resume', 'PUT', `${c}/resume`],
    { until: 'RUNNING' },
    ['restart', 'POST', `${c}/restart`],
    { until: 'RUNNING' },
    ['restart with tasks', 'POST', `${c}/restart?includeTasks=true&onlyFailed=false`],
    { until: 'RUNNING' },
    ['restart of what failed', 'POST', `${c}/restart?includeTasks=true&onlyFailed=true`],
    ['restart: unknown connector', 'POST', '/connectors/none/restart'],
    ['restart of a task', 'POST', `${c}/tasks/0/restart`],
    { until: 'RUNNING' },
    ['restart of an unknown task', 'POST', `${c}/tasks/99/restart`],
    ['topics', 'GET', `${c}/topics`],
    ['topics of an unknown one', 'GET', '/connectors/none/topics'],
    ['reset of topics', 'PUT', `${c}/topics/reset`],
    ['offsets', 'GET', `${c}/offsets`],
    ['offsets of an unknown one', 'GET', '/connectors/none/offsets'],
    ['offsets: change while it runs', 'DELETE', `${c}/offsets`],
    ['stop', 'PUT', `${c}/stop`],
    { until: 'STOPPED' },
    ['stop: again', 'PUT', `${c}/stop`],
    ['status when stopped', 'GET', `${c}/status`],
    ['offsets: empty list', 'PATCH', `${c}/offsets`, { offsets: [] }],
    ['offsets: no list', 'PATCH', `${c}/offsets`, {}],
    ['offsets: reset', 'DELETE', `${c}/offsets`],
    ['loggers', 'GET', '/admin/loggers'],
    ['a logger', 'GET', '/admin/loggers/root'],
    ['an unknown logger', 'GET', '/admin/loggers/none.there.is'],
    ['level', 'PUT', '/admin/loggers/root', { level: 'INFO' }],
    ['level for all workers', 'PUT', '/admin/loggers/root?scope=cluster', { level: 'INFO' }],
    ['level: none', 'PUT', '/admin/loggers/root', {}],
    ['level: unknown', 'PUT', '/admin/loggers/root', { level: 'LOUD' }],
    ['delete', 'DELETE', c],
    ['delete: again', 'DELETE', c],
    ['wrong method', 'DELETE', '/connectors'],
    ['wrong method with a body', 'POST', `${c}/config`, {}],
    ['unknown path', 'GET', '/nothing'],
    ['a slash in a name', 'GET', '/connectors/a%2Fb'],
    ['tasks-config', 'GET', `${c}/tasks-config`],
    ['internal: tasks', 'POST', `${c}/tasks`, []],
    ['internal: fence', 'PUT', `${c}/fence`, {}],
    ['clean up', 'DELETE', '/connectors/compared-too'],
  ]
}

async function ask(url: string, [, method, path, body, type = 'application/json']: Call): Promise<Answer> {
  const answer = await fetch(url + path, {
    method,
    redirect: 'manual',
    ...(body === undefined
      ? {}
      : { body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': type } }),
  })
  const text = await answer.text()
  const isJson = answer.headers.get('content-type')?.includes('json') ?? false
  const parsed: unknown = isJson && text !== '' ? JSON.parse(text) : null
  return {
    status: answer.status,
    keys: parsed === null ? (text === '' ? '' : 'no JSON') : keysOf(parsed),
    message: (parsed as { readonly message?: string } | null)?.message?.split('\n')[0]?.slice(0, 160) ?? '',
  }
}

/** Names in the answer, two levels deep, sorted; names of connectors, tasks and keys of configs left out. */
function keysOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 || typeof value[0] !== 'object' ? '[]' : `[${keysOf(value[0])}]`
  if (typeof value !== 'object' || value === null) return ''
  return Object.entries(value)
    .filter(([key]) => key !== 'trace')
    .map(([key, each]) => {
      const inner = key === 'config' || typeof each !== 'object' || each === null ? '' : keysOf(each)
      return `${key}${inner === '' || inner === '[]' ? '' : `(${inner})`}`
    })
    .toSorted()
    .join(' ')
}

/** Waits for the state, of the connector and of all its tasks; where it does not come, the rest is asked all the same. */
async function reached(url: string, state: string): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const answer = await fetch(`${url}/connectors/${NAME}/status`)
    const status = (await answer.json()) as { connector?: { state: string }; tasks?: readonly { state: string }[] }
    const tasks = status.tasks ?? []
    const isSo = state === 'STOPPED' ? tasks.length === 0 : tasks.length > 0 && tasks.every(task => task.state === state)
    if (status.connector?.state === state && isSo) return
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  process.stderr.write(`${state} was not reached at ${url}\n`)
}

async function allOf(side: Side): Promise<Map<string, { readonly call: Call; readonly answer: Answer }>> {
  const answers = new Map<string, { readonly call: Call; readonly answer: Answer }>()
  for (const step of callsFor(side)) {
    if ('until' in step) await reached(side.url, step.until)
    else answers.set(step[0], { call: step, answer: await ask(side.url, step) })
  }
  return answers
}

const [theirs, ours] = await Promise.all(sides.map(allOf))
let differing = 0
for (const [what, { call, answer }] of theirs ?? []) {
  const mine = ours?.get(what)?.answer
  if (mine === undefined) continue
  const isSame = mine.status === answer.status && mine.keys === answer.keys
  if (!isSame) differing += 1
  process.stdout.write(
    `| ${what} | \`${call[1]} ${call[2]}\` | ${answer.status} | ${mine.status} | ${isSame ? '' : `**${answer.keys}** / **${mine.keys}**`} |\n`,
  )
  if (answer.message !== mine.message) process.stderr.write(`${what}\n  theirs: ${answer.message}\n  ours:   ${mine.message}\n`)
}
process.stderr.write(`${theirs?.size ?? 0} calls, ${differing} differ\n`)
