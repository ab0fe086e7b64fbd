import { betasOf } from '../betas.ts'
import { type Shape, withoutHeaders } from '../platform.ts'

/**
 * Claude by InvokeModel: model and streaming stand in the path, version and betas in the body, which may hold neither
 * `model` nor `stream`.
 */

const VERSION = 'bedrock-2023-05-31'

/** What AWS lists for InvokeModel; any other name is answered with "invalid beta flag". */
const KNOWN_BETAS: readonly string[] = [
  'computer-use-2024-10-22',
  'computer-use-2025-01-24',
  'token-efficient-tools-2025-02-19',
  'interleaved-thinking-2025-05-14',
  'output-128k-2025-02-19',
  'dev-full-thinking-2025-05-14',
  'context-1m-2025-08-07',
  'context-management-2025-06-27',
  'effort-2025-11-24',
  'tool-search-tool-2025-10-19',
  'tool-examples-2025-10-29',
]

/** @param betas those of the settings; null for what AWS lists */
export function shapeAnthropic(betas: readonly string[] | null): Shape {
  return ({ upstreamModel, stream, headers, body }) => {
    const { taken, dropped } = betasOf(headers, body, betas ?? KNOWN_BETAS)
    return {
      path: `/model/${encodeURIComponent(upstreamModel)}/${stream ? 'invoke-with-response-stream' : 'invoke'}`,
      headers: {
        ...withoutHeaders(headers, 'anthropic-version', 'anthropic-beta'),
        accept: stream ? 'application/vnd.amazon.eventstream' : 'application/json',
      },
      changes: [
        { name: 'model', value: null },
        { name: 'stream', value: null },
        { name: 'anthropic_version', value: VERSION },
        { name: 'anthropic_beta', value: taken.length === 0 ? null : taken },
      ],
      dropped,
    }
  }
}
