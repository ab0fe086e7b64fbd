import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parseJson, totalInput, totalOutput } from '../../src/kernel/index.ts'
import type { NeutralAnswer } from '../../src/protocols/neutral.ts'
import { PROTOCOL_NAMES, type Protocol } from '../../src/protocols/protocol.ts'
import { essence, eventsOf, gather, hasError } from './essence.ts'
import { HAS_SAMPLES, type Recording, recordingsOf, streamBytes } from './recordings.ts'
import { FORMATS } from './registry.ts'
import { ASPECTS } from './request-aspects.ts'
import { REQUESTS, type RequestCase } from './requests.ts'
import { CONTEXT, decoded, hear, say, throughBody } from './speak.ts'

/**
 * Every recorded answer and request, out of its own format, through every format and back. Nothing here knows a format:
 * a new one is tested by being in the registry, and cannot be there without recordings.
 */

function survives(found: NeutralAnswer, wanted: NeutralAnswer): void {
  assert.deepEqual(essence(found), essence(wanted))
}

function answerOf(protocol: Protocol, { text }: Recording): NeutralAnswer {
  const read = protocol.readAnswer(text)
  assert.ok(read.ok)
  return decoded(protocol, read.answer.body)
}

/** Several choices are refused in the request where a format has none. */
const carries = (protocol: Protocol, answer: NeutralAnswer): boolean =>
  answer.choices.length <= 1 || protocol.name === 'openai-chat' || protocol.name === 'gemini-generate'

describe('no format is untested', () => {
  test('each name in PROTOCOL_NAMES has its row in the registry', () => {
    assert.deepEqual(new Set(FORMATS.map(({ name }) => name)), new Set(PROTOCOL_NAMES))
  })
  for (const protocol of FORMATS)
    test(`${protocol.name} has fixtures of its own: answers, streams and errors`, () => {
      assert.ok(existsSync(join(import.meta.dirname, '../fixtures', protocol.name)))
      const { answers, streams, others } = recordingsOf(protocol)
      const own = (list: readonly Recording[]): number => list.filter(({ recorded }) => !recorded).length
      assert.ok(own(answers) >= 3, 'three whole answers at least')
      assert.ok(own(streams) >= 3, 'three streams at least')
      assert.ok(own(others) >= 2, 'two errors at least')
      const recorded = [...answers, ...streams].filter((recording) => recording.recorded)
      assert.ok(!HAS_SAMPLES || recorded.length >= 2, 'two recordings at least, where there are any')
    })
})

for (const source of FORMATS) {
  const { answers, streams, others } = recordingsOf(source)

  describe(`${source.name}: errors are no answers`, () => {
    for (const recording of others)
      test(recording.label, () => {
        assert.match(recording.file, /error|fail|\d{3}|request|count/, 'only an error may be unreadable')
      })
  })

  for (const target of FORMATS) {
    describe(`${source.name} answers through ${target.name}`, () => {
      for (const recording of answers) {
        const answer = answerOf(source, recording)
        if (!carries(target, answer)) continue
        test(`${recording.label} as a whole`, () => {
          survives(throughBody(target, answer), answer)
        })
        test(`${recording.label} as a stream says what the whole says`, () => {
          const { events, state } = hear(target, say(target, eventsOf(answer)))
          assert.equal(state.error, null)
          survives(gather(events), answer)
        })
      }
    })

    describe(`${source.name} streams through ${target.name}`, () => {
      for (const recording of streams) {
        const { events, state } = hear(source, streamBytes(recording))
        if (hasError(events)) continue
        const answer = gather(events)
        if (!carries(target, answer)) continue
        test(recording.label, () => {
          const heard = hear(target, say(target, events))
          survives(gather(heard.events), answer)
          // Some recordings are cut off before their end.
          if (state.finishSeen)
            assert.ok(heard.state.doneSeen || heard.state.finishSeen, 'the stream ends as the format ends')
          assert.equal(heard.state.error, null)
        })
        test(`${recording.label} metered again gives the same totals`, () => {
          if (answer.usage === null) return
          const { state } = hear(target, say(target, events))
          const read = target.readUsage(state.usage)
          assert.equal(read.kind, 'reported')
          if (read.kind !== 'reported') return
          assert.equal(totalInput(read.usage.counts), totalInput(answer.usage.counts))
          assert.equal(totalOutput(read.usage.counts), totalOutput(answer.usage.counts))
        })
        test(`${recording.label} gathered is written whole`, () => {
          survives(throughBody(target, answer), answer)
        })
      }
    })
  }

  describe(`${source.name} tool calls are whole`, () => {
    for (const recording of streams) {
      const { events, state } = hear(source, streamBytes(recording))
      const calls = gather(events)
        .choices.flatMap(({ parts }) => parts)
        .filter((part) => part.kind === 'tool_call')
      if (calls.length === 0 || !state.finishSeen) continue
      test(recording.label, () => {
        for (const call of calls) {
          assert.notEqual(call.name, '')
          assert.notEqual(call.id, '')
          assert.ok(call.arguments === '' || parseJson(call.arguments).ok, call.arguments)
        }
      })
    }
  })

  describe(`${source.name} streams torn anywhere`, () => {
    for (const recording of streams)
      test(recording.label, () => {
        const bytes = streamBytes(recording)
        const whole = hear(source, bytes)
        // Every byte on its own, and two halves cut at a hundred places (each format's own tests cut at all of them).
        const drip = hear(source, bytes, [...bytes.keys()])
        assert.deepEqual(drip.events, whole.events)
        assert.deepEqual(drip.forwarded, whole.forwarded)
        assert.deepEqual(drip.state.usage, whole.state.usage)
        const step = Math.max(1, Math.floor(bytes.length / 100))
        for (let cut = 1; cut < bytes.length; cut += step)
          assert.deepEqual(hear(source, bytes, [cut]).events, whole.events, `cut at ${cut}`)
      })
  })

  describe(`${source.name} passes its own streams as they are`, () => {
    for (const recording of streams) {
      const bytes = streamBytes(recording)
      const { forwarded, events } = hear(source, bytes)
      // What a broken relay repeats or broke off is mended or held back.
      if (hasError(events) || recording.file.includes('duplicate')) continue
      test(recording.label, () => {
        assert.equal(forwarded.toString().trimEnd(), bytes.toString().trimEnd())
      })
    }
  })
}

