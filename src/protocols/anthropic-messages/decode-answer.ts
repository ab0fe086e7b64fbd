import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { DecodeResult, NeutralAnswer, NeutralPart } from '../neutral.ts'
import { decodeCitations } from './citations.ts'
import { ORIGIN } from './decode-parts.ts'
import { finishOf } from './finish.ts'
import { Notes } from './notes.ts'
import { readUsage, tierOf } from './usage.ts'

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

function textPart(block: JsonObject, path: string, notes: Notes): NeutralPart {
  const citations = decodeCitations(block['citations'])
  // Where a citation stands in a document, and the index it has with the provider.
  if (citations.length > 0) notes.drop(`${path}.citations.location`)
  return { kind: 'text', text: text(block['text']), ...(citations.length > 0 ? { citations } : {}) }
}

function thinkingPart(block: JsonObject): NeutralPart {
  const signature = text(block['signature'])
  return {
    kind: 'reasoning',
    text: text(block['thinking']),
    ...(signature === '' ? {} : { signature }),
    origin: ORIGIN,
  }
}

function decodeBlock(block: JsonObject, path: string, notes: Notes): NeutralPart | null {
  switch (block['type']) {
    case 'text':
      return textPart(block, path, notes)
    case 'thinking':
      return thinkingPart(block)
    case 'redacted_thinking':
      return { kind: 'reasoning', text: '', redacted: text(block['data']), origin: ORIGIN }
    case 'tool_use':
      return {
        kind: 'tool_call',
        id: text(block['id']),
        name: text(block['name']),
        arguments: JSON.stringify(block['input'] ?? {}),
      }
    default:
      notes.drop(path)
      return null
  }
}

/** Why the provider refused, in its own words; it stands beside the content. */
export function refusalText(holder: JsonObject): string {
  const details = holder['stop_details']
  return isObject(details) && details['type'] === 'refusal' ? text(details['explanation']) : ''
}

function listDropped(body: JsonObject, notes: Notes): void {
  const details = body['stop_details']
  if (isObject(details) && text(details['category']) !== '') notes.drop('stop_details.category')
  for (const name of ['stop_sequence', 'container', 'context_management', 'diagnostics'])
    if (body[name] !== undefined && body[name] !== null) notes.drop(name)
}

export function decodeAnswer(body: JsonObject): DecodeResult<NeutralAnswer> {
  const { content } = body
  if (!isArray(content)) return { ok: false, param: 'content', problem: 'is missing in the answer' }
  const notes = new Notes()
  const parts = content
    .map((block, index) => (isObject(block) ? decodeBlock(block, `content[${index}]`, notes) : null))
    .filter((part) => part !== null)
  const refusal = refusalText(body)
  listDropped(body, notes)
  const read = readUsage(body['usage'])
  const finishRaw = text(body['stop_reason'])
  return {
    ok: true,
    value: {
      id: text(body['id']),
      model: text(body['model']),
      createdSeconds: null,
      choices: [
        {
          parts: refusal === '' ? parts : [...parts, { kind: 'refusal', text: refusal }],
          finish: finishOf(finishRaw),
          finishRaw,
        },
      ],
      usage: read.kind === 'reported' ? read.usage : null,
      serviceTier: tierOf(body['usage']),
      dropped: notes.dropped,
    },
  }
}
