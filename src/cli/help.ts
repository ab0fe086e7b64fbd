import type { Command } from './command.ts'
import { pairs } from './text.ts'

const COMMON: ReadonlyArray<readonly [string, string]> = [
  ['--json', 'print one JSON value on stdout'],
  ['--url URL', 'the server (http://127.0.0.1:8700)'],
  ['--token TOKEN', 'an operator token, or an API key where that is enough'],
  ['--lang en|zh', 'language of receipts'],
  ['--help', 'this'],
]

export function callOf(command: Command): string {
  const required = (command.required ?? []).map((name) => `--${name} …`)
  return ['forge', ...command.words, ...command.args, ...required].join(' ')
}

export function commandHelp(command: Command): string {
  const required = command.required ?? []
  const options = Object.entries(command.options).map(([name, option]): [string, string] => [
    `--${name}${option.type === 'string' ? ' …' : ''}`,
    `${command.explain[name] ?? ''}${required.includes(name) ? ' (required)' : ''}`,
  ])
  return [
    `${callOf(command)}\n  ${command.summary}`,
    options.length === 0 ? '' : `Options\n${pairs(options, '  ')}`,
    `Everywhere\n${pairs(COMMON, '  ')}`,
    `Example\n  ${command.example}`,
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

/** Of commands that begin with the same word. */
export function familyHelp(commands: readonly Command[]): string {
  const rows = commands.map((command): [string, string] => [callOf(command), command.summary])
  return [
    `Commands\n${pairs([...rows, ['forge help COMMAND', 'Shows how a command is called']], '  ')}`,
    `Everywhere\n${pairs(COMMON, '  ')}`,
  ].join('\n\n')
}

export function generalHelp(commands: readonly Command[]): string {
  const rows = commands.map((command): [string, string] => [
    ['forge', ...command.words, ...command.args].join(' '),
    command.summary,
  ])
  return [
    'Tokens Forge: an AI model gateway with a ledger its users can understand.',
    `Commands\n${pairs([...rows, ['forge help COMMAND', 'Shows how a command is called']], '  ')}`,
    `Everywhere\n${pairs(COMMON, '  ')}`,
    'Exit codes\n  0 ok, 1 other, 2 usage, 3 configuration, 4 funds, 5 upstream, 6 integrity',
  ].join('\n\n')
}
