import type { ServerResponse } from 'node:http'
import type { Channel } from '../catalog/index.ts'
import type { Json, JsonObject, Uuid } from '../kernel/index.ts'
import { familyOf, type StreamCut, type WireError } from '../protocols/index.ts'
import type { Allowance } from './allowance.ts'
import { annotation, cutUsage } from './annotation.ts'
import { wireError } from './answer.ts'
import { callUpstream } from './attempt.ts'
import type { CallOptions, CallResult, UpstreamCall, WholeAnswer } from './call.ts'
import { contextOf, createDelivery, type Delivery } from './delivery.ts'
import type { GatewayDeps } from './deps.ts'
import { brokenOff } from './failure.ts'
import { addDropped, type HeaderList, headersOf, routeHeaders } from './headers.ts'
import type { PreparedCall } from './outbound.ts'
import type { Settling } from './settle.ts'
import { translateResult } from './translate-answer.ts'
import type { Held, PlannedChannel, Reading } from './types.ts'
import type { Upstream } from './upstream.ts'

function distinct(names: readonly string[]): readonly string[] {
  return names.length < 2 ? names : [...new Set(names)]
}

/** One channel asked for one request: what goes to the caller, and how far it may go. */
export class RouteCall implements CallOptions {
  readonly deps: GatewayDeps
  readonly upstream: Upstream
  /** Tokens of the model that is asked for each token of our own count. */
  readonly tokenFactor: number
  prepared: PreparedCall
  /** What could not be carried, either way. */
  dropped: readonly string[]
  private readonly held: Held
  private readonly allowance: Allowance
  private readonly planned: PlannedChannel
  private readonly attempt: number
  /** What was sent, where it must be stored. */
  private readonly kept: Buffer[] | null
  private streamType = 'text/event-stream'
  private call: UpstreamCall | null = null

  constructor(
    deps: GatewayDeps,
    { held, allowance }: { readonly held: Held; readonly allowance: Allowance },
    planned: PlannedChannel,
    prepared: PreparedCall,
    attempt: number,
    keeps: boolean,
  ) {
    this.deps = deps
    this.held = held
    this.allowance = allowance
    this.planned = planned
    this.prepared = prepared
    this.dropped = distinct(prepared.dropped)
    this.attempt = attempt
    this.upstream = deps.upstreams.of(planned.target.channel)
    this.tokenFactor = familyOf(planned.target.upstreamModel).factor
    this.kept = keeps ? [] : null
  }

  private get inbound() {
    return this.held.planned.admitted.inbound
  }

  get channel(): Channel {
    return this.planned.target.channel
  }

  get streamed(): boolean {
    return this.inbound.facts.stream
  }

  get orgId(): Uuid {
    return this.inbound.key.orgId
  }

  get res(): ServerResponse {
    return this.inbound.exchange.res
  }

  // ---- the call -----------------------------------------------------------------------------------------------------

  /** @returns what {@link ended} takes; never rejects */
  start(): Promise<CallResult> {
    const call = callUpstream(this)
    this.call = call
    this.deps.calls.add(call)
    return call.result
  }

  ended(result: CallResult): CallResult {
    if (this.call !== null) this.deps.calls.delete(this.call)
    const { protocol } = this.prepared
    if (protocol.name === this.inbound.exchange.call.protocol.name) return result
    const translated = translateResult(this.inbound, protocol, result, (reading) => this.annotate(reading))
    if (translated.dropped.length > 0) this.dropped = distinct([...this.dropped, ...translated.dropped])
    return translated.result
  }

  delivered(): number {
    return this.call?.delivered() ?? 0
  }

  // ---- what the call asks ---------------------------------------------------------------------------------------------

  deliver(annotate: (usage: Json) => JsonObject | null): Delivery {
    const { exchange, facts } = this.inbound
    return createDelivery({
      caller: exchange.call.protocol,
      upstream: this.prepared.protocol,
      facts,
      frame: exchange.call.path !== null && !exchange.call.path.sse ? 'array' : 'sse',
      context: contextOf(this.inbound),
      annotate,
    })
  }

  beginStream(contentType: string): void {
    this.deps.counters.streams++
    this.streamType = contentType
    this.res.writeHead(200, this.streamHead())
  }

  annotate(reading: Reading): JsonObject {
    const { held, allowance } = this
    return annotation(held.planned, held.plan, held, allowance.amountNano, reading, this.tokenFactor)
  }

  mayGoOn(tokens: number, events: number): boolean | Promise<boolean> {
    return this.allowance.mayGoOn(tokens * this.tokenFactor, events)
  }

  cutUsage(reading: Reading): StreamCut['usage'] {
    return cutUsage(this.held.planned, this.held, reading, this.tokenFactor, this.annotate(reading))
  }

  streamFault(timeout: boolean): WireError {
    return wireError(brokenOff(timeout), this.inbound.exchange, true)
  }

  forwarded(bytes: Buffer): void {
    this.kept?.push(bytes)
  }

  // ---- what the caller is sent ----------------------------------------------------------------------------------------

  private head(): HeaderList {
    const { held } = this
    const lowered = held.lowered ? held.sentLimit : null
    return routeHeaders(this.inbound.exchange, held.plan, this.planned, this.attempt, lowered)
  }

  private streamHead(): HeaderList {
    const list = this.head()
    addDropped(list, this.prepared.dropped)
    list.push('content-type', this.streamType, 'cache-control', 'no-cache')
    return list
  }

  answerHead(answer: WholeAnswer, settling: Settling): HeaderList {
    const list = this.head()
    addDropped(list, this.dropped)
    list.push(
      'x-tf-charge',
      settling.priced.charge?.total ?? '0',
      'x-tf-currency',
      this.held.plan.route.bucket.currency,
      'content-type',
      answer.contentType,
      'content-length',
      String(answer.bytes.length),
    )
    return list
  }

  /** Of a request that failed after this call. */
  failedHead(attempts: number): Record<string, string> {
    const list = this.head()
    addDropped(list, this.dropped)
    return { ...headersOf(list), 'x-tf-attempts': String(attempts) }
  }

  /** The stream as far as it went, for a repeat. */
  storedStream(): { readonly headers: Record<string, string>; readonly body: Buffer } {
    return { headers: headersOf(this.streamHead()), body: Buffer.concat(this.kept ?? []) }
  }
}
