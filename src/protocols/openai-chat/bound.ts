import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'

/** What a request can cost at most on its way in, before anything is sent: bounds that no upstream can exceed. */

/** More than any model takes for one image (2,833 + 6 × 5,667 for a small model that counts tiles dear). */
const IMAGE_TOKENS_MAX = 37_000
/** Bytes that the upstream fetches or keeps itself are not in the request; the gateway caps at the model's context. */
const REMOTE_FILE_TOKENS_MAX = 2_000_000
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
  if (type === 'file' || type === 'video_url') {
    const media = part[type]
    const source = isObject(media) ? (media['file_data'] ?? media['url']) : media
    // Inline, its own bytes bound it: they are counted with the body.
    return typeof source === 'string' && source !== '' && !/^https?:/i.test(source)
      ? 0
      : REMOTE_FILE_TOKENS_MAX
  }
  // The samples of `input_audio` are always inline, and no model makes more tokens of them than they have bytes.
  return 0
}

/** @param byteLength of the whole body: a token is at least one byte of it, whatever the tokenizer. */
export function inputTokensMax(messages: readonly Json[], byteLength: number): number {
  let tokens = byteLength + messages.length * MESSAGE_TOKENS_MAX
  for (const message of messages) {
    if (!isObject(message) || !isArray(message['content'])) continue
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
