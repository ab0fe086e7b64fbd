import type { Json, JsonObject } from '../../kernel/index.ts'
import type { DecodeResult, NeutralFormat, NeutralReasoning, NeutralRequest } from '../neutral.ts'
import { ContentsReader, readSystem } from './decode-contents.ts'
import { readCalling } from './decode-tools.ts'
import { field, listOf, objectField, objectsOf, textField } from './fields.ts'
import { Notes } from './notes.ts'
import type { GeminiFacts } from './request.ts'
import { jsonSchema } from './schema.ts'
import { readThinking } from './thinking.ts'

/** A request out of the wire. Its numbers were checked when it was read for its facts. */

const BODY_MEMBERS = new Set([
  'contents',
  'systemInstruction',
  'tools',
  'toolConfig',
  'generationConfig',
  'serviceTier',
  'model',
  'cachedContent',
  'continuationToken',
  'generationOutputConfig',
])

const REFUSED: ReadonlyArray<readonly [string, string]> = [
  ['cachedContent', 'names a cache of one account, which no other provider can read'],
  ['continuationToken', 'goes on with an answer that only Google has'],
  ['generationOutputConfig', "writes into one account's storage"],
]

const CONFIG_MEMBERS = new Set([
  'maxOutputTokens',
  'candidateCount',
  'temperature',
  'topP',
  'topK',
  'seed',
  'stopSequences',
  'presencePenalty',
  'frequencyPenalty',
  'responseLogprobs',
  'logprobs',
  'thinkingConfig',
  'responseMimeType',
  'responseSchema',
  'responseJsonSchema',
  'responseFormat',
  'responseModalities',
])

/** Members of a schema's `title` that can be a name elsewhere. */
const FORMAT_NAME = /^[a-zA-Z0-9_-]{1,64}$/

function schemaFormat(schema: JsonObject): NeutralFormat {
  const title = textField(schema, 'title')
  const name = title !== null && FORMAT_NAME.test(title) ? title : 'response'
  return { kind: 'schema', name, schema, strict: null, description: null }
}

function formatOf(
  mimeType: string | null,
  schema: JsonObject | null,
  path: string,
  notes: Notes,
): NeutralFormat {
  const type = mimeType?.toLowerCase() ?? (schema === null ? 'text/plain' : 'application/json')
  if (type === 'text/plain') return { kind: 'text' }
  if (type !== 'application/json') {
    notes.refuse(path, `is a form of answer that only Google makes: ${type}`)
    return { kind: 'text' }
  }
  return schema === null ? { kind: 'json' } : schemaFormat(schema)
}

function readFormat(config: JsonObject, notes: Notes): NeutralFormat {
  for (const modality of listOf(field(config, 'responseModalities')))
    if (typeof modality !== 'string' || modality.toUpperCase() !== 'TEXT')
      notes.refuse('generationConfig.responseModalities', 'asks for more than text')
  const formats = objectsOf(field(config, 'responseFormat'))
  const [format] = formats
  if (format !== undefined) {
    const text = objectField(format, 'text')
    if (formats.length > 1 || text === null) {
      notes.refuse('generationConfig.responseFormat', 'asks for more than text')
      return { kind: 'text' }
    }
    const mimeType = textField(text, 'mimeType')?.replace('APPLICATION_JSON', 'application/json') ?? null
    return formatOf(mimeType, objectField(text, 'schema'), 'generationConfig.responseFormat', notes)
  }
  const own = objectField(config, 'responseSchema')
  const schema = objectField(config, 'responseJsonSchema') ?? (own === null ? null : jsonSchema(own))
  return formatOf(textField(config, 'responseMimeType'), schema, 'generationConfig.responseMimeType', notes)
}

function readReasoning(config: JsonObject): NeutralReasoning | null {
  const thinking = objectField(config, 'thinkingConfig')
  return thinking === null ? null : readThinking(thinking)
}

const numberOf = (value: Json | undefined): number | null => (typeof value === 'number' ? value : null)

function readLogprobs(config: JsonObject): number | null {
  return field(config, 'responseLogprobs') === true ? (numberOf(field(config, 'logprobs')) ?? 0) : null
}

export function decodeRequest(body: JsonObject, facts: GeminiFacts): DecodeResult<NeutralRequest> {
  const notes = new Notes()
  for (const [name, problem] of REFUSED) {
    const value = field(body, name)
    if (value !== undefined && value !== null && value !== '') notes.refuse(name, problem)
  }
  notes.dropRest(body, BODY_MEMBERS, '')
  const config = facts.generationConfig ?? {}
  notes.dropRest(config, CONFIG_MEMBERS, 'generationConfig.')
  const contents = new ContentsReader(notes)
  const number = (name: string): number | null => numberOf(field(config, name))
  const request: Omit<NeutralRequest, 'dropped'> = {
    system: readSystem(body, notes),
    messages: objectsOf(field(body, 'contents'))
      .map((content, at) => contents.read(content, `contents[${at}]`))
      .filter((message) => message !== null),
    ...readCalling(body, notes),
    parallelTools: null,
    maxOutputTokens: facts.maxOutputTokens,
    temperature: number('temperature'),
    topP: number('topP'),
    topK: number('topK'),
    stop: listOf(field(config, 'stopSequences')).filter((text) => typeof text === 'string'),
    seed: number('seed'),
    presencePenalty: number('presencePenalty'),
    frequencyPenalty: number('frequencyPenalty'),
    choices: facts.choices,
    logprobs: readLogprobs(config),
    format: readFormat(config, notes),
    reasoning: readReasoning(config),
    user: null,
    serviceTier: facts.serviceTier,
  }
  const { fault } = notes
  return fault === null
    ? { ok: true, value: { ...request, dropped: notes.dropped } }
    : { ok: false, ...fault }
}
