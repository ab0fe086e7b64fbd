import type { IncomingMessage } from 'node:http'
import type { Exchange, PlannedChannel, RoutePlan } from './types.ts'

/** Response headers that are known before the body. */

const DROPPED_MAX = 2_000
const PLAIN = /^[\x20-\x7e]*$/

/** Header values are ASCII; a public name may be anything. */
function headerText(text: string): string {
  return PLAIN.test(text) ? text : encodeURIComponent(text)
}

/**
 * The caller's headers that a format lets through; null for none. What `Connection` names is meant for this hop alone; a
 * value that is no plain text could be read differently behind us.
 */
export function headersGoingOn(
  req: IncomingMessage,
  names: readonly string[],
): Readonly<Record<string, string>> | null {
  let headers: Record<string, string> | null = null
  for (const name of names) {
    const value = req.headers[name]
    if (typeof value !== 'string' || value === '' || !PLAIN.test(value)) continue
    const hop = req.headers.connection?.toLowerCase().split(',') ?? []
    if (hop.some((named) => named.trim() === name)) continue
    headers ??= {}
    headers[name] = value
  }
  return headers
}

/** All that a channel is sent, as undici takes it: name, value, name, value. */
export function upstreamHeaders(
  headers: Readonly<Record<string, string>>,
  streamed: boolean,
): readonly string[] {
  return Object.entries({
    'content-type': 'application/json',
    accept: streamed ? 'text/event-stream' : 'application/json',
    'accept-encoding': 'identity',
    'user-agent': 'tokens-forge',
    ...headers,
  }).flat()
}

/** Response headers as node:http takes them, name, value, name, value: one list and no object that is copied to another. */
export type HeaderList = string[]

export function headersOf(list: HeaderList): Record<string, string> {
  const headers: Record<string, string> = {}
  for (let at = 0; at < list.length; at += 2) headers[list[at] ?? ''] = list[at + 1] ?? ''
  return headers
}

/** Names what a translation could not carry; a long list ends in dots, the receipt has it whole. */
export function addDropped(list: HeaderList, dropped: readonly string[]): void {
  if (dropped.length === 0) return
  const text = headerText(dropped.join(', '))
  list.push('x-tf-dropped', text.length > DROPPED_MAX ? `${text.slice(0, DROPPED_MAX)}...` : text)
}

/**
 * @param attempt the how-manieth
 * @param lowered the output limit that was sent instead of the caller's; null when it was left alone
 */
export function routeHeaders(
  { publicId }: Exchange,
  { route }: RoutePlan,
  { target }: PlannedChannel,
  attempt: number,
  lowered: number | null,
): HeaderList {
  const list = [
    'x-request-id',
    publicId,
    'request-id',
    publicId,
    'x-tf-route',
    route.name,
    'x-tf-bucket',
    route.bucket.id,
    'x-tf-channel',
    headerText(target.channel.publicName),
    'x-tf-attempts',
    String(attempt),
  ]
  if (lowered !== null) list.push('x-tf-max-output-tokens', String(lowered))
  return list
}
