import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { openApiDocument } from '../../src/api/index.ts'
import { OPERATOR_TOKEN, startForge, testConfig } from '../forge.ts'

/**
 * A22: a small body that unfolds into a huge one. The gateway takes compressed bodies, as agents send them, bounded by what
 * they unfold to; the management API takes none.
 */

const PLAIN = Buffer.alloc(256 * 1024 * 1024, ' ')
const BOMBS: Readonly<Record<string, Buffer>> = {
  gzip: gzipSync(PLAIN),
  deflate: deflateSync(PLAIN),
  br: brotliCompressSync(PLAIN, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }),
  zstd: zstdCompressSync(PLAIN),
}

const GENERATING = [
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/responses/compact',
  '/v1/embeddings',
  '/v1/messages',
  '/anthropic/v1/messages',
  '/v1beta/models/m:generateContent',
  '/v1beta/models/m:streamGenerateContent',
  '/v1beta/models/m:embedContent',
  '/v1/messages/count_tokens',
  '/v1/responses/input_tokens',
  '/v1beta/models/m:countTokens',
]

interface Answered {
  readonly status: number
  readonly text: string
}

async function send(
  url: string,
  token: string,
  method: string,
  encoding: string,
  bytes: Buffer,
): Promise<Answered> {
  const response = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-encoding': encoding,
    },
    body: new Uint8Array(bytes),
  })
  return { status: response.status, text: await response.text() }
}

test('A22: bombs are let off nowhere: the gateway stops at its bound, the management API unfolds nothing', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const account = await forge.account()
  for (const [encoding, bomb] of Object.entries(BOMBS)) assert.ok(bomb.length < 1024 * 1024, encoding)

  await t.test('every path that generates or counts', async () => {
    const codings = Object.entries(BOMBS)
    // Each coding on the first path, and each path with one of them: unfolding 50 MiB takes its time.
    for (const [place, path] of GENERATING.entries())
      for (const [encoding, bomb] of place === 0 ? codings : codings.slice(place % 4, (place % 4) + 1)) {
        const before = process.memoryUsage().arrayBuffers
        const { status, text } = await send(`${forge.url}${path}`, account.key, 'POST', encoding, bomb)
        assert.equal(status, 413, `${path} ${encoding}: ${text}`)
        const grownMb = (process.memoryUsage().arrayBuffers - before) / 1024 / 1024
        assert.ok(grownMb < 200, `${path} ${encoding}: ${grownMb} MB more`)
      }
  })

  await t.test('a coding over a coding, or one that is none, is refused unread', async () => {
    const twice = gzipSync(BOMBS['gzip'] ?? Buffer.alloc(0))
    for (const path of GENERATING)
      for (const encoding of ['gzip, gzip', 'br, gzip', 'compress', 'x-bzip2', 'identity, gzip', '*']) {
        const { status, text } = await send(`${forge.url}${path}`, account.key, 'POST', encoding, twice)
        assert.equal(status, 415, `${path} ${encoding}: ${text}`)
      }
  })

  await t.test('bombs of strangers are not even read', async () => {
    for (const path of GENERATING) {
      const { status } = await send(
        `${forge.url}${path}`,
        'sk-tf-nobody',
        'POST',
        'gzip',
        BOMBS['gzip'] ?? PLAIN,
      )
      assert.equal(status, 401, path)
    }
  })

  await t.test('every operation of the management API that takes a body', async () => {
    const { paths } = openApiDocument('0') as { paths: Record<string, Record<string, unknown>> }
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods)
        .filter((method) => ['post', 'patch', 'put', 'delete'].includes(method))
        .map((method) => ({ method: method.toUpperCase(), path })),
    )
    assert.ok(operations.length > 5)
    for (const { method, path } of operations)
      for (const [encoding, bomb] of Object.entries(BOMBS)) {
        const url = `${forge.url}${path.replace(/\{\w+\}/g, 'x')}`
        const { status, text } = await send(url, OPERATOR_TOKEN, method, encoding, bomb)
        assert.equal(status, 415, `${method} ${path} ${encoding}: ${text}`)
        assert.match(text, /unsupported_encoding/)
      }
  })

  assert.equal(forge.sandbox.requests.count, 0)
  const response = await forge.chat(account.key, { model: 'm' })
  assert.equal(response.status, 200)
  await response.text()
  await forge.settled()
  await forge.audit()
})
