import type { IncomingMessage } from 'node:http'
import { fault } from '../contract/index.ts'
import type { StageResult } from './types.ts'

/** The largest request body: agents send images and files inline. */
export const BODY_BYTES_MAX = 50 * 1024 * 1024

/** Reads the whole body, bounded. The caller's connection may end meanwhile; then there is nobody to answer. */
export function readBody(
  req: IncomingMessage,
  maxBytes = BODY_BYTES_MAX,
): Promise<StageResult<Buffer> | 'gone'> {
  const encoding = req.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    return Promise.resolve({
      ok: false,
      fault: fault(
        'unsupported_encoding',
        `Content-Encoding ${encoding} is not supported; send the body as it is.`,
      ),
    })
  }
  const tooLarge: StageResult<Buffer> = {
    ok: false,
    fault: fault('body_too_large', `The body is larger than ${maxBytes / 1024 / 1024} MiB.`),
  }
  const declared = req.headers['content-length']
  if (declared !== undefined && Number.parseInt(declared, 10) > maxBytes) return Promise.resolve(tooLarge)
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > maxBytes) {
        req.pause()
        resolve(tooLarge)
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
