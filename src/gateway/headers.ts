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

/** Header values are ASCII; a public name may be anything. */
function headerText(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : encodeURIComponent(text)
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
