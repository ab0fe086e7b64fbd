import { ERRORS, type Fault, FaultError, fault, type Problem } from '../contract/index.ts'
import { isConnectionLoss, isStatementTimeout } from '../db/index.ts'
import { errorText, type Log } from '../kernel/index.ts'
import { LedgerOverloaded } from '../ledger/index.ts'
import type { FieldError } from './validate.ts'

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/** RFC 9457, from the one table of errors. */
export function problemOf(value: Fault, requestId: string, errors: readonly FieldError[] = []): Problem {
  const entry = ERRORS[value.code]
  return {
    type: `urn:tokens-forge:error:${value.code}`,
    title: entry.title,
    status: entry.status,
    detail: value.message,
    code: value.code,
    hint: entry.hint,
    request_id: requestId,
    ...(errors.length === 0 ? {} : { errors: [...errors] }),
  }
}

/** A request that is wrong in named places. */
export class InvalidRequest extends FaultError {
  override name = 'InvalidRequest'
  readonly errors: readonly FieldError[]
  constructor(where: string, errors: readonly FieldError[]) {
    const first = errors[0]
    const named = first === undefined || first.field === '' ? where : `${where}: ${first.field}`
    super(fault('invalid_parameter', `${named} ${first?.message ?? 'is not usable'}`))
    this.errors = errors
  }
}

/** The framework's own refusals, by their codes. */
const FRAMEWORK: Readonly<Record<string, Fault>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: fault('invalid_json', 'The body cannot be read as JSON.'),
  FST_ERR_CTP_EMPTY_JSON_BODY: fault('invalid_json', 'The body is empty.'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: fault('invalid_json', 'The body must be application/json.'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: fault('invalid_json', 'The body is not as long as its content-length.'),
  FST_ERR_CTP_BODY_TOO_LARGE: fault('body_too_large', 'The body is larger than this operation takes.'),
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
}

/** What the caller is told of something thrown. What is not expected is logged, and its text stays here. */
export function faultOf(thrown: unknown, log: Log, requestId: string): Fault {
  if (thrown instanceof FaultError) return thrown.fault
  const framework = FRAMEWORK[codeOf(thrown)]
  if (framework !== undefined) return framework
  // Not logged: how wide a question is, is the asker's to choose.
  if (isStatementTimeout(thrown))
    return fault('overloaded', 'This takes too long to find; ask for a shorter time or fewer rows.')
  if (thrown instanceof SyntaxError) return fault('invalid_json', 'The body cannot be read as JSON.')
  log.error(
    { error: errorText(thrown), stack: thrown instanceof Error ? thrown.stack : null, request: requestId },
    'an API request failed',
  )
  if (thrown instanceof LedgerOverloaded)
    return fault('overloaded', 'Too many operations wait for the ledger.')
  if (isConnectionLoss(thrown)) return fault('ledger_unavailable', 'The database does not answer.')
  return fault('internal_error', 'Something failed inside the gateway.')
}
