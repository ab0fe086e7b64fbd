import type { BetterAuthPlugin } from 'better-auth'
import { APIError, createAuthEndpoint, getSessionFromCtx, sessionMiddleware } from 'better-auth/api'
import { setSessionCookie } from 'better-auth/cookies'
import { z } from 'zod'
import { isUniqueViolation, type Queryable } from '../db/index.ts'
import type { Uuid } from '../kernel/index.ts'
import { makeAdmin } from './operators.ts'
import type { EventActor, IdentityOptions } from './types.ts'

/** What the library does not have: the first operator, and sessions that are named by id, since their tokens are not kept. */

/** Headers by which the server tells the library's handlers what it knows; those of a client are taken away. */
export const ADDRESS_HEADER = 'x-forge-address'
export const REQUEST_HEADER = 'x-forge-request'

const claimBody = z.object({
  code: z.string().min(1).max(200),
  email: z.email().max(320).optional(),
  name: z.string().trim().min(1).max(128).optional(),
  password: z.string().optional(),
})

interface SessionRow {
  readonly id: Uuid
  readonly createdAt: Date
  readonly usedAt: Date
  readonly endsAt: Date
  readonly address: string | null
  readonly agent: string | null
}

const SESSIONS_SQL = `select id, created_at as "createdAt", updated_at as "usedAt", expires_at as "endsAt",
    ip_address as address, user_agent as agent
  from identity.session where user_id = $1 and expires_at > clock_timestamp() order by created_at desc limit 200`

const NO_LINK = () =>
  new APIError('NOT_FOUND', {
    code: 'OPERATOR_LINK_INVALID',
    message: 'This link was used, is too old, or never was one.',
  })

function actorOf(headers: Headers | undefined): EventActor {
  const address = headers?.get(ADDRESS_HEADER) ?? ''
  return {
    kind: 'system',
    id: null,
    requestId: headers?.get(REQUEST_HEADER) ?? null,
    address: address === '' ? null : address,
  }
}

interface NewOperator {
  readonly id: Uuid
  readonly email: string
  readonly name: string
  readonly passwordHash: string
}

async function insertPerson(tx: Queryable, person: NewOperator, accountId: Uuid): Promise<void> {
  // The address is the operator's own word, which is all that an operator needs.
  await tx.query('insert into identity.person (id, name, email, email_verified) values ($1, $2, $3, true)', [
    person.id,
    person.name,
    person.email,
  ])
  await tx.query(
    `insert into identity.account (id, user_id, provider_id, account_id, password)
     values ($1, $2, 'credential', $2::uuid::text, $3)`,
    [accountId, person.id, person.passwordHash],
  )
}

type Deps = Pick<
  IdentityOptions,
  'database' | 'ids' | 'redeemOperatorCode' | 'operatorCodeLives' | 'recordEvent'
>

/** The link, the person, the role and the event of it, or nothing at all. */
async function claim(
  deps: Deps,
  code: string,
  by: EventActor,
  who: NewOperator | { readonly id: Uuid },
): Promise<void> {
  await deps.database.tx(async (tx) => {
    if (!(await deps.redeemOperatorCode(tx, code))) throw NO_LINK()
    if ('passwordHash' in who) await insertPerson(tx, who, deps.ids.uuid())
    await makeAdmin(tx, who.id)
    const event = { orgId: null, action: 'operator.claim', objectKind: 'person', objectId: who.id } as const
    await deps.recordEvent(tx, by, { ...event, after: { role: 'admin' } })
  })
}

function claimEndpoint(deps: Deps) {
  return createAuthEndpoint('/operator/claim', { method: 'POST', body: claimBody }, async (ctx) => {
    const { code, email, name, password } = ctx.body
    // Before anything is hashed: a wrong code costs one look.
    if (!(await deps.operatorCodeLives(deps.database, code))) throw NO_LINK()
    const by = actorOf(ctx.headers)
    const current = await getSessionFromCtx(ctx)
    let id: Uuid
    if (current === null) {
      const { minPasswordLength, maxPasswordLength } = ctx.context.password.config
      if (email === undefined || name === undefined || password === undefined)
        throw new APIError('BAD_REQUEST', {
          code: 'FIELDS_MISSING',
          message: 'email, name and password are needed.',
        })
      if (password.length < minPasswordLength || password.length > maxPasswordLength)
        throw new APIError('BAD_REQUEST', {
          code: 'PASSWORD_LENGTH',
          message: `A password has ${minPasswordLength} to ${maxPasswordLength} characters.`,
        })
      id = deps.ids.uuid()
      const passwordHash = await ctx.context.password.hash(password)
      const person = { id, email: email.toLowerCase(), name, passwordHash }
      await claim(deps, code, by, person).catch((thrown: unknown) => {
        if (!isUniqueViolation(thrown, 'person_email_key')) throw thrown
        throw new APIError('CONFLICT', {
          code: 'ACCOUNT_EXISTS',
          message: 'This address has an account. Sign in with it, then open the link again.',
        })
      })
    } else {
      id = current.user.id
      await claim(deps, code, by, { id })
    }
    const user = await ctx.context.internalAdapter.findUserById(id)
    if (user === null) throw NO_LINK()
    const session = await ctx.context.internalAdapter.createSession(id)
    await setSessionCookie(ctx, { session, user })
    return ctx.json({ user: { id, email: user.email, name: user.name }, role: 'admin' })
  })
}

export function ownEndpoints(deps: Deps) {
  const { database } = deps
  return {
    id: 'tokens-forge',
    endpoints: {
      claimOperator: claimEndpoint(deps),
      listOwnSessions: createAuthEndpoint(
        '/sessions',
        { method: 'GET', use: [sessionMiddleware] },
        async (ctx) => {
          const { session } = ctx.context.session
          const rows = await database.query<SessionRow>(SESSIONS_SQL, [session.userId])
          return ctx.json({ data: rows.map((row) => ({ ...row, current: row.id === session.id })) })
        },
      ),
      revokeOwnSession: createAuthEndpoint(
        '/sessions/revoke',
        { method: 'POST', use: [sessionMiddleware], body: z.object({ id: z.uuid() }) },
        async (ctx) => {
          const { userId } = ctx.context.session.session
          await database.query('delete from identity.session where id = $1 and user_id = $2', [
            ctx.body.id,
            userId,
          ])
          return ctx.json({ status: true })
        },
      ),
      revokeOtherOwnSessions: createAuthEndpoint(
        '/sessions/revoke-others',
        { method: 'POST', use: [sessionMiddleware] },
        async (ctx) => {
          const { id, userId } = ctx.context.session.session
          await database.query('delete from identity.session where id <> $1 and user_id = $2', [id, userId])
          return ctx.json({ status: true })
        },
      ),
    },
  } satisfies BetterAuthPlugin
}
