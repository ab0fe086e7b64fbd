import { isArray, type Json } from '../../kernel/index.ts'
import { type PlainCall, type Shape, withoutHeaders } from '../platform.ts'

/**
 * Claude by InvokeModel: model and streaming stand in the path, version and betas in the body, which may hold neither
 * `model` nor `stream`.
 */

const VERSION = 'bedrock-2023-05-31'

/** Of header and body, each once, in their order. */
function betas({ headers, body }: PlainCall): readonly Json[] {
  const named = (headers['anthropic-beta'] ?? '').split(',').map((name) => name.trim())
  const own = isArray(body['anthropic_beta']) ? body['anthropic_beta'] : []
  return [...new Set([...own, ...named])].filter((name) => name !== '')
}

export const shapeAnthropic: Shape = (call) => {
  const asked = betas(call)
  return {
    path: `/model/${encodeURIComponent(call.upstreamModel)}/${call.stream ? 'invoke-with-response-stream' : 'invoke'}`,
    headers: {
      ...withoutHeaders(call.headers, 'anthropic-version', 'anthropic-beta'),
      accept: call.stream ? 'application/vnd.amazon.eventstream' : 'application/json',
    },
    changes: [
      { name: 'model', value: null },
      { name: 'stream', value: null },
      { name: 'anthropic_version', value: VERSION },
      ...(asked.length === 0 ? [] : [{ name: 'anthropic_beta', value: asked }]),
    ],
  }
}
