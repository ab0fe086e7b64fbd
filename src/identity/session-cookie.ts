import { createHash } from 'node:crypto'

/** `__Host-`: a browser takes it from this very host only, by TLS (or on the machine itself), for all of its paths. */
export const SESSION_COOKIE = '__Host-tf_session'

/** A session ends when it was not renewed for so long. */
export const SESSION_IDLE_SECONDS = 24 * 60 * 60

/** All that the database keeps of a token. */
export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
