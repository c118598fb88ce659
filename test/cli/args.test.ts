import { expect, test } from 'vitest'
import { readArgs } from '../../src/cli/args.ts'
import { COMMANDS, type CommandName, type CommandSpec } from '../../src/cli/commands.ts'

const specs = {
  config: { type: 'string', required: true },
  port: { type: 'int', range: [0, 65_535] },
  roles: { type: 'string', of: ['worker', 'server'], list: true },
  loud: { type: 'boolean' },
} as const

test('options and words are read in any order', () => {
  expect(readArgs(['a', '--port', '8', '--config=x.yaml', '--loud', 'b'], specs, { names: 'NAME', least: 1, most: 2 })).toEqual({
    ok: true,
    values: { config: 'x.yaml', port: 8, loud: true },
    words: ['a', 'b'],
  })
})

test('every fault of a call is named, each with its option', () => {
  const read = readArgs(['--prot', '1', '--port', 'x', '--roles', 'worker,cook'], specs)
  expect(read).toEqual({
    ok: false,
    faults: [
      { path: '--prot', message: 'is not an option here; did you mean --port?' },
      { path: '--port', message: 'takes a whole number from 0 to 65535, not "x"' },
      { path: '--roles', message: 'takes a comma list of worker, server, not cook' },
      { path: '--config', message: 'is missing' },
      { path: '1', message: 'is not expected here' },
    ],
  })
})

test('an option that is near no other names those there are, and a value near one asks for it', () => {
  expect(readArgs(['--xyz=1', '--config', 'c', '--roles', 'wroker'], specs)).toEqual({
    ok: false,
    faults: [
      { path: '--xyz', message: 'is not an option here; there are --config, --port, --roles, --loud' },
      { path: '--roles', message: 'takes a comma list of worker, server, not wroker; did you mean worker?' },
    ],
  })
})

test('after -- nothing is an option, also where an unknown one came before', () => {
  const words = { names: 'NAME', least: 0, most: 9 }
  expect(readArgs(['--config', 'c', 'a', '--', '--loud', '-x'], specs, words)).toMatchObject({
    ok: true,
    values: { loud: false },
    words: ['a', '--loud', '-x'],
  })
  expect(readArgs(['--config', 'c', '--nope', 'a', '--', '--loud'], specs, words)).toMatchObject({
    ok: false,
    faults: [{ path: '--nope' }],
  })
})

test('a value may begin with dashes where it stands behind the sign of equality', () => {
  expect(readArgs(['--config=--c'], specs)).toMatchObject({ ok: true, values: { config: '--c' } })
  expect(readArgs(['--config', '-c'], specs)).toMatchObject({ ok: true, values: { config: '-c' } })
})

test('an option without its value is a fault, also when another option follows', () => {
  expect(readArgs(['--config', '--loud'], specs)).toEqual({ ok: false, faults: [{ path: '--config', message: 'needs a value' }] })
  expect(readArgs(['--config'], specs)).toEqual({ ok: false, faults: [{ path: '--config', message: 'needs a value' }] })
})

test('a missing word is named', () => {
  expect(readArgs(['--config', 'x'], specs, { names: 'CONNECTOR', least: 1, most: 1 })).toEqual({
    ok: false,
    faults: [{ path: 'CONNECTOR', message: 'is missing' }],
  })
})

test('an option twice, a value where none is taken, and an empty value are faults', () => {
  expect(readArgs(['--config', 'a', '--config=b', '--loud', '--loud'], specs)).toEqual({
    ok: false,
    faults: [
      { path: '--config', message: 'is given twice; name it once' },
      { path: '--loud', message: 'is given twice; name it once' },
    ],
  })
  expect(readArgs(['--config=', '--loud=yes'], specs)).toEqual({
    ok: false,
    faults: [
      { path: '--config', message: 'needs a value' },
      { path: '--loud', message: 'takes no value' },
    ],
  })
})

test('options with the names of what objects inherit are unknown', () => {
  for (const option of ['--constructor', '--__proto__', '--toString', '-c'])
    expect(readArgs([option, '--config', 'x'], specs)).toMatchObject({
      ok: false,
      faults: [{ path: option, message: expect.stringContaining('is not an option here') as string }],
    })
})

/** The calls of the contract, with every option it names. */
const CONTRACT_CALLS: readonly [CommandName, ...string[]][] = [
  ['demo'],
  ['stack', '--kafka-port', '1', '--registry-port', '2', '--data', 'd'],
  ['run', '--config', 'c', '--roles', 'worker,aggregator,server,alerter'],
  ['check', '--config', 'c'],
  ['peek', 'acme', '--config', 'c', '--limit', '3'],
  ['plugins'],
  ['plugins', 'botmaker'],
  ...(['list', 'show', 'redrive', 'discard'] as const).map(
    action =>
      ['rejects', action, '0:1', '--config', 'c', '--connector', 'a', '--stream', 's', '--reason', 'R', '--json'] as [
        CommandName,
        ...string[],
      ],
  ),
  ['backtest', '--config', 'c', '--rule', 'r', '--from', '2026-11-01', '--until', '2026-11-02', '--json'],
  ['rebuild', '--config', 'c', '--from', '2026-11-01'],
  ['connectors', '--url', 'http://h', '--json'],
  ['status', 'acme', '--url', 'http://h', '--json'],
  ['pause', 'acme', '--url', 'http://h', '--json'],
  ['resume', 'acme', '--url', 'http://h', '--json'],
  ['restart', 'acme', '--url', 'http://h', '--json'],
  ['offsets', 'acme', '--url', 'http://h', '--json'],
  ['new', 'acme-chat', '--into', 'd'],
  ['simulate', 'botmaker', '--port', '9100', '--seed', '1', '--sessions', '10', '--live', '60'],
]

test.each(CONTRACT_CALLS)('the contract calls %s %s, which is read without a fault', (name, ...argv) => {
  const { options, words }: CommandSpec = COMMANDS[name]
  const read = readArgs(argv, options, words)
  expect(read).toMatchObject({ ok: true })
  const given = argv.filter(word => word.startsWith('--')).map(word => word.slice(2))
  for (const option of given) expect(read.ok && read.values[option], option).toBeTruthy()
})
