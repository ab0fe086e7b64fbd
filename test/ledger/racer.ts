import { openDatabase } from '../../src/db/index.ts'
import { silentLog } from '../../src/kernel/index.ts'
import { createLedgerWriter, type OpResult } from '../../src/ledger/index.ts'
import { type Account, ids, reserve } from './stand.ts'

/**
 * A process of its own that reserves on one account as fast as it can: `racer.ts url orgId accountId amount count`, and
 * behind them the budgets that every reserve falls under.
 */

const [url = '', orgId = '', accountId = '', amount = '', count = '', ...under] = process.argv.slice(2)
const database = openDatabase({ connection: url, log: silentLog, role: 'forge_app', max: 1 })
const ledger = createLedgerWriter({ database, processId: ids.uuid(), log: silentLog, batchMax: 20 })
const account: Account = { orgId, accountId: BigInt(accountId), bucket: 'credit' }
await database.query('select 1')
process.once('message', async () => {
  const results: OpResult[] = await Promise.all(
    Array.from({ length: Number.parseInt(count, 10) }, () =>
      ledger.submit({
        ...reserve(account, ids.uuid(), BigInt(amount)),
        budgets: under.map((id) => ({ id, startMs: 0 })),
      }),
    ),
  )
  process.send?.(results.map((result) => result.verdict))
  await database.close()
  process.disconnect()
})
process.send?.('ready')
