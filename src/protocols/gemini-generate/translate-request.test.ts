import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralRequest } from '../neutral.ts'
import { decodeRequest } from './decode-request.ts'
import { encodeRequest } from './encode-request.ts'
import { readRequest } from './request.ts'

const EMPTY: NeutralRequest = {
  system: [],
  messages: [{ role: 'user', parts: [{ kind: 'text', text: 'hello' }] }],
  tools: [],
  toolChoice: null,
  parallelTools: null,
  maxOutputTokens: null,
  temperature: null,
  topP: null,
  topK: null,
  stop: [],
  seed: null,
  presencePenalty: null,
  frequencyPenalty: null,
  choices: 1,
  logprobs: null,
  format: { kind: 'text' },
  reasoning: null,
  user: null,
  serviceTier: null,
  dropped: [],
}

function decoded(body: JsonObject) {
  const read = readRequest({
    body,
    byteLength: JSON.stringify(body).length,
    path: { model: 'gemini-2.5-flash', stream: false, sse: false },
  })
  assert.ok(read.ok, JSON.stringify(read))
  return decodeRequest(body, read.request)
}

function decode(body: JsonObject): NeutralRequest {
  const result = decoded(body)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}

function refused(body: JsonObject): string {
  const result = decoded(body)
  assert.ok(!result.ok, 'must be refused')
  return result.param
}

const call = (upstreamModel: string) => ({
  upstreamModel,
  stream: false,
  maxOutputTokens: null,
  modelMaxOutputTokens: 65_536,
})

function encode(request: Partial<NeutralRequest>, model = 'gemini-2.5-flash') {
  const result = encodeRequest({ ...EMPTY, ...request }, call(model))
  assert.ok(result.ok, JSON.stringify(result))
  return result
}

function encodeFault(request: Partial<NeutralRequest>): string {
  const result = encodeRequest({ ...EMPTY, ...request }, call('gemini-2.5-flash'))
  assert.ok(!result.ok)
  return result.param
}

const user = (...parts: Json[]): JsonObject => ({ role: 'user', parts })
const model = (...parts: Json[]): JsonObject => ({ role: 'model', parts })
const say = (text: string): JsonObject => user({ text })

/** One request with everything that both forms hold. */
const FULL: JsonObject = {
  systemInstruction: { parts: [{ text: 'You are a harbour master.' }, { text: 'Be brief.' }] },
  contents: [
    user({ text: 'What is on this chart?' }, { inlineData: { mimeType: 'image/png', data: 'AAAA' } }),
    model(
      { text: 'It shows a bay.', thought: true, thoughtSignature: 'c2lnMQ==' },
      { text: 'Two tables, please.' },
      { functionCall: { name: 'tide', args: { harbour: 'Husum' } }, thoughtSignature: 'c2lnMg==' },
      { functionCall: { id: 'fc_9', name: 'tide', args: {} } },
    ),
    user(
      { functionResponse: { name: 'tide', response: { result: 'high at 7' } } },
      { functionResponse: { id: 'fc_9', name: 'tide', response: { error: 'no such harbour' } } },
    ),
    model({ text: 'High water is at seven.' }, { text: '', thoughtSignature: 'c2lnMw==' }),
    user(
      { text: 'Listen and read.' },
      { inlineData: { mimeType: 'audio/mp3', data: 'BBBB' } },
      { inlineData: { mimeType: 'application/pdf', data: 'CCCC' } },
      { fileData: { mimeType: 'image/jpeg', fileUri: 'https://pictures.example/a.jpg' } },
      { inlineData: { mimeType: 'video/mp4', data: 'DDDD' } },
    ),
  ],
  tools: [
    {
      functionDeclarations: [
        {
          name: 'tide',
          description: 'Tides of a harbour',
          parametersJsonSchema: {
            type: 'object',
            properties: { harbour: { type: 'string' } },
            required: ['harbour'],
          },
        },
        { name: 'moon' },
      ],
    },
  ],
  toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['tide'] } },
  generationConfig: {
    maxOutputTokens: 500,
    candidateCount: 2,
    temperature: 0.5,
    topP: 0.9,
    topK: 40,
    seed: 7,
    stopSequences: ['END'],
    presencePenalty: 0.1,
    frequencyPenalty: -0.2,
    responseLogprobs: true,
    logprobs: 3,
    thinkingConfig: { thinkingBudget: 2_000, includeThoughts: true },
    responseMimeType: 'application/json',
    responseJsonSchema: { type: 'object', title: 'tides', properties: { at: { type: 'string' } } },
  },
  serviceTier: 'flex',
}

