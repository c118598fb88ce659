import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { completionCommand, completionScript } from '../../src/cli/completion.ts'
import { commandSpecs, SHELLS } from '../../src/cli/commands.ts'
import { createLog } from '../../src/log.ts'

const CLASSES = ['acme-chat', 'other-chat']

/** What bash offers where the cursor is: after the last of the words. */
function bashOffers(words: readonly string[], cwd?: string): string[] {
  const script = `${completionScript('bash', CLASSES)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _colloquy; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr, status } = spawnSync('bash', ['-c', script, 'bash', 'colloquy', ...words], { encoding: 'utf8', cwd })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  return stdout.split('\n').filter(Boolean)
}

test('bash offers commands, their options, and values that are known', () => {
  expect(bashOffers([''])).toEqual(expect.arrayContaining(['run', 'check', 'completion', 'help', '--version']))
  expect(bashOffers(['re'])).toEqual(['rebuild', 'rejects', 'resume', 'restart'])
  expect(bashOffers(['run', '--'])).toEqual(['--config', '--roles', '--help'])
  expect(bashOffers(['run', '--roles', 'a'])).toEqual(['aggregator', 'alerter'])
  expect(bashOffers(['run', '--roles', 'worker,s'])).toEqual(['worker,server'])
  expect(bashOffers(['run', '--roles', '=', 's'])).toEqual(['server'])
  expect(bashOffers(['simulate', 'a'])).toEqual(['acme-chat'])
  expect(bashOffers(['completion', ''])).toEqual(expect.arrayContaining([...SHELLS]))
  expect(bashOffers(['help', 'offs'])).toEqual(['offsets'])
  expect(bashOffers(['stack', '--kafka-port', '']), 'a value that cannot be known').toEqual([])
})

test('bash offers paths where a file or a folder is wanted', () => {
  const root = new URL('../..', import.meta.url).pathname
  expect(bashOffers(['check', '--config', 'docker-c'], root)).toEqual(['docker-compose.yml'])
  expect(bashOffers(['stack', '--data', 'doc'], root), 'folders only').toEqual(['docs'])
})

test.each(SHELLS)('the script for %s has every command and option of the table', shell => {
  const script = completionScript(shell, CLASSES)
  for (const [name, { options }] of commandSpecs) {
    expect(script).toContain(name)
    for (const option of Object.keys(options))
      expect(script).toMatch(shell === 'fish' ? new RegExp(`from ${name}' -l ${option} `) : new RegExp(`--${option}\\b`))
  }
})

test('quotes in a description do not end the script early', () => {
  for (const shell of ['bash', 'zsh'] as const)
    expect(
      spawnSync('bash', ['-nc', shell === 'bash' ? completionScript(shell, CLASSES) : ''], { encoding: 'utf8' }).status,
    ).toBe(0)
  // Quotes come in pairs, escaped ones aside.
  for (const shell of ['zsh', 'fish'] as const)
    expect((completionScript(shell, CLASSES).replaceAll("\\'", '').match(/'/g) ?? []).length % 2).toBe(0)
})

test('a shell that is not known is refused with those there are', async () => {
  const lines: string[] = []
  const io = { stdout: () => {}, log: createLog('info', line => lines.push(line)) }
  expect(await completionCommand(['bsh'], io)).toBe(2)
  expect(lines.map(line => JSON.parse(line) as object)).toEqual([
    expect.objectContaining({ code: 'CALL_INVALID', path: 'bsh', msg: expect.stringContaining('did you mean bash?') as string }),
  ])
})
