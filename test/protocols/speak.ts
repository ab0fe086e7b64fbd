import assert from 'node:assert/strict'
import type { JsonObject } from '../../src/kernel/index.ts'
import type { NeutralAnswer, NeutralEvent } from '../../src/protocols/neutral.ts'
import type { EncoderContext, Protocol, StreamState } from '../../src/protocols/protocol.ts'
import { eventData, eventName, splitEvents } from '../../src/protocols/sse.ts'

/** Speaks a format from end to end, as the gateway does: bytes to events to the neutral form, and back. */

export const CONTEXT: EncoderContext = {
  requestId: 'req_conformance',
  requestedModel: 'pilot-model',
  createdSeconds: 1_790_000_000,
  wantsUsage: true,
  requestBody: { model: 'pilot-model' },
  annotate: () => null,
}

export interface Heard {
  readonly events: readonly NeutralEvent[]
  readonly state: StreamState
  /** What a caller of the same format gets. */
  readonly forwarded: Buffer
}

/** @param cuts offsets at which the network tears the stream */
export function hear(protocol: Protocol, bytes: Buffer, cuts: readonly number[] = []): Heard {
  const reader = protocol.createStreamReader({ wantsUsage: true, annotate: () => null })
  const decoder = protocol.createStreamDecoder()
  const events: NeutralEvent[] = []
  const forwarded: Buffer[] = []
  const take = (fed: ReturnType<typeof reader.feed>): void => {
    assert.ok(fed.ok, 'the stream was read')
    if (fed.forward !== null) forwarded.push(fed.forward)
    if (fed.events === null) return
    for (const event of splitEvents(fed.events)) {
      const data = eventData(event)
      if (data !== null) events.push(...decoder.feed({ name: eventName(event), data }))
    }
  }
  let from = 0
  for (const cut of [...new Set(cuts)].sort((a, b) => a - b)) {
    if (cut <= from || cut >= bytes.length) continue
    take(reader.feed(bytes.subarray(from, cut)))
    from = cut
  }
  take(reader.feed(bytes.subarray(from)))
  take(reader.flush())
  return { events, state: reader.state, forwarded: Buffer.concat(forwarded) }
}

export function say(
  protocol: Protocol,
  events: readonly NeutralEvent[],
  context: EncoderContext = CONTEXT,
): Buffer {
  const encoder = protocol.createStreamEncoder(context)
  const text = events.map((event) => encoder.push(event)).join('')
  return Buffer.from(text + encoder.end())
}

export function decoded(protocol: Protocol, body: JsonObject): NeutralAnswer {
  const result = protocol.decodeAnswer(body)
  assert.ok(result.ok, result.ok ? '' : `${protocol.name}: ${result.param} ${result.problem}`)
  return result.value
}

/** A whole answer through a format and back. */
export function throughBody(protocol: Protocol, answer: NeutralAnswer): NeutralAnswer {
  const body = protocol.encodeAnswer(answer, CONTEXT)
  // Over the wire, so that what JSON cannot carry is not carried.
  const read = protocol.readAnswer(JSON.stringify(body))
  assert.ok(read.ok, `${protocol.name} reads its own answer`)
  return decoded(protocol, read.answer.body)
}
