import { ClientError } from '../client/index.ts'
import { ERRORS, type ErrorCode } from '../contract/index.ts'
import { SetupError, UsageError } from './command.ts'

/** What a script can tell apart. */
export const EXIT = {
  ok: 0,
  other: 1,
  usage: 2,
  configuration: 3,
  funds: 4,
  upstream: 5,
  integrity: 6,
} as const

const BY_CODE: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_parameter: EXIT.usage,
  unsupported_parameter: EXIT.usage,
  invalid_json: EXIT.usage,
  invalid_api_key: EXIT.configuration,
  forbidden: EXIT.configuration,
  insufficient_balance: EXIT.funds,
  balance_held: EXIT.funds,
  budget_exceeded: EXIT.funds,
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

function ofCode(code: string): number {
  if (!isErrorCode(code)) return EXIT.other
  return BY_CODE[code] ?? (ERRORS[code].owner === 'upstream' ? EXIT.upstream : EXIT.other)
}

export function exitCodeOf(thrown: unknown): number {
  if (thrown instanceof UsageError) return EXIT.usage
  if (thrown instanceof SetupError) return EXIT.configuration
  if (thrown instanceof ClientError && thrown.problem !== null) return ofCode(thrown.problem.code)
  return EXIT.other
}
