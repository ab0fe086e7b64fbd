import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

/** A small OpenID Connect provider: one client, one person, and switches for everything that a bad one could do. */

export interface Profile {
  sub: string
  email: string
  email_verified: boolean | string
  name: string
}

export interface Lies {
  claims?: Record<string, unknown>
  /** Signs with a key that is not published. */
  otherKey?: boolean
  /** `alg: none`, and no signature. */
  unsigned?: boolean
}

export interface Provider {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  profile: Profile
  lies: Lies
  /** What the last authorization was asked with. */
  asked: URLSearchParams
}

const jwtPart = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

async function formOf(req: IncomingMessage): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of req) text += String(chunk)
  return new URLSearchParams(text)
}

/** @param host under another name than the gateway it is another site to browsers */
export async function startProvider(t: TestContext, host = '127.0.0.1'): Promise<Provider> {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const others = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const codes = new Map<string, URLSearchParams>()
  const server = createServer((req, res) => void serve(req, res))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const issuer = `http://${host}:${(server.address() as AddressInfo).port}`
  const provider: Provider = {
    issuer,
    clientId: 'tokens-forge',
    clientSecret: 'a secret of the client',
    profile: { sub: 'person-1', email: 'ada@example.com', email_verified: true, name: 'Ada of the provider' },
    lies: {},
    asked: new URLSearchParams(),
  }

  function idToken(asked: URLSearchParams): string {
    const { lies, profile } = provider
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: issuer,
      aud: provider.clientId,
      iat: now,
      exp: now + 300,
      nonce: asked.get('nonce') ?? undefined,
      ...profile,
      ...lies.claims,
    }
    const header = { alg: lies.unsigned === true ? 'none' : 'RS256', kid: 'k1', typ: 'JWT' }
    const signed = `${jwtPart(header)}.${jwtPart(claims)}`
    if (lies.unsigned === true) return `${signed}.`
    const { privateKey } = lies.otherKey === true ? others : keys
    return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`
  }

  async function token(req: IncomingMessage): Promise<object | null> {
    const form = await formOf(req)
    const asked = codes.get(form.get('code') ?? '')
    codes.delete(form.get('code') ?? '')
    const basic = Buffer.from((req.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString()
    const secret = form.get('client_secret') ?? decodeURIComponent(basic.split(':')[1] ?? '')
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    if (asked === undefined || secret !== provider.clientSecret || asked.get('code_challenge') !== challenge)
      return null
    return {
      access_token: 'provider-access-token',
      token_type: 'Bearer',
      expires_in: 300,
      id_token: idToken(asked),
    }
  }

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', issuer)
    const json = (value: object, status = 200): void => {
      res.writeHead(status, { 'content-type': 'application/json' })
      res.end(JSON.stringify(value))
    }
    if (url.pathname === '/.well-known/openid-configuration')
      json({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
        id_token_signing_alg_values_supported: ['RS256'],
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
      })
    else if (url.pathname === '/jwks')
      json({ keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' }] })
    else if (url.pathname === '/authorize') {
      provider.asked = url.searchParams
      const code = randomBytes(12).toString('hex')
      codes.set(code, url.searchParams)
      const back = new URL(url.searchParams.get('redirect_uri') ?? '')
      back.searchParams.set('code', code)
      back.searchParams.set('state', url.searchParams.get('state') ?? '')
      res.writeHead(302, { location: back.toString() })
      res.end()
    } else if (url.pathname === '/token') {
      const tokens = await token(req)
      json(tokens ?? { error: 'invalid_grant' }, tokens === null ? 400 : 200)
    } else json({}, 404)
  }

  return provider
}
