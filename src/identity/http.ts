import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import { isObject, parseJson } from '../kernel/index.ts'

/** Between the server's requests and those of the web standards, which the library takes. */

const BODY_MAX_BYTES = 64 * 1024

export type Body =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly fault: Fault }

/** Reads a small body; what is larger is not read to its end. */
export async function readBody(req: IncomingMessage): Promise<Body> {
  const encoding = req.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity')
    return {
      ok: false,
      fault: fault('unsupported_encoding', 'Bodies are taken without content-encoding only.'),
    }
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > BODY_MAX_BYTES)
      return { ok: false, fault: fault('body_too_large', 'The body is larger than this takes.') }
    chunks.push(chunk)
  }
  return { ok: true, text: Buffer.concat(chunks).toString('utf8') }
}

export type Fields = Readonly<Record<string, unknown>>

export const textOf = (fields: Fields, name: string): string => {
  const value = fields[name]
  return typeof value === 'string' ? value : ''
}

export type Read =
  | { readonly ok: true; readonly fields: Fields }
  | { readonly ok: false; readonly fault: Fault }

const isType = (req: IncomingMessage, type: string): boolean =>
  (req.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() === type

const unreadable = (message: string): Read => ({ ok: false, fault: fault('invalid_json', message) })

/** The fields of a JSON body; of none where there is no body. */
export function jsonFields(req: IncomingMessage, text: string): Read {
  if (text === '') return { ok: true, fields: {} }
  if (!isType(req, 'application/json')) return unreadable('The body must be application/json.')
  const parsed = parseJson(text)
  if (!parsed.ok || !isObject(parsed.value)) return unreadable('The body must be one JSON object.')
  // Fields are looked up and copied by name; a prototype of the sender's choice would answer for those that are not there.
  if (Object.hasOwn(parsed.value, '__proto__')) return unreadable('The body names a prototype.')
  return { ok: true, fields: parsed.value }
}

/** The fields of a form, as pages without scripts send them. */
export function formFields(req: IncomingMessage, text: string): Read {
  if (text !== '' && !isType(req, 'application/x-www-form-urlencoded'))
    return { ok: false, fault: fault('invalid_parameter', 'The body must be a form.') }
  return { ok: true, fields: Object.fromEntries(new URLSearchParams(text)) }
}

/** Of the connection rather than of the request, or said by us. */
const DROPPED = new Set([
  'connection',
  'content-length',
  'content-encoding',
  'transfer-encoding',
  'expect',
  'host',
  'upgrade',
])
const OURS = 'x-forge-'

interface WebRequest {
  readonly url: string
  readonly method: string
  readonly body: string | null
  /** Said by us; a sender's own of these names are dropped. */
  readonly headers: Readonly<Record<string, string>>
}

export function webRequest(req: IncomingMessage, made: WebRequest): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(req.headers))
    if (value !== undefined && !DROPPED.has(name) && !name.startsWith(OURS))
      headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  if (made.body === null) headers.delete('content-type')
  else headers.set('content-type', 'application/json')
  for (const [name, value] of Object.entries(made.headers)) headers.set(name, value)
  return new Request(made.url, {
    method: made.method,
    headers,
    ...(made.body === null ? {} : { body: made.body }),
  })
}

/** A script of the page must not have what its cookie hides from it. */
function withoutTokens(text: string): string {
  const parsed = parseJson(text)
  if (!parsed.ok || !isObject(parsed.value)) return text
  const { token: _token, session, ...rest } = parsed.value
  if (session === undefined) return JSON.stringify(rest)
  if (!isObject(session)) return JSON.stringify({ session, ...rest })
  const { token: _hidden, ...shown } = session
  return JSON.stringify({ session: shown, ...rest })
}

const PASSED_ON = ['content-type', 'location', 'cache-control', 'retry-after']

export function cookiesOf(response: Response): string[] {
  return response.headers.getSetCookie()
}

export async function sendWebResponse(
  res: ServerResponse,
  response: Response,
  status: number,
): Promise<void> {
  for (const name of PASSED_ON) {
    const value = response.headers.get(name)
    if (value !== null) res.setHeader(name, value)
  }
  const cookies = cookiesOf(response)
  if (cookies.length > 0) res.setHeader('set-cookie', cookies)
  const text = await response.text()
  const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json')
  res.statusCode = status
  res.end(isJson ? withoutTokens(text) : text)
}
