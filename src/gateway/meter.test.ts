import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UsageResult } from '../protocols/index.ts'
import { type MeterBounds, meter } from './meter.ts'
import type { Ending, Reading } from './types.ts'

const BOUNDS: MeterBounds = {
  inputTokensMax: 1_000,
  outputTokensMax: 500,
  inputTokensEstimated: () => 100,
}

function ending(usage: UsageResult, tokenFactor: number, more: Partial<Reading> = {}): Ending {
  const reading: Reading = {
    status: 200,
    usage,
    usageWhole: true,
    rawUsage: null,
    servedModel: null,
    serviceTier: null,
    hasOutput: true,
    unbilled: false,
    bytesRead: 10_000,
    tokensEstimated: 51,
    ...more,
  }
  return { kind: 'attempt', outcome: { kind: 'served', reading }, tokenFactor }
}

const reported = (input: number, output: number): UsageResult => ({
  kind: 'reported',
  usage: { counts: { input, output }, reasoning: null, calls: {}, others: [], exact: true, flags: [] },
})

test('what nobody reported is counted in tokens of the model that was asked, and says that it is an estimate', () => {
  for (const kind of ['missing', 'invalid'] as const) {
    const { usage, settlement } = meter(ending({ kind }, 1.4), BOUNDS)
    assert.deepEqual(usage?.counts, { input: 140, output: 72 })
    assert.equal(usage?.source, 'estimated')
    assert.equal(settlement, 'completed_estimated')
  }
})

test('no factor lifts an estimate above what the request allows', () => {
  const bounds = { ...BOUNDS, inputTokensMax: 120, outputTokensMax: 60 }
  assert.deepEqual(meter(ending({ kind: 'missing' }, 1.4), bounds).usage?.counts, { input: 120, output: 60 })
})

test('output that came after the usage is counted in the model’s tokens; what was reported whole is left alone', () => {
  const early = meter(ending(reported(30, 1), 1.4, { usageWhole: false }), BOUNDS).usage
  assert.equal(early?.counts.output, 72)
  assert.equal(early?.source, 'derived')
  const whole = meter(ending(reported(30, 9), 1.4), BOUNDS).usage
  assert.equal(whole?.counts.output, 9)
  assert.equal(whole?.source, 'reported')
})
