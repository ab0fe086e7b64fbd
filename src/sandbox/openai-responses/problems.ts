import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { arrayAt, textAt } from '../members.ts'
import { type ErrorFields, errorJson } from '../openai-chat/errors.ts'
import { isSealOf } from '../seal.ts'
import { inputItems, KNOWN_MEMBERS, typeOf } from './request.ts'

export interface Problem {
  readonly status: 400 | 404
  readonly message: string
  readonly param: string | null
  readonly code: string | null
}

export function problemJson({ message, param, code }: Problem): string {
  const fields: ErrorFields = { message, type: 'invalid_request_error', param, code }
  return errorJson(fields)
}

const OUTPUT_LEAST = 16

/** @returns what the real API would refuse in a body, or null */
export function problemIn(body: Json | undefined, strict: boolean): Problem | null {
  if (!isObject(body)) return problem('The body of this request is not a JSON object.', null, null)
  return problemAtTop(body, strict) ?? problemInTools(body) ?? problemInContent(inputItems(body))
}

function problem(message: string, param: string | null, code: string | null): Problem {
  return { status: 400, message, param, code }
}

function missing(param: string): Problem {
  return problem(`Missing required parameter: '${param}'.`, param, 'missing_required_parameter')
}

function problemAtTop(body: JsonObject, strict: boolean): Problem | null {
  if (textAt(body, 'model') === '') return missing('model')
  const goesOn = ['previous_response_id', 'prompt', 'conversation'].some((name) => body[name] != null)
  if (body['input'] == null && !goesOn) return missing('input')
  const unknown = Object.keys(body).find((name) => !KNOWN_MEMBERS.has(name))
  if (strict && unknown !== undefined) {
    return problem(`Unknown parameter: '${unknown}'.`, unknown, 'unknown_parameter')
  }
  const most = body['max_output_tokens'] ?? OUTPUT_LEAST
  if (typeof most !== 'number' || !Number.isInteger(most)) {
    return problem(
      "Invalid type for 'max_output_tokens': expected an integer.",
      'max_output_tokens',
      'invalid_type',
    )
  }
  if (most < OUTPUT_LEAST) {
    const message = `Invalid 'max_output_tokens': integer below minimum value. Expected a value >= ${OUTPUT_LEAST}, but got ${most} instead.`
    return problem(message, 'max_output_tokens', 'integer_below_min_value')
  }
  const { temperature } = body
  if (typeof temperature !== 'number' || (temperature >= 0 && temperature <= 2)) return null
  const [side, bound] = temperature < 0 ? ['below_min', '>= 0'] : ['above_max', '<= 2']
  const message = `Invalid 'temperature': the sandbox expected a value ${bound}, but got ${temperature} instead.`
  return problem(message, 'temperature', `decimal_${side}_value`)
}

function problemInTools(body: JsonObject): Problem | null {
  for (const [index, tool] of arrayAt(body, 'tools').entries()) {
    if (!isObject(tool)) continue
    if (textAt(tool, 'type') === '') return missing(`tools[${index}].type`)
    const named = tool['type'] === 'function' || tool['type'] === 'custom'
    // The chat format keeps the name one level deeper; sent here so, it is not found.
    if (named && textAt(tool, 'name') === '') return missing(`tools[${index}].name`)
  }
  return null
}

const SAID = new Set(['output_text', 'refusal'])
const SENT = new Set(['input_text', 'input_image', 'input_file', 'input_audio'])

function problemInContent(items: readonly JsonObject[]): Problem | null {
  for (const [index, item] of items.entries()) {
    if (typeOf(item) !== 'message' || !isArray(item['content'])) continue
    if (textAt(item, 'role') === '') return missing(`input[${index}].role`)
    const known = item['role'] === 'assistant' ? SAID : SENT
    for (const [place, part] of item['content'].entries()) {
      const type = isObject(part) ? textAt(part, 'type') : ''
      if (known.has(type)) continue
      const list = [...known].map((one) => `'${one}'`).join(', ')
      const message = `Invalid value: '${type}'. Supported values are: ${list}.`
      return problem(message, `input[${index}].content[${place}]`, 'invalid_value')
    }
  }
  return null
}

/** @param known whether an id of an item belongs to a stored response */
export function problemInItems(items: readonly JsonObject[], known: (id: string) => boolean): Problem | null {
  return problemInCalls(items) ?? problemInReasoning(items, known)
}

/** Every call needs its output and every output its call. */
function problemInCalls(items: readonly JsonObject[]): Problem | null {
  const calls = new Set(callIds(items, /^(?:function_call|custom_tool_call)$/))
  const outputs = new Set(callIds(items, /^(?:function_call|custom_tool_call)_output$/))
  const stray = [...outputs].find((id) => !calls.has(id))
  if (stray !== undefined) {
    return problem(`No tool call found for function call output with call_id ${stray}.`, 'input', null)
  }
  const open = [...calls].find((id) => !outputs.has(id))
  return open === undefined ? null : problem(`No tool output found for function call ${open}.`, 'input', null)
}

function callIds(items: readonly JsonObject[], type: RegExp): readonly string[] {
  return items.filter((item) => type.test(typeOf(item))).map((item) => textAt(item, 'call_id'))
}

/** Reasoning that is not ours, or has been touched, is refused as the real API does it. */
function problemInReasoning(items: readonly JsonObject[], known: (id: string) => boolean): Problem | null {
  for (const item of items) {
    const type = typeOf(item)
    if (type !== 'reasoning' && type !== 'compaction') continue
    const sealed = textAt(item, 'encrypted_content')
    const id = textAt(item, 'id')
    if (sealed !== '' && !isSealOf(type, sealed, null)) {
      const message = `The encrypted content for item ${id} could not be verified.`
      return problem(message, null, 'invalid_encrypted_content')
    }
    if (sealed === '' && id !== '' && !known(id)) {
      const message = `Item with id '${id}' not found. Items are not persisted when \`store\` is set to false.`
      return { status: 404, message, param: 'input', code: null }
    }
  }
  return null
}
