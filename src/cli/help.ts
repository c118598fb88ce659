/** What `--help` prints: made by commander from the table of commands. */
import { styleText } from 'node:util'
import { Command } from 'commander'
import { optionOf } from './args.ts'
import { COMMAND_GROUPS, type CommandName, type CommandSpec, commandSpecs, type DocumentedOption } from './commands.ts'

const ABOUT = 'Chatbot conversations from any vendor, as Kafka topics.'
const AFTER = `
Exit codes: 0 good, 1 it ran and failed, 2 the call or the config is wrong.
Machine-readable output is on stdout, everything else on stderr as JSON lines.
\`colloquy help COMMAND\` says more about one.
`

export interface HelpStyle {
  /** Width to wrap at. */
  readonly columns: number
  readonly colours: boolean
}

/** @param name null: all commands */
export function helpText(name: CommandName | null, { columns, colours }: HelpStyle): string {
  let text = ''
  const program = new Command('colloquy')
    .usage('COMMAND [options]')
    .description(ABOUT)
    .version('', '-v, --version', 'print version and commit')
    .helpOption('-h, --help', 'print this')
    .helpCommand(false)
    .configureOutput({
      writeOut: part => {
        text += part
      },
      getOutHelpWidth: () => columns,
      getOutHasColors: () => colours,
    })
    .configureHelp({
      subcommandTerm: command => command.name(),
      styleTitle: title => styleText('bold', title, { validateStream: false }),
    })
    .addHelpText('after', AFTER)
  for (const group of COMMAND_GROUPS)
    for (const [each, spec] of commandSpecs) if (spec.group === group) addCommand(program, each, spec)
  const shown = program.commands.find(command => command.name() === name) ?? program
  shown.outputHelp()
  return text
}

function addCommand(program: Command, name: string, spec: CommandSpec): void {
  const { summary, more, group, examples, options } = spec
  const command = program
    .command(name)
    .helpGroup(`${group}:`)
    .summary(summary)
    .description(`${capitalised(summary)}.${more === undefined ? '' : ` ${more}`}`)
  for (const { term, help } of spec.arguments) command.argument(term, help)
  for (const [each, option] of Object.entries(options))
    command.addOption(optionOf(each, option, { ...option, help: optionHelp(option) }))
  const lines = examples.map(([call, does]) => `  $ colloquy ${call}\n      ${does}\n`)
  command.addHelpText('after', `\nExamples:\n${lines.join('')}`)
}

/** What an option does, and what it takes. */
export function optionHelp({ help, of, required }: DocumentedOption): string {
  return [help, of === undefined ? '' : `: ${of.join(', ')}`, required === true ? ' (required)' : ''].join('')
}

function capitalised(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}
