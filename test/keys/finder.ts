import { randomBytes } from 'node:crypto'
import { listen, openDatabase } from '../../src/db/index.ts'
import { createIdSource, silentLog, systemClock } from '../../src/kernel/index.ts'
import { openTenancy } from '../../src/tenancy/index.ts'

/** A process of its own: answers each secret it is sent with the state of its key. */

const database = openDatabase({ connection: process.argv[2] ?? '', role: 'forge_app', log: silentLog })
const ids = createIdSource(systemClock.nowMs, randomBytes)
const tenancy = await openTenancy({ database, listen, clock: systemClock, ids, randomBytes, log: silentLog })

process.on('message', (secret: string) => {
  const found = tenancy.findKey(secret)
  const fromMemory = !(found instanceof Promise)
  void Promise.resolve(found).then((key) => process.send?.({ state: key?.state ?? null, fromMemory }))
})
process.once('disconnect', () => process.exit())
process.send?.('ready')
