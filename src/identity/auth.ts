import { passkey } from '@better-auth/passkey'
import { APIError, createAuthMiddleware } from 'better-auth/api'
import { deleteSessionCookie } from 'better-auth/cookies'
import { betterAuth } from 'better-auth/minimal'
import { genericOAuth } from 'better-auth/plugins/generic-oauth'
import { twoFactor } from 'better-auth/plugins/two-factor'
import { errorText, type Log } from '../kernel/index.ts'
import { createAdapter } from './adapter.ts'
import { countAttempt } from './attempts.ts'
import { ACCOUNT, PASSKEY, SESSION, TWO_FACTOR, USER, VERIFICATION } from './columns.ts'
import { confirmMail, type createPost, existingMail, resetMail } from './mails.ts'
import { ADDRESS_HEADER, ownEndpoints } from './own-endpoints.ts'
import { createPasswords } from './passwords.ts'
import { SESSION_COOKIE, SESSION_IDLE_SECONDS } from './session-cookie.ts'
import type { IdentityOptions, OidcSettings } from './types.ts'
import { confirmAddress, takeOver } from './unconfirmed.ts'

/**
 * The sign-in library as it is used here. Loaded with the first request that needs it: the gateway starts without, and its
 * hot path never comes here.
 */

export const BASE_PATH = '/api/auth'
export const OIDC_PROVIDER = 'oidc'
const APP_NAME = 'Tokens Forge'
const PASSWORD_MIN = 12
const PASSWORD_MAX = 128
/** What adds a passkey was signed in so long ago at most. */
const FRESH_SECONDS = 15 * 60
const RENEW_SECONDS = 10 * 60
const DISCOVERY_MS = 5_000
const CODE_REPEAT_SECONDS = 120

export interface AuthOptions extends IdentityOptions {
  /** Signs cookies and seals the secrets of second factors. */
  readonly secret: string
  readonly post: ReturnType<typeof createPost>
}

const STRICT = { httpOnly: true, secure: true, sameSite: 'strict', path: '/' } as const

const cookie = (name: string, sameSite: 'strict' | 'lax' = 'strict') => ({
  name,
  attributes: { ...STRICT, sameSite },
})

/** The provider sends the browser back from its own site, and a strict cookie would not come along. */
const COOKIES = {
  session_token: cookie(SESSION_COOKIE),
  session_data: cookie('__Host-tf_session_data'),
  account_data: cookie('__Host-tf_account'),
  dont_remember: cookie('__Host-tf_short'),
  two_factor: cookie('__Host-tf_two_factor'),
  trust_device: cookie('__Host-tf_device'),
  'tf-passkey': cookie('__Host-tf_passkey'),
  state: cookie('__Host-tf_state', 'lax'),
}

const refused = (code: string, message: string) => new APIError('FORBIDDEN', { code, message })

const NO_INVITATION = () =>
  refused('SIGN_UP_NOT_ALLOWED', 'An account here needs an invitation for this very address.')

type Body = Readonly<Record<string, unknown>>
const textIn = (body: Body | undefined, name: string): string | null => {
  const value = body?.[name]
  return typeof value === 'string' && value !== '' ? value : null
}

