import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NeutralMessage, NeutralReasoning, NeutralRequest } from '../neutral.ts'
import { planThinking } from './encode-thinking.ts'
import { effortOfBudget, traitsOf } from './models.ts'
import { Notes } from './notes.ts'

const PLAIN: NeutralRequest = {
  system: [],
  messages: [],
  tools: [],
  toolChoice: null,
  parallelTools: null,
  maxOutputTokens: null,
  temperature: null,
  topP: null,
  topK: null,
  stop: [],
  seed: null,
  presencePenalty: null,
  frequencyPenalty: null,
  choices: 1,
  logprobs: null,
  format: { kind: 'text' },
  reasoning: null,
  user: null,
  serviceTier: null,
  dropped: [],
}

/** What is sent, and what is listed. */
function plan(
  model: string,
  reasoning: Partial<NeutralReasoning>,
  maxTokens = 100_000,
  request: Partial<NeutralRequest> = {},
) {
  const notes = new Notes()
  const whole = { effort: null, budgetTokens: null, visible: null, ...reasoning }
  const { thinking, effort } = planThinking(
    { ...PLAIN, ...request, reasoning: whole },
    traitsOf(model),
    maxTokens,
    notes,
  )
  return [thinking, effort, notes.dropped]
}

const enabled = (budget: number) => ({ type: 'enabled', budget_tokens: budget })

describe('models that know budgets', () => {
  test('an effort is a budget of the table', () => {
    const efforts = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const
    const budgets = [1024, 2048, 8192, 16_384, 32_768, 65_536]
    for (const [index, effort] of efforts.entries())
      assert.deepEqual(plan('claude-sonnet-4-5', { effort }), [enabled(budgets[index] ?? 0), null, []])
  })
  test('a budget of the caller stays, within what the provider takes', () => {
    assert.deepEqual(plan('claude-3-7-sonnet-20250219', { budgetTokens: 5000 }), [enabled(5000), null, []])
    assert.deepEqual(plan('claude-sonnet-4-5', { budgetTokens: 100 }), [
      enabled(1024),
      null,
      ['reasoning.budget_tokens'],
    ])
    assert.deepEqual(plan('claude-sonnet-4-5', { budgetTokens: 5000 }, 4000), [
      enabled(3999),
      null,
      ['reasoning.budget_tokens'],
    ])
  })
  test('a budget that was worked out leaves room for the answer; a limit without room leaves no thinking', () => {
    assert.deepEqual(plan('claude-sonnet-4-5', { effort: 'high' }, 10_000), [enabled(8000), null, []])
    assert.deepEqual(plan('claude-sonnet-4-5', { effort: 'high' }, 1200), [null, null, ['reasoning']])
  })
  test('none and a budget of 0 are no thinking', () => {
    assert.deepEqual(plan('claude-sonnet-4-5', { effort: 'none' }), [null, null, []])
    assert.deepEqual(plan('claude-sonnet-4-5', { budgetTokens: 0 }), [null, null, []])
  })
  test('servers of other models take budgets; models before thinking none', () => {
    assert.deepEqual(plan('deepseek-chat', { effort: 'low', visible: true }), [enabled(2048), null, []])
    assert.deepEqual(plan('claude-3-5-haiku-20241022', { effort: 'low' }), [null, null, ['reasoning']])
  })
  test('what is shown is said where it can be', () => {
    assert.deepEqual(plan('claude-haiku-4-5', { budgetTokens: 2000, visible: false }), [
      { ...enabled(2000), display: 'omitted' },
      null,
      [],
    ])
    assert.deepEqual(plan('claude-opus-4-1', { budgetTokens: 2000, visible: false }), [
      enabled(2000),
      null,
      [],
    ])
  })
  test('a forced call goes before thinking; so does a tool loop whose thinking is not here', () => {
    const forced = { toolChoice: { kind: 'required' as const } }
    assert.deepEqual(plan('claude-sonnet-4-5', { effort: 'low' }, 9000, forced), [null, null, ['reasoning']])
    const loop = (sealed: boolean): readonly NeutralMessage[] => [
      { role: 'user', parts: [{ kind: 'text', text: 'Q' }] },
      {
        role: 'assistant',
        parts: [
          ...(sealed ? [{ kind: 'reasoning' as const, text: 'A', signature: 's', origin: 'anthropic' }] : []),
          { kind: 'tool_call', id: 'x', name: 'n', arguments: '' },
        ],
      },
      { role: 'user', parts: [{ kind: 'tool_result', id: 'x', name: null, parts: [], isError: false }] },
    ]
    assert.deepEqual(plan('claude-sonnet-4-5', { effort: 'low' }, 9000, { messages: loop(false) }), [
      null,
      null,
      ['reasoning'],
    ])
    assert.deepEqual(plan('claude-sonnet-4-5', { effort: 'low' }, 9000, { messages: loop(true) }), [
      enabled(2048),
      null,
      [],
    ])
    assert.deepEqual(plan('claude-opus-4-8', { effort: 'low' }, 9000, { messages: loop(false) }), [
      { type: 'adaptive' },
      'low',
      [],
    ])
  })
})

