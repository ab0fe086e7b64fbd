import assert from 'node:assert/strict'
import type { JsonObject } from '../../src/kernel/index.ts'
import { PROTOCOLS, type ProtocolName, type RequestFacts } from '../../src/protocols/index.ts'
import type { CostCase } from './cost-case.ts'

/** The request that a case is about, in its format. */

const MAX_TOKENS = 4_000

interface Shape {
  readonly path: (model: string, stream: boolean) => string
  readonly body: (model: string, stream: boolean, text: string) => JsonObject
}

const SHAPES: Readonly<Record<ProtocolName, Shape>> = {
  'openai-chat': {
    path: () => '/v1/chat/completions',
    body: (model, stream, content) => ({
      model,
      stream,
      max_tokens: MAX_TOKENS,
      messages: [{ role: 'user', content }],
    }),
  },
  'openai-responses': {
    path: () => '/v1/responses',
    body: (model, stream, input) => ({ model, stream, max_output_tokens: MAX_TOKENS, input, store: false }),
  },
  'anthropic-messages': {
    path: () => '/v1/messages',
    body: (model, stream, content) => ({
      model,
      stream,
      max_tokens: MAX_TOKENS,
      messages: [{ role: 'user', content }],
    }),
  },
  'gemini-generate': {
    path: (model, stream) =>
      `/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    body: (_model, _stream, text) => ({
      contents: [{ role: 'user', parts: [{ text }] }],
      generationConfig: { maxOutputTokens: MAX_TOKENS },
    }),
  },
}

export interface CaseRequest {
  readonly path: string
  readonly body: JsonObject
  readonly facts: RequestFacts
}

/** @param textBytes so long that its tokens can be as many as the answer says */
export function requestOf(row: CostCase, model: string, textBytes: number): CaseRequest {
  const { path, body: bodyFor } = SHAPES[row.format]
  const stream = row.answer('x').contentType === 'text/event-stream'
  const body = { ...bodyFor(model, stream, 'tide '.repeat(textBytes / 5)), ...row.ask }
  const gemini = row.format === 'gemini-generate' ? { model, stream, sse: true } : null
  const byteLength = JSON.stringify(body).length
  const read = PROTOCOLS[row.format].readRequest({ body, byteLength, path: gemini })
  assert.ok(read.ok, 'the request is one')
  return { path: path(model, stream), body, facts: read.request }
}
