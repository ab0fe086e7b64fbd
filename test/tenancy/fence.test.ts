import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { TENANT_ROLE } from '../../src/api/index.ts'
import { bindDatabase, type Database, openDatabase, sqlState } from '../../src/db/index.ts'
import { createIdSource, parseId, silentLog, systemClock, type Uuid } from '../../src/kernel/index.ts'
import { type ApiStand, startApi } from '../api-stand.ts'

/** The fence in the database: it holds whatever the code in front of it forgets. */

/** Of the installation, not of an organization. A table that is new belongs here or behind the fence. */
const UNFENCED = new Set([
  'catalog.configuration',
  'catalog.price_version',
  'events.progress',
  'gateway.upstream_salt',
  'ledger.account_kind',
  'ledger.process',
  'tenancy.management_request',
  'tenancy.master_key',
  'tenancy.operator_code',
])

interface Table {
  readonly name: string
  readonly column: string | null
  readonly fenced: boolean
  readonly forced: boolean
  readonly owned: boolean
}

const TABLES_SQL = `select n.nspname || '.' || c.relname as name, c.relrowsecurity as fenced, c.relforcerowsecurity as forced,
    pg_get_userbyid(c.relowner) in ('forge_app', 'forge_tenant') as owned,
    case when n.nspname || '.' || c.relname = 'tenancy.organization' then 'id'
      else (select a.attname from pg_attribute a where a.attrelid = c.oid and a.attname = 'org_id') end as column
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'public') order by 1`

function tenantPool(t: { after(fn: () => Promise<void>): void }, url: string): Database {
  const pool = openDatabase({ connection: url, role: TENANT_ROLE, log: silentLog, max: 2 })
  t.after(() => pool.close())
  return pool
}

const inside = (pool: Database, ...orgs: Uuid[]) =>
  bindDatabase(pool, { 'forge.orgs': `{${orgs.join(',')}}` })

async function twoCustomers(stand: ApiStand) {
  const [a, b] = [await stand.customer('Alpha'), await stand.customer('Beta')]
  for (const { org, project, keyId } of [a, b]) {
    await stand.call('POST', '/api/v1/grants', {
      body: { organization: org, bucket: 'rmb', amount: '5', reason: 'test' },
    })
    await stand.call('POST', '/api/v1/budgets', {
      body: { scope: 'key', scope_id: keyId, bucket: 'rmb', amount: '3' },
    })
    await stand.call('POST', '/api/v1/runs', { body: { project, name: 'night' } })
    await stand.call('POST', '/api/v1/invitations', {
      body: { organization: org, email: 'new@stand.test', role: 'owner' },
    })
  }
  return [parseId('org', a.org) ?? '', parseId('org', b.org) ?? ''] as const
}

test('every table is behind the fence or of the installation, and no role that serves owns one', async (t) => {
  const { owner } = await startApi(t)
  const tables = await owner.query<Table>(TABLES_SQL)
  assert.ok(tables.length > 15)
  for (const { name, column, fenced, owned } of tables) {
    assert.ok(!owned, `${name} is owned by a role that serves`)
    // People and how they sign in are nobody's but their own; who belongs where is tenancy.member.
    const ofInstallation = UNFENCED.has(name) || name.startsWith('identity.')
    assert.equal(fenced, !ofInstallation, name)
    assert.equal(column === null, !fenced, `${name}: a fence needs the organization`)
  }
})

