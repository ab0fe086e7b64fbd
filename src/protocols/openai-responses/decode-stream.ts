import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import type { SseEvent, StreamDecoder } from '../protocol.ts'
import { errorOf } from './errors.ts'
import { readEnding } from './finish.ts'
import { ItemStream, type StreamMemory } from './item-stream.ts'
import { rawUsage, readUsage } from './usage.ts'

/**
 * A stream as neutral events. Items of the output may overlap on the wire; parts of the neutral form do not: while one
 * item is open, what belongs to others waits.
 */

const words = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

const itemOf = (body: JsonObject): JsonObject => (isObject(body['item']) ? body['item'] : {})

class ResponsesStreamDecoder implements StreamDecoder {
  private begun = false
  private ended = false
  private open: { readonly index: number; readonly item: ItemStream } | null = null
  /** What waits behind the open item, by its place in the output. */
  private readonly waiting = new Map<number, JsonObject[]>()
  private readonly told = new Set<number>()
  private readonly memory: StreamMemory = { calls: 0, refused: false, signatures: new Map() }

  feed(event: SseEvent): readonly NeutralEvent[] {
    if (this.ended) return []
    const parsed = parseJson(event.data)
    if (!parsed.ok || !isObject(parsed.value)) return []
    const body = parsed.value
    const type = words(body['type']) || (event.name ?? '')
    if (type === 'error' || (type === '' && body['error'] !== undefined)) return this.fail(errorOf(body))
    const { response, output_index: index } = body
    if (isObject(response)) return this.lifecycle(type, response)
    return typeof index === 'number' ? this.route(type, index, body) : []
  }

  private fail(error: { readonly message: string; readonly code: string | null }): NeutralEvent[] {
    this.ended = true
    return [{ kind: 'error', ...error }]
  }

  private lifecycle(type: string, response: JsonObject): NeutralEvent[] {
    const events = this.begun ? [] : [this.begin(response)]
    if (type === 'response.failed' || type === 'response.cancelled')
      return [...events, ...this.fail(errorOf(response['error'] ?? type))]
    const incomplete = type === 'response.incomplete'
    if (type !== 'response.completed' && !incomplete) return events
    events.push(...this.flush(), ...this.untold(response))
    this.ended = true
    const ending = readEnding(incomplete ? { ...response, status: 'incomplete' } : response, {
      calls: this.memory.calls > 0,
      refusal: this.memory.refused,
    })
    events.push({ kind: 'finish', choice: 0, ...ending })
    const usage = readUsage(rawUsage(response))
    const tier = response['service_tier']
    if (usage.kind === 'reported')
      events.push({ kind: 'usage', usage: usage.usage, serviceTier: typeof tier === 'string' ? tier : null })
    return events
  }

  private begin(response: JsonObject): NeutralEvent {
    this.begun = true
    const { id, model, created_at: created } = response
    return {
      kind: 'start',
      id: words(id),
      model: words(model),
      createdSeconds: typeof created === 'number' && Number.isSafeInteger(created) ? created : null,
    }
  }

  private route(type: string, index: number, body: JsonObject): NeutralEvent[] {
    if (this.open !== null && this.open.index !== index) {
      const queue = this.waiting.get(index) ?? []
      queue.push(body)
      this.waiting.set(index, queue)
      return []
    }
    return [...this.tell(type, index, body), ...this.next()]
  }

  /** The next item in order that something waits for, until one stays open. */
  private next(): NeutralEvent[] {
    const events: NeutralEvent[] = []
    while (this.open === null && this.waiting.size > 0) {
      const index = Math.min(...this.waiting.keys())
      const queue = this.waiting.get(index) ?? []
      this.waiting.delete(index)
      for (const body of queue) events.push(...this.tell(words(body['type']), index, body))
    }
    return events
  }

  /** The stream is over: an item that nobody closed is closed. */
  private flush(): NeutralEvent[] {
    const events: NeutralEvent[] = []
    while (this.open !== null) {
      events.push(...this.open.item.close({}))
      this.open = null
      events.push(...this.next())
    }
    return events
  }

  /** Some servers tell nothing until the end. */
  private untold(response: JsonObject): NeutralEvent[] {
    const { output } = response
    if (this.told.size > 0 || !isArray(output)) return []
    return output.flatMap((item, at) => this.tell('response.output_item.done', at, { item }))
  }

  private tell(type: string, index: number, body: JsonObject): NeutralEvent[] {
    const events: NeutralEvent[] = []
    if (this.open === null) {
      // A closed item is told no more, whatever still comes for it.
      if (this.told.has(index)) return []
      this.told.add(index)
      const item = new ItemStream(itemOf(body), this.memory)
      this.open = { index, item }
      events.push(...item.begin())
    }
    const { item } = this.open
    if (type === 'response.output_item.done') {
      this.open = null
      events.push(...item.close(itemOf(body)))
    } else events.push(...item.feed(type, body))
    return events
  }
}

export function createStreamDecoder(): StreamDecoder {
  return new ResponsesStreamDecoder()
}
