import { createHash, createHmac, generateKeyPairSync, verify } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import { startStub } from '../gateway/stub.ts'
import { chunkFrame } from './frames.ts'

/** Both clouds on loopback: what they check of a call, and answers in the shapes they give. */

export const REGION = 'us-east-1'
export const ACCESS = { id: 'AKIATESTTESTTESTTEST', secret: 'secretSECRETsecretSECRETsecretSECRET1234' }
export const SESSION = 'session-token-of-the-test/+=='
export const BEDROCK_MODEL = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'

export interface Call {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
  readonly text: string
}

export interface Cloud {
  readonly origin: string
  readonly calls: Call[]
  /** Set to answer by hand; null for the usual answer. */
  answer: ((call: Call, res: ServerResponse) => unknown) | null
}

const sha256 = (data: string): string => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()

/** What AWS documents of Signature Version 4, step by step; null when the call is signed as it should be. */
function signatureFault(call: Call): string | null {
  const form =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/bedrock\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/
  const match = form.exec(call.headers.authorization ?? '')
  if (match === null) return 'no signature'
  const [, id, day = '', region = '', names = '', signature] = match
  if (id !== ACCESS.id || region !== REGION) return 'another key or region'
  const signed = names.split(';')
  const needed = ['host', 'x-amz-date', 'x-amz-security-token', 'x-amz-content-sha256', 'content-type']
  for (const name of needed) if (!signed.includes(name)) return `${name} is not signed`
  const date = String(call.headers['x-amz-date'])
  if (call.headers['x-amz-content-sha256'] !== sha256(call.text)) return 'another body'
  if (call.headers['x-amz-security-token'] !== SESSION) return 'another session'
  const canonical = [
    'POST',
    // Every service but S3 escapes the path once more than it is sent.
    call.path.split('/').map(encodeURIComponent).join('/'),
    '',
    ...signed.map((name) => `${name}:${String(call.headers[name]).trim()}`),
    '',
    names,
    sha256(call.text),
  ].join('\n')
  const scope = `${day}/${region}/bedrock/aws4_request`
  const key = hmac(hmac(hmac(hmac(`AWS4${ACCESS.secret}`, day), region), 'bedrock'), 'aws4_request')
  const wanted = hmac(key, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).toString('hex')
  return wanted === signature ? null : 'the signature does not match'
}

const USAGE = { input_tokens: 20, cache_creation_input_tokens: 0, cache_read_input_tokens: 10 }
const TEXT = 'Bonjour 🌍'

/** Twenty fresh and ten cached tokens, seven out. */
export const CHARGED = { input: 20, cached: 10, output: 7 } as const

const MESSAGE = {
  id: 'msg_cloud_01',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5-20250929',
  stop_sequence: null,
}

export const CLAUDE_ANSWER = {
  ...MESSAGE,
  content: [{ type: 'text', text: TEXT }],
  stop_reason: 'end_turn',
  usage: { ...USAGE, output_tokens: CHARGED.output },
}

export const CLAUDE_EVENTS = [
  {
    type: 'message_start',
    message: { ...MESSAGE, content: [], stop_reason: null, usage: { ...USAGE, output_tokens: 1 } },
  },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Bonjour ' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: '🌍' } },
  { type: 'content_block_stop', index: 0 },
  {
    type: 'message_delta',
    delta: { stop_reason: 'end_turn', stop_sequence: null },
    usage: { output_tokens: CHARGED.output },
  },
  {
    type: 'message_stop',
    'amazon-bedrock-invocationMetrics': { inputTokenCount: 20, outputTokenCount: 7, firstByteLatency: 5 },
  },
] as const

const GEMINI_USAGE = {
  promptTokenCount: 30,
  cachedContentTokenCount: 10,
  candidatesTokenCount: CHARGED.output,
  totalTokenCount: 37,
  trafficType: 'ON_DEMAND',
}

const geminiChunk = (text: string, last: boolean): object => ({
  candidates: [{ content: { role: 'model', parts: [{ text }] }, ...(last ? { finishReason: 'STOP' } : {}) }],
  ...(last ? { usageMetadata: GEMINI_USAGE } : {}),
  modelVersion: 'gemini-2.5-flash',
  responseId: 'r1',
})

const CHAT_ANSWER = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'google/gemini-2.5-flash',
  choices: [{ index: 0, message: { role: 'assistant', content: TEXT }, finish_reason: 'stop' }],
  usage: {
    prompt_tokens: 30,
    completion_tokens: CHARGED.output,
    total_tokens: 37,
    prompt_tokens_details: { cached_tokens: 10 },
  },
}

