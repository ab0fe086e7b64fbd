import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import type { Receipt } from '../../src/contract/index.ts'
import { parseNano } from '../../src/kernel/index.ts'
import { type Account, type Forge, startForge, type TestModel, testConfig } from '../forge.ts'
import { withUpstreams } from '../gateway/ask.ts'
import { type Stub, startStub } from '../gateway/stub.ts'

/** One gateway whose channels of every format are one server of the test's own, and what a request did to the money. */

// biome-ignore lint/suspicious/noExplicitAny: answers of four formats are looked into member by member
export type Any = any

export const SECRET = 'sk-UPSTREAM-SECRET-0123456789'
export const FORMATS = ['openai', 'openai-responses', 'anthropic', 'gemini'] as const
export type Format = (typeof FORMATS)[number]

export interface Attack {
  readonly forge: Forge
  readonly stub: Stub
  readonly account: Account
}

/** Models named after the format of their channel, and whatever else is given; `stub` is the server of the test. */
export async function startAttack(
  t: TestContext,
  models: Readonly<Record<string, TestModel>> = {},
): Promise<Attack> {
  const stub = await startStub(t, (_req, res) => json(res, {}, 500))
  const root = stub.url.slice(0, -3)
  const plain = Object.fromEntries(
    FORMATS.map((protocol) => [`m-${protocol}`, { protocol, ordinary: [`stub-${protocol}`] }]),
  )
  const urls = {
    'stub-openai': `${root}/v1`,
    'stub-openai-responses': `${root}/v1`,
    'stub-anthropic': root,
    'stub-gemini': `${root}/v1beta`,
  }
  const forge = await startForge(t, { config: withUpstreams(testConfig({ ...plain, ...models }), urls) })
  return { forge, stub, account: await forge.account() }
}

export function json(res: ServerResponse, body: unknown, status = 200): void {
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(typeof body === 'string' ? body : JSON.stringify(body))
}

export function sse(res: ServerResponse, text: string): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.end(text)
}

export const event = (data: unknown, name?: string): string =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`

/** A request of each format for a model. */
export function requestOf(
  format: Format,
  model: string,
  stream: boolean,
  more: object = {},
): readonly [string, object] {
  const text = 'Which balance pays for this?'
  switch (format) {
    case 'openai':
      return [
        '/v1/chat/completions',
        {
          model,
          max_tokens: 500,
          messages: [{ role: 'user', content: text }],
          ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
          ...more,
        },
      ]
    case 'openai-responses':
      return [
        '/v1/responses',
        { model, max_output_tokens: 500, input: text, ...(stream ? { stream } : {}), ...more },
      ]
    case 'anthropic':
      return [
        '/v1/messages',
        {
          model,
          max_tokens: 500,
          messages: [{ role: 'user', content: text }],
          ...(stream ? { stream } : {}),
          ...more,
        },
      ]
    case 'gemini':
      return [
        `/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
        {
          contents: [{ role: 'user', parts: [{ text }] }],
          generationConfig: { maxOutputTokens: 500 },
          ...more,
        },
      ]
  }
}

export interface Story {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly receipt: Receipt
  readonly movedNano: bigint
}

export async function tell(
  attack: Attack,
  [path, body]: readonly [string, object | string],
  headers: Record<string, string> = {},
  key = attack.account.key,
): Promise<Story> {
  const { forge, account } = attack
  const before = (await forge.balance(account.orgId, 'rmb')).posted
  const response = await fetch(`${forge.url}${path}`, {
    method: 'POST',
    headers: { 'x-api-key': key, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  const movedNano = before - (await forge.balance(account.orgId, 'rmb')).posted
  return { status: response.status, headers: response.headers, text, receipt, movedNano }
}

/** The balance moved by exactly what the receipt says, and never by more than was set aside. */
export function assertTold({ receipt, movedNano }: Story): void {
  const charged = receipt.charge === null ? 0n : (parseNano(receipt.charge.total) ?? -1n)
  assert.equal(movedNano, charged, JSON.stringify(receipt))
  if (receipt.hold !== null) assert.ok((parseNano(receipt.hold.amount) ?? 0n) >= charged)
}

export async function assertSound({ forge }: Attack): Promise<void> {
  await forge.settled()
  await forge.audit()
}

/** Deltas of `words` words in a stream of each format, with whatever comes before and after. */
export function deltas(format: Format, words: number): string {
  const text = Array.from({ length: words }, (_, at) => `word${at} `)
  switch (format) {
    case 'openai':
      return text
        .map((content) =>
          event({
            id: 'c',
            object: 'chat.completion.chunk',
            created: 1,
            model: 'up',
            choices: [{ index: 0, delta: { content }, finish_reason: null }],
          }),
        )
        .join('')
    case 'openai-responses':
      return text
        .map((delta) =>
          event(
            {
              type: 'response.output_text.delta',
              item_id: 'msg_1',
              output_index: 0,
              content_index: 0,
              delta,
            },
            'response.output_text.delta',
          ),
        )
        .join('')
    case 'anthropic':
      return text
        .map((delta) =>
          event(
            { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: delta } },
            'content_block_delta',
          ),
        )
        .join('')
    case 'gemini':
      return text
        .map((part) =>
          event({ candidates: [{ content: { role: 'model', parts: [{ text: part }] }, index: 0 }] }),
        )
        .join('')
  }
}

export const MESSAGE_START = (usage: object): string =>
  event(
    {
      type: 'message_start',
      message: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'up-m',
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage,
      },
    },
    'message_start',
  ) +
  event(
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    'content_block_start',
  )

export const MESSAGE_END = (usage: object | null, stop: string | null = 'end_turn'): string =>
  event({ type: 'content_block_stop', index: 0 }, 'content_block_stop') +
  event(
    {
      type: 'message_delta',
      delta: { stop_reason: stop, stop_sequence: null },
      ...(usage === null ? {} : { usage }),
    },
    'message_delta',
  ) +
  event({ type: 'message_stop' }, 'message_stop')

export const RESPONSE_START = event(
  {
    type: 'response.created',
    response: {
      id: 'resp_1',
      object: 'response',
      status: 'in_progress',
      model: 'up',
      output: [],
      usage: null,
    },
  },
  'response.created',
)

export const RESPONSE_END = (usage: object | null, more: object = {}): string =>
  event(
    {
      type: 'response.completed',
      response: {
        id: 'resp_1',
        object: 'response',
        created_at: 1,
        status: 'completed',
        model: 'up',
        output: [
          {
            type: 'message',
            id: 'msg_1',
            role: 'assistant',
            status: 'completed',
            content: [{ type: 'output_text', text: 'words', annotations: [] }],
          },
        ],
        usage,
        ...more,
      },
    },
    'response.completed',
  )

export type { IncomingMessage }

export const RESPONSE_ANSWER = {
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  status: 'completed',
  model: 'up',
  output: [
    {
      type: 'message',
      id: 'msg_1',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'Hi', annotations: [] }],
    },
  ],
  usage: { input_tokens: 5, output_tokens: 2, total_tokens: 7 },
}
export const GEMINI_ANSWER = {
  candidates: [{ content: { role: 'model', parts: [{ text: 'Hi' }] }, finishReason: 'STOP', index: 0 }],
  usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 2, totalTokenCount: 7 },
}
