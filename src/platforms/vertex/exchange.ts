import type { AuthClient } from 'google-auth-library'
import type { GoogleCredentials } from '../../catalog/index.ts'
import type { Clock } from '../../kernel/index.ts'
import type { AccessToken } from './token.ts'

/** A Google credential for an access token. Assertions, grants and the metadata server are the library's. */

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
const PATIENCE_MS = 10_000
/** What a token is good for when nobody says. */
const LIFETIME_MS = 10 * 60_000

type Library = typeof import('google-auth-library')
type Held<T extends GoogleCredentials['type']> = Extract<GoogleCredentials, { type: T }>

/** The library asks at one address only; a key names its own. */
function at(tokenUri: string) {
  return {
    timeout: PATIENCE_MS,
    fetchImplementation: (_input: unknown, init?: RequestInit) =>
      fetch(tokenUri, { ...init, redirect: 'error' }),
  }
}

const CLIENTS: {
  readonly [T in GoogleCredentials['type']]: (library: Library, held: Held<T>) => AuthClient
} = {
  attached: ({ Compute }) => new Compute(),
  service_account: ({ JWT }, { clientEmail, privateKey, privateKeyId, tokenUri }) =>
    new JWT({
      email: clientEmail,
      key: privateKey,
      ...(privateKeyId === null ? {} : { keyId: privateKeyId }),
      scopes: [SCOPE],
      transporterOptions: at(tokenUri),
    }),
  authorized_user: ({ UserRefreshClient }, { clientId, clientSecret, refreshToken, tokenUri }) =>
    new UserRefreshClient({ clientId, clientSecret, refreshToken, transporterOptions: at(tokenUri) }),
}

/** The library tries again by itself, and on some machines without a limit. */
async function inTime<T>(asked: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('too late'), { code: 'timeout' })), PATIENCE_MS)
  })
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
  }
}

/** A client caches by itself, and would give out a token again that was refused: each exchange has its own. */
export async function exchange(credentials: GoogleCredentials, clock: Clock): Promise<AccessToken> {
  const library = await import('google-auth-library')
  const make = CLIENTS[credentials.type] as (library: Library, held: GoogleCredentials) => AuthClient
  const client = make(library, credentials)
  const { token } = await inTime(client.getAccessToken())
  if (typeof token !== 'string' || token === '') throw new Error('no access token was given')
  return { text: token, expiresAtMs: client.credentials.expiry_date ?? clock.nowMs() + LIFETIME_MS }
}

/** Only what the endpoint's answer is called: its words may repeat what it was asked with. */
export function exchangeProblem(thrown: unknown): string {
  const error = thrown as { response?: { status?: number; data?: { error?: unknown } }; code?: unknown }
  const word = error.response?.data?.error ?? error.code
  const status = error.response?.status
  return [status === undefined ? null : `answered ${status}`, typeof word === 'string' ? word : null]
    .filter((part) => part !== null)
    .join(' ')
}
