import { lastEventEnd } from '../sse.ts'

/** A generated image is one event; without a bound a hostile upstream fills the memory. */
export const EVENT_BYTES_MAX = 32 * 1024 * 1024
/** An event's end is at most this long, but for its last byte: it may lie across two pieces. */
const SEAM = 3

/** Cuts a stream into blocks of complete events. Linear in the bytes, however small the pieces of a large event. */
export class EventCutter {
  private pieces: Buffer[] = []
  private length = 0

  /** @returns complete events; null while there are none */
  push(chunk: Buffer): Buffer | null {
    const tail = this.tail()
    const seam = tail.length === 0 ? chunk : Buffer.concat([tail, chunk])
    const end = lastEventEnd(seam)
    const endAt = end === 0 ? 0 : this.length - tail.length + end
    this.pieces.push(chunk)
    this.length += chunk.length
    if (endAt === 0) return null
    const all = this.rest() ?? chunk
    if (endAt < all.length) {
      this.pieces = [all.subarray(endAt)]
      this.length = all.length - endAt
    }
    return endAt === all.length ? all : all.subarray(0, endAt)
  }

  get tooLarge(): boolean {
    return this.length > EVENT_BYTES_MAX
  }

  /** Hands out what is left over; null for nothing. */
  rest(): Buffer | null {
    const { pieces } = this
    this.pieces = []
    this.length = 0
    return pieces.length > 1 ? Buffer.concat(pieces) : (pieces[0] ?? null)
  }

  private tail(): Buffer {
    let bytes: Buffer = Buffer.alloc(0)
    for (let at = this.pieces.length - 1; at >= 0 && bytes.length < SEAM; at--) {
      const piece = this.pieces[at]
      if (piece !== undefined) bytes = Buffer.concat([piece.subarray(-(SEAM - bytes.length)), bytes])
    }
    return bytes
  }
}
