import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Receipt } from '../../src/contract/index.ts'
import { formatNano, parseNano } from '../../src/kernel/index.ts'
import type { RecordedRequest } from '../../src/sandbox/index.ts'
import { assertFree } from '../../test/clients/stand.ts'
import type { Agent } from './agent.ts'
import type { Account } from './product.ts'
import type { Exchanged } from './wire.ts'

/** What a turn left behind, and whether all of it tells the same story. */

export interface Story {
  /** Requests of the agent for an answer, oldest first. */
  readonly exchanges: readonly Exchanged[]
  /** One for each of them, in the same order. */
  readonly receipts: readonly Receipt[]
  /** What reached the upstream. */
  readonly upstream: readonly RecordedRequest[]
}

const PATIENCE_MS = 10_000

function nano(text: string): bigint {
  const value = parseNano(text)
  assert.ok(value !== null, text)
  return value
}

const text = (headers: Exchanged['answered'], name: string): string => String(headers[name] ?? '')

/** Waits until each request has its settled receipt, and there are no others. */
export async function receiptsOf(
  account: Account,
  exchanges: readonly Exchanged[],
): Promise<readonly Receipt[]> {
  const ids = exchanges.map(({ answered }) => text(answered, 'x-request-id'))
  assert.equal(new Set(ids).size, ids.length)
  const until = performance.now() + PATIENCE_MS
  for (;;) {
    const { data } = await account.client.listReceipts({ limit: 100 })
    const settled = new Map(
      data.filter(({ status }) => status !== 'pending').map((receipt) => [receipt.id, receipt]),
    )
    const found = ids.map((id) => settled.get(id))
    if (found.every((receipt) => receipt !== undefined)) {
      assert.equal(data.length, ids.length, 'a receipt for each request, and no other')
      return found
    }
    if (performance.now() > until) throw new Error(`no receipt for some of ${ids.join(', ')}`)
    await sleep(50)
  }
}

export interface Expected {
  readonly agent: Agent
  readonly model: string
  readonly route: 'ordinary' | 'official'
  readonly translated: boolean
}

/** Usage × price is the charge, of the balance of the route; headers, receipt and ledger say the same. */
function assertPaid(receipt: Receipt, { answered }: Exchanged, expected: Expected): void {
  const told = JSON.stringify(receipt)
  const [bucket, currency] = expected.route === 'official' ? ['credit', 'USD'] : ['rmb', 'CNY']
  const { usage, charge, decision, attempts, balance } = receipt
  assert.deepEqual(
    [receipt.status, receipt.settlement, receipt.error, receipt.streamed],
    ['completed', 'completed_reported', null, true],
    told,
  )
  assert.deepEqual(
    [receipt.endpoint, receipt.requested_model],
    [expected.agent.endpoint, expected.model],
    told,
  )
  assert.deepEqual([decision?.route, decision?.bucket], [expected.route, bucket], told)
  assert.deepEqual(
    attempts.map(({ channel, result, billed }) => [channel, result, billed]),
    [['Public 0', 'ok', true]],
    told,
  )
  assert.ok(usage !== null && charge !== null && balance !== null, told)
  assert.equal(usage.source, 'reported')
  assert.deepEqual([charge.bucket, charge.currency], [bucket, currency])
  const counts = new Map(Object.entries(usage))
  for (const line of charge.lines) {
    assert.equal(line.quantity, counts.get(line.meter), told)
    assert.equal(nano(line.amount), (BigInt(line.quantity) * nano(line.unit_price)) / BigInt(line.per), told)
  }
  const total = charge.lines.reduce((sum, line) => sum + nano(line.amount), 0n)
  assert.ok(total > 0n)
  assert.equal(charge.total, formatNano(total))
  assert.equal(nano(balance.before) - nano(balance.after), total)
  const own = receipt.ledger.filter(({ account }) => account === bucket)
  assert.deepEqual(
    own.map(({ amount }) => amount),
    [formatNano(-total)],
  )
  assert.deepEqual(
    [text(answered, 'x-tf-route'), text(answered, 'x-tf-bucket'), text(answered, 'x-tf-channel')],
    [expected.route, bucket, 'Public 0'],
  )
}

