import assert from 'node:assert/strict'
import type { PriceSheet, PriceVersion, Route } from '../../src/catalog/index.ts'
import { routePrice } from '../../src/catalog/price-schema.ts'
import { NumberLiteral } from '../../src/catalog/yaml-tree.ts'
import { charge } from '../../src/gateway/charge.ts'
import { meter } from '../../src/gateway/meter.ts'
import { servedRate } from '../../src/gateway/settle.ts'
import type { Priced, Reading, RoutePlan } from '../../src/gateway/types.ts'
import type { Protocol } from '../../src/protocols/index.ts'
import { hear } from '../protocols/speak.ts'

/** A provider's answer through the pure functions that make a bill of it; no sockets, no ledger. */

/** @param written as in forge.yaml */
export function sheetOf(written: object): PriceSheet {
  // The file's reader keeps numbers as they are written; an object of TypeScript has lost that.
  const asRead = JSON.parse(JSON.stringify(written), (_name, value: unknown) =>
    typeof value === 'number' ? new NumberLiteral(value, String(value)) : value,
  ) as unknown
  const [price] = routePrice.parse(asRead)
  assert.ok(price !== undefined)
  return { ...price.sheet, currency: 'CNY' }
}

let made = 0
function versionOf(written: object): PriceVersion {
  made += 1
  const id = `01990000-0000-7000-8000-${String(made).padStart(12, '0')}`
  return { id, sheet: sheetOf(written), effectiveFromMs: 0 }
}

/** What the gateway reads of an answer; a text that begins with `{` is a whole one. */
export function readingOf(protocol: Protocol, text: string): Reading {
  const bytesRead = Buffer.byteLength(text)
  if (text.trimStart().startsWith('{')) {
    const read = protocol.readAnswer(text)
    assert.ok(read.ok, 'the answer can be read')
    const { usage, servedModel, serviceTier, hasOutput, tokensEstimated } = read.answer
    return {
      status: 200,
      usage: protocol.readUsage(usage),
      usageWhole: true,
      rawUsage: usage ?? null,
      servedModel,
      serviceTier,
      hasOutput,
      unbilled: read.answer.unbilled === true,
      bytesRead,
      tokensEstimated,
    }
  }
  const { state } = hear(protocol, Buffer.from(text))
  const usageWhole = state.usageSeen && (state.finishSeen || state.usageAtBytes >= bytesRead)
  return {
    status: 200,
    usage: protocol.readUsage(state.usage),
    usageWhole,
    rawUsage: state.usage ?? null,
    servedModel: state.servedModel,
    serviceTier: state.serviceTier,
    hasOutput: state.delivered.events > 0,
    unbilled: state.unbilled === true,
    bytesRead: usageWhole ? state.usageAtBytes : bytesRead,
    tokensEstimated: Math.ceil(state.delivered.tokens),
  }
}

export interface BillInput {
  readonly reading: Reading
  readonly price: object
  readonly prices?: Readonly<Record<string, object>>
  readonly inputTokensEstimated?: () => number
  readonly atMs?: number
}

const NOON_MS = Date.parse('2026-11-24T12:00:00Z')

/** Bounds far above any answer here: what they do is tested with the gateway. */
export function billOf(input: BillInput): Priced {
  const { reading, prices = {} } = input
  const bounds = {
    inputTokensMax: 10_000_000,
    outputTokensMax: 1_000_000,
    inputTokensEstimated: input.inputTokensEstimated ?? (() => 0),
  }
  const price = versionOf(input.price)
  const route: Route = {
    name: 'ordinary',
    type: 'ordinary',
    bucket: { id: 'rmb', currency: 'CNY', name: 'RMB wallet' },
    prices: [price],
    channels: [],
    holdWindowTokens: null,
  }
  const plan: RoutePlan = { route, price, channels: [], reason: 'policy' }
  return charge(meter({ kind: 'attempt', outcome: { kind: 'served', reading } }, bounds), {
    plan,
    admittedAtMs: input.atMs ?? NOON_MS,
    served: servedRate(reading),
    referencePrice: null,
    priceOf: (model) => {
      const written = prices[model]
      return written === undefined ? null : versionOf(written)
    },
  })
}
