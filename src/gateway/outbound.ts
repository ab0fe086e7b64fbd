import type { CatalogModel, RouteChannel } from '../catalog/index.ts'
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
import { headersGoingOn } from './headers.ts'
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
  readonly body: Buffer
  /** Members of the request that the channel's format cannot carry. */
  readonly dropped: readonly string[]
}

export type Prepared = ({ readonly ok: true } & PreparedCall) | { readonly ok: false; readonly fault: Fault }

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

function shape(platform: Platform | null, protocol: Protocol, call: PlainCall): PlatformCall | null {
  return platform?.shapes[protocol.name]?.(call) ?? null
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
    const headers = protocol.callHeaders(target.channel.apiKey)
    const platform = this.platforms.of(target.channel)
    if (protocol.name === exchange.call.protocol.name) {
      const plain = {
        path: protocol.callPath(call, facts),
        // On another format they would mean nothing.
        headers: { ...headers, ...headersGoingOn(exchange.req, protocol.forwardedHeaders) },
      }
      const added = this.added(target, protocol)
      const edits = [...protocol.passEdits(facts, call), ...this.aliased.edits, ...added]
      const shaped = shape(platform, protocol, { ...call, ...plain, body: this.aliased.body })
      const body =
        shaped === null
          ? spliceMembers(bytes, spans, edits)
          : rewriteMembers(bytes, spans, [...edits, ...written(shaped.changes)])
      const { path, headers: sent } = shaped ?? plain
      return { ok: true, protocol, platform, path, headers: sent, body, dropped: shaped?.dropped ?? [] }
    }
    const encoded = this.encode(protocol, target, limit, withoutUsage)
    if (!encoded.ok) return { ok: false, fault: untranslatable(encoded, protocol) }
    const plain = { path: protocol.callPath(call), headers }
    const named = this.named(target, protocol, encoded.body)
    const shaped = shape(platform, protocol, { ...call, ...plain, body: named })
    return {
      ok: true,
      protocol,
      platform,
      path: (shaped ?? plain).path,
      headers: (shaped ?? plain).headers,
      body: Buffer.from(JSON.stringify(changed(named, shaped?.changes ?? []))),
      dropped: [...encoded.dropped, ...(shaped?.dropped ?? [])],
    }
  }

  /** With the cache named, where the channel takes a name and the caller gave none. */
  private named(target: RouteChannel, protocol: Protocol, body: JsonObject): JsonObject {
    return target.channel.namesCaches ? { ...body, ...this.aliases.missing(protocol.name, body) } : body
  }

  private added(target: RouteChannel, protocol: Protocol): MemberEdit[] {
    if (!target.channel.namesCaches) return []
    const missing = Object.entries(this.aliases.missing(protocol.name, this.aliased.body))
    return missing.map(([name, value]) => ({ name, json: JSON.stringify(value) }))
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
