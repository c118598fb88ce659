import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { COMMAND_GROUPS, commandSpecs } from '../../src/cli/commands.ts'
import { helpText } from '../../src/cli/help.ts'

const plain = { columns: 100, colours: false }

test('the overview lists every command once with what it does, by group', () => {
  const lines = helpText(null, plain).split('\n')
  for (const group of COMMAND_GROUPS) expect(lines).toContain(`${group}:`)
  for (const [name, { summary }] of commandSpecs)
    expect(
      lines.filter(line => new RegExp(`^  ${name} +\\S`).test(line)),
      name,
    ).toEqual([expect.stringContaining(summary.slice(0, 20))])
})

describe.each(commandSpecs)('help of %s', (name, spec) => {
  test('has its usage, arguments, options and examples', () => {
    const text = helpText(name, plain)
    const words = text.replaceAll(/\s+/g, ' ')
    expect(text).toMatch(new RegExp(`^Usage: colloquy ${name} \\[options\\]`))
    expect(words.toLowerCase()).toContain(spec.summary.toLowerCase())
    for (const { help } of spec.arguments) expect(words).toContain(help)
    for (const [option, { help }] of Object.entries(spec.options)) {
      expect(text).toMatch(new RegExp(`^  --${option}\\b`, 'm'))
      expect(words).toContain(help)
    }
    expect(spec.examples.length).toBeGreaterThan(0)
    for (const [call] of spec.examples) expect(text).toContain(`  $ colloquy ${call}\n`)
  })

  test('an option that takes a value has a name for it, and says which is required', () => {
    for (const [option, { type, value, required, help }] of Object.entries(spec.options)) {
      expect({ option, hasValue: value !== undefined }).toEqual({ option, hasValue: type !== 'boolean' })
      expect(help).not.toBe('')
      if (required === true) expect(helpText(name, plain)).toMatch(new RegExp(`--${option} .*\\(required\\)`))
    }
  })
})

test('help is wrapped at the width, and has colours only where the terminal has them', () => {
  const narrow = helpText('check', { columns: 60, colours: false }).split('\nExamples:')[0] ?? ''
  expect(Math.max(...narrow.split('\n').map(line => line.length))).toBeLessThanOrEqual(60)
  const coloured = helpText('check', { columns: 100, colours: true })
  expect(stripVTControlCharacters(coloured)).toBe(helpText('check', plain))
  expect(coloured).not.toBe(helpText('check', plain))
})
