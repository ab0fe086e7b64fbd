import { isArray, isObject, type JsonObject } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import { argumentsText, signatureOf } from './tool-calls.ts'

/**
 * Puts the tool calls of one streamed choice into order. Upstreams tell them apart by an index that may start anywhere
 * or be missing, give the id once, later an empty one, or (some) the same index to every call; a few mix the pieces of
 * parallel calls. Other formats can only write one call after the other, so a call whose turn has not come is held.
 */

interface Call {
  /** In order of appearance. */
  readonly index: number
  id: string
  name: string
  readonly signature?: string
  begun: boolean
  /** Pieces that were not told yet. */
  held: string
  readonly progress: JsonProgress
}

/** Whether a JSON object that arrives in pieces is whole. */
class JsonProgress {
  complete = false
  private depth = 0
  private inString = false
  private escaped = false

  feed(piece: string): void {
    for (const char of piece) {
      if (this.escaped) this.escaped = false
      else if (this.inString) {
        if (char === '\\') this.escaped = true
        else if (char === '"') this.inString = false
      } else if (char === '"') this.inString = true
      else if (char === '{' || char === '[') this.depth++
      else if ((char === '}' || char === ']') && --this.depth === 0) this.complete = true
    }
  }
}

export class ToolStream {
  private readonly calls: Call[] = []
  private readonly byIndex = new Map<number, Call>()
  private readonly choice: number
  private readonly answerId: () => string
  /** Place of the call that is being told; those before it are closed. */
  private current = 0

  /** @param answerId for servers that give a call no id */
  constructor(choice: number, answerId: () => string) {
    this.choice = choice
    this.answerId = answerId
  }

  /** True while a call is not whole: other parts of the choice have to wait. */
  get busy(): boolean {
    return this.calls.some((call, at) => at >= this.current && !call.progress.complete)
  }

  /** @param delta one member of `delta.tool_calls` */
  feed(delta: JsonObject): NeutralEvent[] {
    const called = isObject(delta['function']) ? delta['function'] : {}
    const name = typeof called['name'] === 'string' ? called['name'] : ''
    const call = this.find(delta, name)
    if (call.name === '') call.name = name
    const piece = argumentsText(called['arguments'])
    // What follows a whole object is padding.
    if (piece !== '' && !call.progress.complete) {
      call.progress.feed(piece)
      call.held += piece
    }
    return this.advance()
  }

  /** The legacy form: one call, no id. */
  feedLegacy(called: JsonObject): NeutralEvent[] {
    return this.feed({ index: 0, function: called })
  }

  /** No more will come. */
  end(): NeutralEvent[] {
    const events: NeutralEvent[] = []
    for (; this.current < this.calls.length; this.current++)
      events.push(...this.tell(this.calls[this.current]))
    return events
  }

  private find(delta: JsonObject, name: string): Call {
    const { index } = delta
    const id = typeof delta['id'] === 'string' ? delta['id'] : ''
    const known =
      typeof index === 'number'
        ? this.byIndex.get(index)
        : id === ''
          ? this.calls.at(-1)
          : this.calls.find((call) => call.id === id)
    const another = known !== undefined && name !== '' && id !== '' && known.id !== id
    if (known !== undefined && !another) return known
    const place = this.calls.length
    const call: Call = {
      index: place,
      id: id === '' ? `call_${this.answerId()}_${this.choice}_${place}` : id,
      name,
      ...signatureOf(delta),
      begun: false,
      held: '',
      progress: new JsonProgress(),
    }
    this.calls.push(call)
    if (typeof index === 'number') this.byIndex.set(index, call)
    return call
  }

  /** Tells what is held of the current call, and goes on to the next one when it is whole. */
  private advance(): NeutralEvent[] {
    const events: NeutralEvent[] = []
    for (;;) {
      const call = this.calls[this.current]
      if (call === undefined || (call.name === '' && !call.begun)) return events
      events.push(...this.tell(call))
      if (!call.progress.complete || this.calls[this.current + 1] === undefined) return events
      this.current++
    }
  }

  private tell(call: Call | undefined): NeutralEvent[] {
    if (call === undefined) return []
    const { choice } = this
    const { index, id, name, signature, held } = call
    const events: NeutralEvent[] = []
    if (!call.begun)
      events.push({
        kind: 'tool_begin',
        choice,
        index,
        id,
        name,
        ...(signature === undefined ? {} : { signature }),
      })
    if (held !== '') events.push({ kind: 'tool_arguments', choice, index, fragment: held })
    call.begun = true
    call.held = ''
    return events
  }
}

/** The members of `delta.tool_calls` that are any. */
export function toolDeltas(delta: JsonObject): readonly JsonObject[] {
  const calls = delta['tool_calls']
  return isArray(calls) ? calls.filter(isObject) : []
}