test('decoded, encoded and decoded again, a request says the same', () => {
  const first = decode(FULL)
  assert.deepEqual(first.dropped, [])
  const { body, dropped } = encode(first)
  assert.deepEqual(dropped, [])
  assert.deepEqual(decode(body), first)
  assert.deepEqual(body['contents'], FULL['contents'])
  assert.deepEqual(body['generationConfig'], FULL['generationConfig'])
  assert.deepEqual(body['tools'], FULL['tools'])
  assert.deepEqual(body['toolConfig'], FULL['toolConfig'])
})

test('snake_case says the same as camelCase', () => {
  const snake = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(snake)
    if (!isObject(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        // Schemas, arguments and results are the caller's own words.
        /JsonSchema$|^args$|^response$/.test(name) ? member : snake(member),
      ]),
    )
  }
  const body = snake(FULL)
  assert.ok(isObject(body) && body['generation_config'] !== undefined)
  assert.deepEqual(decode(body), decode(FULL))
})

test('calls without ids get ids of their own, and results find them by name and order', () => {
  const { messages } = decode({
    contents: [
      say('tides?'),
      model(
        { functionCall: { name: 'tide', args: { harbour: 'Husum' } } },
        { functionCall: { name: 'moon', args: {} } },
        { functionCall: { name: 'tide', args: { harbour: 'Büsum' } } },
      ),
      user(
        { functionResponse: { name: 'moon', response: { output: 'full' } } },
        { functionResponse: { name: 'tide', response: { high: 7 } } },
        { functionResponse: { name: 'tide', response: { high: 8 } } },
      ),
      model({ functionCall: { name: 'tide', args: {} } }),
      user({ functionResponse: { name: 'tide', response: {} } }),
    ],
  })
  const ids = messages.map(({ parts }) => parts.flatMap((part) => ('id' in part ? [part.id] : [])))
  assert.deepEqual(ids, [
    [],
    ['call_0_tide', 'call_1_moon', 'call_2_tide'],
    ['call_1_moon', 'call_0_tide', 'call_2_tide'],
    ['call_3_tide'],
    ['call_3_tide'],
  ])
  const { contents } = encode({ messages }).body
  assert.ok(Array.isArray(contents) && contents.length === 5)
  assert.ok(!JSON.stringify(contents).includes('call_'), 'ids that were made up here are not sent')
  const results = isObject(contents[2]) ? contents[2]['parts'] : null
  assert.deepEqual(results, [
    { functionResponse: { name: 'tide', response: { result: '{"high":7}' } } },
    { functionResponse: { name: 'moon', response: { result: 'full' } } },
    { functionResponse: { name: 'tide', response: { result: '{"high":8}' } } },
  ])
})

test('a result that answers nothing is refused', () => {
  const result = user({ functionResponse: { name: 'tide', response: {} } })
  assert.equal(refused({ contents: [say('x'), result] }), 'contents[1].parts[0].functionResponse')
})

test('calls and results of one turn from several messages stand in one content, in the order of the calls and with their names', () => {
  const messages: NeutralMessage[] = [
    { role: 'user', parts: [{ kind: 'text', text: 'both' }] },
    {
      role: 'assistant',
      parts: [{ kind: 'tool_call', id: 'toolu_a', name: 'tide', arguments: '{"h":1}' }],
    },
    { role: 'assistant', parts: [{ kind: 'tool_call', id: 'toolu_b', name: 'tide', arguments: '' }] },
    {
      role: 'user',
      parts: [
        {
          kind: 'tool_result',
          id: 'toolu_b',
          name: null,
          parts: [{ kind: 'text', text: 'low' }],
          isError: true,
        },
      ],
    },
    {
      role: 'user',
      parts: [
        { kind: 'tool_result', id: 'toolu_a', name: null, parts: [], isError: false },
        { kind: 'text', text: 'go on' },
      ],
    },
  ]
  assert.deepEqual(encode({ messages }).body['contents'], [
    say('both'),
    model(
      { functionCall: { id: 'toolu_a', name: 'tide', args: { h: 1 } } },
      { functionCall: { id: 'toolu_b', name: 'tide', args: {} } },
    ),
    user(
      { functionResponse: { id: 'toolu_a', name: 'tide', response: { result: '' } } },
      { functionResponse: { id: 'toolu_b', name: 'tide', response: { error: 'low' } } },
      { text: 'go on' },
    ),
  ])
})

