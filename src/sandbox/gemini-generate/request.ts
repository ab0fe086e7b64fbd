import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { arrayAt, textAt, textsAt, wholeAt } from '../members.ts'
import { effortTokens, type Question, type Tool, type Turn } from '../plan.ts'

export interface GenerateRequest extends Question {
  /** Tokens of thinking; 0 for a model that does not. */
  readonly thoughtTokens: number
  readonly showsThoughts: boolean
  /** Gemini 3 and later: signatures on calls are demanded back. */
  readonly signs: boolean
  readonly serviceTier: string
}

/** Reads a request that `problemIn` has found nothing wrong with; unknown members are ignored. */
export function readGenerate(body: JsonObject, model: string, stream: boolean): GenerateRequest {
  const config = memberObject(body, 'generationConfig')
  const tools = memberArray(body, 'tools').filter(isObject)
  const declared = tools.flatMap((tool) => memberArray(tool, 'functionDeclarations').filter(isObject))
  const calling = memberObject(memberObject(body, 'toolConfig'), 'functionCallingConfig')
  const allowed = textsAt(calling, 'allowedFunctionNames')
  const readable = declared.map(readTool).filter(({ name }) => allowed.length === 0 || allowed.includes(name))
  const mode = textAt(calling, 'mode').toUpperCase()
  const system = memberObject(body, 'systemInstruction')
  const turns = contentsOf(body).map(readTurn)
  const thinking = memberObject(config, 'thinkingConfig')
  return {
    model,
    messages:
      arrayAt(system, 'parts').length > 0 ? [{ ...readTurn(system), role: 'system' }, ...turns] : turns,
    stream,
    n: wholeAt(config, 'candidateCount') ?? 1,
    tokensMax: wholeAt(config, 'maxOutputTokens') ?? wholeAt(config, 'max_output_tokens'),
    stops: [...textsAt(config, 'stopSequences'), ...textsAt(config, 'stop_sequences')],
    tools: readable,
    extraPrompt: declared.length > 0 ? JSON.stringify(declared) : '',
    toolChoice: mode === 'ANY' ? 'required' : mode === 'NONE' ? 'none' : 'auto',
    parallelTools: true,
    format: readFormat(config),
    seed: wholeAt(config, 'seed') ?? 0,
    thoughtTokens: thoughtTokens(model, thinking),
    showsThoughts: member(thinking, 'includeThoughts') === true,
    signs: signs(model),
    serviceTier: textAt(body, 'serviceTier'),
  }
}

/** The text of the last message of the user that has any. */
export function lastUserText(body: Json | undefined): string {
  if (!isObject(body)) return ''
  const said = contentsOf(body).filter((content) => content['role'] !== 'model')
  return said.map((content) => textOf(partsOf(content))).findLast((text) => text !== '') ?? ''
}

/** Google takes every name in camel and in snake case. */
export function member(object: JsonObject, name: string): Json | undefined {
  return object[name] ?? object[name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]
}

export function memberObject(object: JsonObject, name: string): JsonObject {
  const value = member(object, name)
  return isObject(value) ? value : {}
}

export function memberArray(object: JsonObject, name: string): readonly Json[] {
  const value = member(object, name)
  return isArray(value) ? value : []
}

export function contentsOf(body: JsonObject): readonly JsonObject[] {
  return arrayAt(body, 'contents').filter(isObject)
}

export function partsOf(content: JsonObject): readonly JsonObject[] {
  return arrayAt(content, 'parts').filter(isObject)
}

export function signs(model: string): boolean {
  return /gemini-(?:[3-9]|\d\d)/.test(model)
}

export function readTurn(content: JsonObject): Turn {
  const parts = partsOf(content)
  const results = parts.flatMap((part) => {
    const result = member(part, 'functionResponse')
    return isObject(result) ? [JSON.stringify(result['response'] ?? null)] : []
  })
  const role = results.length > 0 ? 'tool' : textAt(content, 'role') || 'user'
  return {
    role,
    text: results.length > 0 ? results.join('\n') : textOf(parts),
    images: parts.flatMap(mediaOf),
    counted: parts.map(countedOf).join(''),
  }
}

function textOf(parts: readonly JsonObject[]): string {
  const texts = parts.map((part) => textAt(part, 'text'))
  return texts.filter((text) => text !== '').join('\n')
}

function mediaOf(part: JsonObject): readonly string[] {
  const data = member(part, 'inlineData') ?? member(part, 'fileData')
  if (!isObject(data)) return []
  const type = member(data, 'mimeType')
  return [typeof type === 'string' && type !== '' ? type : 'a link']
}

function countedOf(part: JsonObject): string {
  // A thought that comes back is not part of the prompt.
  if (part['thought'] === true) return ''
  const call = member(part, 'functionCall')
  if (isObject(call)) return JSON.stringify({ name: call['name'], args: call['args'] })
  const result = member(part, 'functionResponse')
  if (isObject(result)) return JSON.stringify(result['response'] ?? null)
  return textAt(part, 'text')
}

function readTool(declaration: JsonObject): Tool {
  const schema = member(declaration, 'parametersJsonSchema') ?? declaration['parameters']
  return { name: textAt(declaration, 'name'), parameters: plainSchema(schema) }
}

function readFormat(config: JsonObject): Question['format'] {
  const schema = member(config, 'responseJsonSchema') ?? member(config, 'responseSchema')
  if (schema !== undefined) return { schema: plainSchema(schema) }
  return member(config, 'responseMimeType') === 'application/json' ? 'json' : 'text'
}

/** Google writes the types of a schema in capitals. */
function plainSchema(schema: Json | undefined): Json | undefined {
  if (isArray(schema)) return schema.map((one) => plainSchema(one) ?? null)
  if (!isObject(schema)) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [
      name,
      name === 'type' && typeof value === 'string' ? value.toLowerCase() : (plainSchema(value) ?? null),
    ]),
  )
}

/** Thinking by level or by budget; a budget of -1 leaves it to the model. */
function thoughtTokens(model: string, thinking: JsonObject): number {
  if (!/gemini-(?:2\.5|[3-9]|\d\d)/.test(model) || /lite|embedding/.test(model)) return 0
  const usual = effortTokens(String(member(thinking, 'thinkingLevel') ?? '').toLowerCase())
  const budget = member(thinking, 'thinkingBudget')
  return typeof budget === 'number' && budget >= 0 ? Math.min(budget, usual) : usual
}

/** Names the v1beta API knows at the top of a body, in camel case. */
export const KNOWN_MEMBERS: ReadonlySet<string> = new Set(
  'contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent model labels serviceTier store'.split(
    ' ',
  ),
)
