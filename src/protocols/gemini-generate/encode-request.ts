import type { Json, JsonObject } from '../../kernel/index.ts'
import type { EncodeResult, NeutralFormat, NeutralPart, NeutralRequest, NeutralTool } from '../neutral.ts'
import type { EncodeCallInput } from '../protocol.ts'
import { ContentsWriter, joinedTurns } from './encode-contents.ts'
import { Notes } from './notes.ts'
import { writeThinking } from './thinking.ts'
import { tierWord } from './tier.ts'

/** A neutral request for one of Google's models. */

const STOPS_MAX = 5
const CANDIDATES_MAX = 8
const TOP_LOGPROBS_MAX = 20
const SEED_LIMIT = 2 ** 31
const FUNCTION_NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/

function isEmptySchema(schema: JsonObject): boolean {
  const { type, properties, ...rest } = schema
  const none =
    properties === undefined || (typeof properties === 'object' && Object.keys(properties ?? {}).length === 0)
  return none && (type === undefined || type === 'object') && Object.keys(rest).length === 0
}

/** The full JSON schema goes as it is: Google's own dialect knows no references and no additional properties. */
function writeTool(tool: NeutralTool, path: string, notes: Notes): JsonObject {
  if (!FUNCTION_NAME.test(tool.name))
    notes.refuse(
      `${path}.name`,
      'must begin with a letter or underscore and have at most 128 of a-z A-Z 0-9 _ . : -',
    )
  if (tool.strict === true) notes.drop('tools[].strict')
  if (tool.cache !== undefined) notes.drop('tools[].cache_control')
  return {
    name: tool.name,
    ...(tool.description === null ? {} : { description: tool.description }),
    ...(isEmptySchema(tool.parameters) ? {} : { parametersJsonSchema: tool.parameters }),
  }
}

function writeTools(request: NeutralRequest, notes: Notes): JsonObject {
  const { tools, toolChoice, parallelTools } = request
  if (parallelTools === false) notes.drop('parallel_tool_calls')
  if (tools.length === 0) {
    if (toolChoice?.kind === 'required' || toolChoice?.kind === 'tool')
      notes.refuse('tool_choice', 'demands a tool, but the request has none')
    return {}
  }
  const functionDeclarations = tools.map((tool, at) => writeTool(tool, `tools[${at}]`, notes))
  const modes = { auto: 'AUTO', none: 'NONE', required: 'ANY', tool: 'ANY' } as const
  const functionCallingConfig: JsonObject | null =
    toolChoice === null
      ? null
      : {
          mode: modes[toolChoice.kind],
          ...(toolChoice.kind === 'tool' ? { allowedFunctionNames: [toolChoice.name] } : {}),
        }
  return {
    tools: [{ functionDeclarations }],
    ...(functionCallingConfig === null ? {} : { toolConfig: { functionCallingConfig } }),
  }
}

function writeFormat(format: NeutralFormat): JsonObject {
  if (format.kind === 'text') return {}
  const responseMimeType = 'application/json'
  if (format.kind === 'json') return { responseMimeType }
  const { name, description, schema } = format
  return {
    responseMimeType,
    responseJsonSchema: {
      ...schema,
      ...(schema['title'] !== undefined || name === 'response' ? {} : { title: name }),
      ...(schema['description'] !== undefined || description === null ? {} : { description }),
    },
  }
}

/** Google's seeds have 32 bits; the same seed gives the same one, which is all that it is for. */
function writeSeed(seed: number | null): number | null {
  if (seed === null || (seed >= -SEED_LIMIT && seed < SEED_LIMIT)) return seed
  return Math.abs(seed) % SEED_LIMIT
}

