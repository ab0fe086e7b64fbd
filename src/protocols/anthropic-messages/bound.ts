import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'

/**
 * The most input tokens a request can have. A token is at least one byte of the body, whatever the tokenizer; what the
 * provider adds itself (tool prompts, pages it fetches, state it holds) gets bounds of its own.
 */

/** More than any model takes for one image. */
const IMAGE_TOKENS_MAX = 37_000
/** What a URL, a file id, a packed document or a server-side tool brings in is bounded by the model's context alone. */
export const UNKNOWN_TOKENS_MAX = 2_000_000
/** Roles and separators around a message. */
const MESSAGE_TOKENS_MAX = 16
/** The hidden prompt that tools bring along; one of the largest documented is 804 tokens. */
const TOOLS_TOKENS_MAX = 1_000
/** A tool whose description is Anthropic's own (bash, editor, computer, browser). */
const OWN_TOOL_TOKENS_MAX = 10_000
/** The hidden prompt of structured output, and of citations. */
const FEATURE_TOKENS_MAX = 1_000
/** Searches of a request whose tool names no `max_uses`: the provider's loop pauses the turn after ten rounds. */
const SEARCHES_MAX = 50

/** Server-side tools put what they find into the prompt, round after round. */
const SERVER_TOOL = /^(?:web_search|web_fetch|code_execution|tool_search|advisor|mcp)/

interface Media {
  tokens: number
  bytes: number
}

/** Only blocks that the model reads as media: an argument or a schema that looks like one is text. */
function addMedia(content: Json | undefined, media: Media): void {
  if (!isArray(content)) return
  for (const block of content) {
    if (!isObject(block)) continue
    const source = isObject(block['source']) ? block['source'] : null
    if (block['type'] === 'image') {
      media.tokens += IMAGE_TOKENS_MAX
      const data = source?.['type'] === 'base64' ? source['data'] : undefined
      if (typeof data === 'string') media.bytes += data.length
    } else if (block['type'] === 'document' && source !== null) {
      // Text and content are counted with the body; a page of a PDF takes hardly any bytes.
      if (source['type'] !== 'text' && source['type'] !== 'content') media.tokens += UNKNOWN_TOKENS_MAX
      addMedia(source['content'], media)
      if (isObject(block['citations'])) media.tokens += FEATURE_TOKENS_MAX
    } else if (block['type'] === 'container_upload') media.tokens += UNKNOWN_TOKENS_MAX
    else if (block['type'] === 'tool_result') addMedia(block['content'], media)
    // A page that was fetched before is sent back with what it was.
    else if (isObject(block['content']))
      addMedia([block['content'], block['content']['content'] ?? null], media)
  }
}

function toolTokens(body: JsonObject): number {
  const tools = isArray(body['tools']) ? body['tools'] : []
  let tokens = tools.length > 0 ? TOOLS_TOKENS_MAX : 0
  for (const tool of tools) {
    const type = isObject(tool) ? tool['type'] : undefined
    if (typeof type !== 'string' || type === 'custom') continue
    tokens += SERVER_TOOL.test(type) ? UNKNOWN_TOKENS_MAX : OWN_TOOL_TOKENS_MAX
  }
  return tokens
}

/** State that the provider holds, and further model calls that it makes for one request. */
function stateTokens(body: JsonObject): number {
  const held = [body['mcp_servers'], body['container'], body['thread']]
  const present = held.some(
    (value) => value !== undefined && value !== null && !(isArray(value) && value.length === 0),
  )
  return present ? UNKNOWN_TOKENS_MAX : 0
}

function formatTokens(body: JsonObject): number {
  const config = isObject(body['output_config']) ? body['output_config'] : {}
  const format = config['format'] ?? body['output_format']
  return isObject(format) ? FEATURE_TOKENS_MAX + Buffer.byteLength(JSON.stringify(format)) : 0
}

/** Compaction reads the whole context once more; a fallback model too. */
function passes(body: JsonObject): number {
  const management = isObject(body['context_management']) ? body['context_management'] : {}
  const edits = isArray(management['edits']) ? management['edits'] : []
  const compacts = edits.some((edit) => isObject(edit) && String(edit['type']).startsWith('compact'))
  const fallbacks = body['fallbacks']
  const hops = isArray(fallbacks) ? fallbacks.length : fallbacks === undefined || fallbacks === null ? 0 : 1
  return 1 + (compacts ? 1 : 0) + hops
}

/** @param byteLength of the whole body */
export function inputTokensMax(body: JsonObject, messages: readonly Json[], byteLength: number): number {
  const media: Media = { tokens: 0, bytes: 0 }
  for (const message of messages) if (isObject(message)) addMedia(message['content'], media)
  const once =
    byteLength -
    media.bytes +
    media.tokens +
    messages.length * MESSAGE_TOKENS_MAX +
    toolTokens(body) +
    formatTokens(body) +
    stateTokens(body)
  return once * passes(body)
}

export function webSearchCallsMax(body: JsonObject): number {
  const tools = isArray(body['tools']) ? body['tools'] : []
  let calls = 0
  for (const tool of tools) {
    if (!isObject(tool) || typeof tool['type'] !== 'string' || !tool['type'].startsWith('web_search'))
      continue
    calls += typeof tool['max_uses'] === 'number' ? tool['max_uses'] : SEARCHES_MAX
  }
  return calls
}
