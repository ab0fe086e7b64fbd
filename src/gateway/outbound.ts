import type { CatalogModel, Channel, RouteChannel } from '../catalog/index.ts'
import { type Fault, fault } from '../contract/index.ts'
import type { JsonObject } from '../kernel/index.ts'
import type { BodyChange, PlainCall, Platform, PlatformCall, Platforms } from '../platforms/index.ts'
import {
  type DecodeResult,
  type EncodeResult,
  type MemberChange,
  type MemberEdit,
  type NeutralRequest,
  type Protocol,
  rewriteMembers,
  spliceMembers,
} from '../protocols/index.ts'
import { type Aliased, Aliases } from './aliases.ts'
import { headersGoingOn, upstreamHeaders } from './headers.ts'
import type { Inbound } from './types.ts'
import { formatOf } from './wire.ts'

/**
 * The request as one channel gets it: the caller's own bytes with a few members set where both speak one format, else
 * translated. Decoding is done once a request, however many channels are tried.
 */

export interface PreparedCall {
  readonly protocol: Protocol
  /** The cloud that carries it; null for the provider itself. */
  readonly platform: Platform | null
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** All that is sent, where it is the channel's own and nothing of the request: written once a channel. */
  readonly ownHeaders: readonly string[] | null
  readonly body: Buffer
  /** Members of the request that the channel's format cannot carry. */
  readonly dropped: readonly string[]
}

export type Prepared = ({ readonly ok: true } & PreparedCall) | { readonly ok: false; readonly fault: Fault }

const NOTHING: readonly never[] = []

function untranslatable(
  problem: { readonly param: string; readonly problem: string },
  upstream: Protocol,
): Fault {
  return fault(
    'unsupported_parameter',
    `"${problem.param}" ${problem.problem} (this route speaks ${upstream.name}).`,
    { param: problem.param },
  )
}

function shape(platform: Platform, protocol: Protocol, call: PlainCall): PlatformCall | null {
  return platform.shapes[protocol.name]?.(call) ?? null
}

function written(changes: readonly BodyChange[]): MemberChange[] {
  return changes.map(({ name, value }) => ({ name, json: value === null ? null : JSON.stringify(value) }))
}

function changed(body: JsonObject, changes: readonly BodyChange[]): JsonObject {
  if (changes.length === 0) return body
  const members = new Map(Object.entries(body))
  for (const { name, value } of changes) {
    if (value === null) members.delete(name)
    else members.set(name, value)
  }
  return Object.fromEntries(members)
}

interface OwnHeaders {
  readonly headers: Readonly<Record<string, string>>
  readonly whole: readonly string[]
  readonly streamed: readonly string[]
}

/** Channels are replaced whole when they change, so what they are sent holds for as long as they do. */
const ownByChannel = new WeakMap<Channel, Map<string, OwnHeaders>>()

function ownHeaders(channel: Channel, protocol: Protocol): OwnHeaders {
  const byFormat = ownByChannel.get(channel) ?? new Map<string, OwnHeaders>()
  const known = byFormat.get(protocol.name)
  if (known !== undefined) return known
  const headers = protocol.callHeaders(channel.apiKey)
  const [whole, streamed] = [upstreamHeaders(headers, false), upstreamHeaders(headers, true)]
  const own = { headers, whole, streamed }
  ownByChannel.set(channel, byFormat.set(protocol.name, own))
  return own
}

export class Outbound {
  private readonly inbound: Inbound
  private readonly model: CatalogModel
  private readonly platforms: Platforms
  private readonly aliases: Aliases
  private readonly aliased: Aliased
  private decoded: DecodeResult<NeutralRequest> | null = null

  /** @param salt of the names that providers are told (aliases.ts) */
  constructor(inbound: Inbound, model: CatalogModel, platforms: Platforms, salt: Buffer) {
    this.inbound = inbound
    this.model = model
    this.platforms = platforms
    this.aliases = new Aliases(salt, inbound.key.orgId)
    this.aliased = this.aliases.apply(inbound.exchange.call.protocol.name, inbound.body)
  }

  /** Null when the channel can be asked; else why its format cannot express the request. */
  problem(target: RouteChannel): Fault | null {
    const protocol = this.formatOf(target)
    if (protocol === null) return this.unable(target)
    if (protocol.name === this.inbound.exchange.call.protocol.name) return null
    const encoded = this.encode(protocol, target, null, false)
    return encoded.ok ? null : untranslatable(encoded, protocol)
  }

  private formatOf(target: RouteChannel): Protocol | null {
    const protocol = formatOf(target.channel.protocol, this.inbound.exchange.call.operation)
    const shapes = this.platforms.of(target.channel)?.shapes
    return protocol === null || shapes === undefined || shapes[protocol.name] !== undefined ? protocol : null
  }

