import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { migrate, openDatabase, startEmbedded } from '../../src/db/index.ts'
import { silentLog } from '../../src/kernel/index.ts'
import type { LedgerOp } from '../../src/ledger/index.ts'
import { createProxy } from './proxy.ts'
import {
  type Account,
  balance,
  batch,
  broken,
  funded,
  ids,
  ledgerDatabase,
  ROUNDS,
  reserve,
  settle,
  topup,
  writer,
} from './stand.ts'

const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url))

test('a batch that committed and whose answer was lost is sent again and has one effect (40 times)', async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  const account = await funded(app, 1_000_000n)
  const proxy = await createProxy(url)
  const wire = openDatabase({ connection: proxy.url, log: silentLog, role: 'forge_app', max: 1 })
  t.after(async () => {
    await wire.close()
    await proxy.close()
  })
  const ledger = writer(wire)
  await ledger.submit(topup(account, 1n))
  const rounds = 40 * ROUNDS
  let earlier = ids.uuid()
  await ledger.submit(reserve(account, earlier, 10n))
  for (let round = 1; round <= rounds; round++) {
    const [id, whole] = [ids.uuid(), ids.uuid()]
    proxy.loseNextReply()
    const results = await batch(ledger, [
      reserve(account, id, 10n),
      settle(account, earlier, 7n),
      topup(account, 3n),
      reserve(account, whole, 5n),
      settle(account, whole, 5n),
    ])
    assert.equal(proxy.lostReplies, round)
    assert.deepEqual(
      results.map((result) => [result.verdict, result.figureNano]),
      [10n, 7n, 3n, 5n, 5n].map((figure) => ['repeated', figure]),
    )
    earlier = id
  }
  const moved = BigInt(rounds) * (3n - 7n - 5n)
  assert.deepEqual(await balance(database, account), {
    posted: 1_000_001n + moved,
    held: 10n,
    seq: BigInt(3 * rounds + 2),
  })
  assert.deepEqual(await broken(database), [])
})

test('a server process that is terminated at any moment of a batch leaves it done once (40 times)', async (t) => {
  const { database, url } = await ledgerDatabase(t)
  const pool = openDatabase({
    connection: url,
    log: silentLog,
    role: 'forge_app',
    max: 1,
    applicationName: 'victim',
  })
  t.after(() => pool.close())
  const account = await funded(pool, 1_000_000n)
  const ledger = writer(pool)
  let posted = 1_000_000n
  for (let round = 0; round < 40 * ROUNDS; round++) {
    const holds = Array.from({ length: 20 }, () => ids.uuid())
    const answers = batch(ledger, [
      ...holds.map((id) => reserve(account, id, 10n)),
      ...holds.map((id) => settle(account, id, 4n)),
    ])
    // From "not yet sent" to "long since answered".
    await sleep(round % 8)
    await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim' and datname = current_database()`,
    )
    const results = await answers
    const [first] = results
    for (const result of results) {
      assert.ok(result.verdict === 'done' || result.verdict === 'repeated', result.verdict)
      assert.equal(result.verdict, first?.verdict, 'a batch is done as a whole')
    }
    posted -= 80n
  }
  assert.deepEqual((await balance(database, account)).posted, posted)
  assert.deepEqual(await broken(database), [])
})

async function postmaster(dataDir: string): Promise<number> {
  const text = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')
  return Number.parseInt(text.split('\n')[0] ?? '', 10)
}

test('the database is killed under load and comes back: every acknowledged op is there, none twice', async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'forge-crash-'))
  await chmod(parent, 0o711)
  const dataDir = join(parent, 'data')
  const server = await startEmbedded({ dataDir, log: silentLog, durable: true })
  const database = openDatabase({
    connection: server.url,
    log: silentLog,
    max: 4,
    statementTimeoutMs: 60_000,
  })
  t.after(async () => {
    await database.close()
    await server.stop()
    await rm(parent, { recursive: true, force: true })
  })
  await migrate(server.url, { dir: MIGRATIONS })
  const accounts: Account[] = []
  for (let i = 0; i < 3; i++) accounts.push(await funded(database, 1_000_000n))
  const ledger = writer(database)
  const acknowledged: LedgerOp[] = []
  const load = { on: true }
  const client = async (n: number): Promise<void> => {
    const account = accounts[n % accounts.length] as Account
    while (load.on) {
      const id = ids.uuid()
      for (const op of [reserve(account, id, 10n), settle(account, id, 3n)]) {
        const { verdict } = await ledger.submit(op)
        assert.ok(verdict === 'done' || verdict === 'repeated', verdict)
        acknowledged.push(op)
      }
    }
  }
  const clients = Array.from({ length: 48 }, (_, n) => client(n))
  for (let kill = 0; kill < 2 * ROUNDS; kill++) {
    const before = acknowledged.length
    while (acknowledged.length < before + 500) await sleep(20)
    process.kill(await postmaster(dataDir), 'SIGKILL')
  }
  const before = acknowledged.length
  while (acknowledged.length < before + 200) await sleep(20)
  load.on = false
  await Promise.all(clients)
  const settled = acknowledged.filter((op) => op.kind === 'settle').map((op) => op.id)
  const { found } = await database.one<{ found: number }>(
    `select count(*)::int as found from ledger.transfer t join unnest($1::uuid[]) u(id) on u.id = t.id
      where t.kind = 'charge' and t.amount = -3`,
    [settled],
  )
  assert.equal(found, settled.length, 'every acknowledged settlement is there')
  const { posted, held } = await database.one<{ posted: bigint; held: bigint }>(
    `select sum(posted)::bigint as posted, sum(held)::bigint as held from ledger.account where kind = 'customer'`,
  )
  assert.equal(posted, 3_000_000n - 3n * BigInt(settled.length), 'and none was done twice')
  assert.equal(held, 0n)
  assert.deepEqual(await broken(database), [])
})
