import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralChoice, NeutralPart } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { writeCitation } from './content.ts'
import { UPSTREAM_FAILED } from './errors.ts'
import { writeEnding } from './finish.ts'
import {
  callItem,
  type ItemStatus,
  itemId,
  messageItem,
  reasoningItem,
  refusalPart,
  textPart,
} from './items.ts'
import { writeLogprobs } from './logprobs.ts'
import { type ToolIdentity, toolIdentities } from './names.ts'
import { headOf, ResponseWriter } from './response-object.ts'
import { asksSeals, ORIGIN, wrapCallSignature, wrapSeal } from './seal.ts'

export function identityIn(tools: ReadonlyMap<string, ToolIdentity>, name: string): ToolIdentity {
  return tools.get(name) ?? { kind: 'function', namespace: null, name }
}

class OutputWriter {
  readonly items: JsonObject[] = []
  refused = false
  private content: JsonObject[] = []
  private readonly suffix: string
  private readonly seals: boolean
  private readonly tools: ReadonlyMap<string, ToolIdentity>
  private readonly status: ItemStatus

  constructor(suffix: string, body: JsonObject, status: ItemStatus) {
    this.suffix = suffix
    this.seals = asksSeals(body)
    this.tools = toolIdentities(body)
    this.status = status
  }

  /** @param logprobs of the whole text: they go to its first part */
  write(part: NeutralPart, logprobs: NeutralChoice['logprobs']): void {
    if (part.kind === 'text') {
      const annotations = (part.citations ?? [])
        .map((citation) => writeCitation(citation, part.text.length))
        .filter((written) => written !== null)
      this.content.push(textPart(part.text, annotations, writeLogprobs(logprobs)))
    } else if (part.kind === 'refusal') {
      this.refused = true
      this.content.push(refusalPart(part.text))
    } else if (part.kind === 'reasoning') this.writeThought(part)
    else if (part.kind === 'tool_call') this.writeCall(part)
    else if (part.kind === 'image' && part.source.kind === 'data') this.writeImage(part.source)
  }

  closeMessage(): void {
    if (this.content.length === 0) return
    const id = itemId('message', this.suffix, this.items.length)
    this.items.push(messageItem(id, this.status, this.content))
    this.content = []
  }

  private writeThought(part: Extract<NeutralPart, { kind: 'reasoning' }>): void {
    const encrypted = this.seals ? wrapSeal(part) : null
    if (part.text === '' && encrypted === null) return
    this.closeMessage()
    const own = part.origin === ORIGIN && part.encrypted !== undefined ? part.id : undefined
    const id = own ?? itemId('reasoning', this.suffix, this.items.length)
    this.items.push(reasoningItem(id, part.text, encrypted))
  }

  private writeCall(part: Extract<NeutralPart, { kind: 'tool_call' }>): void {
    this.closeMessage()
    const callId = part.id === '' ? `call_${this.suffix}_${this.items.length}` : part.id
    if (part.signature !== undefined && this.seals) {
      const id = itemId('reasoning', this.suffix, this.items.length)
      this.items.push(reasoningItem(id, '', wrapCallSignature(callId, part.signature)))
    }
    const identity = identityIn(this.tools, part.name)
    const id = itemId(identity.kind, this.suffix, this.items.length)
    this.items.push(callItem({ id, callId, identity, arguments: part.arguments }, 'completed'))
  }

  private writeImage({ mediaType, base64 }: { readonly mediaType: string; readonly base64: string }): void {
    this.closeMessage()
    const id = `ig_tf_${this.suffix}_${this.items.length}`
    const format = mediaType.slice('image/'.length).replace('+xml', '')
    this.items.push({
      id,
      type: 'image_generation_call',
      status: 'completed',
      output_format: format,
      result: base64,
    })
  }
}

/** @param answer with its first choice only: nobody can ask this format for more */
export function encodeAnswer(answer: NeutralAnswer, context: EncoderContext): JsonObject {
  const head = headOf(answer, context)
  const [choice] = answer.choices
  const finish = choice?.finish ?? 'stop'
  const cut = finish === 'length' || finish === 'content_filter' || finish === 'context_exceeded'
  const output = new OutputWriter(head.suffix, context.requestBody, cut ? 'incomplete' : 'completed')
  let { logprobs } = choice ?? {}
  for (const part of choice?.parts ?? []) {
    output.write(part, logprobs)
    if (part.kind === 'text') logprobs = undefined
  }
  output.closeMessage()
  const failed = finish === 'error'
  return new ResponseWriter(context, head).write({
    ...writeEnding(finish, output.refused),
    error: failed ? { code: 'server_error', message: UPSTREAM_FAILED['message'] ?? null } : null,
    output: output.items,
    usage: answer.usage,
    serviceTier: answer.serviceTier,
  })
}
