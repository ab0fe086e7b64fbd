import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchModel } from './peers.ts'

/** One answer of 200 events in each format, as its provider sends it, and the request that asks for it. */

export interface StreamFormat {
  readonly name: 'chat' | 'responses' | 'messages' | 'gemini'
  readonly protocol: BenchModel['protocol']
  /** Of the upstream's request line; tells the formats apart. */
  readonly needle: string
  path(model: string): string
  body(model: string): object
  readonly events: readonly string[]
}

const EVENTS = 200
const WORDS = 'Every call names the balance that will pay before a single token is produced '.split(' ')
const QUESTION =
  'Explain in two sentences which balance pays for a request and how a user can check it. '.repeat(5)

const word = (at: number): string => ` ${WORDS[at % (WORDS.length - 1)] ?? ''}`
const textOf = (count: number): string => Array.from({ length: count }, (_, at) => word(at)).join('')

function chatEvents(): string[] {
  const head = {
    id: 'chatcmpl-bench0000000000000000000002',
    object: 'chat.completion.chunk',
    created: 1790000000,
    model: 'bench-upstream',
    service_tier: 'default',
    system_fingerprint: 'fp_bench',
  }
  const chunk = (delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], usage: null })}\n\n`
  const words = EVENTS - 4
  const usage = { prompt_tokens: 137, completion_tokens: words, total_tokens: 137 + words }
  return [
    chunk({ role: 'assistant', content: '', refusal: null }, null),
    ...Array.from({ length: words }, (_, at) => chunk({ content: word(at) }, null)),
    chunk({}, 'stop'),
    `data: ${JSON.stringify({ ...head, choices: [], usage })}\n\n`,
    'data: [DONE]\n\n',
  ]
}

function responsesEvents(): string[] {
  const id = 'resp_bench00000000000000000000000002'
  const item = 'msg_bench00000000000000000000000002'
  const response = (status: string, more: object): object => ({
    id,
    object: 'response',
    created_at: 1790000000,
    status,
    model: 'bench-upstream',
    output: [],
    parallel_tool_calls: true,
    service_tier: 'default',
    tools: [],
    usage: null,
    ...more,
  })
  let number = 0
  const event = (type: string, fields: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...fields })}\n\n`
  const words = EVENTS - 8
  const place = { item_id: item, output_index: 0, content_index: 0 }
  const message = (status: string, text: string | null): object => ({
    id: item,
    type: 'message',
    status,
    role: 'assistant',
    content: text === null ? [] : [{ type: 'output_text', annotations: [], logprobs: [], text }],
  })
  const text = textOf(words)
  const usage = {
    input_tokens: 137,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: words,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 137 + words,
  }
  const part = { type: 'output_text', annotations: [], logprobs: [] }
  return [
    event('response.created', { response: response('in_progress', {}) }),
    event('response.in_progress', { response: response('in_progress', {}) }),
    event('response.output_item.added', { output_index: 0, item: message('in_progress', null) }),
    event('response.content_part.added', { ...place, part: { ...part, text: '' } }),
    ...Array.from({ length: words }, (_, at) =>
      event('response.output_text.delta', { ...place, delta: word(at), logprobs: [], obfuscation: 'k2Jx9' }),
    ),
    event('response.output_text.done', { ...place, text, logprobs: [] }),
    event('response.content_part.done', { ...place, part: { ...part, text } }),
    event('response.output_item.done', { output_index: 0, item: message('completed', text) }),
    event('response.completed', {
      response: response('completed', { output: [message('completed', text)], usage }),
    }),
  ]
}

function messagesEvents(): string[] {
  const event = (type: string, fields: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
  const words = EVENTS - 6
  const message = {
    id: 'msg_bench00000000000000000002',
    type: 'message',
    role: 'assistant',
    model: 'bench-upstream',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: {
      input_tokens: 137,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      output_tokens: 1,
      service_tier: 'standard',
    },
  }
  return [
    event('message_start', { message }),
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    event('ping', {}),
    ...Array.from({ length: words }, (_, at) =>
      event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: word(at) } }),
    ),
    event('content_block_stop', { index: 0 }),
    event('message_delta', {
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: words },
    }),
    event('message_stop', {}),
  ]
}

function geminiEvents(): string[] {
  return Array.from({ length: EVENTS }, (_, at) => {
    const usageMetadata = {
      promptTokenCount: 137,
      candidatesTokenCount: at + 1,
      totalTokenCount: 138 + at,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: 137 }],
    }
    const candidate = {
      content: { parts: [{ text: word(at) }], role: 'model' },
      ...(at === EVENTS - 1 ? { finishReason: 'STOP' } : {}),
      index: 0,
    }
    const body = {
      candidates: [candidate],
      usageMetadata,
      modelVersion: 'bench-upstream',
      responseId: 'bench0000000000000002',
    }
    return `data: ${JSON.stringify(body)}\r\n\r\n`
  })
}

const message = { role: 'user', content: QUESTION }

export const STREAM_FORMATS: readonly StreamFormat[] = [
  {
    name: 'chat',
    protocol: 'openai',
    needle: '/chat/completions',
    path: () => '/v1/chat/completions',
    body: (model) => ({
      model,
      messages: [{ role: 'system', content: 'Be brief.' }, message],
      max_tokens: 512,
      stream: true,
      stream_options: { include_usage: true },
    }),
    events: chatEvents(),
  },
  {
    name: 'responses',
    protocol: 'openai-responses',
    needle: '/responses',
    path: () => '/v1/responses',
    body: (model) => ({
      model,
      instructions: 'Be brief.',
      input: QUESTION,
      max_output_tokens: 512,
      store: false,
      stream: true,
    }),
    events: responsesEvents(),
  },
  {
    name: 'messages',
    protocol: 'anthropic',
    needle: '/messages',
    path: () => '/v1/messages',
    body: (model) => ({ model, system: 'Be brief.', messages: [message], max_tokens: 512, stream: true }),
    events: messagesEvents(),
  },
  {
    name: 'gemini',
    protocol: 'gemini',
    needle: ':streamGenerateContent',
    path: (model) => `/v1beta/models/${model}:streamGenerateContent?alt=sse`,
    body: () => ({
      systemInstruction: { parts: [{ text: 'Be brief.' }] },
      contents: [{ role: 'user', parts: [{ text: QUESTION }] }],
      generationConfig: { maxOutputTokens: 512 },
    }),
    events: geminiEvents(),
  },
]

export const modelOf = ({ name }: StreamFormat, paced: boolean): string =>
  `bench-${name}${paced ? '-paced' : ''}`

export const STREAM_MODELS: readonly BenchModel[] = STREAM_FORMATS.flatMap((format) =>
  [false, true].map((paced) => ({ name: modelOf(format, paced), protocol: format.protocol })),
)

/** Writes the streams. @returns what the upstream is to be started with */
export function upstreamArgs(dir: string): string[] {
  return STREAM_FORMATS.flatMap(({ name, needle, events }) => {
    const file = join(dir, `stream-${name}.sse`)
    writeFileSync(file, events.join(''))
    return ['--stream', `${needle}=${file}`]
  })
}

/** Writes the request of a caller of one format for a model. @returns its file */
export function requestFile(dir: string, caller: StreamFormat, model: string): string {
  const file = join(dir, `request-${caller.name}-${model}.json`)
  writeFileSync(file, JSON.stringify(caller.body(model)))
  return file
}
