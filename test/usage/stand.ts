import assert from 'node:assert/strict'
import { childUuid, formatId, formatNano, type Nano, parseId, type Uuid } from '../../src/kernel/index.ts'
import { createAccountBook } from '../../src/ledger/index.ts'
import type { ApiStand, Customer } from '../api-stand.ts'

/** Requests as the gateway leaves them behind: a hold, a charge and its receipt, begun whenever a test wants. */

export interface Spent {
  readonly at: string
  readonly bucket?: 'credit' | 'rmb'
  readonly chargeNano?: Nano
  readonly status?: string
  readonly model?: string | null
  readonly run?: string | null
  /** Null: the receipt says nothing of tokens. */
  readonly usage?: { readonly counts: Record<string, number>; readonly source: string } | null
  readonly label?: string
  readonly channels?: readonly string[]
  readonly crossed?: boolean
}

export function uuidOf(prefix: 'org' | 'prj' | 'key' | 'run', id: string): Uuid {
  const uuid = parseId(prefix, id)
  assert.ok(uuid !== null, id)
  return uuid
}

function documentOf(customer: Customer, id: Uuid, spent: Spent) {
  const { bucket, chargeNano = 0n, usage = null, channels = ['direct'] } = spent
  const currency = bucket === 'rmb' ? 'CNY' : 'USD'
  const total = formatNano(chargeNano)
  const at = Date.parse(spent.at)
  return {
    v: 1,
    status: spent.status ?? 'completed',
    at,
    ended: at + 5,
    latency: 5,
    org: { id: customer.org, name: 'O' },
    project: { id: customer.project, name: 'P' },
    key: { id: customer.keyId, label: spent.label ?? 'L', prefix: 'sk-tf-0000' },
    endpoint: 'openai.chat_completions',
    streamed: false,
    requested: spent.model ?? 'm-one',
    model: spent.model ?? 'm-one',
    ...(spent.crossed === true ? { crossed: true } : {}),
    attempts: channels.map((channel, i) => ({
      route: 'official',
      channel,
      public: channel.toUpperCase(),
      role: 'primary',
      upstream: 'm',
      result: i === channels.length - 1 ? 'ok' : 'error',
      at,
      latency: 5,
      billed: i === channels.length - 1,
      why: 'answer_delivered',
      next: i === channels.length - 1 ? 'answer' : 'backup',
    })),
    ...(usage === null ? {} : { usage }),
    ...(chargeNano === 0n
      ? { noCharge: 'price_is_zero' }
      : {
          charge: {
            bucket,
            currency,
            total,
            version: formatId('pv', id),
            lines: [['input', 1, total, 1, total]],
          },
        }),
    settlement: 'completed_reported',
  }
}

/** @returns the id of the receipt */
export async function spend(stand: ApiStand, customer: Customer, spent: Spent): Promise<string> {
  const { bucket, chargeNano = 0n, status = 'completed', model = 'm-one' } = spent
  const orgId = uuidOf('org', customer.org)
  const id = stand.ids.uuid()
  const receipt = {
    id,
    projectId: uuidOf('prj', customer.project),
    apiKeyId: uuidOf('key', customer.keyId),
    runId: spent.run == null ? null : uuidOf('run', spent.run),
    status,
    bucket: bucket ?? null,
    route: bucket === undefined ? null : bucket === 'rmb' ? 'ordinary' : 'official',
    model,
    chargeNano,
    createdAtMs: Date.parse(spent.at),
    document: JSON.stringify(documentOf(customer, id, spent)),
  }
  if (chargeNano === 0n || bucket === undefined) {
    await stand.writer.submit({ kind: 'record', orgId, id, receipt })
    return formatId('req', id)
  }
  const accountId = await createAccountBook(stand.app).open(orgId, bucket, bucket === 'rmb' ? 'CNY' : 'USD')
  const hold = { orgId, id: childUuid(id, 0), accountId }
  const amount = { amountNano: chargeNano, minimumNano: chargeNano, ttlMs: 60_000, intent: '{}' }
  const reserved = await stand.writer.submit({ kind: 'reserve', ...hold, ...amount })
  assert.equal(reserved.verdict, 'done')
  const settled = await stand.writer.submit({ kind: 'settle', ...hold, amountNano: chargeNano, receipt })
  assert.equal(settled.verdict, 'done')
  return formatId('req', id)
}

export async function fund(stand: ApiStand, org: string): Promise<void> {
  for (const bucket of ['credit', 'rmb']) {
    const body = { organization: org, bucket, amount: '1000', reason: 'test' }
    assert.equal((await stand.call('POST', '/api/v1/grants', { body })).status, 201)
  }
}
