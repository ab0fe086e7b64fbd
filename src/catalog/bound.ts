import { assertCount, lineAmount, lineAmountUp, type Nano } from '../kernel/index.ts'
import { mergeRates, type PriceContext, serviceTiersPossible, unitFor } from './price.ts'
import type { PriceSheet, PriceTier, Rates, UnitPrice } from './types.ts'

export interface BoundContext extends PriceContext {
  /** Billable searches the request may make at most; 0 when left out. */
  readonly webSearchCallsMax?: number
}

/** What a request may use at most. */
export interface UsageBound extends BoundContext {
  readonly inputTokensMax: number
  readonly outputTokensMax: number
}

const INPUT = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'input_audio',
  'input_image',
] as const
const OUTPUT = ['output', 'output_audio'] as const

/** The dearest way to use a side of the request, and how many of its lines can be rounded up at all. */
interface Side {
  readonly unit: UnitPrice
  readonly roundedLines: number
}

/** One way the answer may be billed: a tier, a service tier, and the input that reaches no further tier. */
interface Scenario {
  readonly fixedNano: Nano
  readonly output: Side
}

function dearer(a: UnitPrice, b: UnitPrice): UnitPrice {
  return b.pico * a.per > a.pico * b.per ? b : a
}

/** A price that is a whole number of nano a unit never rounds, so its lines need no allowance. */
function rounds(unit: UnitPrice): boolean {
  return unit.pico % (unit.per * 1000n) !== 0n
}

function sideOf(units: readonly UnitPrice[]): Side {
  return { unit: units.reduce(dearer), roundedLines: units.filter(rounds).length }
}

/** Half to even adds at most half a nano a line, so one nano for each line that has tokens covers it. */
function sideNano(side: Side, tokens: number): Nano {
  const amountNano = lineAmountUp(BigInt(tokens), side.unit.pico, side.unit.per)
  return side.roundedLines === 0 ? amountNano : amountNano + BigInt(Math.min(side.roundedLines, tokens))
}

interface Sides {
  readonly input: Side
  readonly output: Side
}

/** Rates are never changed once they are read: most requests are bound by the same few. */
const sidesOf = new WeakMap<Rates, Sides>()

function sides(rates: Rates): Sides {
  const known = sidesOf.get(rates)
  if (known !== undefined) return known
  const made = {
    input: sideOf(INPUT.map((usageClass) => unitFor(rates, usageClass))),
    output: sideOf(OUTPUT.map((usageClass) => unitFor(rates, usageClass))),
  }
  sidesOf.set(rates, made)
  return made
}

function scenarioOf(rates: Rates, inputTokens: number, webSearchCalls: number): Scenario {
  const { request, web_search: search } = rates
  const { input, output } = sides(rates)
  let fixedNano = sideNano(input, inputTokens)
  if (request !== undefined) fixedNano += lineAmount(1n, request.pico, request.per)
  if (search !== undefined) fixedNano += lineAmountUp(BigInt(webSearchCalls), search.pico, search.per)
  return { fixedNano, output }
}

/** Each tier the input may reach, with the largest input that is still billed there. */
function levels(sheet: PriceSheet, inputTokensMax: number): { tier: PriceTier | null; tokens: number }[] {
  if (sheet.tiers.length === 0) return [{ tier: null, tokens: inputTokensMax }]
  const reached = sheet.tiers
    .filter((tier) => tier.aboveInputTokens < inputTokensMax)
    .sort((a, b) => a.aboveInputTokens - b.aboveInputTokens)
  return [null, ...reached].map((tier, i) => ({
    tier,
    tokens: Math.min(inputTokensMax, reached[i]?.aboveInputTokens ?? inputTokensMax),
  }))
}

function scenarios(sheet: PriceSheet, context: BoundContext, inputTokensMax: number): Scenario[] {
  const calls = context.webSearchCallsMax ?? 0
  assertCount(inputTokensMax, 'inputTokensMax')
  assertCount(calls, 'webSearchCallsMax')
  // Nearly every sheet and request: one way to be billed.
  if (sheet.tiers.length === 0 && context.serviceTier === null && (context.geography ?? null) === null)
    return [scenarioOf(mergeRates(sheet, context.admittedAtMs, null, null), inputTokensMax, calls)]
  const services = serviceTiersPossible(sheet, context)
  return levels(sheet, inputTokensMax).flatMap(({ tier, tokens }) =>
    services.map((service) =>
      scenarioOf(mergeRates(sheet, context.admittedAtMs, tier, service), tokens, calls),
    ),
  )
}

/**
 * An amount that {@link priceUsage} never exceeds for any usage with at most these totals, whatever classes the tokens
 * fall into, and whether the provider bills the service tier that was asked for or its default (any, for `auto`). A tier
 * that nobody asked for may cost more. Grows with both totals.
 */
export function boundNano(sheet: PriceSheet, bound: UsageBound): Nano {
  const { outputTokensMax } = bound
  assertCount(outputTokensMax, 'outputTokensMax')
  let mostNano = 0n
  for (const { fixedNano, output } of scenarios(sheet, bound, bound.inputTokensMax)) {
    const amountNano = fixedNano + sideNano(output, outputTokensMax)
    if (amountNano > mostNano) mostNano = amountNano
  }
  return mostNano
}

/** The largest number of tokens whose {@link sideNano} stays within the budget; solved directly, no search. */
function tokensWithin(side: Side, budgetNano: Nano): number {
  if (budgetNano < 0n) return 0
  if (side.unit.pico === 0n) return Number.MAX_SAFE_INTEGER
  const afterRounding = budgetNano - BigInt(side.roundedLines)
  if (afterRounding >= 0n) {
    const tokens = (afterRounding * side.unit.per * 1000n) / side.unit.pico
    if (tokens > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER
    if (tokens >= BigInt(side.roundedLines)) return Number.parseInt(tokens.toString(), 10)
  }
  // Fewer tokens than lines that round: at most one token here, and its allowance is smaller.
  let tokens = Math.max(0, side.roundedLines - 1)
  while (tokens > 0 && sideNano(side, tokens) > budgetNano) tokens -= 1
  return tokens
}

/** The largest `outputTokensMax` whose {@link boundNano} fits into the amount; 0 when not even the input does. */
export function outputTokensAffordable(
  sheet: PriceSheet,
  context: BoundContext,
  inputTokensMax: number,
  amountNano: Nano,
): number {
  return scenarios(sheet, context, inputTokensMax)
    .map((scenario) => tokensWithin(scenario.output, amountNano - scenario.fixedNano))
    .reduce((least, tokens) => Math.min(least, tokens), Number.MAX_SAFE_INTEGER)
}