/** Refuses before anything is hashed or written. */
function beforeHook(options: AuthOptions) {
  return createAuthMiddleware(async (ctx) => {
    const body = ctx.body as Body | undefined
    if (ctx.path === '/sign-up/email') {
      const token = textIn(body, 'invitation')
      const email = textIn(body, 'email')?.toLowerCase() ?? ''
      const allowed = token === null ? options.signUp === 'open' : await options.maySignUp(email, token)
      if (!allowed) throw NO_INVITATION()
      if ((textIn(body, 'name') ?? '').trim() === '')
        throw new APIError('BAD_REQUEST', { code: 'NAME_MISSING', message: 'A name is needed.' })
      const proven = { email, name: textIn(body, 'name') ?? '', password: textIn(body, 'password') ?? '' }
      const id =
        token === null ? null : await takeOver(options.database, options.ids, ctx.context.password, proven)
      if (id !== null)
        return { token: null, user: { id, email, name: proven.name.trim(), emailVerified: true } }
    }
    // A token that the browser brings was not asked for by us, so nothing ties it to this sign-in.
    if (ctx.path === '/sign-in/social' && body?.['idToken'] !== undefined)
      throw refused('ID_TOKEN_NOT_TAKEN', 'Sign in by way of the provider.')
    if (ctx.path === '/change-password') return { context: { body: { ...body, revokeOtherSessions: true } } }
    // No cookie stands in for the second factor.
    if (ctx.path.startsWith('/two-factor/verify-'))
      return { context: { body: { ...body, trustDevice: false } } }
    return undefined
  })
}

/** Whoever signs in leaves the session that the browser had before, which somebody else may have given to it. */
function afterHook(options: AuthOptions) {
  return createAuthMiddleware(async (ctx) => {
    const { newSession, internalAdapter, authCookies, secret } = ctx.context
    if (newSession === null) return
    const { token } = newSession.session
    const code = textIn(ctx.body as Body | undefined, 'code')
    if (ctx.path === '/two-factor/verify-totp' && code !== null) {
      const what = `totp:${newSession.user.id}:${code}`
      const limit = { what, max: 1, windowSeconds: CODE_REPEAT_SECONDS }
      if ((await countAttempt(options.database, [limit])) !== null) {
        await internalAdapter.deleteSession(token)
        deleteSessionCookie(ctx)
        throw new APIError('UNAUTHORIZED', { code: 'INVALID_CODE', message: 'Invalid code' })
      }
    }
    const before = await ctx.getSignedCookie(authCookies.sessionToken.name, secret)
    if (typeof before === 'string' && before !== token) await internalAdapter.deleteSession(before)
  })
}

/** Of what a provider says of a person: whose word it is, whether the address is the person's, whether we take them. */
function providerCheck(options: AuthOptions) {
  return async ({
    user,
    source,
  }: {
    user: Readonly<Record<string, unknown>>
    source: { method: string; action: string; oauth?: { profile?: Body | undefined } | undefined }
  }) => {
    if (source.method !== 'oauth') return undefined
    const issuer = source.oauth?.profile?.['iss']
    if (issuer !== undefined && issuer !== options.oidc?.issuer)
      return { error: 'issuer_mismatch', errorDescription: 'The provider answered in another name.' }
    if (source.action === 'sign-in') return undefined
    if (user['emailVerified'] !== true)
      return { error: 'email_not_verified', errorDescription: 'The provider has not verified this address.' }
    if (source.action !== 'create-user') return undefined
    const email = typeof user['email'] === 'string' ? user['email'].toLowerCase() : ''
    const allowed = options.signUp !== 'invited' || (await options.maySignUp(email, null))
    return allowed
      ? undefined
      : { error: 'sign_up_not_allowed', errorDescription: 'An account here needs an invitation.' }
  }
}

const withoutTokens = <T extends object>(account: T) => ({
  data: { ...account, accessToken: null, refreshToken: null, idToken: null },
})

function databaseHooks() {
  return {
    user: {
      create: {
        // An invitation was sent to this address or handed to its owner, and the hook before has checked it.
        before: async (user: Body, ctx: { path?: string; body?: unknown } | null) => ({
          data: {
            ...user,
            name: String(user['name'] ?? '')
              .trim()
              .slice(0, 128),
            image: null,
            ...(ctx?.path === '/sign-up/email'
              ? { emailVerified: textIn(ctx.body as Body | undefined, 'invitation') !== null }
              : {}),
          },
        }),
      },
      update: {
        before: async (user: Body) => ({
          data: {
            ...user,
            ...(typeof user['name'] === 'string' ? { name: user['name'].trim().slice(0, 128) } : {}),
          },
        }),
      },
    },
    account: {
      create: { before: async (account: object) => withoutTokens(account) },
      update: { before: async (account: object) => withoutTokens(account) },
    },
    session: {
      create: {
        before: async (session: Body) => ({
          data: { ...session, userAgent: (textIn(session, 'userAgent') ?? '').slice(0, 512) },
        }),
      },
    },
  }
}

