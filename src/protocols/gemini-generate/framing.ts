/**
 * How JSON objects of a stream stand on the wire: as server-sent events that end in CR LF CR LF (Google's own form, and
 * the only one that older clients read whole), or as the elements of one JSON array.
 */
export type Frame = 'sse' | 'array'

export class Framer {
  private readonly frame: Frame
  private opened = false
  private closed = false

  constructor(frame: Frame) {
    this.frame = frame
  }

  /** @param json one object, as text */
  element(json: string): string {
    if (this.frame === 'sse') return sseEvent(json)
    const before = this.opened ? '\n,' : '['
    this.opened = true
    return before + json
  }

  /** The end of the array; events have none. */
  end(): string {
    if (this.frame === 'sse' || this.closed) return ''
    this.closed = true
    return this.opened ? '\n]\n' : '[]\n'
  }
}

/** Line ends inside the JSON are white space between its tokens: clients read one line of data only. */
export function sseEvent(json: string): string {
  return `data: ${/[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, ' ') : json}\r\n\r\n`
}

/** An object that ends a stream which is already on its way. */
export function lastElement(json: string, frame: Frame): string {
  return frame === 'sse' ? sseEvent(json) : `\n,${json}\n]\n`
}

/** Framing of bytes that were already sent. */
export function frameOf(sent: Buffer | null): Frame {
  return sent !== null && sent.length > 0 && sent[0] === 0x5b ? 'array' : 'sse'
}
