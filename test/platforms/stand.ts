import assert from 'node:assert/strict'
import type { Receipt } from '../../src/contract/index.ts'
import { type Account, type Forge, PRICE } from '../forge.ts'
import { chargeNano, priceNano } from '../gateway/ask.ts'
import { CHARGED } from './clouds.ts'

/** One request in each of the formats that callers speak, and what must be true of it whoever carried it. */

export type Channels = Readonly<Record<string, object>>

/** A model `m` whose channels are tried in the order they are written. */
export function configOf(channels: Channels, upstreamModel: string): object {
  return {
    channels,
    models: {
      m: {
        context: 200_000,
        max_output: 8192,
        routes: {
          ordinary: {
            type: 'ordinary',
            bucket: 'rmb',
            price: PRICE,
            channels: Object.keys(channels).map((channel, priority) => ({
              channel,
              upstream_model: upstreamModel,
              priority,
            })),
          },
        },
      },
    },
  }
}

export interface Speaker {
  readonly name: string
  readonly path: (stream: boolean) => string
  readonly body: (stream: boolean) => object
}

const QUESTION = 'Say hello in French.'

export const SPEAKERS: readonly Speaker[] = [
  {
    name: 'messages',
    path: () => '/v1/messages',
    body: (stream) => ({
      model: 'm',
      stream,
      max_tokens: 100,
      messages: [{ role: 'user', content: QUESTION }],
    }),
  },
  {
    name: 'chat',
    path: () => '/v1/chat/completions',
    body: (stream) => ({
      messages: [{ role: 'user', content: QUESTION }],
      model: 'm',
      max_tokens: 100,
      ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
    }),
  },
  {
    name: 'responses',
    path: () => '/v1/responses',
    body: (stream) => ({ model: 'm', stream, input: QUESTION, max_output_tokens: 100 }),
  },
  {
    name: 'gemini',
    path: (stream) => `/v1beta/models/m:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    body: () => ({
      contents: [{ role: 'user', parts: [{ text: QUESTION }] }],
      generationConfig: { maxOutputTokens: 100 },
    }),
  },
]

export interface Spoken {
  readonly status: number
  readonly text: string
  readonly receipt: Receipt
}

export async function speak(
  forge: Forge,
  account: Account,
  speaker: Speaker,
  stream: boolean,
  headers: Record<string, string> = {},
): Promise<Spoken> {
  const response = await forge.post(speaker.path(stream), account.key, speaker.body(stream), {
    authorization: `Bearer ${account.key}`,
    ...headers,
  })
  const text = await response.text()
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  return { status: response.status, text, receipt }
}

/** The same answer and the same charge for every caller, with and without a stream; the books in order at the end. */
export async function assertEveryCaller(forge: Forge, account: Account): Promise<void> {
  for (const speaker of SPEAKERS)
    for (const stream of [false, true]) {
      const name = `${speaker.name}${stream ? ' streamed' : ''}`
      const { status, text, receipt } = await speak(forge, account, speaker, stream)
      assert.equal(status, 200, `${name}: ${text}`)
      const said = stream ? text : JSON.stringify(JSON.parse(text))
      assert.match(said, /Bonjour /, name)
      assert.match(said, /🌍/, name)
      assert.doesNotMatch(text, /amazon|vertex|ya29/i, name)
      assert.equal(receipt.status, 'completed', name)
      assert.equal(receipt.settlement, 'completed_reported', name)
      assert.equal(chargeNano(receipt), priceNano(CHARGED.input, CHARGED.output, CHARGED.cached), name)
      assert.equal(receipt.attempts.length, 1, name)
    }
  await forge.settled()
  await forge.audit()
}
