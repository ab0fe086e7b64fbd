import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'

/** A large image, by Anthropic's rule of width × height / 750 on what it scales images down to. */
const IMAGE_TOKENS = 1_600
/** A page of a document is a text and an image; nobody knows the pages of a file that is not here. */
const DOCUMENT_TOKENS = 3_000
const BASE64_BYTES_PER_TOKEN = 20
const MESSAGE_TOKENS = 4
/** The prompt that Anthropic adds for tools. */
const TOOLS_TOKENS = 346

/** Members whose text the model does not read. */
const UNREAD = new Set(['type', 'cache_control', 'signature', 'tool_use_id', 'id', 'citations', 'media_type'])

function documentTokens(source: Json | undefined): number {
  const data = isObject(source) && source['type'] === 'base64' ? source['data'] : undefined
  return typeof data === 'string'
    ? Math.max(DOCUMENT_TOKENS, Math.ceil(data.length / BASE64_BYTES_PER_TOKEN))
    : DOCUMENT_TOKENS
}

function tokensOf(value: Json | undefined): number {
  if (typeof value === 'string') return estimateTextTokens(value)
  if (typeof value === 'number' || typeof value === 'boolean') return 1
  if (isArray(value)) return value.reduce<number>((sum, member) => sum + tokensOf(member), 0)
  if (!isObject(value)) return 0
  if (value['type'] === 'image' && isObject(value['source'])) return IMAGE_TOKENS
  if (value['type'] === 'tool_use')
    return tokensOf(value['name']) + estimateTextTokens(JSON.stringify(value['input'] ?? {}))
  const source = value['source']
  if (
    value['type'] === 'document' &&
    isObject(source) &&
    source['type'] !== 'text' &&
    source['type'] !== 'content'
  )
    return documentTokens(source)
  return Object.entries(value).reduce(
    (sum, [name, member]) => sum + (UNREAD.has(name) ? 0 : tokensOf(member)),
    0,
  )
}

/** Names and punctuation of a schema are read by the model as they stand. */
function toolTokens(tools: Json | undefined): number {
  if (!isArray(tools) || tools.length === 0) return 0
  const texts = tools.map((tool) => {
    if (!isObject(tool)) return ''
    const { cache_control, ...rest } = tool
    return JSON.stringify(rest)
  })
  return TOOLS_TOKENS + texts.reduce((sum, text) => sum + estimateTextTokens(text), 0)
}

/**
 * Input tokens by our own count: for a request whose upstream reports none, and for `count_tokens` where the upstream has
 * no such thing. Classes of characters only; the family of the model that served it is not known here.
 */
export function estimateInput(body: JsonObject): number {
  const messages = isArray(body['messages']) ? body['messages'] : []
  const config = isObject(body['output_config']) ? body['output_config'] : {}
  const format = config['format']
  return (
    messages.reduce<number>(
      (sum, message) => sum + MESSAGE_TOKENS + (isObject(message) ? tokensOf(message['content']) : 0),
      MESSAGE_TOKENS,
    ) +
    tokensOf(body['system']) +
    toolTokens(body['tools']) +
    (isObject(format) ? estimateTextTokens(JSON.stringify(format)) : 0)
  )
}