test('a transaction sees the organizations that were named to it, in every table, and without a name nothing', async (t) => {
  const stand = await startApi(t)
  const [a, b] = await twoCustomers(stand)
  const pool = tenantPool(t, stand.databaseUrl)
  const tables = (await stand.owner.query<Table>(TABLES_SQL)).filter(({ fenced }) => fenced)
  let seen = 0
  for (const { name, column } of tables) {
    const { readable } = await stand.owner.one<{ readable: boolean }>(
      'select has_table_privilege($1, $2, $3) as readable',
      [TENANT_ROLE, name, 'select'],
    )
    if (!readable) continue
    const count = async (on: Database, of: Uuid) =>
      (await on.one<{ n: number }>(`select count(*)::int as n from ${name} where ${column} = $1`, [of])).n
    assert.equal(await count(inside(pool, a), b), 0, name)
    assert.equal(await count(inside(pool), a), 0, name)
    assert.equal(await count(pool, a), 0, name)
    const own = await count(inside(pool, a), a)
    assert.equal(own, await count(stand.owner, a), name)
    assert.equal(await count(inside(pool, a, b), b), await count(stand.owner, b), name)
    seen += own
  }
  assert.ok(seen > 12, 'there must be something to see')
})

test('nothing can be written for another organization, by a statement nor through a function of the owner', async (t) => {
  const stand = await startApi(t)
  const [a, b] = await twoCustomers(stand)
  const on = inside(tenantPool(t, stand.databaseUrl), a)
  const id = createIdSource(systemClock.nowMs, randomBytes).uuid()
  const refused: ReadonlyArray<readonly [text: string, values: readonly unknown[]]> = [
    ['insert into tenancy.project (org_id, id, name) values ($1, $2, $3)', [b, id, 'mine']],
    ['insert into tenancy.member (org_id, person_id, role) values ($1, $2, $3)', [b, id, 'owner']],
    [
      `insert into tenancy.audit_event (org_id, actor_kind, action, object_kind, object_id) values ($1, 'system', 'x', 'x', $2)`,
      [b, id],
    ],
    [
      `select ledger.make_budget($1::uuid, $2, 'rmb', 'CNY', 'organization', 'x', 'total', 1, true, 'me')`,
      [b, id],
    ],
    [`select ledger.open_accounts($1, 'rmb', 'CNY')`, [a]],
    ['select ledger.leave($1)', [id]],
    ['update ledger.account set posted = posted + 1', []],
    ['delete from tenancy.audit_event', []],
    ['insert into catalog.price_version select * from catalog.price_version', []],
    ['select * from tenancy.management_request', []],
    ['select * from gateway.idempotency', []],
    ['set local row_security = off', []],
  ]
  for (const [text, values] of refused.slice(0, -1))
    await assert.rejects(on.query(text, values), (thrown) => sqlState(thrown) === '42501', text)
  // Turning it off makes it refuse, not see.
  await assert.rejects(
    on.tx(async (tx) => {
      await tx.query('set local row_security = off')
      await tx.query('select * from tenancy.project')
    }),
  )
  const budget = await stand.owner.one<{ id: Uuid }>('select id from ledger.budget where org_id = $1', [b])
  await assert.rejects(
    on.query(`select ledger.change_budget($1, $2, 9, null, false, 'me')`, [b, budget.id]),
    (thrown) => sqlState(thrown) === '42501',
  )
  const untouched = await on.query(`update tenancy.project set name = 'x' where org_id = $1 returning id`, [
    b,
  ])
  assert.equal(untouched.length, 0)
  assert.equal((await on.query(`delete from tenancy.member where org_id = $1 returning 1`, [b])).length, 0)
})

test('a connection carries nothing of one customer to the next', async (t) => {
  const stand = await startApi(t)
  const [a, b] = await twoCustomers(stand)
  const pool = openDatabase({ connection: stand.databaseUrl, role: TENANT_ROLE, log: silentLog, max: 1 })
  t.after(() => pool.close())
  const projects = async (on: Database) => (await on.query('select id from tenancy.project')).length
  assert.equal(await projects(inside(pool, a)), 1)
  assert.equal(await projects(pool), 0)
  await assert.rejects(inside(pool, a, b).query('select 1 / 0'))
  assert.equal(await projects(pool), 0)
  assert.equal(await projects(inside(pool, a, b)), 2)
})

interface Routine {
  readonly name: string
  readonly definer: boolean
  readonly path: string | null
  readonly all: boolean
  readonly tenant: boolean
  readonly trigger: boolean
}

