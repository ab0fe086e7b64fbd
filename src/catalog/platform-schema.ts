import { createPrivateKey } from 'node:crypto'
import { z } from 'zod'
import { PLATFORM_KINDS, type PlatformKind } from '../contract/index.ts'
import { isObject, type JsonObject, parseJson } from '../kernel/index.ts'
import type { BedrockSettings, GoogleCredentials, PlatformSettings, VertexSettings } from './types.ts'
import { closed, PARSE } from './yaml-schema-parts.ts'

/** The `platform` of a channel: each kind has settings of its own. */

/** Settings whose values no fault may show. */
export const SECRET_SETTINGS = ['access_key_id', 'secret_access_key', 'session_token', 'credentials'] as const

/** Goes into a host name or a path. */
const place = z
  .string()
  .regex(/^[a-z][a-z0-9-]{1,62}$/, 'must be letters, digits and -, such as us-east-1 or global')

const project = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.:-]{3,62}$/, 'must be the id of a project, such as my-project-123')

/** Goes into a header or a signature; long ones are session tokens. */
const word = z
  .string()
  .min(1)
  .max(16_384)
  .regex(/^[\x21-\x7e]*$/, 'must be one word without spaces or line breaks')

/** Names that are let through; all others are left out of the request. */
const betas = z.array(z.string().regex(/^[\w.-]{1,64}$/, 'must be the name of a beta')).nullish()

const bedrock = closed({
  kind: z.literal('bedrock'),
  region: place,
  access_key_id: word.nullish(),
  secret_access_key: word.nullish(),
  session_token: word.nullish(),
  betas,
}).transform((read): BedrockSettings => {
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = read
  return {
    kind: 'bedrock',
    region: read.region,
    betas: read.betas ?? null,
    keys:
      accessKeyId == null || secretAccessKey == null
        ? null
        : { accessKeyId, secretAccessKey, sessionToken: read.session_token ?? null },
  }
})

const GOOGLE_TOKENS = 'https://oauth2.googleapis.com/token'

type Read =
  | { readonly ok: true; readonly value: GoogleCredentials }
  | { readonly ok: false; readonly problem: string }

const bad = (problem: string): Read => ({ ok: false, problem })

function textOf(key: JsonObject, name: string): string | null {
  const value = key[name]
  return typeof value === 'string' && value !== '' ? value : null
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

/** A key signs for whoever asks at this address: never over a wire that anybody can read. */
function isTokenAddress(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname } = new URL(text)
  return (
    protocol === 'https:' || (protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname))
  )
}

function serviceAccount(key: JsonObject, tokenUri: string): Read {
  const clientEmail = textOf(key, 'client_email')
  const privateKey = textOf(key, 'private_key')
  if (clientEmail === null || privateKey === null) return bad('has no client_email or no private_key')
  if (!isPrivateKey(privateKey)) return bad('has a private_key that is no RSA key in PEM form')
  const privateKeyId = textOf(key, 'private_key_id')
  return { ok: true, value: { type: 'service_account', clientEmail, privateKey, privateKeyId, tokenUri } }
}

function authorizedUser(key: JsonObject, tokenUri: string): Read {
  const clientId = textOf(key, 'client_id')
  const clientSecret = textOf(key, 'client_secret')
  const refreshToken = textOf(key, 'refresh_token')
  if (clientId === null || clientSecret === null || refreshToken === null)
    return bad('has no client_id, client_secret or refresh_token')
  return { ok: true, value: { type: 'authorized_user', clientId, clientSecret, refreshToken, tokenUri } }
}

const KEY_FILES: Readonly<Record<string, (key: JsonObject, tokenUri: string) => Read>> = {
  service_account: serviceAccount,
  authorized_user: authorizedUser,
}

/** @param text `attached`, or what a key file of Google's holds */
function readCredentials(text: string): Read {
  if (text.trim() === 'attached') return { ok: true, value: { type: 'attached' } }
  const parsed = parseJson(text)
  if (!parsed.ok || !isObject(parsed.value))
    return bad('must be the JSON of a Google key file (not its path), or "attached"')
  const key = parsed.value
  const read = KEY_FILES[textOf(key, 'type') ?? '']
  if (read === undefined) return bad(`must be a key of type ${Object.keys(KEY_FILES).join(' or ')}`)
  const tokenUri = textOf(key, 'token_uri') ?? GOOGLE_TOKENS
  return isTokenAddress(tokenUri) ? read(key, tokenUri) : bad('has a token_uri that is no https address')
}

const credentials = z.string().transform((text, context): GoogleCredentials => {
  const read = readCredentials(text)
  if (read.ok) return read.value
  context.addIssue({ code: 'custom', message: read.problem })
  return z.NEVER
})

const vertex = closed({
  kind: z.literal('vertex'),
  project,
  location: place,
  credentials,
  betas,
}).transform((read): VertexSettings => ({ ...read, betas: read.betas ?? null }))

const SCHEMAS = { bedrock, vertex } as const satisfies Record<PlatformKind, z.ZodType<PlatformSettings>>

const kindOnly = z.object({ kind: z.enum(PLATFORM_KINDS) })

/** The kind is read first, so that faults are those of its own settings. */
export const platformSchema = z.unknown().transform((value, context): PlatformSettings => {
  const named = kindOnly.safeParse(value, PARSE)
  const read = named.success ? SCHEMAS[named.data.kind].safeParse(value, PARSE) : named
  if (read.success) return read.data as PlatformSettings
  for (const issue of read.error.issues) context.addIssue({ ...issue } as never)
  return z.NEVER
})
