import { openDatabase } from '../src/db/index.ts'
import { silentLog } from '../src/kernel/index.ts'
import { createLedgerWriter } from '../src/ledger/index.ts'
import { treeCpuSeconds } from './cpu.ts'
import { ids, openFunded, ourWriter } from './ledger-ways.ts'
import { openStand, startDatabase } from './stand.ts'
import { execFileSync } from 'node:child_process'
import { readFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
const stand = openStand()
try {
  const db = await startDatabase(stand, 'd')
  const admin = openDatabase({ connection: db.url, log: silentLog, max: 1 })
  if (existsSync('/tmp/patch.sql') && process.argv[2] === 'patch') await admin.query(readFileSync('/tmp/patch.sql', 'utf8'))
  const accounts = await openFunded(db.url, 1000, 10n ** 17n)
  const way = ourWriter(db.url)
  for (const [n, count] of [[1, 1000], [8, 300], [64, 120], [256, 60]] as const) for (const spread of [1, 1000]) {
    if (spread === 1000 && n < 64) continue
    const go = async (times: number) => {
      for (let i = 0; i < times; i++) {
        // steady state of the gateway: half a batch reserves, the other half settles what was reserved before
        const batch = Array.from({ length: n }, () => ({ account: accounts[Math.floor(Math.random() * spread)]!, id: ids.uuid() }))
        await Promise.all(batch.map((b) => way.reserve(b.account, b.id)))
        await Promise.all(batch.map((b) => way.settle(b.account, b.id)))
      }
    }
    await go(Math.ceil(count / 4))
    const [c0, n0, t0] = [treeCpuSeconds(db.pid), process.cpuUsage(), performance.now()]
    await go(count)
    const [c1, n1, t1] = [treeCpuSeconds(db.pid), process.cpuUsage(n0), performance.now()]
    console.log(`batch ${n} balances ${spread}: ${((t1 - t0) * 500 / count).toFixed(0)} µs wall/call, PG ${((c1 - c0) * 5e5 / count).toFixed(0)} µs/call, ${((c1 - c0) * 5e5 / count / n).toFixed(1)} µs/op; Node ${((n1.user + n1.system) / count / n / 2).toFixed(1)} µs/op`)
  }
  if (process.argv[2] === 'explain' || process.argv[3] === 'explain') {
    // one new connection pool with auto_explain
    await admin.query(`alter system set session_preload_libraries = 'auto_explain'`)
    for (const [k, v] of Object.entries({ log_min_duration: '0', log_analyze: 'on', log_nested_statements: 'on', log_timing: 'on', log_triggers: 'on', log_buffers: 'on' })) await admin.query(`alter system set auto_explain.${k} = '${v}'`).catch(() => 0)
    await admin.query('select pg_reload_conf()')
    await way.close()
    const way2 = ourWriter(db.url)
    const batch = () => Array.from({ length: 64 }, () => ({ account: accounts[0]!, id: ids.uuid() }))
    for (let i = 0; i < 12; i++) { const b = batch(); await Promise.all(b.map((x) => way2.reserve(x.account, x.id))); await Promise.all(b.map((x) => way2.settle(x.account, x.id))) }
    execFileSync('cp', [join(stand.dir, 'd', 'postgres.log'), '/tmp/pg.log'], { stdio: 'inherit' })
    await way2.close()
  } else {
    if (process.argv.includes('perf')) {
      const pidrows = await admin.query<{ pid: number }>(`select pid from pg_stat_activity where usename is not null and query like '%ledger.apply%' and pid <> pg_backend_pid()`)
      const run = (async () => { for (let i = 0; i < 300; i++) { const b = Array.from({ length: 64 }, () => ({ account: accounts[0]!, id: ids.uuid() })); await Promise.all(b.map((x) => way.reserve(x.account, x.id))); await Promise.all(b.map((x) => way.settle(x.account, x.id))) } })()
      const { spawn } = await import('node:child_process')
      const p = spawn('perf', ['record', '-g', '-o', '/tmp/perf.data', '-p', pidrows.map((r) => r.pid).join(','), '--', 'sleep', '4'], { stdio: 'inherit' })
      await Promise.all([run, new Promise((r) => p.on('exit', r))])
    }
    await way.close()
  }
  await admin.close()
} finally { execFileSync('cp', [join(stand.dir, 'd', 'postgres.log'), '/tmp/pg.log'], { stdio: 'inherit' }); await stand.close() }