describe('models that know efforts', () => {
  test('an effort is sent as it is, or as the next lower one that is known', () => {
    assert.deepEqual(plan('claude-opus-4-8', { effort: 'xhigh' }), [{ type: 'adaptive' }, 'xhigh', []])
    assert.deepEqual(plan('claude-opus-4-6', { effort: 'xhigh' }), [
      { type: 'adaptive' },
      'high',
      ['reasoning.effort'],
    ])
    assert.deepEqual(plan('claude-opus-4-6', { effort: 'max' }), [{ type: 'adaptive' }, 'max', []])
    assert.deepEqual(plan('claude-opus-5', { effort: 'minimal' }), [{ type: 'adaptive' }, 'low', []])
  })
  test('a budget becomes the effort that holds it; 4.6 takes budgets too', () => {
    assert.deepEqual(plan('claude-opus-4-7', { budgetTokens: 9000 }), [
      { type: 'adaptive' },
      'high',
      ['reasoning.budget_tokens'],
    ])
    assert.deepEqual(plan('claude-sonnet-4-6', { budgetTokens: 9000 }), [enabled(9000), null, []])
    assert.deepEqual([1, 2048, 2049, 20_000, 40_000, 900_000].map(effortOfBudget), [
      'low',
      'low',
      'medium',
      'xhigh',
      'max',
      'max',
    ])
  })
  test('a forced call keeps the effort and drops the thinking', () => {
    const forced = { toolChoice: { kind: 'tool' as const, name: 't' } }
    assert.deepEqual(plan('claude-opus-4-8', { effort: 'high' }, 9000, forced), [
      null,
      'high',
      ['reasoning.thinking'],
    ])
  })
  test('no thinking: left out, said, or the least there is', () => {
    const none = { effort: 'none' as const }
    assert.deepEqual(plan('claude-opus-4-8', none), [null, null, []])
    for (const model of ['claude-opus-5', 'claude-sonnet-5', 'claude-haiku-5-5'])
      assert.deepEqual(plan(model, none), [{ type: 'disabled' }, null, []])
    for (const model of ['claude-fable-5', 'claude-mythos-preview', 'claude-opus-5-5', 'claude-sonnet-5-5'])
      assert.deepEqual(plan(model, none), [null, 'low', ['reasoning.effort']])
  })
})

test('names of all ages and platforms are read', () => {
  const cases: ReadonlyArray<readonly [string, boolean, boolean, boolean]> = [
    ['claude-3-haiku-20240307', false, false, true],
    ['claude-3-7-sonnet-20250219', false, true, true],
    ['claude-opus-4-20250514', false, true, true],
    ['claude-opus-4-5-20251101', false, true, true],
    ['anthropic/claude-opus-4.6', true, true, true],
    ['us.anthropic.claude-opus-4-7-v1:0', true, false, false],
    ['claude-opus-4-8', true, false, false],
    ['claude-fable-5-2', true, false, false],
    ['claude-newest', true, false, false],
    ['glm-5.3', false, true, true],
  ]
  for (const [name, adaptive, budgets, sampling] of cases) {
    const traits = traitsOf(name)
    assert.deepEqual([traits.adaptive, traits.budgets, traits.sampling], [adaptive, budgets, sampling], name)
  }
})
