import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { estimateJsonStringTokens } from '../estimate.ts'
import type { DeltaCount } from '../protocol.ts'

/** Counts what an answer or an event of a stream delivers, by our own measure. */

/** What Google bills for one generated image of common size. */
const IMAGE_TOKENS = 1_290
/** Bytes of base64 to a token of speech: 48,000 bytes and 25 tokens a second. */
const MEDIA_BYTES_PER_TOKEN = 2_560

function addText(text: string, count: DeltaCount): boolean {
  if (text === '') return false
  const bytes = Buffer.from(text)
  count.bytes += bytes.length
  count.tokens += estimateJsonStringTokens(bytes, 0, bytes.length)
  return true
}

function addMedia(data: JsonObject, count: DeltaCount): boolean {
  const bytes = typeof data['data'] === 'string' ? data['data'].length : 0
  const type = typeof data['mimeType'] === 'string' ? data['mimeType'] : ''
  count.bytes += bytes
  count.tokens += type.startsWith('image/') ? IMAGE_TOKENS : bytes / MEDIA_BYTES_PER_TOKEN
  return bytes > 0
}

function addPart(part: Json, count: DeltaCount): boolean {
  if (!isObject(part)) return false
  let output = typeof part['text'] === 'string' && addText(part['text'], count)
  const call = part['functionCall']
  if (isObject(call)) {
    output = true
    addText(typeof call['name'] === 'string' ? call['name'] : '', count)
    addText(call['args'] === undefined ? '' : JSON.stringify(call['args']), count)
  }
  const data = part['inlineData']
  if (isObject(data)) output = addMedia(data, count) || output
  for (const [name, member] of [
    ['executableCode', 'code'],
    ['codeExecutionResult', 'output'],
  ] as const) {
    const run = part[name]
    const text = isObject(run) ? run[member] : undefined
    if (typeof text === 'string') output = addText(text, count) || output
  }
  return output || part['fileData'] !== undefined
}

/** Adds what the candidates of one body carry. @returns true when there was any output */
export function countOutput(body: JsonObject, count: DeltaCount): boolean {
  const { candidates } = body
  if (!isArray(candidates)) return false
  let output = false
  for (const candidate of candidates) {
    const content = isObject(candidate) ? candidate['content'] : undefined
    const parts = isObject(content) ? content['parts'] : undefined
    if (isArray(parts)) for (const part of parts) output = addPart(part, count) || output
  }
  if (output) count.events++
  return output
}
