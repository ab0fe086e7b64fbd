import assert from 'node:assert/strict'
import { test } from 'node:test'
import { familyOf } from './model-family.ts'

const TABLE: Readonly<Record<string, readonly [family: string, factor: number]>> = {
  'gpt-5-mini': ['gpt', 1.05],
  'openai/gpt-oss-120b': ['gpt', 1.05],
  'o4-mini': ['gpt', 1.05],
  'chatgpt-4o-latest': ['gpt', 1.05],
  'claude-instant-1.2': ['claude to 4.6', 1.13],
  'claude-2.1': ['claude to 4.6', 1.13],
  'claude-3-5-sonnet-20241022': ['claude to 4.6', 1.13],
  'us.anthropic.claude-3-haiku-20240307-v1:0': ['claude to 4.6', 1.13],
  'claude-sonnet-4-0': ['claude to 4.6', 1.13],
  'claude-sonnet-4-20250514': ['claude to 4.6', 1.13],
  'claude-sonnet-4-5-20250929': ['claude to 4.6', 1.13],
  'anthropic/claude-opus-4.6': ['claude to 4.6', 1.13],
  'claude-opus-4-7': ['claude', 1.4],
  'anthropic/claude-opus-4.8': ['claude', 1.4],
  'claude-opus-5': ['claude', 1.4],
  'claude-fable-5-2': ['claude', 1.4],
  'claude-sonnet-45': ['claude', 1.4],
  'gemini-2.5-flash': ['gemini', 1.18],
  'models/gemini-3-pro-preview': ['gemini', 1.18],
  'deepseek-reasoner': ['deepseek', 1.02],
  'deepseek-ai/DeepSeek-R1-Distill-Qwen-32B': ['deepseek', 1.02],
  'zai-org/GLM-4.7': ['glm', 1.06],
  'mistral-large-latest': ['mistral', 1.05],
  'qwen3-max': ['qwen', 1.01],
  'kimi-k3': ['other', 1],
  'grok-4': ['other', 1],
  'bench-upstream': ['other', 1],
  '': ['other', 1],
}

test('the family and its factor follow from the name that the channel uses', () => {
  for (const [model, [name, factor]] of Object.entries(TABLE)) {
    const family = familyOf(model)
    assert.deepEqual([family.name, family.factor], [name, factor], model)
  }
})
