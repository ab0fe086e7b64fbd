import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { DecodeResult, NeutralAnswer, NeutralChoice, NeutralPart } from '../neutral.ts'
import { readFinish } from './finish.ts'
import { readLogprobs } from './logprobs.ts'
import { readImages } from './media.ts'
import { contentText, readCitations } from './message-text.ts'
import { Notes } from './notes.ts'
import { hasSealedReasoning, reasoningText } from './reasoning.ts'
import { argumentsText, readToolCall } from './tool-calls.ts'
import { findUsage, readChatUsage } from './usage.ts'

/** A whole chat answer out of the wire. */

function textOf(message: JsonObject, notes: Notes): string {
  const text = contentText(message['content'])
  const { audio } = message
  if (!isObject(audio)) return text
  notes.drop('choices[].message.audio')
  const { transcript } = audio
  return text === '' && typeof transcript === 'string' ? transcript : text
}

function readParts(message: JsonObject, idOf: (call: number) => string, notes: Notes): NeutralPart[] {
  const parts: NeutralPart[] = []
  const thought = reasoningText(message)
  if (thought !== '') parts.push({ kind: 'reasoning', text: thought, origin: 'openai-chat' })
  if (hasSealedReasoning(message)) notes.drop('choices[].message.reasoning_details')
  const text = textOf(message, notes)
  const citations = readCitations(message['annotations'])
  if (text !== '') parts.push({ kind: 'text', text, ...(citations.length === 0 ? {} : { citations }) })
  parts.push(...readImages(message['images']))
  const { refusal } = message
  if (typeof refusal === 'string' && refusal !== '') parts.push({ kind: 'refusal', text: refusal })
  const calls = message['tool_calls']
  if (isArray(calls))
    calls.forEach((call, at) => {
      const read = readToolCall(call, idOf(at))
      if (read === null) notes.drop('choices[].message.tool_calls[]')
      else parts.push(read)
    })
  const legacy = message['function_call']
  if (isObject(legacy) && typeof legacy['name'] === 'string') {
    const text = argumentsText(legacy['arguments'])
    parts.push({ kind: 'tool_call', id: idOf(0), name: legacy['name'], arguments: text })
  }
  return parts
}

function readChoice(choice: Json, place: number, answerId: string, notes: Notes): NeutralChoice {
  const fields = isObject(choice) ? choice : {}
  const message = isObject(fields['message']) ? fields['message'] : {}
  const parts = readParts(message, (call) => `call_${answerId}_${place}_${call}`, notes)
  const raw = fields['finish_reason']
  const finishRaw = typeof raw === 'string' ? raw : ''
  const refused = parts.some((part) => part.kind === 'refusal')
  const logprobs = readLogprobs(fields['logprobs'])
  return {
    parts,
    finish: readFinish(finishRaw, refused),
    finishRaw,
    ...(logprobs.length === 0 ? {} : { logprobs }),
  }
}

export function decodeAnswer(body: JsonObject): DecodeResult<NeutralAnswer> {
  const { id, model, created, choices } = body
  if (!isArray(choices)) return { ok: false, param: 'choices', problem: 'the answer has no choices' }
  const notes = new Notes()
  const answerId = typeof id === 'string' ? id : ''
  const read = choices.map((choice, place) => readChoice(choice, place, answerId, notes))
  const usage = readChatUsage(findUsage(body))
  const tier = body['service_tier']
  return {
    ok: true,
    value: {
      id: answerId,
      model: typeof model === 'string' ? model : '',
      createdSeconds: typeof created === 'number' && Number.isSafeInteger(created) ? created : null,
      choices: read,
      usage: usage.kind === 'reported' ? usage.usage : null,
      serviceTier: typeof tier === 'string' ? tier : null,
      dropped: notes.dropped,
    },
  }
}