  private unable(target: RouteChannel): Fault {
    const { operation } = this.inbound.exchange.call
    return fault(
      'unsupported_parameter',
      `The channels of ${this.model.name} (${target.channel.protocol}) cannot ${operation}.`,
      { param: 'model' },
    )
  }

  /** @param limit output tokens to send, or null to leave the caller's own limit in place */
  prepare(target: RouteChannel, limit: number | null, withoutUsage: boolean): Prepared {
    const { facts, bytes, spans, exchange } = this.inbound
    const protocol = this.formatOf(target)
    if (protocol === null) return { ok: false, fault: this.unable(target) }
    const call = {
      upstreamModel: target.upstreamModel,
      stream: facts.stream,
      maxOutputTokens: limit,
      withoutUsage,
    }
    const own = ownHeaders(target.channel, protocol)
    const listed = facts.stream ? own.streamed : own.whole
    const platform = this.platforms.of(target.channel)
    if (protocol.name === exchange.call.protocol.name) {
      // On another format they would mean nothing.
      const goingOn = headersGoingOn(exchange.req, protocol.forwardedHeaders)
      const path = protocol.callPath(call, facts)
      const headers = goingOn === null ? own.headers : { ...own.headers, ...goingOn }
      const edits = this.edits(target, protocol, protocol.passEdits(facts, call))
      const plain = { ...call, path, headers, body: this.aliased.body }
      const shaped = platform === null ? null : shape(platform, protocol, plain)
      if (shaped === null) {
        const ownHeaders = goingOn === null && platform === null ? listed : null
        const body = spliceMembers(bytes, spans, edits)
        return { ok: true, protocol, platform, path, headers, ownHeaders, body, dropped: NOTHING }
      }
      return {
        ok: true,
        protocol,
        platform,
        path: shaped.path,
        headers: shaped.headers,
        ownHeaders: null,
        body: rewriteMembers(bytes, spans, [...edits, ...written(shaped.changes)]),
        dropped: shaped.dropped,
      }
    }
    const encoded = this.encode(protocol, target, limit, withoutUsage)
    if (!encoded.ok) return { ok: false, fault: untranslatable(encoded, protocol) }
    const plain = { path: protocol.callPath(call), headers: own.headers }
    const named = this.named(target, protocol, encoded.body)
    const shaped = platform === null ? null : shape(platform, protocol, { ...call, ...plain, body: named })
    return {
      ok: true,
      protocol,
      platform,
      path: (shaped ?? plain).path,
      headers: (shaped ?? plain).headers,
      ownHeaders: platform === null ? listed : null,
      body: Buffer.from(JSON.stringify(changed(named, shaped?.changes ?? []))),
      dropped: shaped === null ? encoded.dropped : [...encoded.dropped, ...shaped.dropped],
    }
  }

  /** With the cache named, where the channel takes a name and the caller gave none. */
  private named(target: RouteChannel, protocol: Protocol, body: JsonObject): JsonObject {
    return target.channel.namesCaches ? { ...body, ...this.aliases.missing(protocol.name, body) } : body
  }

  /** What is set in the caller's own bytes: for the format, for the caller's names, and the cache's. */
  private edits(
    target: RouteChannel,
    protocol: Protocol,
    edits: readonly MemberEdit[],
  ): readonly MemberEdit[] {
    const { aliased } = this
    const plain = aliased.edits.length === 0 && !target.channel.namesCaches
    if (plain) return edits
    const missing = target.channel.namesCaches ? this.aliases.missing(protocol.name, aliased.body) : {}
    const added = Object.entries(missing).map(([name, value]) => ({ name, json: JSON.stringify(value) }))
    return [...edits, ...aliased.edits, ...added]
  }

  private encode(
    protocol: Protocol,
    target: RouteChannel,
    limit: number | null,
    withoutUsage: boolean,
  ): EncodeResult {
    const { exchange, facts } = this.inbound
    this.decoded ??= exchange.call.protocol.decodeRequest(this.aliased.body, facts)
    if (!this.decoded.ok) return this.decoded
    const encoded = protocol.encodeRequest(this.decoded.value, {
      upstreamModel: target.upstreamModel,
      stream: facts.stream,
      withoutUsage,
      maxOutputTokens: limit,
      modelMaxOutputTokens: this.model.maxOutputTokens,
    })
    if (!encoded.ok) return encoded
    return { ...encoded, dropped: [...new Set([...this.decoded.value.dropped, ...encoded.dropped])] }
  }
}
