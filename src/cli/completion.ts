/**
 * `colloquy completion bash | zsh | fish`: a script that completes commands, options and known values, derived from the table of commands. It starts no process
 * while a person types: after an update, print it again.
 */
import { builtInIds } from '../source/registry.ts'
import { didYouMean, readArgs } from './args.ts'
import { COMMANDS, type CommandArgument, commandSpecs, type DocumentedOption, SHELLS } from './commands.ts'
import { type Io, refuse } from './io.ts'

type Shell = (typeof SHELLS)[number]

export async function completionCommand(argv: string[], io: Pick<Io, 'stdout' | 'log'>): Promise<number> {
  const args = readArgs(argv, COMMANDS.completion.options, COMMANDS.completion.words)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const [word = ''] = args.words
  const shell = SHELLS.find(each => each === word)
  if (shell === undefined) {
    const message = `is not a known shell; there are ${SHELLS.join(', ')}${didYouMean(word, SHELLS)}`
    return refuse(io.log, 'CALL_INVALID', [{ path: word, message }])
  }
  io.stdout(completionScript(shell, builtInIds()))
  return 0
}

/** A command as a completion script needs it. */
interface Completed {
  readonly name: string
  readonly summary: string
  readonly options: readonly { readonly name: string; readonly spec: DocumentedOption }[]
  /** Possible words at a position, if known. */
  readonly words: readonly string[]
}

/** @param classes Ids of connectors. */
export function completionScript(shell: Shell, classes: readonly string[]): string {
  const names = [...commandSpecs.map(([name]) => name), 'help']
  const wordsOf = ({ of }: CommandArgument) => (of === 'classes' ? classes : of === 'commands' ? names : (of ?? []))
  const commands: Completed[] = [
    ...commandSpecs.map(([name, spec]) => ({
      name,
      summary: spec.summary,
      options: Object.entries(spec.options).map(([each, option]) => ({ name: each, spec: option })),
      words: spec.arguments.flatMap(wordsOf),
    })),
    { name: 'help', summary: 'print help, or that of a command', options: [], words: names },
  ]
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](commands)
}

/** bash 3.2 and newer. A value that is a path, or unknown, is left to bash's own completion of files. */
function bashScript(commands: readonly Completed[]): string {
  const words = (items: readonly string[]) => items.map(quoted).join(' ')
  const values = commands.flatMap(({ name, options }) =>
    options.flatMap(({ name: option, spec }) => {
      if (spec.type === 'boolean') return []
      const at = `    ${quoted(`${name} --${option}`)})`
      if (spec.of !== undefined) return [`${at} _colloquy_list ${words(spec.of)}; return ;;`]
      if (spec.value === 'FILE') return [`${at} _colloquy_paths -f; return ;;`]
      if (spec.value === 'DIR') return [`${at} _colloquy_paths -d; return ;;`]
      return [`${at} return ;;`]
    }),
  )
  const here = commands.map(({ name, options, words: spec }) => {
    const all = [...options.map(({ name: option }) => `--${option}`), '--help', ...spec]
    return `    ${quoted(name)}) _colloquy_list ${words(all)} ;;`
  })
  return `# bash completion of colloquy, printed by \`colloquy completion bash\`
_colloquy_list() {
  local prefix='' last=$cur
  # Of a comma list the last item is completed.
  case $cur in *,*) prefix=\${cur%,*},; last=\${cur##*,} ;; esac
  COMPREPLY=($(compgen -P "$prefix" -W "$*" -- "$last"))
}
_colloquy_paths() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$1" -- "$cur"))
}
_colloquy() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command='' i
  COMPREPLY=()
  # bash takes --name=value for three words.
  if [ "$cur" = = ]; then cur=''
  elif [ "$prev" = = ]; then prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      -*) ;;
      *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case "$command $prev" in
${values.join('\n')}
  esac
  case $command in
    '') _colloquy_list ${words([...commands.map(({ name }) => name), '--help', '--version'])} ;;
${here.join('\n')}
  esac
}
complete -F _colloquy colloquy`
}

function zshScript(commands: readonly Completed[]): string {
  const described = (text: string) => text.replaceAll(/[\\[\]:]/g, sign => `\\${sign}`)
  const action = ({ spec }: Completed['options'][number]) => {
    if (spec.of !== undefined) return spec.list === true ? `_sequence compadd - ${spec.of.join(' ')}` : `(${spec.of.join(' ')})`
    if (spec.value === 'FILE') return '_files'
    return spec.value === 'DIR' ? '_files -/' : ' '
  }
  const option = (each: Completed['options'][number]) => {
    const takes = each.spec.type === 'boolean' ? '' : `:${each.spec.value ?? 'VALUE'}:${action(each)}`
    return quoted(`--${each.name}${each.spec.type === 'boolean' ? '' : '='}[${described(each.spec.help)}]${takes}`)
  }
  const cases = commands.map(({ name, options, words }) => {
    const rest = words.length === 0 ? '*: :' : `*: :(${words.join(' ')})`
    return `        ${name}) _arguments ${[...options.map(option), quoted('--help[print help]'), quoted(rest)].join(' ')} ;;`
  })
  return `#compdef colloquy
# zsh completion of colloquy, printed by \`colloquy completion zsh\`
_colloquy() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${described(summary)}`)}`).join('\n')}
  )
  _arguments -C '--help[print help]' '--version[print version and commit]' '1:command:->command' '*::word:->words'
  case $state in
    command) _describe command commands ;;
    words)
      case $words[1] in
${cases.join('\n')}
      esac ;;
  esac
}
if [ "$funcstack[1]" = _colloquy ]; then _colloquy "$@"; else compdef _colloquy colloquy; fi`
}

function fishScript(commands: readonly Completed[]): string {
  const line = (condition: string, ...parts: readonly string[]) =>
    ['complete -c colloquy -n', quoted(condition), ...parts].join(' ')
  const first = '__fish_use_subcommand'
  const lines = commands.flatMap(({ name, summary, options, words }) => {
    const here = `__fish_seen_subcommand_from ${name}`
    return [
      line(first, '-a', name, '-d', quoted(summary)),
      ...options.map(({ name: option, spec }) => line(here, '-l', option, ...fishValue(spec), '-d', quoted(spec.help))),
      line(here, '-l', 'help', '-d', quoted('print help')),
      ...(words.length === 0 ? [] : [line(here, '-a', quoted(words.join(' ')))]),
    ]
  })
  return `# fish completion of colloquy, printed by \`colloquy completion fish\`
complete -c colloquy -f
${line(first, '-l', 'help', '-d', quoted('print help'))}
${line(first, '-l', 'version', '-d', quoted('print version and commit'))}
${lines.join('\n')}`
}

function fishValue({ type, of, list, value }: DocumentedOption): string[] {
  if (type === 'boolean') return []
  if (of !== undefined && list === true) return ['-x', '-a', quoted(`(__fish_append , ${of.join(' ')})`)]
  if (of !== undefined) return ['-x', '-a', quoted(of.join(' '))]
  if (value === 'FILE') return ['-r', '-F']
  return value === 'DIR' ? ['-x', '-a', quoted('(__fish_complete_directories)')] : ['-x']
}

/** In single quotes, as bash and zsh read them; fish does the same except for a backslash, which the table does not contain. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
