import { createHash } from 'node:crypto'
import type { Database } from '../db/index.ts'

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
export async function redeemOperatorCode(database: Database, code: string): Promise<boolean> {
  const row = await database.maybeOne(
    `update tenancy.operator_code set used_at = clock_timestamp()
     where code_sha256 = $1 and used_at is null and expires_at > clock_timestamp() returning 1 as won`,
    [hashOf(code)],
  )
  return row !== null
}