test('calls that another model made carry Google’s word for no signature, but only for models that ask', () => {
  const messages: NeutralMessage[] = [
    { role: 'user', parts: [{ kind: 'text', text: 'x' }] },
    {
      role: 'assistant',
      parts: [
        { kind: 'tool_call', id: 'a', name: 'tide', arguments: '{}' },
        { kind: 'tool_call', id: 'b', name: 'tide', arguments: '{}' },
      ],
    },
  ]
  const signatures = (name: string): Json[] => {
    const { contents } = encode({ messages }, name).body
    const parts = Array.isArray(contents) && isObject(contents[1]) ? contents[1]['parts'] : []
    return Array.isArray(parts)
      ? parts.map((part) => (isObject(part) ? (part['thoughtSignature'] ?? null) : null))
      : []
  }
  assert.deepEqual(signatures('gemini-2.5-pro'), [null, null])
  assert.deepEqual(signatures('gemini-3.8-flash'), ['skip_thought_signature_validator', null])
  const again = decode({
    contents: encode({ messages }, 'gemini-3-pro').body['contents'] ?? null,
  })
  assert.deepEqual(again.messages, messages, 'and it is no signature when it comes back')
})

test('thinking of another provider is left out and told, its calls and text stay', () => {
  const { body, dropped } = encode({
    messages: [
      { role: 'user', parts: [{ kind: 'text', text: 'x' }] },
      {
        role: 'assistant',
        parts: [
          { kind: 'reasoning', text: 'hm', signature: 'sealed', origin: 'anthropic' },
          { kind: 'text', text: 'y' },
        ],
      },
      { role: 'assistant', parts: [{ kind: 'reasoning', text: '', encrypted: 'e', origin: 'openai' }] },
    ],
  })
  assert.deepEqual(body['contents'], [say('x'), model({ text: 'y' })])
  assert.deepEqual(dropped, ['messages[].reasoning'])
})

