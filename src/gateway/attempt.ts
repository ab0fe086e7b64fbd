import type { Dispatcher } from 'undici'
import type { Unframer } from '../platforms/index.ts'
import type { FeedResult } from '../protocols/index.ts'
import { asLeft, type CallOptions, type CallResult, type UpstreamCall } from './call.ts'
import { failedAnswer, failedTransport, readRetryAfterMs, secretsOf, transportCode } from './classify.ts'
import type { Delivery } from './delivery.ts'
import { upstreamHeaders } from './headers.ts'
import { ReadBatch } from './read-batch.ts'
import { Timekeeper, type TimeoutKind } from './timekeeper.ts'
import type { AttemptOutcome, Reading } from './types.ts'
import { upstreamIdOf } from './upstream.ts'
import { joinPaths } from './wire.ts'

/**
 * One upstream call. Nothing reaches the caller before the first event with output, so that until then the next channel
 * can be tried; after it, the call is this one, however it ends. The response itself is ended by routes.ts.
 */

const NO_BYTES = Buffer.alloc(0)
const BAD_FRAME = { ok: false, reason: 'bad_frame' } as const
const ERROR_BODY_MAX = 64 * 1024
const ANSWER_MAX = 64 * 1024 * 1024
/** How long a caller who left is waited for in what costs nothing more: the rest of what the model has already ended. */
const GRACE_MS = 1_000
/** Events without output held back at the start of a stream (the role chunk, comments). */
const HELD_BACK_MAX = 1024 * 1024

type Headers = Readonly<Record<string, string | string[] | undefined>>

class Call implements Dispatcher.DispatchHandler, UpstreamCall {
  readonly result: Promise<CallResult>
  private readonly options: CallOptions
  private readonly time: Timekeeper
  private resolve: (result: CallResult) => void = () => {}
  private controller: Dispatcher.DispatchController | null = null
  private status = 0
  private headers: Headers = {}
  private contentType = ''
  private mode: 'waiting' | 'error' | 'answer' | 'stream' = 'waiting'
  private chunks: Buffer[] = []
  private bytesRead = 0
  private sending = false
  private firstTokenMs: number | null = null
  private settled = false
  private asking = false
  /** Set while nobody is there any more to be sent anything. */
  private grace: NodeJS.Timeout | null = null
  private wasWhole = false
  private delivery: Delivery | null = null
  private firstEvent: Buffer | null = null
  private unframer: Unframer | null = null

  constructor(options: CallOptions) {
    this.options = options
    this.result = new Promise((resolve) => {
      this.resolve = resolve
    })
    this.time = new Timekeeper(options.deps, options.channel.timeouts, options.streamed, (kind) =>
      this.timedOut(kind),
    )
    options.res.on('close', this.callerLeft)
  }

  // ---- what the caller and the clock do -------------------------------------------------------------------------

  private readonly callerLeft = (): void => {
    if (this.options.res.writableFinished) return
    if (this.hasEnded() && this.options.deps.draining.enter(this.options.orgId)) this.waitForRest()
    else this.leave()
  }

  private leave(): void {
    this.finish({ kind: 'left', reading: this.sending ? this.reading() : null, accepted: this.accepted() })
  }

  /** True when the model has said its last word and only the rest of the bytes, or the usage, is under way. */
  private hasEnded(): boolean {
    if (this.mode === 'answer') return true
    return this.mode === 'stream' && this.endedWhole() && this.delivery?.reader.state.usageSeen === false
  }

  /** Cancelling would save nothing any more, and the provider's own figures are better than ours. */
  private waitForRest(): void {
    this.time.stop()
    this.grace = setTimeout(() => this.leave(), GRACE_MS)
    this.controller?.resume()
  }

  private accepted(): boolean {
    return this.status >= 200 && this.status < 300
  }

  private timedOut(kind: TimeoutKind): void {
    if (kind === 'slow_reader') {
      this.options.res.destroy()
      this.finish({ kind: 'left', reading: this.reading(), accepted: true })
    } else if (this.sending) this.breakOff(kind, true)
    else this.finish(failedTransport(kind, true, this.status === 0 ? null : this.status))
  }

  abort(code: string): void {
    if (this.grace !== null) this.leave()
    else if (this.sending) this.breakOff(code, false)
    else this.finish(failedTransport(code))
  }

  delivered(): number {
    return Math.ceil(this.delivery?.reader.state.delivered.tokens ?? 0)
  }

