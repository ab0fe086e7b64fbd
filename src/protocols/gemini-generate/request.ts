import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { RequestFacts, RequestInput, RequestResult } from '../protocol.ts'
import { inputTokensMax, webSearchCallsMax } from './bound.ts'
import { field, listOf, objectField, spelledTwice, textField } from './fields.ts'
import { requestTier } from './tier.ts'

/** What routing, holding and metering need of a request; model and method stand in its path. */
export interface GeminiFacts extends RequestFacts {
  /** Without `alt=sse` a stream is one JSON array: `frame: 'array'` for readers and encoders. */
  readonly array: boolean
  readonly generationConfig: JsonObject | null
  /** The spelling that the caller used; in which an edit has to stand lest the member be there twice. */
  readonly configName: 'generationConfig' | 'generation_config'
  readonly limitName: 'maxOutputTokens' | 'max_output_tokens'
  /** The body repeats the model, which must then agree with the path. */
  readonly repeatsModel: boolean
}

type Fault = { readonly ok: false; readonly param: string; readonly problem: string }

const CANDIDATES_MAX = 8

const bad = (param: string, problem: string): Fault => ({ ok: false, param, problem })

function typeName(value: Json): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}

/** Numbers of the generation config that cost money or memory when absurd. */
const INTEGERS: ReadonlyArray<readonly [string, number, number]> = [
  ['maxOutputTokens', 1, Number.MAX_SAFE_INTEGER],
  ['candidateCount', 1, CANDIDATES_MAX],
  ['logprobs', 0, 20],
  ['topK', 1, Number.MAX_SAFE_INTEGER],
  ['seed', -(2 ** 31), 2 ** 31 - 1],
]

const NUMBERS = ['temperature', 'topP', 'presencePenalty', 'frequencyPenalty'] as const

function integerFault(value: Json | undefined, param: string, min: number, max: number): Fault | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'number') return bad(param, `must be an integer, not ${typeName(value)}`)
  if (!Number.isSafeInteger(value)) return bad(param, 'must be an integer')
  return value < min || value > max ? bad(param, `must be between ${min} and ${max}`) : null
}

function configFault(config: JsonObject, path: string): Fault | null {
  const twice = spelledTwice(config)
  if (twice !== null) return bad(`${path}.${twice}`, 'stands there in two spellings')
  for (const [name, min, max] of INTEGERS) {
    const fault = integerFault(field(config, name), `${path}.${name}`, min, max)
    if (fault !== null) return fault
  }
  for (const name of NUMBERS) {
    const value = field(config, name)
    if (value !== undefined && value !== null && (typeof value !== 'number' || !Number.isFinite(value)))
      return bad(`${path}.${name}`, 'must be a number')
  }
  const stop = field(config, 'stopSequences')
  if (
    stop !== undefined &&
    stop !== null &&
    !(Array.isArray(stop) && stop.every((text) => typeof text === 'string'))
  )
    return bad(`${path}.stopSequences`, 'must be a list of texts')
  const logprobs = field(config, 'responseLogprobs')
  if (logprobs !== undefined && logprobs !== null && typeof logprobs !== 'boolean')
    return bad(`${path}.responseLogprobs`, 'must be a boolean')
  const thinking = field(config, 'thinkingConfig')
  if (thinking === undefined || thinking === null) return null
  if (!isObject(thinking)) return bad(`${path}.thinkingConfig`, 'must be an object')
  return integerFault(
    field(thinking, 'thinkingBudget'),
    `${path}.thinkingConfig.thinkingBudget`,
    -1,
    Number.MAX_SAFE_INTEGER,
  )
}

/** Members that may be one object or a list of objects. */
const OBJECT_LISTS = ['contents', 'systemInstruction', 'tools', 'safetySettings'] as const

function bodyFault(body: JsonObject): Fault | null {
  const twice = spelledTwice(body)
  if (twice !== null) return bad(twice, 'stands there in two spellings')
  for (const name of OBJECT_LISTS) {
    const value = field(body, name)
    if (value === undefined || value === null) continue
    const faultAt = listOf(value).findIndex((member) => !isObject(member))
    if (!Array.isArray(value) && !isObject(value)) return bad(name, 'must be a list of objects')
    if (faultAt !== -1) return bad(`${name}[${faultAt}]`, 'must be an object')
  }
  if (listOf(field(body, 'contents')).length === 0)
    return bad('contents', 'must be a list of at least one content')
  for (const name of ['serviceTier', 'cachedContent']) {
    const value = field(body, name)
    if (value !== undefined && value !== null && typeof value !== 'string')
      return bad(name, `must be a text, not ${typeName(value)}`)
  }
  return null
}

const twoNames = <A extends string, B extends string>(
  object: JsonObject | null,
  camel: A,
  snake: B,
): A | B => (object !== null && object[snake] !== undefined ? snake : camel)

export function readRequest(input: RequestInput): RequestResult<GeminiFacts> {
  const { body, byteLength, path } = input
  const model = path?.model.replace(/^models\//, '') ?? ''
  if (path === null || model === '') return bad('model', 'must be named in the path')
  const fault = bodyFault(body)
  if (fault !== null) return fault
  const configName = twoNames(body, 'generationConfig', 'generation_config')
  const config = body[configName]
  if (config !== undefined && config !== null && !isObject(config))
    return bad(configName, `must be an object, not ${typeName(config)}`)
  const generationConfig = objectField(body, 'generationConfig')
  const inConfig = generationConfig === null ? null : configFault(generationConfig, configName)
  if (inConfig !== null) return inConfig
  const limit = generationConfig === null ? undefined : field(generationConfig, 'maxOutputTokens')
  const candidates = generationConfig === null ? undefined : field(generationConfig, 'candidateCount')
  const choices = typeof candidates === 'number' ? candidates : 1
  return {
    ok: true,
    request: {
      model,
      stream: path.stream,
      wantsUsage: true,
      maxOutputTokens: typeof limit === 'number' ? limit : null,
      choices,
      serviceTier: requestTier(textField(body, 'serviceTier')),
      inputTokensMax: inputTokensMax(body, byteLength),
      webSearchCallsMax: webSearchCallsMax(body, choices),
      array: path.stream && !path.sse,
      generationConfig,
      configName,
      limitName: twoNames(generationConfig, 'maxOutputTokens', 'max_output_tokens'),
      repeatsModel: typeof body['model'] === 'string',
    },
  }
}
