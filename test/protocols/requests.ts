import type { JsonObject } from '../../src/kernel/index.ts'
import type { NeutralPart, NeutralRequest, NeutralTool } from '../../src/protocols/neutral.ts'

/** Requests in our own words that every format is asked to carry. */

export interface RequestCase {
  readonly name: string
  readonly request: NeutralRequest
  /** Not every provider can do this: refusing it is an answer, losing it is none. */
  readonly refusable: boolean
}

const NOTHING: NeutralRequest = {
  system: [],
  messages: [],
  tools: [],
  toolChoice: null,
  parallelTools: null,
  maxOutputTokens: 512,
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

const text = (value: string): NeutralPart => ({ kind: 'text', text: value })
const user = (...parts: NeutralPart[]): NeutralRequest['messages'][number] => ({ role: 'user', parts })
const model = (...parts: NeutralPart[]): NeutralRequest['messages'][number] => ({ role: 'assistant', parts })

/** One grey pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=='
const PDF = Buffer.from('%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>').toString('base64')

const TIDES: NeutralTool = {
  name: 'tide_table',
  description: 'High and low water of a harbour',
  parameters: {
    type: 'object',
    properties: { harbour: { type: 'string' }, days: { type: 'integer' } },
    required: ['harbour'],
  },
  strict: null,
}
const FERRY: NeutralTool = {
  name: 'next_ferry',
  description: null,
  parameters: { type: 'object', properties: { from: { type: 'string' } } },
  strict: null,
}

const call = (id: string, name: string, args: JsonObject): NeutralPart => ({
  kind: 'tool_call',
  id,
  name,
  arguments: JSON.stringify(args),
})
const result = (id: string, name: string, ...parts: NeutralPart[]): NeutralPart => ({
  kind: 'tool_result',
  id,
  name,
  parts,
  isError: false,
})

const ASKED = user(text('When is high water in Faro, and when does the ferry leave?'))
const CALLED = model(
  call('call_a1', 'tide_table', { harbour: 'Faro' }),
  call('call_b2', 'next_ferry', { from: 'Olhão' }),
)
const ANSWERED = user(
  result('call_a1', 'tide_table', text('{"high":"06:12"}')),
  result('call_b2', 'next_ferry', text('07:40')),
)

function ask(name: string, request: Partial<NeutralRequest>, refusable = false): RequestCase {
  const messages = request.messages ?? [user(text('Say good morning to a harbour master.'))]
  return { name, request: { ...NOTHING, ...request, messages }, refusable }
}

export const REQUESTS: readonly RequestCase[] = [
  ask('a plain question', {}),
  ask('system text', { system: [text('You answer in one line.')] }),
  ask('several turns', {
    system: [text('You are a pilot.')],
    messages: [
      user(text('Which side do I pass the red buoy on?')),
      model(text('To port when you come in from the sea.')),
      user(text('And 出海 the other way?')),
    ],
  }),
  ask('an image as data', {
    messages: [
      user(text('What is this?'), {
        kind: 'image',
        source: { kind: 'data', mediaType: 'image/png', base64: PIXEL },
      }),
    ],
  }),
  ask(
    'an image by URL',
    {
      messages: [
        user(text('Describe it.'), {
          kind: 'image',
          source: { kind: 'url', url: 'https://pictures.example/quay.jpg', mediaType: null },
        }),
      ],
    },
    true,
  ),
  ask('a document', {
    messages: [
      user(
        {
          kind: 'file',
          source: { kind: 'data', mediaType: 'application/pdf', base64: PDF },
          name: 'notice.pdf',
        },
        text('Sum it up.'),
      ),
    ],
  }),
  ask('tools', { tools: [TIDES, FERRY], messages: [ASKED] }),
  ask('parallel calls and their results', {
    tools: [TIDES, FERRY],
    messages: [ASKED, CALLED, ANSWERED],
  }),
  ask('text before a call, and a question after its result', {
    tools: [TIDES],
    messages: [
      ASKED,
      model(text('I look it up.'), call('call_c3', 'tide_table', { harbour: 'Faro', days: 2 })),
      user(result('call_c3', 'tide_table', text('06:12 and 18:40'))),
      model(text('At 06:12 and 18:40.')),
      user(text('Thank you. And the day after?')),
    ],
  }),
  ask('a tool that must be called', {
    tools: [TIDES, FERRY],
    toolChoice: { kind: 'tool', name: 'tide_table' },
  }),
  ask('any tool, one at a time', {
    tools: [TIDES, FERRY],
    toolChoice: { kind: 'required' },
    parallelTools: false,
  }),
  ask('no tool', { tools: [TIDES], toolChoice: { kind: 'none' } }),
  ask(
    'a JSON schema',
    {
      format: {
        kind: 'schema',
        name: 'berth',
        schema: {
          type: 'object',
          properties: { number: { type: 'integer' }, free: { type: 'boolean' } },
          required: ['number', 'free'],
          additionalProperties: false,
        },
        strict: true,
        description: null,
      },
    },
    true,
  ),
  ask('sampling and stop texts', { temperature: 0.25, topP: 0.5, stop: ['END', '###'] }, true),
  ask('a seed and penalties', { seed: 42, presencePenalty: 0.5, frequencyPenalty: -0.5 }, true),
  ask('top-k', { topK: 40 }, true),
  ask('an effort of thinking', { reasoning: { effort: 'high', budgetTokens: null, visible: null } }),
  ask('several choices', { choices: 2 }, true),
  ask('probabilities', { logprobs: 3 }, true),
  ask('who asks', { user: 'harbour-7' }),
  ask(
    'a picture out of a tool',
    {
      tools: [TIDES],
      messages: [
        ASKED,
        model(call('call_d4', 'tide_table', { harbour: 'Faro' })),
        user({
          kind: 'tool_result',
          id: 'call_d4',
          name: 'tide_table',
          parts: [
            text('The chart:'),
            { kind: 'image', source: { kind: 'data', mediaType: 'image/png', base64: PIXEL } },
          ],
          isError: false,
        }),
      ],
    },
    true,
  ),
  ask('a tool that failed', {
    tools: [TIDES],
    messages: [
      ASKED,
      model(call('call_e5', 'tide_table', { harbour: 'Atlantis' })),
      user({
        kind: 'tool_result',
        id: 'call_e5',
        name: 'tide_table',
        parts: [text('no such harbour')],
        isError: true,
      }),
    ],
  }),
  ask('thinking of an earlier turn', {
    messages: [
      user(text('Two and two?')),
      model({ kind: 'reasoning', text: 'A sum.', signature: 'c2ln', origin: 'anthropic' }, text('Four.')),
      user(text('And three?')),
    ],
  }),
  ask('cache breakpoints', {
    system: [{ kind: 'text', text: 'A long manual.', cache: '1h' }],
    messages: [user({ kind: 'text', text: 'Page one.', cache: '5m' })],
  }),
  ask(
    'a file of another account',
    {
      messages: [
        user(text('Read it.'), { kind: 'file', source: { kind: 'file_id', id: 'file-123' }, name: null }),
      ],
    },
    true,
  ),
]
