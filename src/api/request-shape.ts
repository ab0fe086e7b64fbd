import type { IncomingMessage } from 'node:http'

/**
 * Requests that Node lets through although two readers could understand them differently: which host, which
 * credential, which path. A proxy in front might have judged by the other reading, so they are refused.
 */

/** Sent twice, Node keeps the first of some of these and joins others. */
const ONCE = new Set(['host', 'authorization', 'x-api-key', 'x-goog-api-key'])
const LENGTHS = new Set([...ONCE].map((name) => name.length))
const HOST = /^[A-Za-z0-9._-]*(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::\d{1,5})?$/

/** @returns what is wrong, or null */
export function shapeFault(req: IncomingMessage): string | null {
  const target = req.url ?? ''
  // A first line without a version is read as HTTP/0.9, headers and body and all.
  if (req.httpVersionMajor !== 1) return 'The request must be HTTP/1.1.'
  if (!target.startsWith('/')) return 'The request target must be a path.'
  if (target.startsWith('//')) return 'The path must not begin with two slashes.'
  if (req.headers.host !== undefined && !HOST.test(req.headers.host)) return 'The Host header is malformed.'
  let seen = 0
  const raw = req.rawHeaders
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? ''
    if (!LENGTHS.has(name.length)) continue
    const lower = name.toLowerCase()
    if (!ONCE.has(lower)) continue
    const bit = 1 << lower.length
    if ((seen & bit) !== 0) return `The header ${lower} was sent twice.`
    seen |= bit
  }
  return null
}
