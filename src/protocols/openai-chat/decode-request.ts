import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type {
  DecodeResult,
  NeutralFormat,
  NeutralRequest,
  NeutralTool,
  NeutralToolChoice,
} from '../neutral.ts'
import { decodeMessages } from './decode-messages.ts'
import { cacheOf } from './media.ts'
import { asksNothing, Notes } from './notes.ts'
import { REASONING_MEMBERS, readReasoning } from './reasoning.ts'
import { type ChatFacts, LIMIT_FIELDS } from './request.ts'

/** A chat request out of the wire; what is left unread and changes no meaning is listed as dropped. */

const READ = new Set<string>([
  ...LIMIT_FIELDS,
  ...REASONING_MEMBERS,
  'model',
  'messages',
  'n',
  'stream',
  'stream_options',
  'service_tier',
  'tools',
  'tool_choice',
  'functions',
  'function_call',
  'parallel_tool_calls',
  'response_format',
  'stop',
  'seed',
  'temperature',
  'top_p',
  'top_k',
  'presence_penalty',
  'frequency_penalty',
  'logprobs',
  'top_logprobs',
  'user',
  'modalities',
])

const HOSTED = 'runs at its provider only and cannot be carried to another'
const DECODING = 'constrains what the model may write and cannot be carried to this provider'

/** Members whose loss would change what was asked for. */
const REFUSED: Readonly<Record<string, string>> = {
  web_search_options: HOSTED,
  search_parameters: HOSTED,
  enable_search: HOSTED,
  plugins: HOSTED,
  moderation: HOSTED,
  logit_bias: DECODING,
  grammar: DECODING,
  guided_json: DECODING,
  guided_regex: DECODING,
  guided_choice: DECODING,
  guided_grammar: DECODING,
}

function readNumber(body: JsonObject, name: string, notes: Notes): number | null {
  const value = body[name]
  if (value === undefined || value === null) return null
  if (typeof value === 'number' && Number.isFinite(value)) return value
  notes.refuse(name, 'must be a number')
  return null
}

function readInteger(body: JsonObject, name: string, notes: Notes): number | null {
  const value = readNumber(body, name, notes)
  if (value === null || Number.isSafeInteger(value)) return value
  notes.refuse(name, 'must be an integer')
  return null
}

function readStop(body: JsonObject, notes: Notes): readonly string[] {
  const { stop } = body
  if (stop === undefined || stop === null) return []
  const list = isArray(stop) ? stop : [stop]
  if (list.every((text) => typeof text === 'string')) return list.filter((text) => text !== '')
  notes.refuse('stop', 'must be text or a list of texts')
  return []
}

function readFunction(value: Json | undefined, path: string, notes: Notes): NeutralTool | null {
  if (!isObject(value) || typeof value['name'] !== 'string') {
    notes.refuse(path, 'must be a function with a name')
    return null
  }
  const { description, parameters, strict } = value
  return {
    name: value['name'],
    description: typeof description === 'string' ? description : null,
    parameters: isObject(parameters) ? parameters : { type: 'object', properties: {} },
    strict: typeof strict === 'boolean' ? strict : null,
  }
}

function readTools(body: JsonObject, notes: Notes): NeutralTool[] {
  const tools: NeutralTool[] = []
  const listed = isArray(body['tools']) ? body['tools'] : []
  listed.forEach((tool, at) => {
    const path = `tools[${at}]`
    if (isObject(tool) && tool['type'] === 'function') {
      const read = readFunction(tool['function'], `${path}.function`, notes)
      if (read !== null) tools.push({ ...read, ...cacheOf(tool) })
    } else notes.refuse(path, 'only function tools can be carried to this provider')
  })
  const legacy = isArray(body['functions']) ? body['functions'] : []
  legacy.forEach((value, at) => {
    const read = readFunction(value, `functions[${at}]`, notes)
    if (read !== null) tools.push(read)
  })
  return tools
}

function nameOf(value: Json | undefined): string | null {
  return isObject(value) && typeof value['name'] === 'string' ? value['name'] : null
}

interface Choice {
  readonly toolChoice: NeutralToolChoice | null
  /** Names the choice is limited to; null for no limit. */
  readonly allowed: ReadonlySet<string> | null
}

function readAllowedTools(value: Json | undefined, notes: Notes): Choice {
  const allowed = isObject(value) && isArray(value['tools']) ? value['tools'] : []
  const names = allowed.map((tool) => (isObject(tool) ? nameOf(tool['function']) : null))
  if (names.includes(null)) notes.refuse('tool_choice', 'only function tools can be carried to this provider')
  const required = isObject(value) && value['mode'] === 'required'
  return {
    toolChoice: { kind: required ? 'required' : 'auto' },
    allowed: new Set(names.filter((name) => name !== null)),
  }
}

