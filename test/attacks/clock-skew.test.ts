import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { App } from '../../src/app.ts'
import { openDatabaseClock } from '../../src/db/index.ts'
import {
  type Clock,
  formatId,
  formatNano,
  parseNano,
  silentLog,
  systemClock,
} from '../../src/kernel/index.ts'
import { type Account, type Forge, OPERATOR_TOKEN, startBeside, startForge, testConfig } from '../forge.ts'
import { bodyOf, chargeNano, eventually } from '../gateway/ask.ts'

/** A43: one of two gateways whose machine's clock is hours off. The database's time is everybody's. */

const HOUR_MS = 3_600_000
const MODELS = testConfig({ m: { ordinary: [''] }, slow: { ordinary: ['first-token=2500'] } })

/** A machine's clock that can be set. */
function skewed(offMs: number): Clock & { offMs: number } {
  const clock = {
    offMs,
    nowMs: () => systemClock.nowMs() + clock.offMs,
    monotonicMs: systemClock.monotonicMs,
  }
  return clock
}

interface Second {
  readonly url: string
  readonly app: App
  readonly clock: ReturnType<typeof skewed>
}

async function withSecond(
  forge: Forge,
  offMs: number,
  work: (second: Second) => Promise<void>,
): Promise<void> {
  const clock = skewed(offMs)
  const { app, url } = await startBeside(forge, { configPath: forge.configPath, clock })
  try {
    await work({ url, app, clock })
  } finally {
    await app.close(2_000)
  }
}

async function chat(url: string, key: string, model = 'm'): Promise<Response> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify(bodyOf({ model })),
  })
  await response.clone().text()
  return response
}

async function keyThatEnds(forge: Forge, account: Account, inMs: number): Promise<string> {
  const made = await forge.app.tenancy.createKey({
    projectId: account.projectId,
    label: 'ends',
    policy: 'ordinary_only',
    allowCrossBalance: false,
    models: null,
    routes: null,
    expiresAtMs: systemClock.nowMs() + inMs,
  })
  return made?.secret ?? ''
}

async function dayBudget(forge: Forge, account: Account): Promise<{ id: string }> {
  const response = await fetch(`${forge.url}/api/v1/budgets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      scope: 'project',
      scope_id: formatId('prj', account.projectId),
      bucket: 'rmb',
      period: 'day',
      amount: '5',
    }),
  })
  return (await response.json()) as { id: string }
}

for (const offMs of [2 * HOUR_MS, -2 * HOUR_MS, 30 * HOUR_MS])
  test(`A43: a gateway that is ${offMs / HOUR_MS} h off changes nothing`, async (t) => {
    const forge = await startForge(t, { config: MODELS })
    const account = await forge.account()
    await withSecond(forge, offMs, async (second) => {
      await t.test(
        'holds of neither expire early, and each request is settled by its own gateway',
        async () => {
          const running = [forge.url, second.url, forge.url, second.url].map((url) =>
            chat(url, account.key, 'slow'),
          )
          await eventually('the holds', async () => {
            const { n } = await forge.owner.one<{ n: number }>('select count(*)::int as n from ledger.hold')
            return n === 4 ? true : null
          })
          for (const response of await Promise.all(running)) {
            assert.equal(response.status, 200)
            const receipt = await forge.receipt(response.headers.get('x-request-id'))
            assert.equal(receipt.status, 'completed')
            assert.equal(receipt.hold?.state, 'captured')
          }
        },
      )

      await t.test('keys end when they say, not when a machine thinks so', async () => {
        const [lasting, ending] = [
          await keyThatEnds(forge, account, HOUR_MS),
          await keyThatEnds(forge, account, 1_500),
        ]
        for (const url of [forge.url, second.url]) {
          assert.equal((await chat(url, lasting)).status, 200)
          assert.equal((await chat(url, ending)).status, 200)
        }
        await eventually('its end', async () =>
          (await chat(second.url, ending)).status === 401 ? true : null,
        )
        assert.equal((await chat(forge.url, ending)).status, 401)
        assert.equal((await chat(second.url, lasting)).status, 200)
      })

      await t.test('both count in the same day, and receipts are of one time and order', async () => {
        const budget = await dayBudget(forge, account)
        let charged = 0n
        const ids: string[] = []
        for (let i = 0; i < 6; i++) {
          const response = await chat(i % 2 === 0 ? forge.url : second.url, account.key)
          const id = response.headers.get('x-request-id') ?? ''
          const receipt = await forge.receipt(id)
          charged += chargeNano(receipt)
          ids.push(id)
          assert.ok(
            Math.abs(Date.parse(receipt.created_at) - systemClock.nowMs()) < 30_000,
            receipt.created_at,
          )
        }
        await forge.settled()
        assert.deepEqual([...ids].sort(), ids, 'ids grow with time, whoever made them')
        const shown = await fetch(`${second.url}/api/v1/budgets/${budget.id}`, {
          headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
        })
        const { used, held } = (await shown.json()) as { used: string; held: string }
        assert.deepEqual([parseNano(used), held], [charged, '0'], formatNano(charged))
      })

      await t.test('a clock that is set while it runs changes nothing either', async () => {
        second.clock.offMs = -offMs
        const receipt = await forge.receipt((await chat(second.url, account.key)).headers.get('x-request-id'))
        assert.ok(Math.abs(Date.parse(receipt.created_at) - systemClock.nowMs()) < 30_000, receipt.created_at)
      })
      await second.app.writer.drain()
    })
    await forge.settled()
    // Among others: the entries of an account are an unbroken walk by number, whatever the clocks said.
    await forge.audit()
    const { n } = await forge.owner.one<{ n: number }>(
      `select count(*)::int as n from ledger.transfer where kind = 'expire'`,
    )
    assert.equal(n, 0)
  })

test('the database’s time is kept to, told once where a machine differs, and survives its silence', async (t) => {
  const forge = await startForge(t)
  const told: object[] = []
  const log = { ...silentLog, warn: (fields: object) => void told.push(fields) }
  let silent = false
  const database = {
    ...forge.app.database,
    one: ((...asked: Parameters<typeof forge.app.database.one>) =>
      silent
        ? Promise.reject(new Error('gone'))
        : forge.app.database.one(...asked)) as typeof forge.app.database.one,
  }
  const machine = skewed(0)
  const clock = await openDatabaseClock({ database, clock: machine, log, askEveryMs: 20 })
  try {
    const [before, own, after] = [machine.nowMs(), clock.nowMs(), machine.nowMs()]
    assert.ok(before <= own && own <= after, 'a machine in step keeps its own')
    machine.offMs = HOUR_MS
    assert.ok(Math.abs(clock.nowMs() - systemClock.nowMs()) < 1_000)
    await eventually('a word of it', () => (told.length > 0 ? true : null))
    silent = true
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.ok(Math.abs(clock.nowMs() - systemClock.nowMs()) < 1_000)
    assert.equal(told.length, 1)
  } finally {
    clock.close()
  }
})
