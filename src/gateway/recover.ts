import { loadPriceVersion, priceUsage } from '../catalog/index.ts'
import type { Database } from '../db/index.ts'
import {
  type Clock,
  formatId,
  formatNano,
  isObject,
  type Json,
  type JsonObject,
  type Nano,
  parentUuid,
  parseJson,
  storableJson,
  type Usage,
  type Uuid,
} from '../kernel/index.ts'
import type { AbandonedHold, LedgerOp, LedgerWriter, ReceiptRecord } from '../ledger/index.ts'
import type { ChargeFacts, ReceiptDocument } from '../receipts/index.ts'

/**
 * Settles the hold of a request whose process died, from what was stored with it: what is provably delivered (the last
 * renewal's progress) is charged, the rest released, and the receipt is marked `recovered`.
 */

export interface RecoverDeps {
  readonly database: Database
  readonly writer: LedgerWriter
  readonly clock: Clock
}

interface Intent {
  readonly projectId: Uuid
  readonly apiKeyId: Uuid
  readonly runId: Uuid | null
  readonly route: string
  readonly model: string
  readonly priceVersion: Uuid
  readonly serviceTier: string | null
  readonly doc: ReceiptDocument
}

function readIntent(hold: AbandonedHold): Intent | null {
  const parsed = parseJson(hold.intent)
  if (!parsed.ok || !isObject(parsed.value) || !isObject(parsed.value['doc'])) return null
  return parsed.value as unknown as Intent
}

const countIn = (progress: JsonObject, name: string): number => {
  const value: Json | undefined = progress[name]
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0
}

function provenUsage(hold: AbandonedHold): Usage | null {
  const parsed = hold.progress === null ? null : parseJson(hold.progress)
  if (parsed === null || !parsed.ok || !isObject(parsed.value)) return null
  const output = countIn(parsed.value, 'output')
  if (output === 0) return null
  return {
    counts: { input: countIn(parsed.value, 'input'), output },
    reasoning: null,
    calls: {},
    source: 'estimated',
  }
}

interface Proven {
  readonly charge: ChargeFacts
  /** At its full price; what is above the hold is written off. */
  readonly nano: Nano
  readonly paidNano: Nano
}

async function provenCharge(
  deps: RecoverDeps,
  hold: AbandonedHold,
  intent: Intent,
  usage: Usage,
): Promise<Proven | null> {
  const version = await loadPriceVersion(deps.database, intent.priceVersion)
  if (version === null) return null
  const priced = priceUsage(version.sheet, usage, { admittedAtMs: intent.doc.at, serviceTier: null })
  // Never more than was set aside: nobody is there to ask for an extension.
  const paidNano = priced.totalNano < hold.amountNano ? priced.totalNano : hold.amountNano
  if (paidNano === 0n) return null
  const lost = formatNano(paidNano - priced.totalNano)
  return {
    nano: priced.totalNano,
    paidNano,
    charge: {
      bucket: hold.bucket,
      currency: hold.currency,
      total: formatNano(paidNano),
      version: formatId('pv', version.id),
      lines: [
        ...priced.lines.map(
          (line) =>
            [
              line.meter,
              line.quantity,
              line.unit.text,
              Number.parseInt(String(line.unit.per), 10),
              formatNano(line.amountNano),
            ] as const,
        ),
        ...(paidNano === priced.totalNano ? [] : [['written_off', 1, lost, 1, lost] as const]),
      ],
    },
  }
}

function recoveredDocument(
  deps: RecoverDeps,
  hold: AbandonedHold,
  intent: Intent,
  usage: Usage | null,
  proven: Proven | null,
): ReceiptDocument {
  const charge = proven?.charge ?? null
  const writtenOff = proven !== null && proven.paidNano < proven.nano
  const ended = deps.clock.nowMs()
  return {
    ...intent.doc,
    status: 'recovered',
    settlement: 'recovered',
    ended,
    latency: Math.max(0, ended - intent.doc.at),
    ...(usage === null || charge === null
      ? {}
      : { usage: { counts: usage.counts, source: usage.source }, charge }),
    ...(charge === null ? { noCharge: 'nothing_provable' as const } : {}),
    ...(writtenOff ? { flags: ['written_off' as const] } : {}),
    hold: {
      bucket: hold.bucket,
      currency: hold.currency,
      amount: formatNano(hold.amountNano),
      state: charge === null ? 'released' : 'captured',
    },
  }
}

/** A request that was changing its route may have left two holds: the later one is the request's, the other goes back. */
async function isSuperseded(deps: RecoverDeps, hold: AbandonedHold): Promise<boolean> {
  const request = parentUuid(hold.id)
  const rows = await deps.database.query<{ id: Uuid }>(
    'select id from ledger.hold where org_id = $1 and id > $2 and id <= $3',
    [hold.orgId, hold.id, `${request.slice(0, -1)}f`],
  )
  return rows.some((row) => parentUuid(row.id) === request)
}

export async function recover(deps: RecoverDeps, hold: AbandonedHold): Promise<void> {
  const target = { orgId: hold.orgId, id: hold.id, accountId: hold.accountId }
  const reason = 'the process that held it died'
  const intent = readIntent(hold)
  let op: LedgerOp
  if (intent === null || (await isSuperseded(deps, hold))) op = { kind: 'void', ...target, reason }
  else {
    const usage = provenUsage(hold)
    const proven = usage === null ? null : await provenCharge(deps, hold, intent, usage)
    const document = recoveredDocument(deps, hold, intent, usage, proven)
    const receipt: ReceiptRecord = {
      id: parentUuid(hold.id),
      projectId: intent.projectId,
      apiKeyId: intent.apiKeyId,
      runId: intent.runId,
      status: document.status,
      bucket: hold.bucket,
      route: intent.route,
      model: intent.model,
      chargeNano: proven?.paidNano ?? 0n,
      createdAtMs: intent.doc.at,
      document: storableJson(document),
    }
    op =
      proven === null
        ? { kind: 'void', ...target, reason, receipt }
        : { kind: 'settle', ...target, amountNano: proven.nano, receipt }
  }
  await deps.writer.submit(op)
}