test('images of a tool result stand inside it from Gemini 3 on, and behind it before', () => {
  const image = { kind: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AA' } } as const
  const messages: NeutralMessage[] = [
    {
      role: 'assistant',
      parts: [{ kind: 'tool_call', id: 'a', name: 'look', arguments: '{}', signature: 's' }],
    },
    { role: 'user', parts: [{ kind: 'tool_result', id: 'a', name: 'look', parts: [image], isError: false }] },
  ]
  const inline = { inlineData: { mimeType: 'image/png', data: 'AA' } }
  const last = (name: string): Json => {
    const { contents } = encode({ messages }, name).body
    return Array.isArray(contents) ? (contents.at(-1) ?? null) : null
  }
  const response = { id: 'a', name: 'look', response: { result: '' } }
  assert.deepEqual(last('gemini-3.8-flash'), user({ functionResponse: { ...response, parts: [inline] } }))
  assert.deepEqual(last('gemini-2.5-flash'), user({ functionResponse: response }, inline))
  const body = { contents: encode({ messages }, 'gemini-3.8-flash').body['contents'] ?? null }
  assert.deepEqual(decode(body).messages, messages)
})

test('system messages before the talk are the instruction; later ones stand marked in the caller’s turn and are told', () => {
  const { body, dropped } = encode({
    system: [{ kind: 'text', text: 'a' }],
    messages: [
      { role: 'system', parts: [{ kind: 'text', text: 'b' }] },
      { role: 'user', parts: [{ kind: 'text', text: 'c' }] },
      { role: 'system', parts: [{ kind: 'text', text: 'd' }] },
    ],
  })
  assert.deepEqual(body['systemInstruction'], { parts: [{ text: 'a' }, { text: 'b' }] })
  assert.deepEqual(body['contents'], [say('c'), say('<system>\nd\n</system>')])
  assert.deepEqual(dropped, ['messages[].role'])
  const alone = encode({ system: [{ kind: 'text', text: 'a' }], messages: [] })
  assert.deepEqual(alone.body, { contents: [say('a')] })
})

test('what only Google can do is refused for another route, by its place', () => {
  const cases: ReadonlyArray<readonly [JsonObject, string]> = [
    [{ cachedContent: 'cachedContents/1' }, 'cachedContent'],
    [{ tools: [{ functionDeclarations: [] }, { google_search: {} }] }, 'tools[1].googleSearch'],
    [{ tools: [{ codeExecution: {} }] }, 'tools[0].codeExecution'],
    [{ tools: [{ urlContext: {} }] }, 'tools[0].urlContext'],
    [{ generationConfig: { responseModalities: ['IMAGE'] } }, 'generationConfig.responseModalities'],
    [{ generationConfig: { responseMimeType: 'text/x.enum' } }, 'generationConfig.responseMimeType'],
    [{ generationConfig: { responseFormat: [{ audio: {} }] } }, 'generationConfig.responseFormat'],
  ]
  for (const [more, param] of cases) assert.equal(refused({ contents: [say('x')], ...more }), param)
  const files = [
    'https://generativelanguage.googleapis.com/v1beta/files/abc',
    'files/abc',
    'gs://bucket/a.pdf',
    'https://www.youtube.com/watch?v=1',
    'https://youtu.be/1',
    '',
  ]
  for (const fileUri of files)
    assert.equal(
      refused({ contents: [user({ file_data: { file_uri: fileUri, mime_type: 'application/pdf' } })] }),
      'contents[0].parts[0].fileData.fileUri',
    )
  for (const part of [
    { executableCode: { code: '1' } },
    { codeExecutionResult: { output: '1' } },
    { toolCall: {} },
    { brandNew: 1 },
    { text: 'x', videoMetadata: { fps: 2 } },
  ])
    assert.match(refused({ contents: [model(part)] }), /^contents\[0\]\.parts\[0\]/)
  assert.equal(
    refused({ contents: [say('x')], systemInstruction: { parts: [{ inlineData: {} }] } }),
    'systemInstruction.parts[0]',
  )
})

test('what changes no meaning is left out and listed', () => {
  const { dropped } = decode({
    contents: [user({ text: 'x', partMetadata: { a: 1 } })],
    safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_NONE' }],
    labels: { team: 'a' },
    store: false,
    tools: [{ functionDeclarations: [{ name: 'f', response: { type: 'STRING' } }] }],
    toolConfig: { functionCallingConfig: { mode: 'VALIDATED' }, retrievalConfig: { languageCode: 'de' } },
    generationConfig: { mediaResolution: 'MEDIA_RESOLUTION_LOW', speech_config: { a: 1 }, temperature: 1 },
  })
  assert.deepEqual(dropped.toSorted(), [
    'contents[].parts[].partMetadata',
    'generationConfig.mediaResolution',
    'generationConfig.speech_config',
    'labels',
    'safetySettings',
    'toolConfig.functionCallingConfig.mode',
    'toolConfig.retrievalConfig',
    'tools[].functionDeclarations[].response',
  ])
})

test('functions may be called as the caller said', () => {
  const tools = [{ functionDeclarations: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] }]
  const choice = (functionCallingConfig: JsonObject) => {
    const read = decode({ contents: [say('x')], tools, toolConfig: { functionCallingConfig } })
    return [read.toolChoice, read.tools.map(({ name }) => name).join('')]
  }
  assert.deepEqual(choice({}), [{ kind: 'auto' }, 'abc'])
  assert.deepEqual(choice({ mode: 'NONE' }), [{ kind: 'none' }, 'abc'])
  assert.deepEqual(choice({ mode: 'ANY' }), [{ kind: 'required' }, 'abc'])
  assert.deepEqual(choice({ mode: 'any', allowed_function_names: ['b'] }), [
    { kind: 'tool', name: 'b' },
    'abc',
  ])
  assert.deepEqual(choice({ mode: 'ANY', allowedFunctionNames: ['a', 'c'] }), [{ kind: 'required' }, 'ac'])
  const mode = (kind: 'auto' | 'none' | 'required'): Json => {
    const tool = { name: 'a', description: null, parameters: { type: 'object' }, strict: null }
    const { toolConfig } = encode({ tools: [tool], toolChoice: { kind } }).body
    return toolConfig ?? null
  }
  assert.deepEqual(mode('auto'), { functionCallingConfig: { mode: 'AUTO' } })
  assert.deepEqual(mode('none'), { functionCallingConfig: { mode: 'NONE' } })
  assert.deepEqual(mode('required'), { functionCallingConfig: { mode: 'ANY' } })
})

