import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { DecodeResult, NeutralAnswer, NeutralPart, TokenLogprob } from '../neutral.ts'
import { readCitations } from './content.ts'
import { readCall, readReasoning } from './decode-input.ts'
import { failureMessage } from './errors.ts'
import { readEnding } from './finish.ts'
import { readLogprobs } from './logprobs.ts'
import { unwrap } from './seal.ts'
import { rawUsage, readUsage } from './usage.ts'

/** A whole answer, out of the wire. */

const IMAGE_TYPES: Readonly<Record<string, string>> = {
  webp: 'image/webp',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  svg: 'image/svg+xml',
}

class OutputReader {
  readonly parts: NeutralPart[] = []
  readonly logprobs: TokenLogprob[] = []
  readonly dropped = new Set<string>()
  refused = false
  private readonly signatures = new Map<string, string>()

  read(item: Json): void {
    if (!isObject(item)) return
    const { type } = item
    if (type === 'message') this.readMessage(item)
    else if (type === 'reasoning') this.readThought(item)
    else if (type === 'image_generation_call') this.readImage(item)
    else this.readStep(item, typeof type === 'string' ? type : 'unknown')
  }

  private readMessage(item: JsonObject): void {
    const { content } = item
    if (!isArray(content)) return
    for (const part of content) {
      if (!isObject(part)) continue
      const { text, refusal, annotations, logprobs } = part
      if (typeof text === 'string' && text !== '') {
        const citations = readCitations(annotations)
        this.parts.push({ kind: 'text', text, ...(citations.length === 0 ? {} : { citations }) })
        this.logprobs.push(...readLogprobs(logprobs))
      }
      if (typeof refusal === 'string' && refusal !== '') {
        this.refused = true
        this.parts.push({ kind: 'refusal', text: refusal })
      }
    }
  }

  private readThought(item: JsonObject): void {
    const encrypted = item['encrypted_content']
    const unwrapped = typeof encrypted === 'string' ? unwrap(encrypted) : null
    if (unwrapped?.kind === 'call') this.signatures.set(unwrapped.callId, unwrapped.signature)
    const part = readReasoning(item)
    if (part !== null) this.parts.push(part)
  }

  private readImage(item: JsonObject): void {
    const { result, output_format: format } = item
    if (typeof result !== 'string' || result === '') return
    const mediaType = (typeof format === 'string' ? IMAGE_TYPES[format] : undefined) ?? 'image/png'
    this.parts.push({ kind: 'image', source: { kind: 'data', mediaType, base64: result } })
  }

  private readStep(item: JsonObject, type: string): void {
    const call = readCall(item)
    if (call === null) {
      this.dropped.add(`output[].${type}`)
      return
    }
    const signature = this.signatures.get(call.id)
    this.parts.push(signature === undefined ? call : { ...call, signature })
  }
}

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

export function decodeAnswer(body: JsonObject): DecodeResult<NeutralAnswer> {
  const failure = failureMessage(body)
  if (failure !== null) return { ok: false, param: 'status', problem: failure }
  const { output, created_at: created, service_tier: tier } = body
  if (!isArray(output)) return { ok: false, param: 'output', problem: 'must be a list' }
  const reader = new OutputReader()
  for (const item of output) reader.read(item)
  const { parts, logprobs, refused } = reader
  const usage = readUsage(rawUsage(body))
  const calls = parts.some((part) => part.kind === 'tool_call')
  return {
    ok: true,
    value: {
      id: text(body['id']),
      model: text(body['model']),
      createdSeconds: typeof created === 'number' && Number.isSafeInteger(created) ? created : null,
      choices: [
        {
          parts,
          ...(logprobs.length === 0 ? {} : { logprobs }),
          ...readEnding(body, { calls, refusal: refused }),
        },
      ],
      usage: usage.kind === 'reported' ? usage.usage : null,
      serviceTier: typeof tier === 'string' ? tier : null,
      dropped: [...reader.dropped],
    },
  }
}
