import { describe, expect, test } from 'vitest'
import { connectorClasses } from '../../src/control/classes.ts'
import { keysOf } from '../../src/control/definitions.ts'
import type { ValidateAnswer } from '../../src/control/validate.ts'
import { configJsonSchema, isBaseKey } from '../../src/source/config.ts'
import { builtInConnectors } from '../../src/source/registry.ts'
import { startRest } from '../support/rest.ts'

const CONFIG = { name: 'bm-live', 'connector.class': 'botmaker', 'access.token': '${env:TOKEN}' }
const PATH = '/connector-plugins/botmaker/config/validate'

async function validate(config: object, rest?: Awaited<ReturnType<typeof startRest>>): Promise<ValidateAnswer> {
  const { ask } = rest ?? (await startRest())
  const answer = await ask('PUT', PATH, config)
  expect(answer).toMatchObject({ status: 200 })
  return answer.body as ValidateAnswer
}

const keyIn = (answer: ValidateAnswer, name: string) => answer.configs.find(({ value }) => value.name === name)
const errorsIn = (answer: ValidateAnswer) =>
  Object.fromEntries(answer.configs.filter(({ value }) => value.errors.length > 0).map(({ value }) => [value.name, value.errors]))

describe('plugins', () => {
  test('every connector is listed as a source, with our version', async () => {
    const { ask } = await startRest()
    const built = (await builtInConnectors()).map(({ manifest }) => manifest.id).toSorted((a, b) => (a < b ? -1 : 1))
    for (const path of ['/connector-plugins', '/connector-plugins/?connectorsOnly=false'])
      expect(await ask('GET', path)).toMatchObject({
        status: 200,
        body: built.map(id => ({ class: id, type: 'source', version: '0.1.0' })),
      })
  })

  test('a class of the config file counts, a path or a package of this machine does not', async () => {
    const [connector] = await builtInConnectors()
    if (!connector) throw new Error('no connectors')
    const classes = connectorClasses(new Map([['./mine.ts', connector]]))
    expect((await classes.list()).map(({ className }) => className)).toContain('./mine.ts')
    expect(await classes.find('./mine.ts')).toBe(connector)
    for (const path of [`${process.cwd()}/connectors/botmaker/index.ts`, './connectors/botmaker', 'yaml'])
      expect(await classes.find(path)).toBeNull()
  })
})

describe('definitions', () => {
  test('every key of every connector has all that forms need, and occurs once', async () => {
    for (const connector of await builtInConnectors()) {
      const definitions = keysOf(connector).map(({ definition }) => definition)
      const names = definitions.map(({ name }) => name)
      const { properties } = configJsonSchema(connector) as { properties: object }
      expect(names.toSorted()).toEqual(['name', ...Object.keys(properties)].toSorted())
      for (const definition of definitions) {
        expect(['BOOLEAN', 'DOUBLE', 'INT', 'LIST', 'LONG', 'PASSWORD', 'STRING']).toContain(definition.type)
        expect(['HIGH', 'MEDIUM', 'LOW']).toContain(definition.importance)
        expect(definition.documentation).not.toBe('')
        expect(definition.display_name).toMatch(/^[A-Z]/)
        if (definition.required) expect(definition).toMatchObject({ importance: 'HIGH', default_value: null })
      }
      const groups = [...new Set(definitions.map(({ group }) => group))]
      expect(groups).toEqual([
        connector.manifest.title,
        'Common',
        'Reading',
        'Transfers',
        'Personal Data',
        'Error Handling',
        'Quota',
      ])
      for (const group of groups) {
        const orders = definitions.filter(each => each.group === group).map(({ order }) => order)
        expect(orders).toEqual(orders.map((_, index) => index + 1))
      }
    }
  })

  test('a key as Kafka Connect shows it', async () => {
    const { ask } = await startRest()
    const { status, body } = await ask('GET', '/connector-plugins/botmaker/config/')
    expect(status).toBe(200)
    const byName = Object.fromEntries((body as { name: string }[]).map(each => [each.name, each]))
    expect(byName['access.token']).toEqual({
      name: 'access.token',
      type: 'PASSWORD',
      required: true,
      default_value: null,
      importance: 'HIGH',
      documentation: 'API token from Integrations > API; it selects the business account',
      group: 'Botmaker',
      order: 1,
      order_in_group: 1,
      width: 'MEDIUM',
      display_name: 'Access token',
      dependents: [],
    })
    expect(byName['tasks.max']).toMatchObject({
      type: 'INT',
      required: false,
      default_value: '1',
      importance: 'HIGH',
      group: 'Common',
    })
    expect(byName['poll.interval.ms']).toMatchObject({ type: 'LONG', default_value: null, display_name: 'Poll interval (ms)' })
    expect(byName['include.messages']).toMatchObject({ type: 'BOOLEAN', default_value: 'true' })
    expect(byName['streams']).toMatchObject({ type: 'LIST', width: 'LONG' })
    expect(byName['name']).toMatchObject({ type: 'STRING', required: true, group: 'Common', order: 1 })
    expect(isBaseKey('tasks.max')).toBe(true)
    expect(isBaseKey('access.token')).toBe(false)
  })
})

