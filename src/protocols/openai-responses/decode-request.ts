import { isArray, type JsonObject } from '../../kernel/index.ts'
import type { DecodeResult, NeutralRequest } from '../neutral.ts'
import { InputReader } from './decode-input.ts'
import {
  READ_MEMBERS,
  readFormat,
  readLimits,
  readLogprobSettings,
  readNumber,
  readReasoningSettings,
  readText,
} from './decode-settings.ts'
import { Notes } from './notes.ts'
import type { ResponsesFacts } from './request.ts'
import { readTools } from './tools.ts'

function readInput(body: JsonObject, notes: Notes): InputReader {
  const reader = new InputReader(notes)
  const instructions = readText(body, 'instructions', notes)
  if (instructions !== null) reader.system.push({ kind: 'text', text: instructions })
  const { input } = body
  if (typeof input === 'string') reader.read({ role: 'user', content: input }, 0)
  else if (isArray(input)) for (const [at, item] of input.entries()) reader.read(item, at)
  return reader
}

/**
 * A request of this format in the form of all. Everything that lives at OpenAI (earlier responses, conversations, hosted
 * tools, background work) is refused; what only this format knows and whose loss changes no answer is dropped.
 */
export function decodeRequest(body: JsonObject, facts: ResponsesFacts): DecodeResult<NeutralRequest> {
  const notes = new Notes()
  readLimits(body, notes)
  notes.dropUnread(body, READ_MEMBERS, '')
  const reader = readInput(body, notes)
  const { tools, choice } = readTools(body, notes)
  const parallel = body['parallel_tool_calls']
  const value: Omit<NeutralRequest, 'dropped'> = {
    system: reader.system,
    messages: reader.messages.filter((message) => message.parts.length > 0),
    tools,
    toolChoice: choice,
    parallelTools: typeof parallel === 'boolean' ? parallel : null,
    maxOutputTokens: facts.maxOutputTokens,
    temperature: readNumber(body, 'temperature', notes),
    topP: readNumber(body, 'top_p', notes),
    topK: null,
    stop: [],
    seed: null,
    presencePenalty: null,
    frequencyPenalty: null,
    choices: 1,
    logprobs: readLogprobSettings(body, notes),
    format: readFormat(body, notes),
    reasoning: readReasoningSettings(body, notes),
    user: readText(body, 'user', notes),
    serviceTier: facts.serviceTier,
  }
  if (value.messages.length === 0) notes.refuse('input', 'must have a message')
  const { fault } = notes
  return fault === null ? { ok: true, value: { ...value, dropped: notes.dropped } } : { ok: false, ...fault }
}
