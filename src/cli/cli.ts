import { ClientError, createClient } from '../client/index.ts'
import { errorText } from '../kernel/index.ts'
import {
  type Actions,
  type CliSettings,
  type Command,
  type Flags,
  type Invocation,
  type Language,
  type Outcome,
  SetupError,
  textFlag,
  UsageError,
} from './command.ts'
import { ALERT_COMMANDS } from './commands/alerts.ts'
import { AUDIT_LOG_COMMANDS } from './commands/audit-log.ts'
import { BUDGET_COMMANDS } from './commands/budgets.ts'
import { INSTALLATION_COMMANDS } from './commands/installation.ts'
import { KEY_COMMANDS } from './commands/keys.ts'
import { MONEY_COMMANDS } from './commands/money.ts'
import { OPERATOR_COMMANDS } from './commands/operators.ts'
import { PEOPLE_COMMANDS } from './commands/people.ts'
import { RATE_COMMANDS } from './commands/rate-limits.ts'
import { REQUEST_COMMANDS } from './commands/requests.ts'
import { TENANT_COMMANDS } from './commands/tenants.ts'
import { USAGE_COMMANDS } from './commands/usage.ts'
import { WEBHOOK_COMMANDS } from './commands/webhooks.ts'
import { EXIT, exitCodeOf } from './exit-code.ts'
import { commandHelp, familyHelp, generalHelp } from './help.ts'
import { findCommand, type Parsed, parseCommand, unknownCommand } from './parse.ts'
import { printable } from './text.ts'

export const COMMANDS: readonly Command[] = [
  ...INSTALLATION_COMMANDS,
  ...TENANT_COMMANDS,
  ...PEOPLE_COMMANDS,
  ...OPERATOR_COMMANDS,
  ...KEY_COMMANDS,
  ...AUDIT_LOG_COMMANDS,
  ...MONEY_COMMANDS,
  ...BUDGET_COMMANDS,
  ...RATE_COMMANDS,
  ...ALERT_COMMANDS,
  ...WEBHOOK_COMMANDS,
  ...REQUEST_COMMANDS,
  ...USAGE_COMMANDS,
]

export interface CliIo {
  /** Data only: what a script reads. */
  readonly out: (text: string) => void
  /** Everything said beside it. */
  readonly err: (text: string) => void
}

export interface CliOptions {
  readonly settings: CliSettings
  readonly actions: Actions
  readonly io: CliIo
}

/** @param argv what follows `forge`. @returns the exit code; never throws */
export async function runCli(argv: readonly string[], options: CliOptions): Promise<number> {
  const json = argv.includes('--json')
  try {
    const words = argv.filter((word) => word !== '--json')
    if (isHelp(words)) return showHelp(words, options.io, json)
    const command = findCommand(COMMANDS, words)
    if (command === null && words.length <= 2 && words.slice(1).every(isHelpFlag))
      return showHelp(['help', ...words.slice(0, 1)], options.io, json)
    if (command === null) throw unknownCommand(COMMANDS, words)
    const parsed = parseCommand(command, words.slice(command.words.length))
    if (parsed.flags['help'] === true) return say(options.io, json, help(commandHelp(command)))
    const outcome = await command.run(invocationOf(parsed, options))
    return typeof outcome === 'number' ? outcome : say(options.io, json, outcome)
  } catch (thrown) {
    return complain(thrown, options.io, json)
  }
}

const isHelpFlag = (word: string): boolean => word === '--help' || word === '-h'

function isHelp(words: readonly string[]): boolean {
  const [first] = words
  return first === undefined || first === 'help' || isHelpFlag(first)
}

function help(text: string): Outcome {
  return { value: { help: text }, text }
}

function showHelp(words: readonly string[], io: CliIo, json: boolean): number {
  const asked = words[0] === 'help' ? words.slice(1) : []
  const command = findCommand(COMMANDS, asked)
  if (asked.length > 0 && command === null) {
    const family = COMMANDS.filter((one) => one.words[0] === asked[0])
    if (family.length === 0) throw unknownCommand(COMMANDS, asked)
    return say(io, json, help(familyHelp(family)))
  }
  return say(io, json, help(command === null ? generalHelp(COMMANDS) : commandHelp(command)))
}

function say(io: CliIo, json: boolean, outcome: Outcome): number {
  io.out(json ? `${JSON.stringify(outcome.value)}\n` : `${printable(outcome.text)}\n`)
  for (const note of outcome.notes ?? []) io.err(`${printable(note)}\n`)
  return outcome.exit ?? EXIT.ok
}

/** With --json the failure is the one JSON value, so that a script always has something to read. */
function complain(thrown: unknown, io: CliIo, json: boolean): number {
  const problem = thrown instanceof ClientError ? thrown.problem : null
  const message = errorText(thrown)
  if (json) {
    const code = problem?.code ?? (thrown instanceof ClientError ? thrown.kind : exitName(thrown))
    io.out(`${JSON.stringify({ error: { code, message, ...(problem === null ? {} : { problem }) } })}\n`)
  }
  io.err(`${printable(message)}\n`)
  for (const { field, message: what } of problem?.errors ?? []) io.err(`${printable(`  ${field} ${what}`)}\n`)
  if (problem !== null) io.err(`${printable(`  ${problem.hint} (${problem.code}, ${problem.request_id})`)}\n`)
  if (thrown instanceof UsageError)
    io.err(`See: forge help${thrown.command === null ? '' : ` ${thrown.command.words.join(' ')}`}\n`)
  return exitCodeOf(thrown)
}

function exitName(thrown: unknown): string {
  const code = exitCodeOf(thrown)
  return Object.entries(EXIT).find(([, value]) => value === code)?.[0] ?? 'other'
}

function languageOf(flags: Flags, settings: CliSettings): Language {
  const asked = textFlag(flags, 'lang')
  if (asked === undefined) return settings.language
  if (asked !== 'en' && asked !== 'zh') throw new UsageError('--lang must be en or zh')
  return asked
}

function invocationOf({ args, flags }: Parsed, { settings, actions }: CliOptions): Invocation {
  const { json: _, url, token, lang: __, help: ___, ...own } = flags
  return {
    args,
    flags: own,
    language: languageOf(flags, settings),
    settings,
    actions,
    async client() {
      const given = typeof token === 'string' ? token : await settings.operatorToken()
      if (given === null)
        throw new SetupError(
          'There is no operator token: give --token, set FORGE_OPERATOR_TOKEN, call this where the data directory is, or name that with FORGE_DATA_DIR.',
        )
      return createClient({ baseUrl: typeof url === 'string' ? url : settings.url, token: given })
    },
  }
}
