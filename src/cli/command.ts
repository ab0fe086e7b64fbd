import type { ParseArgsOptionsConfig } from 'node:util'
import type { Client } from '../client/index.ts'
import type { Uuid } from '../kernel/index.ts'

/** A command declares how it is called; parsing, help and the checks of its arguments are made of that. */

export type Language = 'en' | 'zh'
export type Flags = Readonly<Record<string, string | boolean | undefined>>

/** What a command found. `value` is printed with --json, `text` without; `notes` go to stderr either way. */
export interface Outcome {
  readonly value: unknown
  readonly text: string
  readonly notes?: readonly string[]
  readonly exit?: number
}

/** Done by the composition root, which alone may construct: a number is an exit code with nothing to print. */
export type Action = (flags: Flags) => Promise<Outcome | number>

export interface Actions {
  readonly start: Action
  readonly migrate: Action
  readonly configCheck: Action
  readonly doctor: Action
}

export interface CliSettings {
  /** Of the server, where no --url is given. */
  readonly url: string
  /** Null when this installation has none yet. */
  operatorToken(): Promise<string | null>
  readonly language: Language
  readonly version: string
  readonly newId: () => Uuid
}

export interface Invocation {
  readonly args: readonly string[]
  readonly flags: Flags
  readonly language: Language
  readonly settings: CliSettings
  readonly actions: Actions
  /** Made when asked for, since not every command needs a server or a token. */
  client(): Promise<Client>
}

export interface Command {
  /** The words that name it: `['org', 'create']`. */
  readonly words: readonly string[]
  readonly summary: string
  /** Names of the arguments after the words, all required. */
  readonly args: readonly string[]
  readonly options: ParseArgsOptionsConfig
  /** Options that must be given. */
  readonly required?: readonly string[]
  /** One line each for the help. */
  readonly explain: Readonly<Record<string, string>>
  readonly example: string
  run(invocation: Invocation): Promise<Outcome | number>
}

/** Called wrongly: exit 2, with the help of the command at hand. */
export class UsageError extends Error {
  override name = 'UsageError'
  readonly command: Command | null
  constructor(message: string, command: Command | null = null) {
    super(message)
    this.command = command
  }
}

/** Something that must be set up first: exit 3. */
export class SetupError extends Error {
  override name = 'SetupError'
}

export function textFlag(flags: Flags, name: string): string | undefined {
  const value = flags[name]
  return typeof value === 'string' ? value : undefined
}

/** For options that are required: the parser has seen to it. */
export function givenFlag(flags: Flags, name: string): string {
  const value = textFlag(flags, name)
  if (value === undefined) throw new UsageError(`--${name} is missing`)
  return value
}

export function listFlag(flags: Flags, name: string): string[] | undefined {
  const items = textFlag(flags, name)
    ?.split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
  if (items?.length === 0) throw new UsageError(`--${name} needs at least one name`)
  return items
}

/** @param given what stands in the flag, if anything does */
export function oneOf<T extends string>(
  flag: string,
  known: readonly T[],
  given: string | undefined,
): T | undefined {
  const found = known.find((one) => one === given)
  if (given !== undefined && found === undefined)
    throw new UsageError(`--${flag} must be one of ${known.join(', ')}`)
  return found
}
