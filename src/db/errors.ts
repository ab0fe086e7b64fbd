/**
 * What a database error means to a caller. Three answers matter: try the same work again (`isRetryable`), the outcome
 * is unknown and must be re-read or re-sent with the same ids (`isConnectionLoss`), or a rule was broken (`sqlState`).
 */

/** Shutdown, crash, start-up, idle cut-offs, and a server that is full: the connection is gone or was never made. */
const LOST_STATES = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '25P04', '53300'])

const LOST_SOCKET = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])

/** The driver's own sentences: it gives these no code. */
const LOST_MESSAGE =
  /^(?:Connection terminated|Query read timeout|timeout exceeded when trying to connect|timeout expired|Client has encountered a connection error|Client was closed)/

const RETRYABLE_STATES = new Set(['40001', '40P01'])

function property(thrown: unknown, name: 'code' | 'syscall' | 'constraint' | 'message'): string {
  if (typeof thrown !== 'object' || thrown === null) return ''
  const value: unknown = Reflect.get(thrown, name)
  return typeof value === 'string' ? value : ''
}

/** The five-character SQLSTATE of a server error, or null for anything else. */
export function sqlState(thrown: unknown): string | null {
  const code = property(thrown, 'code')
  return /^[0-9A-Z]{5}$/.test(code) ? code : null
}

/**
 * True when the server may or may not have done the work: a lost connection, a server going down or coming up, or our
 * own time-out (the server still finishes what the driver gave up waiting for).
 */
export function isConnectionLoss(thrown: unknown): boolean {
  const code = property(thrown, 'code')
  if (LOST_STATES.has(code) || LOST_SOCKET.has(code)) return true
  if (/^08[0-9A-Z]{3}$/.test(code)) return true
  // Only a socket's ENOENT: that of a missing file would be retried for ever.
  if (code === 'ENOENT' && property(thrown, 'syscall') === 'connect') return true
  return code === '' && LOST_MESSAGE.test(property(thrown, 'message'))
}

/** True when the server gave a statement up because it took longer than it may; nothing was done. */
export function isStatementTimeout(thrown: unknown): boolean {
  return property(thrown, 'code') === '57014'
}

/** True for a serialization failure or a deadlock: nothing was done, the same work may succeed. */
export function isRetryable(thrown: unknown): boolean {
  return RETRYABLE_STATES.has(property(thrown, 'code'))
}

/** True when a row of that key exists; `constraint` narrows it to one index. */
export function isUniqueViolation(thrown: unknown, constraint?: string): boolean {
  if (property(thrown, 'code') !== '23505') return false
  return constraint === undefined || property(thrown, 'constraint') === constraint
}
