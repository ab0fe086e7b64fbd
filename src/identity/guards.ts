import type { Limit } from './attempts.ts'

/**
 * Which paths of the library are served, and what is counted before each. The library has more of them, and a new version
 * may bring others; what is not in this table is not there.
 */

type Guard = (who: Asker) => readonly Limit[]

export interface Asker {
  /** Null where it cannot be told: all such askers are counted as one. */
  readonly address: string | null
  /** The address a person gave, in lower case; empty for none. */
  readonly email: string
  /** Names the session that came along, without telling its token; null for none. */
  readonly session: string | null
  /** This account was signed in to from this place in the last day. */
  readonly isKnownPlace: boolean
}

interface Served {
  readonly method: 'GET' | 'POST'
  readonly guard: Guard
}

const QUARTER = 15 * 60
const HOUR = 60 * 60

/** An IPv6 network of 64 bits belongs to one subscriber, who has all of its addresses. */
export function networkOf(address: string | null): string {
  if (address === null) return 'unknown'
  if (!address.includes(':') || address.includes('.')) return address
  const [head = '', tail] = address.split('::', 2)
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => '0')
  return (tail === undefined ? front : [...front, ...zeros, ...back]).slice(0, 4).join(':')
}

/** Of one account from one place; forgotten when a sign-in succeeds. */
export function pairOf({ address, email }: Pick<Asker, 'address' | 'email'>): string {
  return `sign-in:${email}@${networkOf(address)}`
}

/** Where the password of an account was right. */
export function knownPlaceOf(asker: Pick<Asker, 'address' | 'email'>): string {
  return `known:${pairOf(asker)}`
}

const perAddress = (what: string, address: string | null, max: number, windowSeconds: number): Limit => ({
  what: `${what}:${networkOf(address)}`,
  max,
  windowSeconds,
})

const free: Guard = () => []

/**
 * The pair is the narrow one: a stranger elsewhere shuts nobody out of an account before the fiftieth guess, and those of many
 * places together nobody from where they signed in lately.
 */
const signIn: Guard = (who) => [
  perAddress('sign-in', who.address, 100, QUARTER),
  { what: pairOf(who), max: 10, windowSeconds: QUARTER },
  ...(who.isKnownPlace ? [] : [{ what: `account:${who.email}`, max: 50, windowSeconds: QUARTER }]),
]

const mail: Guard = (who) => [
  perAddress('mail', who.address, 20, HOUR),
  { what: `mail-to:${who.email}`, max: 5, windowSeconds: HOUR },
]

/** A stolen session must not be a place to guess the password at, nor a reset link to guess tokens. */
const secret: Guard = (who) => [
  perAddress('secret', who.address, 100, QUARTER),
  ...(who.session === null ? [] : [{ what: `session:${who.session}`, max: 20, windowSeconds: QUARTER }]),
]

const claim: Guard = (who) => [perAddress('claim', who.address, 200, QUARTER)]
const open: Guard = (who) => [perAddress('open', who.address, 200, QUARTER)]

const get = (guard: Guard = free): Served => ({ method: 'GET', guard })
const post = (guard: Guard = free): Served => ({ method: 'POST', guard })

export const SERVED: Readonly<Record<string, Served>> = {
  '/get-session': get(),
  '/sign-in/email': post(signIn),
  '/sign-in/social': post(open),
  '/callback/oidc': get(open),
  '/sign-out': post(),
  '/sign-up/email': post(open),
  '/change-password': post(secret),
  '/request-password-reset': post(mail),
  '/reset-password': post(secret),
  '/send-verification-email': post(mail),
  '/update-user': post(),
  '/list-accounts': get(),
  '/link-social': post(open),
  '/unlink-account': post(secret),
  '/two-factor/enable': post(secret),
  '/two-factor/disable': post(secret),
  '/two-factor/get-totp-uri': post(secret),
  '/two-factor/generate-backup-codes': post(secret),
  '/two-factor/verify-totp': post(secret),
  '/two-factor/verify-backup-code': post(secret),
  '/passkey/generate-register-options': get(),
  '/passkey/verify-registration': post(secret),
  '/passkey/generate-authenticate-options': get(open),
  '/passkey/verify-authentication': post(open),
  '/passkey/list-user-passkeys': get(),
  '/passkey/update-passkey': post(),
  '/passkey/delete-passkey': post(secret),
  '/sessions': get(),
  '/sessions/revoke': post(),
  '/sessions/revoke-others': post(),
  '/operator/claim': post(claim),
}

/** Of pages that ask the library for nothing. */
export const OWN_GUARDS: Readonly<Record<string, Guard>> = { '/invitation': open }