  // ---- what the upstream does -----------------------------------------------------------------------------------

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.settled) controller.abort(new Error('the call has ended'))
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.status = status
    this.headers = headers
    const type = headers['content-type']
    this.contentType = (Array.isArray(type) ? type[0] : type) ?? ''
    this.unframer = this.options.prepared.platform?.unframer(this.contentType) ?? null
    const isStream = this.unframer !== null || this.contentType.startsWith('text/event-stream')
    if (!this.accepted()) this.mode = 'error'
    else if (isStream && this.options.streamed) {
      this.mode = 'stream'
      this.delivery = this.options.deliver(() => this.options.annotate(this.reading()))
    } else if (!isStream && !this.options.streamed) this.mode = 'answer'
    else this.finish(failedTransport('protocol_error', false, status))
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.settled) return
    this.bytesRead += chunk.length
    this.time.touch()
    if (this.mode === 'stream') this.feed(chunk)
    else if (this.bytesRead <= (this.mode === 'error' ? ERROR_BODY_MAX : ANSWER_MAX)) this.chunks.push(chunk)
    else if (this.mode === 'error') this.endError()
    else this.finish(failedTransport('answer_too_large', false, this.status))
  }

  onResponseEnd(): void {
    if (this.settled) return
    if (this.mode === 'error') this.endError()
    else if (this.mode === 'answer') this.endAnswer()
    else this.endStream()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.settled) return
    const code = transportCode(error)
    if (this.sending) {
      this.pass(this.delivery?.reader.flush())
      if (!this.settled) this.endedWhole() ? this.serveStream() : this.breakOff(code, false)
    } else if (this.mode === 'error') this.endError()
    else
      this.finish(failedTransport(code, code === 'connect_timeout', this.status === 0 ? null : this.status))
  }

  // ---- endings --------------------------------------------------------------------------------------------------

  private endError(): void {
    const text = Buffer.concat(this.chunks).toString('utf8')
    const refusal = this.options.prepared.platform?.readRefusal(this.headers, text) ?? null
    const { message, code } = refusal ?? this.options.prepared.protocol.readError(text)
    this.finish(
      failedAnswer({
        status: this.status,
        message,
        upstreamCode: code,
        channelFault: refusal?.channelFault ?? null,
        secrets: secretsOf(this.options.channel),
        retryAfterMs: readRetryAfterMs(this.headers, this.options.deps.clock.nowMs()),
      }),
    )
  }

  private endAnswer(): void {
    const bytes =
      this.chunks.length === 1 && this.chunks[0] !== undefined ? this.chunks[0] : Buffer.concat(this.chunks)
    const { protocol } = this.options.prepared
    const read = protocol.readAnswer(bytes.toString('utf8'))
    if (!read.ok) {
      this.finish(failedTransport('protocol_error', false, this.status))
      return
    }
    const { answer } = read
    const reading: Reading = {
      status: this.status,
      usage: protocol.readUsage(answer.usage),
      usageWhole: true,
      rawUsage: answer.usage ?? null,
      servedModel: answer.servedModel,
      serviceTier: answer.serviceTier,
      hasOutput: answer.hasOutput,
      unbilled: answer.unbilled === true,
      bytesRead: this.bytesRead,
      get tokensEstimated() {
        return answer.tokensEstimated
      },
    }
    this.finish({ kind: 'served', reading }, { contentType: this.contentType, bytes, body: answer.body })
  }

  /** A stream is whole when the model said that it stopped, or the protocol's own end was sent. */
  private endedWhole(): boolean {
    const state = this.delivery?.reader.state
    return state !== undefined && state.error === null && (state.doneSeen || state.finishSeen)
  }

  private endStream(): void {
    this.pass(this.delivery?.reader.flush())
    if (this.settled) return
    if (this.endedWhole()) this.serveStream()
    else if (this.sending) this.breakOff('stream_cut', false)
    else this.finish(failedTransport('stream_cut', false, this.status))
  }

  private serveStream(): void {
    if (this.grace !== null) {
      this.leave()
      return
    }
    // A whole answer without output (an empty completion) was held back until now.
    if (!this.sending) this.beginSending()
    const end = this.delivery?.end() ?? null
    if (end !== null) this.write(end)
    this.finish({ kind: 'served', reading: this.reading() })
  }

  private feed(chunk: Buffer): void {
    const bytes = this.unframer === null ? chunk : this.unframer.feed(chunk)
    // Of what the reader has seen, as its own figures are.
    this.bytesRead += (bytes?.length ?? 0) - chunk.length
    this.pass(bytes === null ? BAD_FRAME : this.delivery?.reader.feed(bytes))
  }

  private pass(result: FeedResult | undefined): void {
    if (result === undefined || this.settled) return
    if (!result.ok) {
      if (this.sending) this.breakOff('protocol_error', false)
      else this.finish(failedTransport('protocol_error', false, this.status))
      return
    }
    if (result.output && this.firstTokenMs === null) this.firstTokenMs = this.time.elapsedMs()
    const bytes = this.delivery?.forward(result) ?? null
    if (bytes !== null || result.output) this.forward(bytes ?? NO_BYTES, result.output)
    if (this.settled) return
    const state = this.delivery?.reader.state
    if (state === undefined) return
    if (state.error !== null) {
      if (this.sending) this.breakOff('upstream_error_event', false)
      else this.finish(failedTransport('upstream_error_event', false, this.status))
    } else if (result.output && (this.wasWhole || !this.endedWhole())) this.limit(state.delivered)
    if (this.grace !== null && state.usageSeen) this.leave()
    // What ends with this block is not cut any more; what goes on after its own end is.
    this.wasWhole = this.endedWhole()
  }

  /** The upstream waits while more is asked for: one that sends faster than the ledger commits is not cut for it. */
  private limit({ tokens, events }: { readonly tokens: number; readonly events: number }): void {
    if (this.asking) return
    const verdict = this.options.mayGoOn(tokens, events)
    if (verdict === true) return
    if (verdict === false) {
      this.cut()
      return
    }
    this.asking = true
    this.controller?.pause()
    void verdict.then((granted) => {
      this.asking = false
      if (this.settled) return
      if (!granted) this.cut()
      else if (!this.options.res.writableNeedDrain) this.controller?.resume()
    })
  }

  private forward(bytes: Buffer, output: boolean): void {
    if (!this.sending) {
      this.chunks.push(bytes)
      if (output) this.beginSending()
      else if (this.bytesRead > HELD_BACK_MAX)
        this.finish(failedTransport('protocol_error', false, this.status))
      return
    }
    if (bytes.length > 0) this.write(bytes)
  }

  private beginSending(): void {
    this.sending = true
    this.time.begin()
    this.options.beginStream(this.delivery?.contentType ?? this.contentType)
    const held =
      this.chunks.length === 1 && this.chunks[0] !== undefined ? this.chunks[0] : Buffer.concat(this.chunks)
    this.chunks = []
    this.firstEvent = held
    if (held.length > 0) this.write(held)
  }

  private write(bytes: Buffer): void {
    this.options.forwarded(bytes)
    if (this.grace !== null) return
    if (this.options.res.write(bytes) || this.settled) return
    this.controller?.pause()
    this.time.pause()
    this.options.res.once('drain', () => {
      if (this.settled) return
      this.time.resume()
      if (!this.asking) this.controller?.resume()
    })
  }

  /** The protocol's own way to say that a stream failed: an error event, never a silent end. */
  private breakOff(code: string, timeout: boolean): void {
    const { res } = this.options
    const bytes = this.delivery?.fail(this.options.streamFault(timeout)) ?? NO_BYTES
    if (!res.writableEnded && !res.destroyed) {
      this.options.forwarded(bytes)
      res.write(bytes)
    }
    this.finish({ kind: 'broke', reading: this.reading(), code, timeout })
  }

  /** Ends the stream the way the protocol says that a limit was reached. */
  private cut(): void {
    const { res } = this.options
    const reading = this.reading()
    const bytes = this.delivery?.cut(this.firstEvent, this.options.cutUsage(reading)) ?? NO_BYTES
    this.options.forwarded(bytes)
    res.write(bytes)
    this.finish({ kind: 'cut', reading })
  }

  private reading(): Reading {
    const state = this.delivery?.reader.state
    const usageWhole = state?.usageSeen === true && state.usageAtEvents >= state.delivered.events
    return {
      status: this.status,
      usage: this.options.prepared.protocol.readUsage(state?.usage),
      usageWhole,
      rawUsage: state?.usage ?? null,
      servedModel: state?.servedModel ?? null,
      serviceTier: state?.serviceTier ?? null,
      hasOutput: (state?.delivered.events ?? 0) > 0,
      unbilled: state?.unbilled === true,
      // As of the usage, so that the charge told beside it in the stream is the one that is made.
      bytesRead: usageWhole ? state.usageAtBytes : this.bytesRead,
      tokensEstimated: Math.ceil(state?.delivered.tokens ?? 0),
    }
  }

  private finish(ended: AttemptOutcome, answer: CallResult['answer'] = null): void {
    if (this.settled) return
    this.settled = true
    this.time.stop()
    if (this.grace !== null) {
      clearTimeout(this.grace)
      this.options.deps.draining.leave(this.options.orgId)
    }
    const outcome = this.grace === null ? ended : asLeft(ended)
    this.options.res.off('close', this.callerLeft)
    // Whatever still comes is not wanted; for a whole answer there is nothing left to abort.
    if (outcome.kind !== 'served' && this.controller !== null && !this.controller.aborted)
      this.controller.abort(new Error('the call has ended'))
    this.resolve({
      outcome,
      firstTokenMs: this.firstTokenMs,
      latencyMs: this.time.elapsedMs(),
      answer,
      streamBegin: this.firstEvent,
      upstreamId: upstreamIdOf(this.headers),
    })
  }
}

export function callUpstream(options: CallOptions): UpstreamCall {
  const call = new Call(options)
  const { upstream, prepared, streamed } = options
  upstream.pool.dispatch(
    {
      method: 'POST',
      path: joinPaths(upstream.basePath, prepared.path),
      headers: (prepared.ownHeaders ?? upstreamHeaders(prepared.headers, streamed)) as string[],
      body: prepared.body,
    },
    streamed ? new ReadBatch(call) : call,
  )
  return call
}