function sameRequest(protocol: Protocol, { request, refusable }: RequestCase): void {
  const upstreamModel = 'gpt-5-pilot'
  const call = { upstreamModel, stream: false, maxOutputTokens: null, modelMaxOutputTokens: 4096 }
  const encoded = protocol.encodeRequest(request, call)
  if (!encoded.ok) {
    assert.ok(refusable, `refused ${encoded.param}: ${encoded.problem}`)
    assert.notEqual(encoded.param, '')
    assert.notEqual(encoded.problem, '')
    return
  }
  const bytes = JSON.stringify(encoded.body)
  const path = { model: upstreamModel, stream: false, sse: false }
  const read = protocol.readRequest({ body: encoded.body, byteLength: Buffer.byteLength(bytes), path })
  assert.ok(read.ok, read.ok ? '' : `${read.param} ${read.problem}`)
  const back = protocol.decodeRequest(encoded.body, read.request)
  assert.ok(back.ok, back.ok ? '' : `${back.param} ${back.problem}`)
  for (const aspect of ASPECTS) {
    const found = aspect.of(back.value)
    const wanted = aspect.of(request)
    const excused = encoded.dropped.some((path) => aspect.excusedBy.test(path))
    if (!excused) assert.deepEqual(found, wanted, `${aspect.name}; dropped: ${encoded.dropped.join(', ')}`)
  }
}

for (const protocol of FORMATS) {
  describe(`${protocol.name} carries requests, or says what it does not`, () => {
    for (const request of REQUESTS) test(request.name, () => sameRequest(protocol, request))
    test('a file of another account is refused', () => {
      const found = REQUESTS.find(({ name }) => name === 'a file of another account')
      assert.ok(found)
      const call = { upstreamModel: 'm', stream: true, maxOutputTokens: 9, modelMaxOutputTokens: 9 }
      assert.equal(protocol.encodeRequest(found.request, call).ok, false)
    })
    test('the limit to send replaces the one of the request', () => {
      const [plain] = REQUESTS
      assert.ok(plain)
      const call = { upstreamModel: 'm', stream: true, maxOutputTokens: 77, modelMaxOutputTokens: 4096 }
      const encoded = protocol.encodeRequest(plain.request, call)
      assert.ok(encoded.ok)
      const path = { model: 'm', stream: true, sse: true }
      const read = protocol.readRequest({ body: encoded.body, byteLength: 4096, path })
      assert.ok(read.ok)
      assert.equal(read.request.maxOutputTokens, 77)
      assert.equal(read.request.stream, true)
    })
  })

  describe(`${protocol.name} fails in its own words`, () => {
    const error = {
      status: 503,
      code: 'overloaded',
      message: 'Too many requests are being served.',
      param: null,
      extra: { request_id: 'req_1' },
    }
    test('an error body is read again', () => {
      const { status, body } = protocol.errorAnswer(error)
      assert.ok(status >= 400)
      assert.equal(protocol.readError(body).message, error.message)
      assert.equal(protocol.readAnswer(body).ok, false)
    })
    test('an error in mid-stream is seen as one, and not as an end', () => {
      const begun = say(protocol, [
        { kind: 'start', id: 'a', model: 'm', createdSeconds: 1 },
        { kind: 'text', choice: 0, text: 'Half of' },
      ])
      const whole = protocol.createStreamEncoder(CONTEXT)
      const start = whole.push({ kind: 'start', id: 'a', model: 'm', createdSeconds: 1 })
      const half = whole.push({ kind: 'text', choice: 0, text: 'Half of' })
      assert.ok(begun.toString().startsWith(start + half))
      const { state } = hear(protocol, Buffer.from(start + half + protocol.streamError(error)))
      assert.equal(state.error, error.message)
      assert.equal(state.doneSeen, false)
    })
  })
}
