import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'

/** What a request can cost at most on its way in, before anything is sent: bounds that no upstream can exceed. */

/** More than any model takes for one image (2,833 + 6 × 5,667 for a small model that counts tiles dear). */
const IMAGE_TOKENS_MAX = 37_000
/**
 * Bytes that the upstream fetches or keeps itself are not in the request, and packed ones unfold there: a blank page or a
 * second of silence takes hardly any. The gateway caps at the model's context.
 */
const UNKNOWN_TOKENS_MAX = 2_000_000
/** Sound of a fixed rate: thousands of bytes a second, and never more than some tens of tokens. */
const PLAIN_SOUND = new Set(['wav', 'mp3', 'pcm16'])
/** Parts whose text is counted with the body; what is none of them is media of some kind. */
const TEXT_PARTS =
  /^(?:text|refusal|thinking|redacted_thinking|reasoning|(?:input|output|summary|reasoning)_text|tool[_-](?:use|call|result))$/
/** Roles, separators and such around a message; every family stays well below. */
const MESSAGE_TOKENS_MAX = 16
/** No provider that runs searches inside a chat completion documents more than ten for one request. */
const WEB_SEARCHES_MAX = 10

/** What a content part adds to the bytes of the body, in tokens; negative for bytes that are no text. */
function mediaTokens(part: JsonObject): number {
  const type = part['type']
  if (type === 'image_url') {
    const image = part['image_url']
    const url = isObject(image) ? image['url'] : image
    return IMAGE_TOKENS_MAX - (typeof url === 'string' ? url.length : 0)
  }
  const media = typeof type === 'string' ? part[type] : undefined
  const member = (name: string): string => {
    const value = isObject(media) ? media[name] : undefined
    return typeof value === 'string' ? value : ''
  }
  // Inline text is counted with the body.
  if (type === 'file') return /^data:text\//i.test(member('file_data')) ? 0 : UNKNOWN_TOKENS_MAX
  if (type === 'input_audio')
    return PLAIN_SOUND.has(member('format')) && !/^\w+:\/\//.test(member('data')) ? 0 : UNKNOWN_TOKENS_MAX
  const isText = typeof type === 'string' ? TEXT_PARTS.test(type) : typeof part['text'] === 'string'
  return isText ? 0 : UNKNOWN_TOKENS_MAX
}

/** @param byteLength of the whole body: a token is at least one byte of it, whatever the tokenizer. */
export function inputTokensMax(messages: readonly Json[], byteLength: number): number {
  let tokens = byteLength + messages.length * MESSAGE_TOKENS_MAX
  for (const message of messages) {
    if (!isObject(message)) continue
    // Sound of an earlier answer, which the provider keeps.
    if (isObject(message['audio'])) tokens += UNKNOWN_TOKENS_MAX
    if (!isArray(message['content'])) continue
    for (const part of message['content']) if (isObject(part)) tokens += mediaTokens(part)
  }
  return tokens
}

const isThere = (value: Json | undefined): boolean => value !== undefined && value !== null && value !== false

/** Who asks for a search: OpenAI, xAI, OpenRouter's plugin, Qwen's switch. */
const SEARCH_MEMBERS = ['web_search_options', 'search_parameters', 'enable_search']

/** Hosted tools of GLM (`web_search`), OpenRouter (`openrouter:web_search`) and Kimi (`$web_search`). */
function isSearchTool(tool: Json): boolean {
  if (!isObject(tool)) return false
  const { type } = tool
  const named = isObject(tool['function']) ? tool['function']['name'] : undefined
  return (typeof type === 'string' && type.includes('search')) || named === '$web_search'
}

/** Billable searches the request may make at most. */
export function webSearchCallsMax(body: JsonObject): number {
  const { model, tools, plugins } = body
  const asked =
    SEARCH_MEMBERS.some((member) => isThere(body[member])) ||
    (isArray(tools) && tools.some(isSearchTool)) ||
    (isArray(plugins) && plugins.some((plugin) => isObject(plugin) && plugin['id'] === 'web')) ||
    (typeof model === 'string' && /-search-(?:preview|api)|:online$/.test(model))
  return asked ? WEB_SEARCHES_MAX : 0
}
