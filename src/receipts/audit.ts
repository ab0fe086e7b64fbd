import type { Database } from '../db/index.ts'
import { isObject, lineAmount, parseId, parseJson, parseNano, parsePico, type Uuid } from '../kernel/index.ts'
import type { ReceiptDocument } from './document.ts'

/** Checks of the documents themselves: that every charge recomputes from what it says. */

export interface ReceiptCheck {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

interface StoredRow {
  readonly id: Uuid
  readonly org_id: Uuid
  readonly charge: bigint
  readonly document: string
}

const PAGE = 1_000
const NAMED_MAX = 5

type Problem = 'unreadable' | 'total' | 'lines' | 'arithmetic'

/** What is wrong with one document, if anything. */
export function documentProblem(charge: bigint, document: string): Problem | null {
  const parsed = parseJson(document)
  if (!parsed.ok || !isObject(parsed.value)) return 'unreadable'
  const doc = parsed.value as unknown as ReceiptDocument
  const total = doc.charge === undefined ? 0n : parseNano(doc.charge.total)
  if (total !== charge) return 'total'
  const lines = doc.charge?.lines ?? []
  let sum = 0n
  for (const [meter, quantity, unitPrice, per, amount] of lines) {
    const nano = parseNano(amount)
    const unit = parsePico(unitPrice)
    if (nano === null || unit === null) return 'arithmetic'
    sum += nano
    // A write-off is an amount, not a quantity at a price.
    if (meter !== 'written_off' && lineAmount(BigInt(quantity), unit, BigInt(per)) !== nano)
      return 'arithmetic'
  }
  return sum === (total ?? 0n) ? null : 'lines'
}

const NAMES: Readonly<Record<Problem, string>> = {
  unreadable: 'receipts can be read',
  total: 'the charge on a receipt is the charge in the books',
  lines: 'the lines of a receipt add up to its total',
  arithmetic: 'every line recomputes: quantity × unit price, rounded once',
}

function priceVersionOf(document: string): string | null {
  const parsed = parseJson(document)
  if (!parsed.ok || !isObject(parsed.value) || !isObject(parsed.value['charge'])) return null
  const version = parsed.value['charge']['version']
  return typeof version === 'string' ? version : null
}

/** @param versionExists whether a price version is in the catalog's record */
export async function auditReceipts(
  database: Database,
  versionExists: (id: Uuid) => Promise<boolean>,
): Promise<readonly ReceiptCheck[]> {
  const problems = new Map<Problem, string[]>()
  const versions = new Map<string, string>()
  let seen = 0
  let after: readonly [Uuid, Uuid] | null = null
  for (;;) {
    const rows: readonly StoredRow[] = await database.query<StoredRow & Record<string, unknown>>(
      `select id, org_id, charge, document from ledger.receipt
       where $1::uuid is null or (org_id, id) > ($1, $2) order by org_id, id limit ${PAGE}`,
      [after?.[0] ?? null, after?.[1] ?? null],
    )
    for (const row of rows) {
      seen++
      const problem = documentProblem(row.charge, row.document)
      if (problem !== null) problems.set(problem, [...(problems.get(problem) ?? []), row.id])
      const version = priceVersionOf(row.document)
      if (version !== null && !versions.has(version)) versions.set(version, row.id)
    }
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE) break
    after = [last.org_id, last.id]
  }
  const missing: string[] = []
  for (const [version, receipt] of versions) {
    const id = parseId('pv', version)
    if (id === null || !(await versionExists(id))) missing.push(`${version} (receipt ${receipt})`)
  }
  const checks = (Object.keys(NAMES) as Problem[]).map((problem): ReceiptCheck => {
    const broken = problems.get(problem) ?? []
    const detail =
      broken.length === 0
        ? `holds for ${seen} receipts`
        : `${broken.length} receipts: ${broken.slice(0, NAMED_MAX).join(', ')}`
    return { name: NAMES[problem], ok: broken.length === 0, detail }
  })
  return [
    ...checks,
    {
      name: 'every charge names a price version on record',
      ok: missing.length === 0,
      detail:
        missing.length === 0 ? `${versions.size} versions in use` : missing.slice(0, NAMED_MAX).join(', '),
    },
  ]
}
