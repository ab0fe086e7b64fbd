import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { textAt } from '../members.ts'
import { isSealOf } from '../seal.ts'
import { contentsOf, KNOWN_MEMBERS, member, memberArray, partsOf, signs } from './request.ts'

/** Signatures Google lets through for calls that another model made. */
const WAIVERS = new Set(['skip_thought_signature_validator', 'context_engineering_is_the_way_to_go'])
const ROLES = new Set(['', 'user', 'model', 'function'])

/** @returns what the real API would refuse with 400, or null */
export function problemIn(body: Json | undefined, model: string, strict: boolean): string | null {
  if (!isObject(body)) return 'Invalid JSON payload received.'
  const unknown = Object.keys(body).find((name) => !KNOWN_MEMBERS.has(camel(name)))
  if (strict && unknown !== undefined) {
    return `Invalid JSON payload received. Unknown name "${unknown}": Cannot find field.`
  }
  const { contents } = body
  if (!isArray(contents) || contents.length === 0) {
    return '* GenerateContentRequest.contents: contents is not specified'
  }
  return (
    problemInContents(contentsOf(body)) ?? problemInTools(body) ?? problemInSeals(contentsOf(body), model)
  )
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function problemInContents(contents: readonly JsonObject[]): string | null {
  let calls = 0
  for (const [index, content] of contents.entries()) {
    if (!ROLES.has(textAt(content, 'role'))) return 'Please use a valid role: user, model.'
    const parts = partsOf(content)
    if (parts.length === 0 && content['role'] !== 'model') {
      return `* GenerateContentRequest.contents[${index}].parts: contents.parts must not be empty.`
    }
    if (parts.some((part) => Object.keys(part).length === 0)) {
      return `* GenerateContentRequest.contents[${index}].parts: required oneof field 'data' must have one initialized field`
    }
    const results = parts.filter((part) => isObject(member(part, 'functionResponse'))).length
    if (results !== calls && (results > 0 || calls > 0)) {
      return 'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.'
    }
    calls = parts.filter(isCall).length
  }
  return null
}

function isCall(part: JsonObject): boolean {
  return isObject(member(part, 'functionCall'))
}

function problemInTools(body: JsonObject): string | null {
  for (const [index, tool] of memberArray(body, 'tools').entries()) {
    const declared = isObject(tool) ? memberArray(tool, 'functionDeclarations') : []
    const unnamed = declared.findIndex((one) => !isObject(one) || textAt(one, 'name') === '')
    if (unnamed !== -1) {
      return `* GenerateContentRequest.tools[${index}].function_declarations[${unnamed}].name: Invalid function name.`
    }
  }
  return null
}

/** Since Gemini 3 the first call of each step since the last text of the user must bring its signature back. */
function problemInSeals(contents: readonly JsonObject[], model: string): string | null {
  const asked = contents.findLastIndex(
    (content) => content['role'] !== 'model' && partsOf(content).some((part) => textAt(part, 'text') !== ''),
  )
  for (const [index, content] of contents.entries()) {
    const parts = partsOf(content)
    for (const part of parts) {
      const seal = member(part, 'thoughtSignature')
      if (typeof seal !== 'string' || seal === '' || WAIVERS.has(seal)) continue
      if (!isSealOf('thought', seal, null)) return 'Thought signature is not valid.'
    }
    const first = parts.find(isCall)
    const missing = first !== undefined && (member(first, 'thoughtSignature') ?? '') === ''
    if (signs(model) && index > asked && missing) {
      return 'Function call is missing a thought_signature in functionCall parts.'
    }
  }
  return null
}
