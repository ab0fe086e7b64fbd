import type { Dispatcher } from 'undici'

/**
 * Joins what one read of an upstream's socket held: undici hands out each chunk of the transfer encoding by itself, and a
 * provider that is ahead of us fills a read with dozens of events, each of which would be scanned and written alone.
 * What comes alone goes on in the same turn of the event loop.
 */

/** Handed on at once: a stream that must be cut goes at most so far past its limit. */
const BATCH_BYTES = 16 * 1024

type Controller = Dispatcher.DispatchController

export class ReadBatch implements Dispatcher.DispatchHandler, Controller {
  private readonly handler: Dispatcher.DispatchHandler
  private controller: Controller | null = null
  private chunks: Buffer[] = []
  private length = 0
  private due = false
  /** The handler paused: it gets nothing until it resumes. */
  private held = false
  private end: (() => void) | null = null
  /** The connection may serve another request by now. */
  private over = false

  constructor(handler: Dispatcher.DispatchHandler) {
    this.handler = handler
  }

  // ---- what undici tells ----------------------------------------------------------------------------------------

  onRequestStart(controller: Controller, context: unknown): void {
    this.controller = controller
    this.handler.onRequestStart?.(this, context)
  }

  onResponseStart(
    _controller: Controller,
    ...answer: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>> extends [
      unknown,
      ...infer Rest,
    ]
      ? Rest
      : never
  ): void {
    this.handler.onResponseStart?.(this, ...answer)
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    this.chunks.push(chunk)
    this.length += chunk.length
    if (this.length >= BATCH_BYTES) this.flush()
    else if (!this.due) {
      this.due = true
      process.nextTick(this.onTick)
    }
  }

  onResponseEnd(
    _controller: Controller,
    trailers: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>[1],
  ): void {
    this.over = true
    this.end = () => this.handler.onResponseEnd?.(this, trailers)
    this.flush()
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.held = false
    this.flush()
    this.handler.onResponseError?.(this, error)
  }

  private readonly onTick = (): void => {
    this.due = false
    this.flush()
  }

  private flush(): void {
    if (this.held) return
    const [first] = this.chunks
    if (first !== undefined) {
      const bytes = this.chunks.length === 1 ? first : Buffer.concat(this.chunks, this.length)
      this.chunks = []
      this.length = 0
      this.handler.onResponseData?.(this, bytes)
    }
    // The handler may have paused at what it just got.
    if (this.held || this.end === null) return
    const { end } = this
    this.end = null
    end()
  }

  // ---- what the handler asks ------------------------------------------------------------------------------------

  pause(): void {
    this.held = true
    if (!this.over) this.controller?.pause()
  }

  resume(): void {
    this.held = false
    this.flush()
    if (!this.held && !this.over) this.controller?.resume()
  }

  abort(reason: Error): void {
    this.chunks = []
    this.length = 0
    this.end = null
    this.controller?.abort(reason)
  }

  get aborted(): boolean {
    return this.controller?.aborted ?? false
  }

  get paused(): boolean {
    return this.held
  }

  get reason(): Error | null {
    return this.controller?.reason ?? null
  }
}
