import { crc32 } from 'node:zlib'

/** AWS event-stream frames made by hand from the published layout, so that the codec is judged by something else. */

function headerBytes(name: string, value: string): Buffer {
  const [n, v] = [Buffer.from(name), Buffer.from(value)]
  const length = Buffer.alloc(2)
  length.writeUInt16BE(v.length)
  // 7 is the type of text.
  return Buffer.concat([Buffer.from([n.length]), n, Buffer.from([7]), length, v])
}

export function frame(headers: Readonly<Record<string, string>>, body: string): Buffer {
  const head = Buffer.concat(Object.entries(headers).map(([name, value]) => headerBytes(name, value)))
  const payload = Buffer.from(body)
  const prelude = Buffer.alloc(12)
  prelude.writeUInt32BE(12 + head.length + payload.length + 4, 0)
  prelude.writeUInt32BE(head.length, 4)
  prelude.writeUInt32BE(crc32(prelude.subarray(0, 8)), 8)
  const rest = Buffer.concat([prelude, head, payload])
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(rest))
  return Buffer.concat([rest, checksum])
}

/** As Bedrock sends an event of the model: base64, with padding of random length beside it. */
export function chunkFrame(event: unknown): Buffer {
  const text = typeof event === 'string' ? event : JSON.stringify(event)
  return frame(
    { ':event-type': 'chunk', ':content-type': 'application/json', ':message-type': 'event' },
    JSON.stringify({ bytes: Buffer.from(text).toString('base64'), p: 'abcdefgh' }),
  )
}

export function exceptionFrame(type: string, message: string): Buffer {
  return frame(
    { ':exception-type': type, ':content-type': 'application/json', ':message-type': 'exception' },
    JSON.stringify({ message }),
  )
}
