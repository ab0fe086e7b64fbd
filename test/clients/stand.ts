import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Endpoint, Receipt } from '../../src/contract/index.ts'
import { formatNano, parseNano } from '../../src/kernel/index.ts'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { chargeNano, priceNano } from '../gateway/ask.ts'

/**
 * What every official client is put through, over every kind of channel: turns that work, turns that fail, and a turn
 * that cannot be paid. A client says only how it does each; what must be true afterwards is said here once.
 */

export const UPSTREAMS = ['openai', 'openai-responses', 'anthropic', 'gemini'] as const
export type Upstream = (typeof UPSTREAMS)[number]

export const QUESTION = 'Which balance pays for this?'
export const WEATHER_QUESTION = 'What is the weather in the city?'
export const WEATHER = 'sunny, 21 degrees'

export const TOOL = {
  name: 'get_weather',
  description: 'The weather of a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', description: 'Its name.' } },
    required: ['city'],
    additionalProperties: false,
  },
} as const

export const SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string' }, degrees: { type: 'integer' } },
  required: ['city', 'degrees'],
  additionalProperties: false,
} as const

export interface Access {
  readonly url: string
  readonly key: string
  readonly model: string
}

/** The turns of one client; each gives what the client made of the answer. */
export interface Turns {
  text(): Promise<string>
  stream(): Promise<string>
  /** Has the tool called, hands back {@link WEATHER}, and gives the last text. */
  tool(): Promise<{ readonly city: unknown; readonly text: string }>
  /** The object that the client read out of an answer by {@link SCHEMA}. */
  structured?(): Promise<unknown>
}

export interface Client {
  readonly name: string
  readonly endpoint: Endpoint
  /** The channel that speaks the client's own format. */
  readonly native: Upstream
  open(access: Access): Turns
  /** The client's own error for each failure; asserts. */
  readonly errors: Readonly<Record<'unknownModel' | 'upstreamDown' | 'unpaid', (thrown: unknown) => void>>
  /** How often the client asks when the upstream is down. */
  readonly triesWhenDown: number
}

/** Models by the channel that serves them; the sandbox thinks, signs and counts as their names make it. */
export const MODELS: Readonly<Record<Upstream, string>> = {
  openai: 'deepseek-v4-pro',
  'openai-responses': 'gpt-5.5',
  anthropic: 'claude-sonnet-5',
  gemini: 'gemini-3.8-flash',
}

/** Every kind of channel twice: one that works, and one whose upstream answers 500. */
function clientModels(): object {
  return testConfig(
    Object.fromEntries(
      UPSTREAMS.flatMap((protocol) => [
        [MODELS[protocol], { protocol, ordinary: [''] }],
        [`down-${protocol}`, { protocol, ordinary: ['status=500'] }],
      ]),
    ),
  )
}

async function receiptsOf(forge: Forge, account: Account): Promise<readonly Receipt[]> {
  const response = await fetch(`${forge.url}/api/v1/receipts?limit=100`, {
    headers: { authorization: `Bearer ${account.key}` },
  })
  assert.equal(response.status, 200)
  return ((await response.json()) as { readonly data: readonly Receipt[] }).data
}

export interface Story {
  /** Of the turn, oldest first. */
  readonly receipts: readonly Receipt[]
  /** By how much the balance went down. */
  readonly paidNano: bigint
  /** What reached the sandbox. */
  readonly upstreamRequests: number
}

/** Runs a turn and tells what it left behind. */
export async function storyOf<T>(
  forge: Forge,
  account: Account,
  turn: () => Promise<T>,
): Promise<Story & { readonly result: T }> {
  const before = await forge.balance(account.orgId, 'rmb')
  const known = new Set((await receiptsOf(forge, account)).map((receipt) => receipt.id))
  const seen = forge.sandbox.requests.count
  const result = await turn()
  await forge.settled()
  const receipts = (await receiptsOf(forge, account)).filter((receipt) => !known.has(receipt.id)).reverse()
  const after = await forge.balance(account.orgId, 'rmb')
  return {
    result,
    receipts,
    paidNano: before.posted - after.posted,
    upstreamRequests: forge.sandbox.requests.count - seen,
  }
}

export interface Expected {
  readonly endpoint: Endpoint
  readonly model: string
  readonly streamed?: boolean
}

/** A receipt of a request that was answered: usage × price is the charge, of one balance, and it says why. */
export function assertPaid(receipt: Receipt, expected: Expected): void {
  const told = JSON.stringify(receipt)
  assert.deepEqual(
    [receipt.status, receipt.settlement, receipt.error],
    ['completed', 'completed_reported', null],
    told,
  )
  assert.deepEqual([receipt.endpoint, receipt.requested_model], [expected.endpoint, expected.model])
  if (expected.streamed !== undefined) assert.equal(receipt.streamed, expected.streamed)
  const { usage, charge } = receipt
  assert.ok(usage !== null && charge !== null, told)
  assert.equal(usage.source, 'reported')
  assert.deepEqual([usage.cache_write_5m ?? 0, usage.cache_write_1h ?? 0], [0, 0])
  assert.equal(
    chargeNano(receipt),
    priceNano(usage.input ?? 0, usage.output ?? 0, usage.cache_read ?? 0),
    told,
  )
  assert.deepEqual([charge.bucket, charge.currency], ['rmb', 'CNY'])
  const lines = charge.lines.reduce((sum, line) => sum + (parseNano(line.amount) ?? 0n), 0n)
  assert.equal(formatNano(lines), charge.total)
  assert.equal(receipt.hold?.state, 'captured')
  assert.deepEqual(
    receipt.attempts.map(({ result, billed }) => [result, billed]),
    [['ok', true]],
  )
  assert.ok(receipt.explanation.en.length > 20 && receipt.explanation.zh.length > 10, told)
  assert.match(receipt.explanation.en, /RMB wallet/)
}

