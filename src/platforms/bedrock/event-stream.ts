import type { EventStreamCodec } from '@smithy/core/event-streams'
import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { Unframer } from '../platform.ts'

/**
 * `application/vnd.amazon.eventstream` as server-sent events: each `chunk` carries one event of the model's format in
 * base64; exceptions become the format's own error event. Lengths and checksums that do not fit end the stream.
 */

type Message = ReturnType<EventStreamCodec['decode']>

/** Prelude (two lengths and their checksum) and the checksum of the whole. */
const MESSAGE_MIN = 16
/** An event is at most 1 MiB (protocols/sse.ts), in base64, with headers. */
const MESSAGE_MAX = 2 * 1024 * 1024
const LENGTH_BYTES = 4

const NOTHING = Buffer.alloc(0)

/** How the model's own events begin; others are parsed. */
const TYPE = /^\{"type":"([a-z_]{1,64})"/

/** Members that Bedrock adds to the last event of a stream: figures of its own, no part of the format. */
const OWN_MEMBER = 'amazon-bedrock-'

function header(message: Message, name: string): string {
  const value = message.headers[name]
  return value?.type === 'string' ? value.value : ''
}

function sse(name: string, data: string): string {
  return `event: ${name}\ndata: ${data}\n\n`
}

function withoutOwnMembers(body: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(body).filter(([name]) => !name.startsWith(OWN_MEMBER)))
}

/** @returns '' for what has no name to travel under, null for what is no JSON */
function eventOf(payload: string): string | null {
  const quick = TYPE.exec(payload)?.[1]
  if (quick !== undefined && !payload.includes(`"${OWN_MEMBER}`) && !/[\r\n]/.test(payload))
    return sse(quick, payload)
  const parsed = parseJson(payload)
  if (!parsed.ok) return null
  const type = isObject(parsed.value) ? parsed.value['type'] : undefined
  if (!isObject(parsed.value) || typeof type !== 'string' || /[\r\n]/.test(type)) return ''
  return sse(type, JSON.stringify(withoutOwnMembers(parsed.value)))
}

function chunkOf(body: string): string | null {
  const parsed = parseJson(body)
  const bytes = parsed.ok && isObject(parsed.value) ? parsed.value['bytes'] : undefined
  return typeof bytes === 'string' ? eventOf(Buffer.from(bytes, 'base64').toString('utf8')) : null
}

function errorEvent(type: string, message: string): string {
  return sse('error', JSON.stringify({ type: 'error', error: { type, message } }))
}

function exceptionOf(message: Message, body: string): string {
  const parsed = parseJson(body)
  const text = parsed.ok && isObject(parsed.value) ? parsed.value['message'] : undefined
  return errorEvent(
    header(message, ':exception-type') || 'exception',
    typeof text === 'string' ? text : 'an exception',
  )
}

type Reader = (message: Message, body: string) => string | null

const READERS: Readonly<Record<string, Reader>> = {
  event: (message, body) => (header(message, ':event-type') === 'chunk' ? chunkOf(body) : ''),
  exception: exceptionOf,
  error: (message) =>
    errorEvent(header(message, ':error-code') || 'error', header(message, ':error-message')),
}

export class EventStreamUnframer implements Unframer {
  private readonly codec: Pick<EventStreamCodec, 'decode'>
  private parts: Buffer[] = []
  private have = 0
  private need = LENGTH_BYTES
  private broken = false

  constructor(codec: Pick<EventStreamCodec, 'decode'>) {
    this.codec = codec
  }

  feed(chunk: Buffer): Buffer | null {
    if (this.broken) return null
    this.parts.push(chunk)
    this.have += chunk.length
    if (this.have < this.need) return NOTHING
    const text = this.takeAll(Buffer.concat(this.parts))
    this.broken = text === null
    return text === null ? null : Buffer.from(text)
  }

  private takeAll(bytes: Buffer): string | null {
    let text = ''
    let at = 0
    this.need = LENGTH_BYTES
    while (bytes.length - at >= LENGTH_BYTES) {
      const length = bytes.readUInt32BE(at)
      if (length < MESSAGE_MIN || length > MESSAGE_MAX) return null
      if (bytes.length - at < length) {
        this.need = length
        break
      }
      const event = this.read(bytes.subarray(at, at + length))
      if (event === null) return null
      text += event
      at += length
    }
    this.parts = [bytes.subarray(at)]
    this.have = bytes.length - at
    return text
  }

  private read(bytes: Buffer): string | null {
    let message: Message
    try {
      message = this.codec.decode(bytes)
    } catch {
      return null
    }
    const read = READERS[header(message, ':message-type')]
    return read === undefined ? '' : read(message, Buffer.from(message.body).toString('utf8'))
  }
}
