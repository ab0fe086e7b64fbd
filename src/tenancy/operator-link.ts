import { createHash } from 'node:crypto'
import type { Database, Queryable } from '../db/index.ts'

/** One-time codes of operator links. Only the hash is stored; the database's clock decides what is too late. */

const VALID_FOR = '24 hours'
const CODE_BYTES = 24

const hashOf = (code: string): Buffer => createHash('sha256').update(code).digest()

export async function issueOperatorCode(
  database: Database,
  randomBytes: (length: number) => Uint8Array,
): Promise<string> {
  const code = Buffer.from(randomBytes(CODE_BYTES)).toString('base64url')
  await database.query(
    `insert into tenancy.operator_code (code_sha256, expires_at) values ($1, clock_timestamp() + interval '${VALID_FOR}')`,
    [hashOf(code)],
  )
  return code
}

/** @returns true for exactly one caller, within the time; false for everybody else, without saying why */
export async function redeemOperatorCode(on: Pick<Queryable, 'maybeOne'>, code: string): Promise<boolean> {
  const row = await on.maybeOne(
    `update tenancy.operator_code set used_at = clock_timestamp()
     where code_sha256 = $1 and used_at is null and expires_at > clock_timestamp() returning 1 as won`,
    [hashOf(code)],
  )
  return row !== null
}

/** Whether it could be redeemed now; looking does not use it up. */
export async function operatorCodeLives(database: Database, code: string): Promise<boolean> {
  const row = await database.maybeOne(
    `select 1 as lives from tenancy.operator_code
     where code_sha256 = $1 and used_at is null and expires_at > clock_timestamp()`,
    [hashOf(code)],
  )
  return row !== null
}

/** Whoever is an admin no longer may have made some. */
export async function endOperatorCodes(tx: Pick<Queryable, 'query'>): Promise<void> {
  await tx.query(
    'update tenancy.operator_code set expires_at = clock_timestamp() where used_at is null and expires_at > clock_timestamp()',
  )
}