/** A receipt of a request that cost nothing, and says so. */
export function assertFree(receipt: Receipt, code: string): void {
  const told = JSON.stringify(receipt)
  assert.equal(receipt.error?.code, code, told)
  assert.equal(receipt.charge, null, told)
  assert.deepEqual(receipt.ledger, [])
  assert.ok((receipt.no_charge_reason ?? '').length > 3, told)
  assert.ok((receipt.next_step ?? '').length > 3, told)
  assert.ok(receipt.explanation.en.length > 20 && receipt.explanation.zh.length > 10, told)
}

function assertStory(story: Story, count: number, expected: Expected): void {
  assert.equal(story.receipts.length, count)
  assert.equal(story.upstreamRequests, count)
  for (const receipt of story.receipts) assertPaid(receipt, expected)
  assert.equal(
    story.paidNano,
    story.receipts.reduce((sum, receipt) => sum + chargeNano(receipt), 0n),
  )
}

async function thrownBy(turn: () => Promise<unknown>): Promise<unknown> {
  try {
    await turn()
  } catch (thrown) {
    return thrown
  }
  throw new Error('the turn did not fail')
}

interface Under {
  readonly t: TestContext
  readonly forge: Forge
  readonly client: Client
}

async function proveTurns({ t, forge, client }: Under, upstream: Upstream): Promise<void> {
  const account = await forge.account()
  const model = MODELS[upstream]
  const turns = client.open({ url: forge.url, key: account.key, model })
  const expected = { endpoint: client.endpoint, model }
  const way = `${client.name} over ${upstream}${upstream === client.native ? ' (native)' : ''}`

  await t.test(`${way}: a text turn`, async () => {
    const story = await storyOf(forge, account, () => turns.text())
    assert.ok(story.result.includes(QUESTION), story.result)
    assertStory(story, 1, { ...expected, streamed: false })
  })
  await t.test(`${way}: a streamed turn`, async () => {
    const story = await storyOf(forge, account, () => turns.stream())
    assert.ok(story.result.includes(QUESTION), story.result)
    assertStory(story, 1, { ...expected, streamed: true })
  })
  await t.test(`${way}: a tool is called, its result read`, async () => {
    const story = await storyOf(forge, account, () => turns.tool())
    assert.equal(story.result.city, 'Lisbon')
    assert.ok(story.result.text.includes(WEATHER), story.result.text)
    assertStory(story, 2, expected)
  })
  const { structured } = turns
  if (structured === undefined) return
  await t.test(`${way}: an answer by a schema`, async () => {
    const story = await storyOf(forge, account, () => structured())
    const { city, degrees } = story.result as { readonly city: unknown; readonly degrees: unknown }
    assert.deepEqual([city, typeof degrees], ['Lisbon', 'number'])
    assertStory(story, 1, expected)
  })
}

async function proveRefusals({ t, forge, client }: Under): Promise<void> {
  await t.test(`${client.name}: an unknown model is the client's own error, asked once`, async () => {
    const account = await forge.account()
    const turns = client.open({ url: forge.url, key: account.key, model: 'nothing' })
    for (const turn of [turns.text, turns.stream]) {
      const story = await storyOf(forge, account, () => thrownBy(turn))
      client.errors.unknownModel(story.result)
      assert.deepEqual([story.receipts.length, story.upstreamRequests, story.paidNano], [1, 0, 0n])
      for (const receipt of story.receipts) assertFree(receipt, 'model_not_found')
    }
  })

  for (const upstream of UPSTREAMS)
    await t.test(`${client.name} over ${upstream}: a spent balance stops it at once`, async () => {
      const account = await forge.account({ grants: { rmb: '0.000001' } })
      const turns = client.open({ url: forge.url, key: account.key, model: MODELS[upstream] })
      for (const turn of [turns.text, turns.stream]) {
        const story = await storyOf(forge, account, () => thrownBy(turn))
        client.errors.unpaid(story.result)
        assert.deepEqual([story.receipts.length, story.upstreamRequests, story.paidNano], [1, 0, 0n])
        for (const receipt of story.receipts) assertFree(receipt, 'insufficient_balance')
      }
    })
}

async function proveDown({ t, forge, client }: Under): Promise<void> {
  const other = client.native === 'anthropic' ? 'openai' : 'anthropic'
  for (const upstream of [client.native, other] as const)
    await t.test(`${client.name} over ${upstream}: an upstream that is down costs nothing`, async () => {
      const account = await forge.account()
      const turns = client.open({ url: forge.url, key: account.key, model: `down-${upstream}` })
      const story = await storyOf(forge, account, () => thrownBy(turns.text))
      client.errors.upstreamDown(story.result)
      assert.ok(!JSON.stringify(story.receipts).includes('UPSTREAM-SECRET'))
      assert.deepEqual(
        [story.receipts.length, story.upstreamRequests, story.paidNano],
        [client.triesWhenDown, client.triesWhenDown, 0n],
      )
      for (const receipt of story.receipts) {
        assertFree(receipt, 'upstream_error')
        assert.equal(receipt.settlement, 'failed_before_output')
      }
    })
}

/** Everything above, and the books afterwards. */
export async function proveClients(t: TestContext, clients: readonly Client[]): Promise<void> {
  const forge = await startForge(t, { config: clientModels() })
  for (const client of clients) {
    const under = { t, forge, client }
    for (const upstream of UPSTREAMS) await proveTurns(under, upstream)
    await proveRefusals(under)
    await proveDown(under)
  }
  await forge.settled()
  await forge.audit()
}