export function sendJson(
  res: ServerResponse,
  status: number,
  body: unknown,
  headers: object = {},
): ServerResponse {
  res.writeHead(status, { 'content-type': 'application/json', ...headers })
  return res.end(JSON.stringify(body))
}

export function amazonError(
  res: ServerResponse,
  status: number,
  kind: string,
  message: string,
): ServerResponse {
  return sendJson(
    res,
    status,
    { message },
    { 'x-amzn-errortype': `${kind}:http://internal.amazon.com/coral/` },
  )
}

export function beginFrames(res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream', 'x-amzn-requestid': 'req-1' })
}

function readCall(req: IncomingMessage, text: string): Call {
  const body = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {}
  return { path: req.url ?? '', headers: req.headers, body, text }
}

/** @param apiKey what is taken instead of a signature */
export async function startBedrock(t: TestContext, apiKey: string | null = null): Promise<Cloud> {
  const cloud: Cloud = { origin: '', calls: [], answer: null }
  const stub = await startStub(t, (req, res, text) => {
    const call = readCall(req, text)
    cloud.calls.push(call)
    const fault =
      apiKey === null
        ? signatureFault(call)
        : call.headers.authorization === `Bearer ${apiKey}`
          ? null
          : 'another key'
    if (fault !== null) return amazonError(res, 403, 'InvalidSignatureException', fault)
    if (cloud.answer !== null) return cloud.answer(call, res)
    if (call.path === '/openai/v1/chat/completions') return sendJson(res, 200, CHAT_ANSWER)
    const method = /^\/model\/([^/]+)\/(invoke|invoke-with-response-stream)$/.exec(call.path)
    if (method === null || decodeURIComponent(method[1] ?? '') !== BEDROCK_MODEL)
      return amazonError(res, 400, 'ValidationException', 'The provided model identifier is invalid.')
    for (const name of ['model', 'stream'])
      if (name in call.body)
        return amazonError(res, 400, 'ValidationException', `${name}: Extra inputs are not permitted`)
    if (call.body['anthropic_version'] !== 'bedrock-2023-05-31')
      return amazonError(res, 400, 'ValidationException', 'anthropic_version: Field required')
    if (method[2] === 'invoke') return sendJson(res, 200, CLAUDE_ANSWER)
    beginFrames(res)
    // In pieces that respect no frame.
    const bytes = Buffer.concat(CLAUDE_EVENTS.map(chunkFrame))
    for (let at = 0; at < bytes.length; at += 37) res.write(bytes.subarray(at, at + 37))
    return res.end()
  })
  return Object.assign(cloud, { origin: new URL(stub.url).origin })
}

// ---- Google ---------------------------------------------------------------------------------------------------------

export const PROJECT = 'forge-test-project'
const PAIR = generateKeyPairSync('rsa', { modulusLength: 2048 })
const EMAIL = `gateway@${PROJECT}.iam.gserviceaccount.com`
export const REFRESH_TOKEN = 'refresh-token-of-the-test-0123456789'

export interface Google extends Cloud {
  /** Key files for `credentials`. */
  readonly serviceAccount: string
  readonly authorizedUser: string
  /** Bodies that came to the token endpoint. */
  readonly exchanges: URLSearchParams[]
  /** Access tokens that are no longer taken. */
  readonly revoked: Set<string>
  /** How long the token endpoint takes. */
  slowMs: number
  /** Set to refuse every exchange. */
  refusal: { readonly status: number; readonly body: unknown } | null
}

