import { APIError } from 'better-auth/api'
import type { Database } from '../db/index.ts'
import type { IdSource, Uuid } from '../kernel/index.ts'

/**
 * An account whose address nobody has proven is nobody's: whoever typed the address made it. Who proves the address gets it
 * with a password of their own, and nothing of what was set before lets anybody in.
 */

interface Proven {
  readonly email: string
  readonly name: string
  readonly password: string
}

interface Passwords {
  readonly hash: (password: string) => Promise<string>
  readonly config: { readonly minPasswordLength: number; readonly maxPasswordLength: number }
}

/** @returns the account's id; null when there is none under the address that waits for its proof */
export async function takeOver(
  database: Database,
  ids: IdSource,
  passwords: Passwords,
  { email, name, password }: Proven,
): Promise<Uuid | null> {
  const waiting = 'select id from identity.person where email = $1 and not email_verified'
  if ((await database.maybeOne(waiting, [email])) === null) return null
  const { minPasswordLength, maxPasswordLength } = passwords.config
  if (password.length < minPasswordLength)
    throw new APIError('BAD_REQUEST', { code: 'PASSWORD_TOO_SHORT', message: 'Password too short' })
  if (password.length > maxPasswordLength)
    throw new APIError('BAD_REQUEST', { code: 'PASSWORD_TOO_LONG', message: 'Password too long' })
  const hash = await passwords.hash(password)
  return database.tx(async (tx) => {
    const person = await tx.maybeOne<{ id: Uuid }>(
      `update identity.person set name = $2, email_verified = true, updated_at = clock_timestamp()
       where email = $1 and not email_verified returning id`,
      [email, name.trim().slice(0, 128)],
    )
    if (person === null) return null
    await tx.query('delete from identity.account where user_id = $1', [person.id])
    await tx.query(
      `insert into identity.account (id, user_id, provider_id, account_id, password)
       values ($1, $2, 'credential', $2::uuid::text, $3)`,
      [ids.uuid(), person.id, hash],
    )
    return person.id
  })
}

/** The password was just replaced by whoever got the mail. */
export async function confirmAddress(database: Database, id: string): Promise<void> {
  await database.query(
    'update identity.person set email_verified = true, updated_at = clock_timestamp() where id = $1 and not email_verified',
    [id],
  )
}
