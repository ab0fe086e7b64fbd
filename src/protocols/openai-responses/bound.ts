import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { declarations, identityOf } from './names.ts'
import { isForeign, isReference } from './seal.ts'
import { isDispensable } from './tools.ts'

/** What a request can cost at most on its way in, before anything is sent. */

/** More than any model takes for one image (2,833 + 6 × 5,667 for a small model that counts tiles dear). */
const IMAGE_TOKENS_MAX = 37_000
/**
 * Bytes that the upstream has or fetches itself are not in the request: a file, an earlier response, what a hosted tool
 * brings in. The gateway caps at the model's context.
 */
const REMOTE_TOKENS_MAX = 2_000_000
/** Roles, separators and such around an item; every family stays well below. */
const ITEM_TOKENS_MAX = 16
/** Of a request that names no limit of its own (`max_tool_calls`); OpenAI documents none. */
const WEB_SEARCHES_MAX = 10

const isThere = (value: Json | undefined): boolean =>
  value !== undefined && value !== null && value !== false && value !== ''

/** What one content part adds to the bytes of the body, in tokens; negative for bytes that are no text. */
function mediaTokens(part: Json): number {
  if (!isObject(part)) return 0
  const type = part['type']
  if (type === 'input_image' || type === 'computer_screenshot') {
    const url = part['image_url']
    return IMAGE_TOKENS_MAX - (typeof url === 'string' && /^data:/i.test(url) ? url.length : 0)
  }
  // Inline text is counted with the body; a packed file unfolds only there.
  if (type === 'input_file') return /^data:text\//i.test(String(part['file_data'])) ? 0 : REMOTE_TOKENS_MAX
  return 0
}

function itemTokens(item: Json): number {
  if (!isObject(item)) return ITEM_TOKENS_MAX
  const { content, output, type } = item
  let tokens = ITEM_TOKENS_MAX
  if (isArray(content)) tokens += content.reduce<number>((sum, part) => sum + mediaTokens(part), 0)
  if (isArray(output)) tokens += output.reduce<number>((sum, part) => sum + mediaTokens(part), 0)
  if (isObject(output)) tokens += mediaTokens(output)
  // An image that a hosted tool made is seen again; a reference may stand for anything.
  if (type === 'image_generation_call') tokens += IMAGE_TOKENS_MAX
  if (isReference(item) && !isForeign(item)) tokens += REMOTE_TOKENS_MAX
  return tokens
}

const HELD_THERE = ['previous_response_id', 'conversation', 'prompt']

/** @param byteLength of the whole body: a token is at least one byte of it, whatever the tokenizer. */
export function inputTokensMax(body: JsonObject, byteLength: number): number {
  const { input } = body
  const items = isArray(input) ? input : []
  // What a hosted tool finds is input too. Codex sends one that finds nothing in the web with every request of most
  // models: for that one alone a hold of the whole context would be out of all proportion.
  const hosted = declarations(body).some(
    (declaration) => identityOf(declaration) === null && !isDispensable(declaration.tool),
  )
  const remote = hosted || HELD_THERE.some((name) => isThere(body[name]))
  return items.reduce<number>(
    (sum, item) => sum + itemTokens(item),
    byteLength + ITEM_TOKENS_MAX + (remote ? REMOTE_TOKENS_MAX : 0),
  )
}

/** Billable searches the request may make at most. */
export function webSearchCallsMax(body: JsonObject): number {
  if (body['tool_choice'] === 'none') return 0
  const asked = declarations(body).some(({ tool }) => {
    const { type } = tool
    return typeof type === 'string' && type.startsWith('web_search')
  })
  const { max_tool_calls: limit } = body
  if (!asked) return 0
  return typeof limit === 'number' ? limit : WEB_SEARCHES_MAX
}