describe('validate', () => {
  test('a valid config has no errors, shows its values, and no secret', async () => {
    const answer = await validate({ ...CONFIG, 'tasks.max': 3, 'api.version': 'v1' })
    expect(answer).toMatchObject({ name: 'botmaker', error_count: 0 })
    expect(answer.groups[0]).toBe('Botmaker')
    expect(keyIn(answer, 'tasks.max')).toMatchObject({
      definition: { name: 'tasks.max' },
      value: { name: 'tasks.max', value: '3', errors: [], visible: true },
    })
    expect(keyIn(answer, 'access.token')?.value.value).toBe('[hidden]')
    expect(keyIn(answer, 'errors.tolerance')?.value).toMatchObject({ value: 'all', recommended_values: ['all', 'none'] })
    expect(keyIn(answer, 'api.version')?.value).toMatchObject({ value: 'v1', recommended_values: ['v2', 'v1'] })
    expect(keyIn(answer, 'include.events')?.value).toMatchObject({ value: 'true', recommended_values: ['true', 'false'] })
    expect(keyIn(answer, 'streams')?.value).toMatchObject({ value: null, recommended_values: ['sessions'] })
    expect(JSON.stringify(answer)).not.toContain('token-of-the-vendor')
  })

  test('each fault is at its key, and is counted', async () => {
    const answer = await validate({
      'connector.class': 'botmaker',
      'tasks.max': 'many',
      'acces.token': 'x',
      'base.url': null,
      'api.version': 'v3',
      streams: 'session',
    })
    expect(errorsIn(answer)).toEqual({
      name: ['Missing required configuration "name" which has no default value.'],
      'access.token': ['Missing required configuration "access.token" which has no default value.'],
      'tasks.max': ['Invalid value for configuration tasks.max: takes a whole number from 1 up to 1000 in decimal digits'],
      'acces.token': ['Invalid value for configuration acces.token: is not a key of botmaker; did you mean access.token?'],
      'base.url': ['Invalid value for configuration base.url: Null value can not be supplied as the configuration value.'],
      'api.version': ['Invalid value for configuration api.version: takes one of v2, v1'],
      streams: ['Invalid value for configuration streams: session is not a stream of botmaker, which has sessions'],
    })
    expect(answer.error_count).toBe(7)
    expect(keyIn(answer, 'tasks.max')?.value.value).toBeNull()
    expect(keyIn(answer, 'acces.token')).toMatchObject({ definition: null, value: { value: null } })
  })

  test('a literal secret is rejected at its key, and never repeated', async () => {
    for (const secret of ['hunter2-hunter2', 'prefix-${env:TOKEN}', '${env:TOKEN}${env:ADDRESS}', '']) {
      const answer = await validate({ ...CONFIG, 'access.token': secret })
      expect(errorsIn(answer)).toEqual({
        'access.token': [
          'Invalid value for configuration access.token: takes a reference such as ${env:NAME} or ${file:PATH}, because a config by REST is stored on a topic',
        ],
      })
      expect(JSON.stringify(answer)).not.toContain('hunter2')
    }
  })

  test('an unresolved reference is a fault of its key, and resolved values are not shown', async () => {
    const answer = await validate({ ...CONFIG, 'access.token': '${env:NONE}', streams: '${env:ADDRESS}' })
    expect(errorsIn(answer)).toEqual({
      'access.token': ['Invalid value for configuration access.token: the environment has no such variable'],
      streams: ['Invalid value for configuration streams: [hidden] is not a stream of botmaker, which has sessions'],
    })
  })

  test('[hidden] keeps the stored value, if there is one', async () => {
    const rest = await startRest()
    const hidden = { ...CONFIG, 'access.token': '[hidden]' }
    expect(Object.keys(errorsIn(await validate(hidden, rest)))).toEqual(['access.token'])
    rest.herder.add('bm-live', { 'access.token': '[hidden]' })
    expect(errorsIn(await validate(hidden, rest))).toEqual({})
    expect(Object.keys(errorsIn(await validate({ ...hidden, 'refresh.token': '[hidden]' }, rest)))).toContain('refresh.token')
  })

  test('the class and the path must be the same, with or without Connector at the end', async () => {
    const { ask } = await startRest()
    const put = (plugin: string, config: object) => ask('PUT', `/connector-plugins/${plugin}/config/validate`, config)
    for (const plugin of ['botmaker', 'botmakerConnector']) expect((await put(plugin, CONFIG)).status).toBe(200)
    expect(await put('wolkvox', CONFIG)).toMatchObject({
      status: 400,
      body: { error_code: 400, message: 'Included connector type botmaker does not match request type wolkvox' },
    })
    // Kafka Connect's codes for these two.
    expect(await put('nothing', { ...CONFIG, 'connector.class': 'nothing' })).toMatchObject({
      status: 500,
      body: {
        message: expect.stringMatching(
          /^Failed to find any class that implements Connector and which name matches nothing, /,
        ) as string,
      },
    })
    expect(await put('botmaker', {})).toMatchObject({
      status: 500,
      body: { error_code: 500, message: 'Connector config contains no connector type' },
    })
  })
})
