import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../../kernel/index.ts'
import { EFFORTS, FINISHES, type NeutralReasoning } from '../neutral.ts'
import { CallIds, isMadeUp } from './call-ids.ts'
import { readFinish, writeFinish } from './finish.ts'
import { Notes } from './notes.ts'
import { jsonSchema } from './schema.ts'
import { readThinking, writeThinking } from './thinking.ts'
import { servedTier, tierWord } from './tier.ts'

function think(reasoning: Partial<NeutralReasoning>, model: string) {
  const notes = new Notes()
  const config = writeThinking(
    { effort: null, budgetTokens: null, visible: null, ...reasoning },
    model,
    notes,
  )
  return { config, dropped: notes.dropped }
}

test('effort is told as each family takes it, and what a model cannot is told', () => {
  const table = (model: string): unknown[] =>
    EFFORTS.map((effort) => Object.values(think({ effort }, model).config)[0])
  assert.deepEqual(table('gemini-2.5-flash'), [0, 512, 1024, 8192, 24576, 24576, 24576])
  assert.deepEqual(table('gemini-2.5-pro'), [128, 512, 1024, 8192, 24576, 32768, 32768])
  assert.deepEqual(table('gemini-3.8-flash'), ['MINIMAL', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH', 'HIGH', 'HIGH'])
  assert.deepEqual(table('gemini-3.1-pro'), ['LOW', 'LOW', 'LOW', 'MEDIUM', 'HIGH', 'HIGH', 'HIGH'])
  assert.deepEqual(
    table('gemini-2.0-flash'),
    EFFORTS.map(() => undefined),
  )
  assert.deepEqual(think({ effort: 'none' }, 'gemini-2.5-pro').dropped, ['reasoning.effort'])
  assert.deepEqual(think({ effort: 'xhigh' }, 'gemini-3.8-flash').dropped, ['reasoning.effort'])
  assert.deepEqual(think({ effort: 'high' }, 'gemini-2.0-flash').dropped, ['reasoning'])
  assert.deepEqual(think({ effort: 'high' }, 'gemini-3.8-flash').dropped, [])
})

test('a budget goes as it is where budgets are taken, and as a level elsewhere', () => {
  assert.deepEqual(think({ budgetTokens: 3000, visible: true }, 'gemini-2.5-flash'), {
    config: { thinkingBudget: 3000, includeThoughts: true },
    dropped: [],
  })
  assert.deepEqual(think({ budgetTokens: 100_000 }, 'gemini-2.5-flash').config, { thinkingBudget: 24576 })
  assert.deepEqual(think({ budgetTokens: 10_000 }, 'gemini-3-flash'), {
    config: { thinkingLevel: 'MEDIUM' },
    dropped: ['reasoning.budget_tokens'],
  })
})

test('thinking that was read is written the same for the family it was meant for', () => {
  const configs: ReadonlyArray<readonly [string, JsonObject]> = [
    ['gemini-2.5-flash', { thinkingBudget: 0 }],
    ['gemini-2.5-flash', { thinkingBudget: 5000, includeThoughts: false }],
    ['gemini-3-flash', { thinkingLevel: 'MINIMAL' }],
    ['gemini-3-flash', { thinkingLevel: 'HIGH', includeThoughts: true }],
    ['gemini-3-flash', { includeThoughts: true }],
  ]
  for (const [model, config] of configs)
    assert.deepEqual(writeThinking(readThinking(config), model, new Notes()), config)
  assert.deepEqual(readThinking({ thinking_budget: -1 }), { effort: null, budgetTokens: null, visible: null })
})

test('every reason to end has its place, and one not known yet keeps its word', () => {
  const known = [
    ['STOP', 'stop'],
    ['MAX_TOKENS', 'length'],
    ['SAFETY', 'content_filter'],
    ['RECITATION', 'content_filter'],
    ['MODEL_ARMOR', 'content_filter'],
    ['PROHIBITED_CONTENT', 'content_filter'],
    ['IMAGE_SAFETY', 'content_filter'],
    ['MALFORMED_FUNCTION_CALL', 'error'],
    ['TOO_MANY_TOOL_CALLS', 'error'],
    ['MALFORMED_RESPONSE', 'error'],
    ['OTHER', 'error'],
    ['CONTINUATION', 'pause'],
    ['SOME_LATER_REASON', 'error'],
  ] as const
  for (const [raw, finish] of known) {
    assert.equal(readFinish(raw, false), finish)
    assert.equal(writeFinish(finish, raw), raw)
  }
  assert.equal(readFinish('STOP', true), 'tool_calls')
  assert.equal(writeFinish('stop', 'end_turn'), 'STOP')
  assert.equal(writeFinish('length', 'max_tokens'), 'MAX_TOKENS')
  assert.equal(
    writeFinish('content_filter', 'STOP'),
    'SAFETY',
    'a word that does not mean it is not repeated',
  )
  for (const finish of FINISHES) assert.match(writeFinish(finish, ''), /^[A-Z_]+$/)
})

test('Google’s schema dialect becomes JSON schema', () => {
  assert.deepEqual(
    jsonSchema({
      type: 'OBJECT',
      propertyOrdering: ['b', 'a'],
      required: ['a'],
      properties: {
        a: { type: 'STRING', nullable: true, enum: ['x'], format: 'enum', minLength: '2' },
        b: { type: 'ARRAY', items: { type: 'INTEGER', format: 'int32' }, max_items: '5', example: [1] },
        c: { any_of: [{ type: 'NUMBER' }, { type: 'BOOLEAN' }], nullable: true },
        d: { type: 'TYPE_UNSPECIFIED', description: 'anything' },
      },
    }),
    {
      type: 'object',
      required: ['a'],
      properties: {
        b: { type: 'array', items: { type: 'integer', format: 'int32' }, maxItems: 5, examples: [[1]] },
        a: { type: ['string', 'null'], enum: ['x', null], minLength: 2 },
        c: { anyOf: [{ type: 'number' }, { type: 'boolean' }, { type: 'null' }] },
        d: { description: 'anything' },
      },
    },
  )
})

test('JSON schema stays as it is, and so do properties that are named like its words', () => {
  const schema: JsonObject = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      type: { type: 'string' },
      nullable: { type: ['string', 'null'] },
      max_items: { type: 'number' },
    },
    additionalProperties: false,
    $defs: { n: { type: 'integer', minimum: 1 } },
  }
  assert.deepEqual(jsonSchema(schema), schema)
})