/** A provider that hangs must not hang everybody who signs in with a password: it is asked again when it is needed. */
function oidcPlugin(oidc: OidcSettings) {
  const config = {
    providerId: OIDC_PROVIDER,
    discoveryUrl: `${oidc.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
    clientId: oidc.clientId,
    clientSecret: oidc.clientSecret,
    scopes: ['openid', 'email', 'profile'],
    pkce: true,
    requireIdTokenVerification: true,
    disableProviderLogout: true,
  }
  const plugin = genericOAuth({ config: [config] })
  type Init = typeof plugin.init
  const init: Init = async (ctx) => {
    const late = Promise.withResolvers<Awaited<ReturnType<Init>>>()
    const socialProviders = ctx.socialProviders
    const pending = new Map([[OIDC_PROVIDER, config]])
    const timer = setTimeout(
      () => late.resolve({ context: { socialProviders, genericOAuthPendingDiscovery: pending } }),
      DISCOVERY_MS,
    )
    return await Promise.race([plugin.init(ctx), late.promise]).finally(() => clearTimeout(timer))
  }
  return { ...plugin, init }
}

const userVerified = (verified: boolean | undefined): void => {
  if (verified !== true)
    throw new APIError('UNAUTHORIZED', {
      code: 'USER_NOT_VERIFIED',
      message: 'The passkey must ask for your PIN, finger or face.',
    })
}

function passkeyPlugin(origins: readonly string[]) {
  const { hostname } = new URL(origins[0] ?? 'http://localhost')
  return passkey({
    // Passkeys belong to a name; an address of this machine goes by the only one that it has for itself.
    rpID: /^[\d.]+$|^\[/.test(hostname) ? 'localhost' : hostname,
    rpName: APP_NAME,
    origin: [...origins],
    authenticatorSelection: { userVerification: 'required', residentKey: 'preferred' },
    advanced: { webAuthnChallengeCookie: 'tf-passkey' },
    registration: {
      afterVerification: ({ verification }) => userVerified(verification.registrationInfo?.userVerified),
    },
    // A passkey stands for both factors only when it knew its person.
    authentication: {
      afterVerification: ({ verification }) => userVerified(verification.authenticationInfo.userVerified),
    },
    schema: PASSKEY,
  })
}

/** Its sentences name addresses of people, so only those about itself are kept. */
function loggerOf(log: Log) {
  return {
    // At any other level it writes refusals to the console, past its own logger.
    level: 'info' as const,
    disableColors: true,
    log: (level: string, message: string, ...more: unknown[]) => {
      const [cause] = more
      const fields = cause instanceof Error ? { error: errorText(cause) } : {}
      if (level === 'error' && cause instanceof Error) log.error(fields, `sign-in: ${message}`)
      else log.debug(fields, `sign-in: ${level}`)
    },
  }
}

interface Addressee {
  readonly id: string
  readonly email: string
  readonly emailVerified: boolean
}

/** Anybody may sign up under any address, and each time a mail goes there: after some, none does for a while. */
const SIGN_UP_MAILS = { max: 5, windowSeconds: 3_600 } as const

/**
 * An address is confirmed by choosing the password under the link that was mailed to it: confirming alone would let in
 * whoever had made the account, who need not be the one who reads the mail.
 * @param sendLink asks for a link under which a password is set
 */
function mailing(options: AuthOptions, origin: string, sendLink: (email: string) => Promise<unknown>) {
  const { mailer, post, database } = options
  const onPasswordReset = ({ user }: { user: Addressee }) => confirmAddress(database, user.id)
  if (!mailer.configured) return { password: { onPasswordReset }, verification: {} }
  const isFlood = async (email: string): Promise<boolean> =>
    (await countAttempt(database, [{ what: `sign-up-mail:${email}`, ...SIGN_UP_MAILS }])) !== null
  const confirm = async ({ user }: { user: Addressee }): Promise<void> => {
    if (!user.emailVerified && !(await isFlood(user.email))) post.afterwards(() => sendLink(user.email))
  }
  return {
    password: {
      onPasswordReset,
      sendResetPassword: async ({ user, token }: { user: Addressee; token: string }) => {
        const url = `${origin}/reset-password?token=${token}`
        post.later(user.emailVerified ? resetMail(user.email, url) : confirmMail(user.email, url))
      },
      onExistingUserSignUp: async ({ user }: { user: Addressee }) => {
        if (!user.emailVerified) await confirm({ user })
        else if (!(await isFlood(user.email))) post.later(existingMail(user.email, `${origin}/sign-in`))
      },
    },
    verification: { sendVerificationEmail: confirm },
  }
}

export function createAuth(options: AuthOptions) {
  const origins = options.origins()
  const origin = origins[0] ?? ''
  const links = { send: (_email: string): Promise<unknown> => Promise.resolve() }
  const mail = mailing(options, origin, (email) => links.send(email))
  const auth = betterAuth({
    appName: APP_NAME,
    baseURL: origin,
    basePath: BASE_PATH,
    secret: options.secret,
    trustedOrigins: [...origins],
    database: createAdapter(options.database),
    telemetry: { enabled: false },
    logger: loggerOf(options.log),
    // Attempts are counted by us, by account too and across processes.
    rateLimit: { enabled: false },
    // What fails is logged and answered as all failures of the server are, not printed by the library.
    onAPIError: { errorURL: `${origin}/sign-in`, throw: true },
    user: { ...USER, validateUserInfo: providerCheck(options) },
    session: {
      ...SESSION,
      expiresIn: SESSION_IDLE_SECONDS,
      updateAge: RENEW_SECONDS,
      freshAge: FRESH_SECONDS,
      cookieCache: { enabled: false },
    },
    account: {
      ...ACCOUNT,
      storeStateStrategy: 'database',
      // A provider's account is joined to a person by the signed-in person only.
      accountLinking: { enabled: true, disableImplicitLinking: true, allowDifferentEmails: false },
    },
    verification: { ...VERIFICATION, storeIdentifier: 'hashed' },
    emailAndPassword: {
      enabled: true,
      requireEmailVerification: true,
      minPasswordLength: PASSWORD_MIN,
      maxPasswordLength: PASSWORD_MAX,
      revokeSessionsOnPasswordReset: true,
      resetPasswordTokenExpiresIn: 3_600,
      password: createPasswords(),
      ...mail.password,
    },
    emailVerification: { expiresIn: 3_600, ...mail.verification },
    databaseHooks: databaseHooks() as never,
    hooks: { before: beforeHook(options), after: afterHook(options) },
    plugins: [
      twoFactor({ issuer: APP_NAME, twoFactorCookieMaxAge: 300, schema: TWO_FACTOR }),
      passkeyPlugin(origins),
      ...(options.oidc === null ? [] : [oidcPlugin(options.oidc)]),
      ownEndpoints(options),
    ],
    advanced: {
      database: { generateId: () => options.ids.uuid() },
      ipAddress: { ipAddressHeaders: [ADDRESS_HEADER] },
      useSecureCookies: false,
      cookiePrefix: 'tf',
      defaultCookieAttributes: STRICT,
      cookies: COOKIES,
    },
  })
  links.send = (email) => auth.api.requestPasswordReset({ body: { email } })
  return auth
}