function writeConfig(request: NeutralRequest, call: EncodeCallInput, notes: Notes): JsonObject {
  if (request.stop.length > STOPS_MAX) notes.refuse('stop', `has more than ${STOPS_MAX} texts`)
  if (request.choices > CANDIDATES_MAX) notes.refuse('n', `is more than ${CANDIDATES_MAX}`)
  const { logprobs } = request
  if (logprobs !== null && logprobs > TOP_LOGPROBS_MAX)
    notes.refuse('top_logprobs', `is more than ${TOP_LOGPROBS_MAX}`)
  const thinkingConfig = writeThinking(request.reasoning, call.upstreamModel, notes)
  const members: Readonly<Record<string, Json | null>> = {
    maxOutputTokens: call.maxOutputTokens ?? request.maxOutputTokens,
    temperature: request.temperature,
    topP: request.topP,
    topK: request.topK,
    seed: writeSeed(request.seed),
    stopSequences: request.stop.length === 0 ? null : request.stop,
    candidateCount: request.choices === 1 ? null : request.choices,
    presencePenalty: request.presencePenalty,
    frequencyPenalty: request.frequencyPenalty,
    responseLogprobs: logprobs === null ? null : true,
    logprobs: logprobs === null || logprobs === 0 ? null : logprobs,
    thinkingConfig: Object.keys(thinkingConfig).length === 0 ? null : thinkingConfig,
  }
  const asked = Object.entries(members).filter(([, value]) => value !== null)
  return { ...Object.fromEntries(asked), ...writeFormat(request.format) }
}

function systemParts(parts: readonly NeutralPart[], path: string, notes: Notes): readonly JsonObject[] {
  if (parts.some((part) => 'cache' in part && part.cache !== undefined)) notes.drop('system[].cache_control')
  return parts.flatMap((part, at): JsonObject[] => {
    if (part.kind !== 'text') notes.refuse(`${path}[${at}]`, 'must be a text')
    return part.kind === 'text' && part.text !== '' ? [{ text: part.text }] : []
  })
}

/** System messages before everything else are the instruction too. */
function writeConversation(request: NeutralRequest, model: string, notes: Notes): JsonObject {
  const { messages } = request
  const firstTurn = messages.findIndex((message) => message.role !== 'system')
  const leading = firstTurn === -1 ? messages.length : firstTurn
  const instruction = [
    ...systemParts(request.system, 'system', notes),
    ...messages
      .slice(0, leading)
      .flatMap((message, at) => systemParts(message.parts, `messages[${at}].content`, notes)),
  ]
  const writer = new ContentsWriter(model, notes)
  const talk = messages.slice(leading).map((message, at) => ({ message, path: `messages[${leading + at}]` }))
  for (const placed of joinedTurns(talk)) writer.write(placed)
  const { contents } = writer
  if (contents.length > 0)
    return {
      ...(instruction.length === 0 ? {} : { systemInstruction: { parts: instruction } }),
      contents,
    }
  // An instruction alone is no conversation here.
  if (instruction.length === 0) notes.refuse('messages', 'say nothing')
  else notes.drop('messages[].role')
  return { contents: [{ role: 'user', parts: instruction }] }
}

function writeTier(tier: string | null, notes: Notes): JsonObject {
  const word = tier === null ? null : tierWord(tier)
  if (word === undefined) notes.drop('service_tier')
  return word === undefined || word === null ? {} : { serviceTier: word }
}

export function encodeRequest(request: NeutralRequest, call: EncodeCallInput): EncodeResult {
  const notes = new Notes()
  for (const path of request.dropped) notes.drop(path)
  if (request.user !== null) notes.drop('user')
  const generationConfig = writeConfig(request, call, notes)
  const body: JsonObject = {
    ...writeConversation(request, call.upstreamModel, notes),
    ...writeTools(request, notes),
    ...(Object.keys(generationConfig).length === 0 ? {} : { generationConfig }),
    ...writeTier(request.serviceTier, notes),
  }
  const { fault } = notes
  return fault === null ? { ok: true, body, dropped: notes.dropped } : { ok: false, ...fault }
}