test('ids of calls are the same for the same source, and unlike for another answer', () => {
  const [one, other, request] = [new CallIds('resp-1'), new CallIds('resp-2'), new CallIds('')]
  assert.deepEqual([one.next('a'), one.next('a')], ['call_resp-1_0', 'call_resp-1_1'])
  assert.notEqual(other.next('a'), 'call_resp-1_0')
  const made = request.next('weird.name:x')
  assert.match(made, /^[a-zA-Z0-9_-]{1,64}$/)
  assert.ok(isMadeUp(made, 'weird.name:x'))
  assert.ok(!isMadeUp('call_abc123', 'tide') && !isMadeUp('call_0_moon', 'tide'))
})

test('tiers have one word each', () => {
  assert.equal(servedTier({ serviceTier: 'priority' }), 'priority')
  assert.equal(servedTier({ trafficType: 'ON_DEMAND_FLEX' }), 'flex')
  assert.equal(servedTier({ trafficType: 'ON_DEMAND' }), 'standard')
  assert.equal(servedTier({ trafficType: 'PROVISIONED_THROUGHPUT' }), 'provisioned')
  assert.equal(servedTier({}), null)
  assert.deepEqual(['default', 'auto', 'flex', 'scale'].map(tierWord), ['standard', null, 'flex', undefined])
})
