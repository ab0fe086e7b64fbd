import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { arrayAt, objectAt, textAt, textsAt, wholeAt } from '../members.ts'
import type { Question, Tool, Turn } from '../plan.ts'
import { type ErrorFields, errorJson } from './errors.ts'

export interface ChatRequest extends Question {
  readonly includeUsage: boolean
  readonly includeObfuscation: boolean
  readonly logprobs: boolean
  readonly topLogprobs: number
  readonly serviceTier: string
  readonly effort: string
}

export type ReadChat =
  | { readonly ok: true; readonly request: ChatRequest }
  | { readonly ok: false; readonly error: string }

const CHOICES_MAX = 128

/** Reads a request body. What the real API refuses with 400 is refused with its codes; unknown members are ignored. */
export function readChat(body: Json | undefined): ReadChat {
  if (!isObject(body)) {
    return refused({ message: 'The body of this request is not a JSON object.', param: null, code: null })
  }
  const problem = problemIn(body)
  if (problem !== null) return refused(problem)
  const messages = body['messages']
  const streamOptions = objectAt(body, 'stream_options')
  const tools = arrayAt(body, 'tools').flatMap(readTool)
  const format = objectAt(body, 'response_format')
  return {
    ok: true,
    request: {
      model: textAt(body, 'model'),
      messages: isArray(messages) ? messages.filter(isObject).map(readMessage) : [],
      stream: body['stream'] === true,
      includeUsage: streamOptions['include_usage'] === true,
      includeObfuscation: streamOptions['include_obfuscation'] !== false,
      n: wholeAt(body, 'n') ?? 1,
      tokensMax: wholeAt(body, 'max_completion_tokens') ?? wholeAt(body, 'max_tokens'),
      stops: textsAt(body, 'stop'),
      tools,
      extraPrompt: extraPrompt(body),
      toolChoice: readToolChoice(body['tool_choice']),
      parallelTools: body['parallel_tool_calls'] !== false,
      format: readFormat(format),
      logprobs: body['logprobs'] === true,
      topLogprobs: wholeAt(body, 'top_logprobs') ?? 0,
      seed: wholeAt(body, 'seed') ?? 0,
      serviceTier: textAt(body, 'service_tier'),
      effort: textAt(body, 'reasoning_effort'),
    },
  }
}

/** The text of the last message of the user, '' where there is none. */
export function lastUserText(body: Json | undefined): string {
  const messages = isObject(body) ? arrayAt(body, 'messages') : []
  const last = messages.findLast((message) => isObject(message) && message['role'] === 'user')
  return isObject(last) ? readMessage(last).text : ''
}

type Problem = Pick<ErrorFields, 'message' | 'code'> & { readonly param: string | null }

function refused(problem: Problem): ReadChat {
  return { ok: false, error: errorJson({ ...problem, type: 'invalid_request_error' }) }
}

function problemIn(body: JsonObject): Problem | null {
  if (textAt(body, 'model') === '') return missing('model')
  const messages = body['messages']
  if (messages === undefined || messages === null) return missing('messages')
  if (!isArray(messages)) return unfit('messages', 'an array of messages', 'invalid_type')
  if (messages.length === 0) return unfit('messages', 'an array with at least one message', 'empty_array')
  for (const [index, message] of messages.entries()) {
    const at = `messages[${index}]`
    if (!isObject(message)) return unfit(at, 'an object', 'invalid_type')
    if (textAt(message, 'role') === '') return missing(`${at}.role`)
    if (message['role'] === 'tool' && textAt(message, 'tool_call_id') === '') {
      return missing(`${at}.tool_call_id`)
    }
  }
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const value = body[name]
    if (value === undefined || value === null) continue
    if (typeof value !== 'number' || !Number.isInteger(value))
      return unfit(name, 'an integer', 'invalid_type')
    if (value < 1) return unfit(name, 'at least 1', 'integer_below_min_value')
  }
  const n = body['n'] ?? 1
  if (typeof n !== 'number' || !Number.isInteger(n)) return unfit('n', 'an integer', 'invalid_type')
  if (n < 1) return unfit('n', 'at least 1', 'integer_below_min_value')
  if (n > CHOICES_MAX) return unfit('n', `at most ${CHOICES_MAX}`, 'integer_above_max_value')
  // A gateway that adds this member without looking at `stream` would be refused by the real API too.
  if (isObject(body['stream_options']) && body['stream'] !== true) {
    return unfit('stream_options', "absent unless 'stream' is true", null)
  }
  return null
}

function missing(param: string): Problem {
  return { message: `Missing required parameter: '${param}'.`, param, code: 'missing_required_parameter' }
}

function unfit(param: string, expected: string, code: string | null): Problem {
  return { message: `Invalid '${param}': the sandbox expected it to be ${expected}.`, param, code }
}

function readMessage(message: JsonObject): Turn {
  const role = textAt(message, 'role')
  const content = message['content']
  const calls = message['tool_calls']
  const more = isArray(calls) ? JSON.stringify(calls) : ''
  if (typeof content === 'string') return { role, text: content, images: [], counted: content + more }
  const texts: string[] = []
  const images: string[] = []
  let counted = ''
  for (const part of isArray(content) ? content : []) {
    if (!isObject(part)) continue
    if (part['type'] === 'text') {
      texts.push(textAt(part, 'text'))
      counted += textAt(part, 'text')
    } else if (part['type'] === 'image_url') {
      images.push(mediaTypeOf(textAt(objectAt(part, 'image_url'), 'url')))
    }
  }
  return { role, text: texts.join('\n'), images, counted: counted + more }
}

export function mediaTypeOf(url: string): string {
  return /^data:([^;,]{1,80})[;,]/.exec(url)?.[1] ?? 'a link'
}

function readTool(tool: Json): readonly Tool[] {
  const definition = isObject(tool) ? objectAt(tool, 'function') : {}
  const name = textAt(definition, 'name')
  return name === '' ? [] : [{ name, parameters: definition['parameters'] }]
}

function readToolChoice(choice: Json | undefined): ChatRequest['toolChoice'] {
  if (choice === 'none' || choice === 'required') return choice
  if (!isObject(choice)) return 'auto'
  const name = textAt(objectAt(choice, 'function'), 'name')
  return name === '' ? 'auto' : { name }
}

function readFormat(format: JsonObject): ChatRequest['format'] {
  if (format['type'] === 'json_object') return 'json'
  if (format['type'] !== 'json_schema') return 'text'
  return { schema: objectAt(format, 'json_schema')['schema'] }
}

function extraPrompt(body: JsonObject): string {
  const tools = isArray(body['tools']) ? JSON.stringify(body['tools']) : ''
  const schema = objectAt(body, 'response_format')['json_schema']
  return schema === undefined ? tools : tools + JSON.stringify(schema)
}
