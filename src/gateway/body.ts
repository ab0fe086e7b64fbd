import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { type Fault, fault } from '../contract/index.ts'
import type { StageResult } from './types.ts'

/** The largest request body, as sent and as decoded: agents send images and files inline. */
export const BODY_BYTES_MAX = 50 * 1024 * 1024

type Decode = (bytes: Buffer, maxBytes: number) => Promise<Buffer>

/** Each with its bound: without one a few hundred bytes unfold into gigabytes. */
const DECODERS: ReadonlyMap<string, Decode> = new Map(
  Object.entries<Decode>({
    gzip: (bytes, maxOutputLength) => promisify(gunzip)(bytes, { maxOutputLength }),
    'x-gzip': (bytes, maxOutputLength) => promisify(gunzip)(bytes, { maxOutputLength }),
    deflate: (bytes, maxOutputLength) => promisify(inflate)(bytes, { maxOutputLength }),
    br: (bytes, maxOutputLength) => promisify(brotliDecompress)(bytes, { maxOutputLength }),
    zstd: (bytes, maxOutputLength) => promisify(zstdDecompress)(bytes, { maxOutputLength }),
  }),
)

const tooLarge = (maxBytes: number): Fault =>
  fault('body_too_large', `The body is larger than ${maxBytes / 1024 / 1024} MiB.`)

/** `gone`: the caller left, there is nobody to answer. */
export type BodyRead = StageResult<Buffer> | 'gone'

function collect(req: IncomingMessage, maxBytes: number): Promise<BodyRead> {
  const declared = req.headers['content-length']
  if (declared !== undefined && Number.parseInt(declared, 10) > maxBytes)
    return Promise.resolve({ ok: false, fault: tooLarge(maxBytes) })
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > maxBytes) {
        req.pause()
        resolve({ ok: false, fault: tooLarge(maxBytes) })
      } else chunks.push(chunk)
    })
    req.on('end', () => {
      const only = chunks[0]
      resolve({
        ok: true,
        value: chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, size),
      })
    })
    req.on('error', () => resolve('gone'))
    req.on('close', () => resolve('gone'))
  })
}

async function decode(bytes: Buffer, encoding: string, maxBytes: number): Promise<BodyRead> {
  const decoder = DECODERS.get(encoding)
  if (decoder === undefined)
    return {
      ok: false,
      fault: fault('unsupported_encoding', `Content-Encoding ${encoding} is not supported.`),
    }
  try {
    return { ok: true, value: await decoder(bytes, maxBytes) }
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
    if (code === 'ERR_BUFFER_TOO_LARGE') return { ok: false, fault: tooLarge(maxBytes) }
    return { ok: false, fault: fault('invalid_json', `The body is not valid ${encoding}.`) }
  }
}

/** Reads the whole body, bounded and decoded. The caller's connection may end meanwhile; then there is nobody to answer. */
export function readBody(req: IncomingMessage, maxBytes = BODY_BYTES_MAX): Promise<BodyRead> {
  const encoding = req.headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
  return encoding === 'identity' ? collect(req, maxBytes) : readEncoded(req, encoding, maxBytes)
}

async function readEncoded(req: IncomingMessage, encoding: string, maxBytes: number): Promise<BodyRead> {
  if (DECODERS.get(encoding) === undefined) return decode(Buffer.alloc(0), encoding, maxBytes)
  const read = await collect(req, maxBytes)
  if (read === 'gone' || !read.ok) return read
  return decode(read.value, encoding, maxBytes)
}
