import type { IncomingMessage } from 'node:http'
import type { Exchange, PlannedChannel, RoutePlan } from './types.ts'

/** Response headers that are known before the body. */

export interface RouteHeadersInput {
  readonly exchange: Exchange
  readonly plan: RoutePlan
  readonly channel: PlannedChannel
  readonly attempt: number
  /** The output limit that was sent instead of the caller's; null when it was left alone. */
  readonly lowered: number | null
  readonly dropped: readonly string[]
}

const DROPPED_MAX = 2_000
const PLAIN = /^[\x20-\x7e]*$/

/** Header values are ASCII; a public name may be anything. */
function headerText(text: string): string {
  return PLAIN.test(text) ? text : encodeURIComponent(text)
}

/**
 * The caller's headers that a format lets through. What `Connection` names is meant for this hop alone; a value that is no
 * plain text could be read differently behind us.
 */
export function headersGoingOn(req: IncomingMessage, names: readonly string[]): Record<string, string> {
  const hop = req.headers.connection?.toLowerCase().split(',') ?? []
  const forThisHop = new Set(hop.map((name) => name.trim()))
  const headers: Record<string, string> = {}
  for (const name of names) {
    const value = req.headers[name]
    if (typeof value !== 'string' || value === '' || forThisHop.has(name)) continue
    if (PLAIN.test(value)) headers[name] = value
  }
  return headers
}

/** What a translation could not carry; a long list ends in dots, the receipt has it whole. */
export function droppedHeader(dropped: readonly string[]): Readonly<Record<string, string>> {
  if (dropped.length === 0) return {}
  const text = headerText(dropped.join(', '))
  return { 'x-tf-dropped': text.length > DROPPED_MAX ? `${text.slice(0, DROPPED_MAX)}...` : text }
}

export function routeHeaders(input: RouteHeadersInput): Record<string, string> {
  const { exchange, plan, channel } = input
  return {
    'x-request-id': exchange.publicId,
    'request-id': exchange.publicId,
    'x-tf-route': plan.route.name,
    'x-tf-bucket': plan.route.bucket.id,
    'x-tf-channel': headerText(channel.target.channel.publicName),
    'x-tf-attempts': String(input.attempt),
    ...droppedHeader(input.dropped),
    ...(input.lowered === null ? {} : { 'x-tf-max-output-tokens': String(input.lowered) }),
  }
}
