import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { DecodeResult, NeutralMessage, NeutralPart, NeutralRequest } from '../neutral.ts'
import { decodeParts } from './decode-parts.ts'
import { decodeFormat, decodeReasoning, decodeToolChoice, decodeTools } from './decode-settings.ts'
import { asksNothing, Notes, Refusal, refusable } from './notes.ts'
import type { MessagesFacts } from './request.ts'

/** Claude Code's first system block changes with every request: any other provider's cache would never hit. */
const BILLING_BLOCK = 'x-anthropic-billing-header'

const READ = new Set([
  'model',
  'messages',
  'max_tokens',
  'system',
  'tools',
  'tool_choice',
  'thinking',
  'output_config',
  'output_format',
  'temperature',
  'top_p',
  'top_k',
  'stop_sequences',
  'stream',
  'metadata',
  'service_tier',
])

/** Members whose loss changes what is asked for, unless they are empty. */
const REFUSED: Readonly<Record<string, string>> = {
  mcp_servers: 'are reached by Anthropic itself',
  container: 'is held by Anthropic',
  thread: 'is held by Anthropic',
  inference_geo: 'can be promised by Anthropic only',
}

function refuseUncarried(body: JsonObject): void {
  for (const [param, problem] of Object.entries(REFUSED))
    if (!asksNothing(body[param]) && !(param === 'inference_geo' && body[param] === 'global'))
      throw new Refusal(param, problem)
}

function decodeSystem(system: Json | undefined, notes: Notes): NeutralPart[] {
  const first = isArray(system) ? system[0] : system
  const text = isObject(first) ? first['text'] : first
  if (typeof text !== 'string' || !text.startsWith(BILLING_BLOCK)) return decodeParts(system, 'system', notes)
  notes.drop('system[]')
  if (!isArray(system)) return []
  // Refusals name the place in the caller's list, so the block is emptied rather than taken out.
  return decodeParts([{ type: 'text', text: '' }, ...system.slice(1)], 'system', notes).slice(1)
}

function decodeMessage(message: JsonObject, path: string, notes: Notes): NeutralMessage {
  const { role } = message
  if (role !== 'user' && role !== 'assistant' && role !== 'system')
    throw new Refusal(`${path}.role`, 'must be user, assistant or system')
  for (const [name, value] of Object.entries(message))
    if (name !== 'role' && name !== 'content' && !asksNothing(value)) notes.drop(`${path}.${name}`)
  return { role, parts: decodeParts(message['content'], `${path}.content`, notes) }
}

function decodeMessages(messages: Json | undefined, notes: Notes): NeutralMessage[] {
  if (!isArray(messages)) throw new Refusal('messages', 'must be a list')
  return messages.map((message, index) => {
    if (!isObject(message)) throw new Refusal(`messages[${index}]`, 'must be an object')
    return decodeMessage(message, `messages[${index}]`, notes)
  })
}

function numberOf(body: JsonObject, param: string): number | null {
  const value = body[param]
  if (value === undefined || value === null) return null
  if (typeof value !== 'number') throw new Refusal(param, 'must be a number')
  return value
}

function stopsOf(body: JsonObject): string[] {
  const stops = body['stop_sequences']
  if (!isArray(stops)) return []
  return stops.map((stop, index) => {
    if (typeof stop !== 'string') throw new Refusal(`stop_sequences[${index}]`, 'must be a string')
    return stop
  })
}

function userOf(body: JsonObject, notes: Notes): string | null {
  const metadata = isObject(body['metadata']) ? body['metadata'] : {}
  for (const [name, value] of Object.entries(metadata))
    if (name !== 'user_id' && !asksNothing(value)) notes.drop(`metadata.${name}`)
  return typeof metadata['user_id'] === 'string' ? metadata['user_id'] : null
}

/** `standard_only` refuses paid priority: what others call their default tier. */
function tierFrom(facts: MessagesFacts): string | null {
  return facts.serviceTier === 'standard_only' ? 'default' : facts.serviceTier
}

function decode(body: JsonObject, facts: MessagesFacts): NeutralRequest {
  const notes = new Notes()
  refuseUncarried(body)
  for (const [name, value] of Object.entries(body))
    if (!READ.has(name) && !asksNothing(value) && !Object.hasOwn(REFUSED, name)) notes.drop(name)
  const { choice, parallel } = decodeToolChoice(body['tool_choice'])
  const fields = {
    system: decodeSystem(body['system'], notes),
    messages: decodeMessages(body['messages'], notes),
    tools: decodeTools(body['tools'], notes),
    format: decodeFormat(body, notes),
    reasoning: decodeReasoning(body, notes),
    user: userOf(body, notes),
  }
  return {
    ...fields,
    toolChoice: choice,
    parallelTools: parallel,
    maxOutputTokens: facts.maxOutputTokens,
    temperature: numberOf(body, 'temperature'),
    topP: numberOf(body, 'top_p'),
    topK: numberOf(body, 'top_k'),
    stop: stopsOf(body),
    seed: null,
    presencePenalty: null,
    frequencyPenalty: null,
    choices: 1,
    logprobs: null,
    serviceTier: tierFrom(facts),
    dropped: notes.dropped,
  }
}

export function decodeRequest(body: JsonObject, facts: MessagesFacts): DecodeResult<NeutralRequest> {
  return refusable(() => ({ ok: true, value: decode(body, facts) }))
}
