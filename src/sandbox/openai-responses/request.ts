import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { arrayAt, objectAt, textAt, wholeAt } from '../members.ts'
import { mediaTypeOf } from '../openai-chat/request.ts'
import type { Question, Tool, Turn } from '../plan.ts'

export interface ResponsesRequest extends Question {
  readonly body: JsonObject
  /** The whole conversation, items of earlier responses first. */
  readonly items: readonly JsonObject[]
  readonly include: ReadonlySet<string>
  readonly effort: string
  readonly summary: string
  readonly stored: boolean
  readonly background: boolean
  readonly obfuscated: boolean
  readonly topLogprobs: number
}

/**
 * Reads a request that `problemIn` has found nothing wrong with; unknown members are ignored.
 * @param items the input with the items of earlier responses before it, references resolved
 */
export function readResponses(body: JsonObject, items: readonly JsonObject[]): ResponsesRequest {
  const tools = toolsOf(body, items)
  const reasoning = objectAt(body, 'reasoning')
  const format = objectAt(objectAt(body, 'text'), 'format')
  const schema = format['type'] === 'json_schema' ? format['schema'] : undefined
  const instructions = textAt(body, 'instructions')
  const include = new Set(arrayAt(body, 'include').filter((one) => typeof one === 'string'))
  return {
    body,
    items,
    model: textAt(body, 'model'),
    messages: [
      ...(instructions === '' ? [] : [plainTurn('system', instructions)]),
      ...items.flatMap(readItem),
    ],
    stream: body['stream'] === true,
    n: 1,
    tokensMax: wholeAt(body, 'max_output_tokens'),
    stops: [],
    tools: tools.flatMap(readTool),
    extraPrompt:
      (tools.length > 0 ? JSON.stringify(tools) : '') + (schema === undefined ? '' : JSON.stringify(format)),
    toolChoice: readToolChoice(body['tool_choice']),
    parallelTools: body['parallel_tool_calls'] !== false,
    format: schema === undefined ? (format['type'] === 'json_object' ? 'json' : 'text') : { schema },
    seed: 0,
    include,
    effort: textAt(reasoning, 'effort'),
    summary: textAt(reasoning, 'summary'),
    stored: body['store'] !== false,
    background: body['background'] === true,
    obfuscated: objectAt(body, 'stream_options')['include_obfuscation'] !== false,
    topLogprobs: wholeAt(body, 'top_logprobs') ?? 0,
  }
}

/** The input as items; a plain text is one message of the user. */
export function inputItems(body: JsonObject): readonly JsonObject[] {
  const { input } = body
  if (typeof input === 'string') return [{ type: 'message', role: 'user', content: input }]
  return isArray(input) ? input.filter(isObject) : []
}

/** The text of the last message of the user, '' where there is none. */
export function lastUserText(body: Json | undefined): string {
  if (!isObject(body)) return ''
  const last = inputItems(body).findLast((item) => item['role'] === 'user')
  return last === undefined ? '' : contentOf(last['content']).text
}

/** An item without a type is a message. */
export function typeOf(item: JsonObject): string {
  return textAt(item, 'type') || 'message'
}

/** Tools come in the body or, from Codex, as an item; a namespace holds several. */
function toolsOf(body: JsonObject, items: readonly JsonObject[]): readonly JsonObject[] {
  const more = items.filter((item) => item['type'] === 'additional_tools')
  return [body, ...more].flatMap((one) => arrayAt(one, 'tools').filter(isObject)).flatMap(flatTool)
}

function flatTool(tool: JsonObject): readonly JsonObject[] {
  return tool['type'] === 'namespace' ? arrayAt(tool, 'tools').filter(isObject) : [tool]
}

function readTool(tool: JsonObject): readonly Tool[] {
  const name = textAt(tool, 'name')
  if (name === '') return []
  if (tool['type'] === 'custom') return [{ name, parameters: undefined, freeText: true }]
  return tool['type'] === 'function' ? [{ name, parameters: tool['parameters'] }] : []
}

function readToolChoice(choice: Json | undefined): Question['toolChoice'] {
  if (choice === 'none' || choice === 'required') return choice
  if (!isObject(choice)) return 'auto'
  if (choice['type'] === 'allowed_tools') return choice['mode'] === 'required' ? 'required' : 'auto'
  const name = textAt(choice, 'name')
  return name === '' ? 'auto' : { name }
}

function plainTurn(role: string, text: string): Turn {
  return { role, text, images: [], counted: text }
}

function readItem(item: JsonObject): readonly Turn[] {
  switch (typeOf(item)) {
    case 'message': {
      const { text, counted, images } = contentOf(item['content'])
      return [{ role: textAt(item, 'role'), text, images, counted }]
    }
    case 'function_call':
      return [plainTurn('call', JSON.stringify({ name: item['name'], arguments: item['arguments'] }))]
    case 'custom_tool_call':
      return [plainTurn('call', JSON.stringify({ name: item['name'], input: item['input'] }))]
    case 'function_call_output':
    case 'custom_tool_call_output': {
      const { text, counted, images } = contentOf(item['output'])
      return [{ role: 'tool', text, images, counted }]
    }
    // What was thought is not part of the prompt, and tools are counted with the others.
    case 'reasoning':
    case 'additional_tools':
      return []
    case 'compaction':
      return [plainTurn('system', '')]
    default:
      return [plainTurn('other', JSON.stringify(item))]
  }
}

function contentOf(content: Json | undefined): Pick<Turn, 'text' | 'counted' | 'images'> {
  if (typeof content === 'string') return { text: content, counted: content, images: [] }
  const parts = isArray(content) ? content.filter(isObject) : []
  const texts = parts.map((part) => textAt(part, 'text') || textAt(part, 'refusal'))
  return {
    text: texts.filter((text) => text !== '').join('\n'),
    counted: texts.join(''),
    images: parts.flatMap(mediaOf),
  }
}

function mediaOf(part: JsonObject): readonly string[] {
  if (part['type'] === 'input_image') return [mediaTypeOf(textAt(part, 'image_url'))]
  if (part['type'] !== 'input_file') return []
  const data = textAt(part, 'file_data')
  // File data may come bare; then its name is all there is to go by.
  return [data !== '' && !data.startsWith('data:') ? 'application/pdf' : mediaTypeOf(data)]
}

/** Names the API of SDK 7.57 and Codex put at the top of a body. */
export const KNOWN_MEMBERS: ReadonlySet<string> = new Set(
  `model input instructions tools tool_choice parallel_tool_calls max_output_tokens max_tool_calls stream stream_options
store include reasoning text previous_response_id conversation background metadata service_tier temperature top_p
top_logprobs truncation user prompt prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier
context_management moderation client_metadata`.split(/\s+/),
)
