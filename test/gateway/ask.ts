import assert from 'node:assert/strict'
import type { Receipt } from '../../src/contract/index.ts'
import { formatNano, parseNano } from '../../src/kernel/index.ts'
import { type Account, type Forge, OPERATOR_TOKEN } from '../forge.ts'

/** One request through the whole gateway, and everything that can be known about it afterwards. */

export interface Asked {
  readonly model: string
  /** Switches of the sandbox for this request alone. */
  readonly sandbox?: string
  readonly text?: string
  readonly body?: object
  readonly headers?: Record<string, string>
  readonly bucket?: string
}

export interface Told {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body, or for a stream every event's data that is JSON. */
  readonly json: readonly Reply[]
  readonly receipt: Receipt
  readonly before: bigint
  readonly after: bigint
}

/** What tests look at in bodies and chunks; everything may be missing. */
export interface Reply {
  readonly id?: string
  readonly model?: string
  readonly choices?: ReadonlyArray<{
    readonly message?: { readonly content?: string | null; readonly tool_calls?: readonly unknown[] }
    readonly delta?: { readonly content?: string | null }
    readonly finish_reason?: string | null
  }>
  readonly usage?: ReplyUsage | null
  readonly error?: ReplyError
}

export interface ReplyUsage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number }
  readonly tf?: {
    readonly request_id: string
    readonly bucket: string
    readonly currency: string
    readonly charge: string | null
    readonly route: string
  }
}

export interface ReplyError {
  readonly message: string
  readonly type: string
  readonly code: string
  readonly param: string | null
  readonly request_id: string
  readonly receipt: string | null
  readonly reason: string
  readonly next_step: string
  readonly ledger?: Record<string, string | number>
}

/** The data of every event of a stream, `[DONE]` included. */
export function eventsOf(text: string): string[] {
  return text
    .split(/\r\n\r\n|\n\n|\r\r/)
    .map((event) =>
      event
        .split(/\r\n|\n|\r/)
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5).replace(/^ /, ''))
        .join('\n'),
    )
    .filter((data) => data !== '')
}

export function repliesOf(text: string): Reply[] {
  if (text.startsWith('{')) return [JSON.parse(text) as Reply]
  return eventsOf(text)
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data) as Reply)
}

export function contentOf(replies: readonly Reply[]): string {
  return replies
    .map((reply) => reply.choices?.[0]?.delta?.content ?? reply.choices?.[0]?.message?.content ?? '')
    .join('')
}

export function usageOf(replies: readonly Reply[]): ReplyUsage | null {
  return replies.findLast((reply) => reply.usage != null)?.usage ?? null
}

export function bodyOf(asked: Asked): object {
  const marker = asked.sandbox === undefined ? '' : ` [[sandbox: ${asked.sandbox}]]`
  return {
    model: asked.model,
    messages: [{ role: 'user', content: `${asked.text ?? 'Which balance pays for this?'}${marker}` }],
    max_tokens: 100,
    ...asked.body,
  }
}

export async function ask(forge: Forge, account: Account, asked: Asked): Promise<Told> {
  const bucket = asked.bucket ?? 'rmb'
  const before = (await forge.balance(account.orgId, bucket)).posted
  const response = await forge.chat(
    account.key,
    bodyOf(asked),
    asked.headers === undefined ? {} : { headers: asked.headers },
  )
  const text = await response.text()
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  const after = (await forge.balance(account.orgId, bucket)).posted
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: repliesOf(text),
    receipt,
    before,
    after,
  }
}

/** As after a crash: every open hold belongs to a process that is no more, with what its last renewal had told. */
export async function abandonHolds(forge: Forge, progress: object): Promise<void> {
  await forge.owner.query(
    `update ledger.hold set process_id = '00000000-0000-7000-8000-000000000000', progress = $1,
       opened_at = opened_at - interval '1 minute'`,
    [JSON.stringify(progress)],
  )
}

export function errorOf(told: Pick<Told, 'json'>): ReplyError {
  const error = told.json.find((reply) => reply.error !== undefined)?.error
  assert.ok(error !== undefined, 'there is an error')
  return error
}

/** The money story of a request, told the same by receipt, balance and ledger. */
export function assertMoney(told: Told): void {
  const { receipt, before, after } = told
  const moved = before - after
  if (receipt.charge === null) {
    assert.equal(moved, 0n, 'nothing moved')
    assert.ok((receipt.no_charge_reason ?? '').length > 3, 'a reason is given')
    assert.equal(receipt.balance, null)
    assert.deepEqual(receipt.ledger, [])
    if (receipt.hold !== null) assert.equal(receipt.hold.state, 'released')
    assert.ok(receipt.attempts.every((attempt) => !attempt.billed))
    return
  }
  const { charge } = receipt
  const lines = charge.lines.map((line) => parseNano(line.amount) ?? -1n)
  const total = lines.reduce((sum, line) => sum + line, 0n)
  assert.equal(formatNano(total), charge.total, 'the lines add up to the total')
  assert.equal(moved, total, 'the balance moved by the total')
  assert.equal(receipt.no_charge_reason, null)
  assert.equal(receipt.hold?.state, 'captured')
  assert.ok((parseNano(receipt.hold?.amount ?? '') ?? 0n) >= total, 'never more than was set aside')
  assert.deepEqual(receipt.balance === null ? null : [receipt.balance.before, receipt.balance.after], [
    formatNano(before),
    formatNano(after),
  ])
  const own = receipt.ledger.filter((entry) => entry.account === charge.bucket)
  assert.deepEqual(
    own.map((entry) => entry.amount),
    [formatNano(-total)],
  )
  const sum = receipt.ledger.reduce((all, entry) => all + (parseNano(entry.amount) ?? 0n), 0n)
  assert.equal(sum, 0n, 'the entries of a transfer add up to nothing')
  assert.equal(receipt.attempts.filter((attempt) => attempt.billed).length, 1)
  assert.equal(receipt.attempts.at(-1)?.billed, true)
}

/** At the prices of test/forge.ts: 1 a million input, 0.1 cached, 10 output. */
export function priceNano(input: number, output: number, cached = 0): bigint {
  return BigInt(input) * 1_000n + BigInt(cached) * 100n + BigInt(output) * 10_000n
}

export function chargeNano(receipt: Receipt): bigint {
  return receipt.charge === null ? 0n : (parseNano(receipt.charge.total) ?? -1n)
}

export async function receiptAs(forge: Forge, id: string | null, token: string): Promise<Response> {
  return fetch(`${forge.url}/api/v1/receipts/${id}`, { headers: { authorization: `Bearer ${token}` } })
}

export async function customerReceipt(forge: Forge, account: Account, id: string | null): Promise<Receipt> {
  await forge.receipt(id)
  return (await (await receiptAs(forge, id, account.key)).json()) as Receipt
}

export { OPERATOR_TOKEN }

/** Waits for what must come; a test never sleeps for a guess. */
export async function eventually<T>(what: string, look: () => T | null | Promise<T | null>): Promise<T> {
  const until = performance.now() + 10_000
  while (performance.now() < until) {
    const found = await look()
    if (found !== null) return found
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`waited too long for ${what}`)
}

/** A configuration of test/forge.ts whose channels with the setting `NAME` go to another upstream than the sandbox. */
export function withUpstreams(config: object, urls: Readonly<Record<string, string>>): object {
  const text = JSON.stringify(config, (key, value: unknown) => {
    if (key !== 'base_url' || typeof value !== 'string') return value
    return urls[value.slice('sandbox:'.length)] ?? value
  })
  return JSON.parse(text) as object
}