test('what Google cannot be asked is refused or told', () => {
  assert.equal(encodeFault({ stop: ['1', '2', '3', '4', '5', '6'] }), 'stop')
  assert.equal(encodeFault({ toolChoice: { kind: 'required' } }), 'tool_choice')
  assert.equal(encodeFault({ choices: 9 }), 'n')
  assert.equal(
    encodeFault({
      messages: [{ role: 'user', parts: [{ kind: 'image', source: { kind: 'file_id', id: 'file-1' } }] }],
    }),
    'messages[0].parts[0]',
  )
  assert.equal(
    encodeFault({
      messages: [
        { role: 'user', parts: [{ kind: 'tool_result', id: 'x', name: null, parts: [], isError: false }] },
      ],
    }),
    'messages[0].parts[0]',
  )
  const tool = { name: '9lives', description: null, parameters: {}, strict: null }
  assert.equal(encodeFault({ tools: [tool] }), 'tools[0].name')
  const { dropped } = encode({
    user: 'me',
    parallelTools: false,
    serviceTier: 'scale',
    tools: [{ name: 'a', description: null, parameters: {}, strict: true, cache: '5m' }],
    messages: [
      {
        role: 'user',
        parts: [
          { kind: 'text', text: 'x', cache: '1h' },
          {
            kind: 'image',
            source: { kind: 'url', url: 'https://a.example/b.png', mediaType: null },
            detail: 'low',
          },
        ],
      },
    ],
  })
  assert.deepEqual(dropped.toSorted(), [
    'messages[].cache_control',
    'messages[].image.detail',
    'parallel_tool_calls',
    'service_tier',
    'tools[].cache_control',
    'tools[].strict',
    'user',
  ])
})

test('seeds of more than 32 bits stay seeds, and the gateway’s limit goes before the caller’s', () => {
  const config = encode({ seed: 2 ** 40 + 5, maxOutputTokens: 900 }).body['generationConfig']
  assert.deepEqual(config, { maxOutputTokens: 900, seed: 5 })
  const limited = encodeRequest({ ...EMPTY, maxOutputTokens: 900 }, { ...call('g'), maxOutputTokens: 50 })
  assert.ok(limited.ok)
  assert.deepEqual(limited.body['generationConfig'], { maxOutputTokens: 50 })
})

test('arguments that are no object are carried inside one, and told', () => {
  const { body, dropped } = encode({
    messages: [
      { role: 'assistant', parts: [{ kind: 'tool_call', id: 'a', name: 'patch', arguments: '*** Begin' }] },
    ],
  })
  assert.deepEqual(body['contents'], [
    model({ functionCall: { id: 'a', name: 'patch', args: { input: '*** Begin' } } }),
  ])
  assert.deepEqual(dropped, ['messages[].tool_calls[].arguments'])
})

test('a schema for the answer keeps its name and description', () => {
  const schema = { type: 'object', properties: {} }
  const format = { kind: 'schema', name: 'weather', schema, strict: true, description: 'of today' } as const
  const config = encode({ format }).body['generationConfig']
  assert.deepEqual(config, {
    responseMimeType: 'application/json',
    responseJsonSchema: { ...schema, title: 'weather', description: 'of today' },
  })
  const back = decode({ contents: [say('x')], generationConfig: config ?? null })
  assert.ok(back.format.kind === 'schema' && back.format.name === 'weather')
  const newer = decode({
    contents: [say('x')],
    generationConfig: { responseFormat: [{ text: { mimeType: 'APPLICATION_JSON', schema } }] },
  })
  assert.deepEqual(newer.format, {
    kind: 'schema',
    name: 'response',
    schema,
    strict: null,
    description: null,
  })
})
