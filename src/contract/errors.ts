import type { ReceiptLimit } from './receipt.ts'

/**
 * Every error a caller can meet. `owner` says who can end it: the client (the request), the project (its keys and
 * money), the upstream, or the platform (this installation). `retry` says whether the same request may succeed later.
 * docs/errors.md is checked against this table.
 */

export type ErrorOwner = 'client' | 'project' | 'upstream' | 'platform'

export interface ErrorEntry {
  readonly status: number
  readonly owner: ErrorOwner
  readonly title: string
  /** What to do next, for the person who meets it. */
  readonly hint: string
  readonly retry: boolean
}

export const ERRORS = {
  invalid_json: {
    status: 400,
    owner: 'client',
    title: 'The body is not valid JSON',
    hint: 'Send one JSON object, UTF-8 encoded, with content-type application/json.',
    retry: false,
  },
  json_too_deep: {
    status: 400,
    owner: 'client',
    title: 'The JSON is nested too deeply',
    hint: 'Nest at most 64 levels.',
    retry: false,
  },
  invalid_parameter: {
    status: 400,
    owner: 'client',
    title: 'A parameter has a value that cannot be used',
    hint: 'Correct the parameter named in `param`.',
    retry: false,
  },
  unsupported_parameter: {
    status: 400,
    owner: 'client',
    title: 'A parameter is not supported here',
    hint: 'Leave out the parameter named in `param`.',
    retry: false,
  },
  url_not_allowed: {
    status: 400,
    owner: 'client',
    title: 'The address may not be called from here',
    hint: 'Use an https:// address that is reached over the public internet.',
    retry: false,
  },
  upstream_rejected: {
    status: 400,
    owner: 'client',
    title: 'The model provider rejected the request',
    hint: 'Read the message: the provider says what it does not accept.',
    retry: false,
  },
  key_in_url: {
    status: 400,
    owner: 'client',
    title: 'A key stands in the URL',
    hint: 'Send the key as `Authorization: Bearer sk-tf-…`, and replace this one: URLs end up in logs.',
    retry: false,
  },
  invalid_api_key: {
    status: 401,
    owner: 'project',
    title: 'The API key is missing, unknown, revoked or expired',
    hint: 'Send a valid key as `Authorization: Bearer sk-tf-…`.',
    retry: false,
  },
  api_key_paused: {
    status: 403,
    owner: 'project',
    title: 'The API key is paused',
    hint: 'Resume the key, or use another one of the project.',
    retry: false,
  },
  project_paused: {
    status: 403,
    owner: 'project',
    title: 'The project is paused',
    hint: 'Resume the project; its keys are served again at once.',
    retry: false,
  },
  address_not_allowed: {
    status: 403,
    owner: 'project',
    title: 'The API key may not be used from this address',
    hint: 'Call from one of the allowed networks of the key, or widen them.',
    retry: false,
  },
  scope_exceeds_creator: {
    status: 403,
    owner: 'project',
    title: 'Nobody can give more than they have',
    hint: 'Ask an owner of the organization, or give a lesser role.',
    retry: false,
  },
  csrf: {
    status: 403,
    owner: 'client',
    title: 'The request carries a session and comes from another site',
    hint: 'Use the pages of this installation under its own address; programs send an API key or the operator token instead of a cookie.',
    retry: false,
  },
  model_not_allowed: {
    status: 403,
    owner: 'project',
    title: 'The API key may not use this model',
    hint: 'Use a model the key is allowed, or widen the key.',
    retry: false,
  },
  route_not_allowed: {
    status: 403,
    owner: 'project',
    title: 'The API key may not use this route',
    hint: 'Name another route, change the policy of the key, or leave the choice to it.',
    retry: false,
  },
  bucket_not_allowed: {
    status: 403,
    owner: 'project',
    title: 'The API key may not spend from this balance',
    hint: 'Use a route that is paid from another balance, or allow the key this bucket.',
    retry: false,
  },
  charge_limit_exceeded: {
    status: 403,
    owner: 'project',
    title: 'The request may cost more than the API key allows for one request',
    hint: 'Send less input, use a cheaper model, or raise max_charge of the key.',
    retry: false,
  },
  forbidden: {
    status: 403,
    owner: 'project',
    title: 'The credential may not do this',
    hint: 'Use the operator token, or a key of the right project.',
    retry: false,
  },
  model_not_found: {
    status: 404,
    owner: 'client',
    title: 'There is no such model in the catalog',
    hint: 'List the models this key can call with GET /v1/models.',
    retry: false,
  },
  route_not_found: {
    status: 404,
    owner: 'client',
    title: 'The model has no such route',
    hint: 'Leave the route out, or name one of the routes of the model.',
    retry: false,
  },
  not_found: {
    status: 404,
    owner: 'client',
    title: 'There is nothing here',
    hint: 'Check the path and the id.',
    retry: false,
  },
  method_not_allowed: {
    status: 405,
    owner: 'client',
    title: 'The path does not take this method',
    hint: 'Use the method the documentation names.',
    retry: false,
  },
  request_timeout: {
    status: 408,
    owner: 'client',
    title: 'The request body did not arrive in time',
    hint: 'Send the body at once; nothing was charged.',
    retry: true,
  },
  request_in_progress: {
    status: 409,
    owner: 'client',
    title: 'A request with this Idempotency-Key is still running',
    hint: 'Wait for the first request; repeat with the same key and body to get its answer.',
    retry: true,
  },
  conflict: {
    status: 409,
    owner: 'client',
    title: 'The id is already in use for something else',
    hint: 'Choose a new id.',
    retry: false,
  },
  body_too_large: {
    status: 413,
    owner: 'client',
    title: 'The request body is too large',
    hint: 'Send a smaller body.',
    retry: false,
  },
  unsupported_encoding: {
    status: 415,
    owner: 'client',
    title: 'The content encoding is not supported',
    hint: 'Send the body without Content-Encoding.',
    retry: false,
  },
  upgrade_required: {
    status: 426,
    owner: 'client',
    title: 'This connection cannot be upgraded',
    hint: 'Speak HTTP here.',
    retry: false,
  },
  idempotency_key_reused: {
    status: 422,
    owner: 'client',
    title: 'The Idempotency-Key was used with another body',
    hint: 'Use a new key for a new request.',
    retry: false,
  },
  insufficient_balance: {
    status: 402,
    owner: 'project',
    title: 'The balance is spent',
    hint: 'Add money to the bucket named in the message.',
    retry: false,
  },
  balance_held: {
    status: 402,
    owner: 'project',
    title: 'The balance is held by running requests',
    hint: 'Wait until the running requests end, ask for fewer output tokens, or add money.',
    retry: false,
  },
  rate_limit_exceeded: {
    status: 429,
    owner: 'project',
    title: 'Too many requests',
    hint: 'Slow down and retry after the time given.',
    retry: true,
  },
  too_many_failures: {
    status: 429,
    owner: 'client',
    title: 'Too many requests without a valid key came from this address',
    hint: 'Send a valid key; those are served from this address all the while.',
    retry: true,
  },
  too_many_draining: {
    status: 429,
    owner: 'project',
    title: 'Too many answers are under way whose callers have left',
    hint: 'Read answers to their end, or wait a moment.',
    retry: true,
  },
  budget_exceeded: {
    status: 429,
    owner: 'project',
    title: 'A budget is used up',
    hint: 'Raise the budget named in the message, or wait for its reset.',
    retry: false,
  },
  internal_error: {
    status: 500,
    owner: 'platform',
    title: 'Something failed inside the gateway',
    hint: 'Nothing is lost: the receipt tells what was charged. Give the request id to the operator.',
    retry: true,
  },
  upstream_error: {
    status: 502,
    owner: 'upstream',
    title: 'No channel of the route could serve the request',
    hint: 'Try again later, or allow another route.',
    retry: true,
  },
  ledger_unavailable: {
    status: 503,
    owner: 'platform',
    title: 'The ledger cannot be reached, so no request is sent',
    hint: 'Try again in a moment; nothing was charged.',
    retry: true,
  },
  overloaded: {
    status: 503,
    owner: 'platform',
    title: 'The gateway or every channel of the route is overloaded',
    hint: 'Try again in a moment.',
    retry: true,
  },
  upstream_timeout: {
    status: 504,
    owner: 'upstream',
    title: 'No channel of the route answered in time',
    hint: 'Try again later, or allow another route.',
    retry: true,
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof ERRORS

/** A refusal or failure as a value; `message` is for the caller and never carries upstream secrets. */
export interface Fault {
  readonly code: ErrorCode
  readonly message: string
  readonly param?: string
  /** Facts for templates and programs: amounts as decimal strings, counts as numbers. */
  readonly facts?: Readonly<Record<string, string | number | boolean>>
  /** The budget, the largest charge of a key, or the rate limit that refused. */
  readonly limit?: ReceiptLimit
  readonly retryAfterMs?: number
  /** The table may say that a retry helps; this caller has tried for long enough. */
  readonly hopeless?: true
}

export function fault(code: ErrorCode, message: string, more: Omit<Fault, 'code' | 'message'> = {}): Fault {
  return { code, message, ...more }
}

/** For the few places where a fault must cross a throw (HTTP handlers of the management API). */
export class FaultError extends Error {
  override name = 'FaultError'
  readonly fault: Fault
  constructor(value: Fault) {
    super(value.message)
    this.fault = value
  }
}