function assertionFault(form: URLSearchParams, tokenUri: string): string | null {
  if (form.get('grant_type') === 'refresh_token')
    return form.get('refresh_token') === REFRESH_TOKEN ? null : 'another refresh token'
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return 'no such grant'
  const [head = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.')
  const signed = Buffer.from(`${head}.${claims}`)
  if (!verify('sha256', signed, PAIR.publicKey, Buffer.from(signature, 'base64url'))) return 'bad signature'
  const read = (part: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as Record<string, unknown>
  const { alg, kid } = read(head)
  const { iss, scope, aud, iat, exp } = read(claims)
  if (alg !== 'RS256' || (kid !== undefined && kid !== 'key-1')) return 'another key'
  if (iss !== EMAIL || scope !== 'https://www.googleapis.com/auth/cloud-platform') return 'bad claims'
  if (aud !== 'https://oauth2.googleapis.com/token' && aud !== tokenUri) return 'bad audience'
  const now = Date.now() / 1000
  return Number(iat) <= now + 1 && Number(exp) > now ? null : 'bad times'
}

function vertexAnswer(call: Call, res: ServerResponse): ServerResponse {
  const base = `/v1/projects/${PROJECT}/locations/global`
  const events = (list: readonly object[], named: boolean): ServerResponse => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const event of list) {
      const name = named ? `event: ${(event as { type: string }).type}\n` : ''
      res.write(`${name}data: ${JSON.stringify(event)}\n\n`)
    }
    return res.end()
  }
  const claude = `${base}/publishers/anthropic/models/claude-sonnet-4-5%4020250929`
  const gemini = `${base}/publishers/google/models/gemini-2.5-flash`
  if (call.path.startsWith(claude)) {
    if ('model' in call.body || call.body['anthropic_version'] !== 'vertex-2023-10-16')
      return sendJson(res, 400, { type: 'error', error: { type: 'invalid_request_error', message: 'model' } })
    return call.path === `${claude}:streamRawPredict` && call.body['stream'] === true
      ? events(CLAUDE_EVENTS.slice(0, -1).concat([{ type: 'message_stop' }] as never), true)
      : sendJson(res, 200, CLAUDE_ANSWER)
  }
  if (call.path === `${gemini}:streamGenerateContent?alt=sse`)
    return events([geminiChunk('Bonjour ', false), geminiChunk('🌍', true)], false)
  if (call.path === `${gemini}:generateContent`) return sendJson(res, 200, geminiChunk(TEXT, true))
  if (call.path === `${base}/endpoints/openapi/chat/completions`) return sendJson(res, 200, CHAT_ANSWER)
  return sendJson(res, 404, { error: { code: 404, status: 'NOT_FOUND', message: `no ${call.path}` } })
}

export function googleError(
  res: ServerResponse,
  code: number,
  status: string,
  message: string,
): ServerResponse {
  return sendJson(res, code, [{ error: { code, status, message } }])
}

export async function startGoogle(t: TestContext, lifetimeSeconds = 3599): Promise<Google> {
  const tokenPath = '/token'
  const google: Google = {
    origin: '',
    calls: [],
    answer: null,
    serviceAccount: '',
    authorizedUser: '',
    exchanges: [],
    revoked: new Set(),
    slowMs: 0,
    refusal: null,
  }
  const given = new Set<string>()
  const give = (res: ServerResponse): ServerResponse => {
    const token = `ya29.token-${google.exchanges.length}`
    given.add(token)
    return sendJson(
      res,
      200,
      { access_token: token, expires_in: lifetimeSeconds, token_type: 'Bearer' },
      { 'metadata-flavor': 'Google' },
    )
  }
  const stub = await startStub(t, (req, res, text) => {
    if (req.url?.startsWith('/computeMetadata/') || req.url === tokenPath) {
      const form = new URLSearchParams(text)
      google.exchanges.push(form)
      const fault = req.url === tokenPath ? assertionFault(form, `${google.origin}${tokenPath}`) : null
      if (google.refusal !== null) return sendJson(res, google.refusal.status, google.refusal.body)
      if (fault === null && google.slowMs > 0) return setTimeout(() => give(res), google.slowMs).unref()
      if (fault === null) return give(res)
      return sendJson(res, 400, { error: 'invalid_grant', error_description: fault })
    }
    const call = readCall(req, text)
    google.calls.push(call)
    const token = (call.headers.authorization ?? '').replace('Bearer ', '')
    if (!given.has(token) || google.revoked.has(token))
      return googleError(res, 401, 'UNAUTHENTICATED', `Request had invalid credentials ${token}.`)
    if (google.answer !== null) return google.answer(call, res)
    return vertexAnswer(call, res)
  })
  const { origin } = new URL(stub.url)
  const tokenUri = `${origin}${tokenPath}`
  return Object.assign(google, {
    origin,
    serviceAccount: JSON.stringify({
      type: 'service_account',
      project_id: PROJECT,
      private_key_id: 'key-1',
      private_key: PAIR.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      client_email: EMAIL,
      token_uri: tokenUri,
    }),
    authorizedUser: JSON.stringify({
      type: 'authorized_user',
      client_id: 'client.apps.googleusercontent.com',
      client_secret: 'client-secret-of-the-test',
      refresh_token: REFRESH_TOKEN,
      token_uri: tokenUri,
    }),
  })
}
