import { createHash, randomBytes } from 'node:crypto'
import { TENANT_ROLE } from './api/index.ts'
import { SetupError } from './cli/index.ts'
import { type Database, openDatabase } from './db/index.ts'
import type { Log } from './kernel/index.ts'
import { createKeyring } from './secrets/index.ts'

/** What must be true of a database before anything is served from it, and is not noticed later. */

/** The role whose rights the gateway has; migrations make it. */
export const APP_ROLE = 'forge_app'

export interface PreflightOptions {
  readonly databaseUrl: string
  readonly masterKey: string
  /** The one before is lost, and so is what it sealed. */
  readonly replaceMasterKey: boolean
  readonly log: Log
}

const CLAIM_SQL = 'insert into tenancy.master_key (check_sha256) values ($1) on conflict do nothing'
const REPLACE_SQL = `insert into tenancy.master_key (check_sha256) values ($1)
  on conflict (one) do update set check_sha256 = excluded.check_sha256, since = clock_timestamp()
  where master_key.check_sha256 <> excluded.check_sha256`
const READ_SQL = 'select check_sha256 = $1 as same from tenancy.master_key'

const OTHER_KEY = `This database belongs to another master key: sessions would end, and secrets that are sealed could not be read.
Start with the master key of the host that used it first (FORGE_MASTER_KEY, or the file master-key of its data directory).
If that key is lost, start once with FORGE_REPLACE_MASTER_KEY=true: people sign in again, and sealed secrets are made anew.`

async function withRole<T>(
  { databaseUrl, log }: PreflightOptions,
  role: string,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const database = openDatabase({
    connection: databaseUrl,
    role,
    log,
    applicationName: 'forge-preflight',
    max: 1,
  })
  try {
    const { name } = await database.one<{ name: string }>('select current_user::text as name')
    if (name !== role)
      throw new SetupError(
        `The database was asked for the role ${role} and gave ${name}: a pooler in between drops what connections ask for as they begin. Let DATABASE_URL lead to PostgreSQL itself, or let the pooler pass on "options".`,
      )
    return await work(database)
  } finally {
    await database.close()
  }
}

/** @throws SetupError with what to do about it */
export async function preflight(options: PreflightOptions): Promise<void> {
  await withRole(options, TENANT_ROLE, async () => {})
  const key = createKeyring(options.masterKey, randomBytes).keyOf('master_key_check')
  const check = createHash('sha256').update(key).digest()
  await withRole(options, APP_ROLE, async (database) => {
    await database.query(options.replaceMasterKey ? REPLACE_SQL : CLAIM_SQL, [check])
    if (!(await database.one<{ same: boolean }>(READ_SQL, [check])).same) throw new SetupError(OTHER_KEY)
  })
}