const ROUTINES_SQL = `select p.oid::regprocedure::text as name, p.prosecdef as definer, p.prorettype = 'trigger'::regtype as trigger,
    (select c from unnest(p.proconfig) c where c like 'search_path=%') as path,
    exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      where a.grantee = 0 and a.privilege_type = 'EXECUTE') as all,
    has_function_privilege('${TENANT_ROLE}', p.oid, 'execute') as tenant
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') order by 1`

/** Each asks itself whether the organization is visible, or shows nothing of any. */
const FOR_TENANTS = new Set(['assert_visible', 'change_budget', 'make_budget', 'set_by', 'visible_orgs'])

test('nobody may call a function of ours who was not named, and none with more rights finds what a caller put in its way', async (t) => {
  const { owner } = await startApi(t)
  const routines = await owner.query<Routine>(ROUTINES_SQL)
  assert.ok(routines.filter(({ definer }) => definer).length >= 5)
  for (const { name, definer, path, all, tenant } of routines) {
    assert.ok(!all, `${name} may be called by everybody`)
    const [, bare = ''] = /\.(\w+)\(/.exec(name) ?? []
    assert.equal(tenant, FOR_TENANTS.has(bare), `${name} as a customer`)
    // pg_temp comes first where it is not named, and anybody may make tables there.
    if (definer) assert.equal(path, 'search_path=pg_catalog, pg_temp', name)
  }
})

/** What a customer's role may write, column by column: a grant that is new belongs here, and is thought about. */
const NEVER_BY_TENANTS: ReadonlyArray<readonly [table: string, column: string, privilege: string]> = [
  ['events.event', 'payload', 'update'],
  ['events.event', 'seq', 'insert'],
  ['tenancy.audit_event', 'after', 'update'],
  ['tenancy.audit_event', 'at', 'insert'],
  ['tenancy.member', 'role', 'insert'],
  ['tenancy.member', 'org_id', 'update'],
  ['tenancy.member', 'person_id', 'update'],
  ['tenancy.invitation', 'accepted_by', 'update'],
  ['tenancy.invitation', 'role', 'update'],
  ['tenancy.invitation', 'email', 'update'],
  ['tenancy.invitation', 'token_sha256', 'update'],
  ['tenancy.invitation', 'expires_at', 'update'],
  ['tenancy.invitation', 'invited_by', 'update'],
  ['tenancy.api_key', 'org_id', 'update'],
  ['tenancy.api_key', 'project_id', 'update'],
  ['tenancy.api_key_secret', 'key_sha256', 'update'],
  ['webhooks.delivery', 'attempts', 'update'],
  ['webhooks.delivery', 'event_id', 'update'],
  ['webhooks.attempt', 'status', 'insert'],
  ['webhooks.secret', 'sealed', 'update'],
  ['alerts.alert', 'figures', 'update'],
  ['alerts.alert', 'raised_at', 'update'],
  ['ledger.budget', 'scope', 'update'],
  ['ledger.account', 'posted', 'update'],
  ['ledger.hold', 'amount', 'insert'],
  ['ledger.receipt', 'document', 'insert'],
  ['ledger.entry', 'amount', 'insert'],
]

test('what is a record, and what says who somebody is, no customer can write', async (t) => {
  const { owner } = await startApi(t)
  for (const [table, column, privilege] of NEVER_BY_TENANTS) {
    const { may } = await owner.one<{ may: boolean }>('select has_column_privilege($1, $2, $3, $4) as may', [
      TENANT_ROLE,
      table,
      column,
      privilege,
    ])
    assert.ok(!may, `${privilege} ${table}.${column}`)
  }
  const deletable = await owner.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
       and has_table_privilege($1, c.oid, 'delete') order by 1`,
    [TENANT_ROLE],
  )
  assert.deepEqual(
    deletable.map(({ name }) => name),
    ['tenancy.member'],
  )
})