function toolsSent({ body }: RecordedRequest): readonly string[] {
  interface Tool {
    readonly name?: string
    readonly type?: string
    readonly function?: { readonly name: string }
    readonly functionDeclarations?: readonly { readonly name: string }[]
    readonly tools?: readonly Tool[]
  }
  const { tools = [] } = body as { readonly tools?: readonly Tool[] }
  return tools.flatMap((tool) => {
    if (tool.functionDeclarations !== undefined) return tool.functionDeclarations.map(({ name }) => name)
    if (tool.type === 'namespace') return (tool.tools ?? []).map((inner) => `${tool.name}__${inner.name}`)
    return [tool.function?.name ?? tool.name ?? tool.type ?? '']
  })
}

/** What is listed as dropped is what is missing: nothing over a native route, else no tool is lost in silence. */
function assertHonest(
  receipt: Receipt,
  exchange: Exchanged,
  sent: RecordedRequest,
  expected: Expected,
): void {
  const { dropped } = receipt
  const listed = text(exchange.answered, 'x-tf-dropped')
  if (listed.endsWith('...')) assert.ok(dropped.join(', ').startsWith(listed.slice(0, -3)))
  else assert.equal(listed, dropped.join(', '))
  if (expected.translated) assert.ok(dropped.length > 0, 'agents send what no other format has')
  else assert.deepEqual(dropped, [])
  const arrived = new Set(toolsSent(sent))
  const asked = expected.agent.toolsIn(JSON.parse(exchange.body))
  assert.ok(asked.length > 3, 'an agent brings tools')
  const lost = asked.filter((name) => !arrived.has(name) && !dropped.includes(`tools[].${name}`))
  assert.deepEqual(lost, [], `arrived: ${[...arrived].join()}; dropped: ${dropped.join()}`)
}

/** The requests of one session are one run, named by it, and the run adds up to their charges. */
async function assertRun(agent: Agent, account: Account, { exchanges, receipts }: Story): Promise<void> {
  const sessions = new Set(exchanges.map(({ sent }) => text(sent, agent.sessionHeader)))
  assert.equal(sessions.size, 1)
  const [session = ''] = sessions
  assert.match(session, /^[\da-f]{8}-[\da-f-]{27}$/)
  const runs = new Set(receipts.map(({ run }) => run?.id))
  assert.equal(runs.size, 1)
  assert.deepEqual([...new Set(receipts.map(({ run }) => run?.name))], [`${agent.runPrefix}${session}`])
  const [id = ''] = runs
  const { totals, steps } = await account.client.getRun(id)
  assert.equal(
    steps.reduce((sum, step) => sum + step.requests, 0),
    receipts.length,
  )
  for (const [bucket, total] of Object.entries(totals)) {
    const charges = receipts.map(({ charge }) => (charge?.bucket === bucket ? nano(charge.total) : 0n))
    assert.equal(total.charged, formatNano(charges.reduce((sum, one) => sum + one, 0n)))
  }
}

export async function assertServed(
  account: Account,
  story: Story,
  count: number,
  expected: Expected,
): Promise<void> {
  const { exchanges, receipts, upstream } = story
  assert.deepEqual([receipts.length, upstream.length], [count, count])
  for (const [at, receipt] of receipts.entries()) {
    const exchange = exchanges[at]
    const sent = upstream[at]
    assert.ok(exchange !== undefined && sent !== undefined)
    assert.equal(exchange.status, 200)
    assertPaid(receipt, exchange, expected)
    assertHonest(receipt, exchange, sent, expected)
  }
  await assertRun(expected.agent, account, story)
}

/** Nothing was charged, every receipt says why, and the last answer told the agent to stop. */
export async function assertTurnedAway(
  agent: Agent,
  account: Account,
  story: Story,
  code: string,
): Promise<void> {
  assert.ok(story.receipts.length > 0)
  for (const receipt of story.receipts) assertFree(receipt, code)
  await assertRun(agent, account, story)
  assert.equal(text(story.exchanges.at(-1)?.answered ?? {}, 'x-should-retry'), 'false')
}
