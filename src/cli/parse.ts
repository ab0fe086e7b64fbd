import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { errorText } from '../kernel/index.ts'
import { type Command, type Flags, UsageError } from './command.ts'
import { callOf } from './help.ts'
import { nearestWord } from './nearest.ts'

/** From words to a command and its arguments. Whatever is not understood is refused, with what was probably meant. */

const COMMON_OPTIONS = {
  json: { type: 'boolean' },
  url: { type: 'string' },
  token: { type: 'string' },
  lang: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsOptionsConfig

export interface Parsed {
  readonly command: Command
  readonly args: readonly string[]
  readonly flags: Flags
}

function meant(word: string, known: readonly string[]): string {
  const candidate = nearestWord(word, known)
  return candidate === null ? '' : `; did you mean ${candidate}?`
}

/** The command with the most words that the arguments begin with: `receipt list` before `receipt`. */
export function findCommand(commands: readonly Command[], words: readonly string[]): Command | null {
  const fitting = commands.filter((command) => command.words.every((word, i) => words[i] === word))
  return fitting.reduce<Command | null>(
    (best, command) => (best === null || command.words.length > best.words.length ? command : best),
    null,
  )
}

export function unknownCommand(commands: readonly Command[], words: readonly string[]): UsageError {
  const names = commands.map((command) => command.words.join(' '))
  const asked = words.slice(0, 2).join(' ')
  return new UsageError(
    `There is no command "${asked}"${meant(asked, names) || meant(words[0] ?? '', names)}`,
  )
}

function parseFlags(command: Command, argv: readonly string[]) {
  const options = { ...command.options, ...COMMON_OPTIONS }
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true })
  } catch (thrown) {
    const unknown = /^Unknown option '--?([^']+)'/.exec(errorText(thrown))?.[1]
    const message =
      unknown === undefined
        ? errorText(thrown)
        : `There is no option --${unknown}${meant(
            `--${unknown}`,
            Object.keys(options).map((name) => `--${name}`),
          )}`
    throw new UsageError(message, command)
  }
}

/** @param argv what follows the command's words */
export function parseCommand(command: Command, argv: readonly string[]): Parsed {
  const { values, positionals } = parseFlags(command, argv)
  const flags: Flags = { ...values } as Flags
  if (flags['help'] === true) return { command, args: positionals, flags }
  for (const name of command.required ?? [])
    if (flags[name] === undefined) throw new UsageError(`--${name} is missing: ${callOf(command)}`, command)
  if (positionals.length !== command.args.length) {
    const wanted = command.args.length === 0 ? 'no argument' : command.args.join(' ')
    throw new UsageError(`${callOf(command)} takes ${wanted}, ${positionals.length} given`, command)
  }
  return { command, args: positionals, flags }
}