function readToolChoice(body: JsonObject, notes: Notes): Choice {
  const choice = body['tool_choice'] ?? body['function_call']
  if (choice === undefined || choice === null) return { toolChoice: null, allowed: null }
  if (choice === 'auto' || choice === 'none' || choice === 'required')
    return { toolChoice: { kind: choice }, allowed: null }
  // Mistral's word for `required`.
  if (choice === 'any') return { toolChoice: { kind: 'required' }, allowed: null }
  if (isObject(choice) && choice['type'] === 'allowed_tools')
    return readAllowedTools(choice['allowed_tools'], notes)
  const name = isObject(choice) ? (nameOf(choice['function']) ?? nameOf(choice)) : null
  if (name !== null) return { toolChoice: { kind: 'tool', name }, allowed: null }
  notes.refuse('tool_choice', 'must be none, auto, required or a function')
  return { toolChoice: null, allowed: null }
}

function readFormat(body: JsonObject, notes: Notes): NeutralFormat {
  const format = body['response_format']
  const type = isObject(format) ? format['type'] : undefined
  if (format === undefined || format === null || type === 'text') return { kind: 'text' }
  if (type === 'json_object') return { kind: 'json' }
  const named = isObject(format) ? format['json_schema'] : undefined
  if (type === 'json_schema' && isObject(named) && isObject(named['schema'])) {
    const { name, strict, description } = named
    return {
      kind: 'schema',
      name: typeof name === 'string' ? name : 'answer',
      schema: named['schema'],
      strict: typeof strict === 'boolean' ? strict : null,
      description: typeof description === 'string' ? description : null,
    }
  }
  notes.refuse('response_format', 'must be of type text, json_object or json_schema with a schema')
  return { kind: 'text' }
}

/** Sound is one form of the same answer: with text beside it only the sound is lost. */
function checkModalities(body: JsonObject, notes: Notes): void {
  const { modalities } = body
  if (!isArray(modalities) || modalities.every((modality) => modality === 'text')) return
  if (modalities.includes('text')) notes.drop('modalities')
  else notes.refuse('modalities', 'this provider answers with text only')
}

function checkMembers(body: JsonObject, notes: Notes): void {
  for (const [name, problem] of Object.entries(REFUSED))
    if (!asksNothing(body[name])) notes.refuse(name, problem)
  notes.dropUnread(body, READ, '')
  const options = body['stream_options']
  if (isObject(options)) notes.dropUnread(options, new Set(['include_usage']), 'stream_options.')
  checkModalities(body, notes)
}

/** @param facts of the same body, by `readRequest` */
export function decodeRequest(body: JsonObject, facts: ChatFacts): DecodeResult<NeutralRequest> {
  const notes = new Notes()
  checkMembers(body, notes)
  const { system, messages } = decodeMessages(isArray(body['messages']) ? body['messages'] : [], notes)
  const { toolChoice, allowed } = readToolChoice(body, notes)
  const tools = readTools(body, notes).filter((tool) => allowed === null || allowed.has(tool.name))
  const parallel = body['parallel_tool_calls']
  const topLogprobs = readInteger(body, 'top_logprobs', notes)
  const { user } = body
  const request: NeutralRequest = {
    system,
    messages,
    tools,
    toolChoice,
    // Who speaks the legacy form can take only one call in an answer.
    parallelTools: isArray(body['functions']) ? false : typeof parallel === 'boolean' ? parallel : null,
    maxOutputTokens: facts.maxOutputTokens,
    temperature: readNumber(body, 'temperature', notes),
    topP: readNumber(body, 'top_p', notes),
    topK: readInteger(body, 'top_k', notes),
    stop: readStop(body, notes),
    seed: readInteger(body, 'seed', notes),
    presencePenalty: readNumber(body, 'presence_penalty', notes),
    frequencyPenalty: readNumber(body, 'frequency_penalty', notes),
    choices: facts.choices,
    logprobs: body['logprobs'] === true ? (topLogprobs ?? 0) : null,
    format: readFormat(body, notes),
    reasoning: readReasoning(body, notes),
    user: typeof user === 'string' ? user : null,
    serviceTier: facts.serviceTier,
    dropped: notes.dropped,
  }
  return notes.fault === null ? { ok: true, value: request } : { ok: false, ...notes.fault }
}
