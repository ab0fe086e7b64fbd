import { isoTime } from '../kernel/index.ts'
import { type LedgerOp, OP_COLUMNS, type OpResult, type ReceiptRecord, VERDICTS } from './ops.ts'

/**
 * A batch as the array parameters of ledger.apply. The driver would build the same array literals more slowly, and its
 * text escaping is needed only for the free-text columns.
 */

export const APPLY_SQL = `select verdict::text as v, figure::text as f from ledger.apply(
  $1::uuid, $2::smallint[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::text,
  $10::int[], $11::uuid[], $12::uuid[], $13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::text[], $18::text[],
  $19::bigint[], $20::timestamptz[], $21::text)`

const SPECIAL = /["\\]/g
/**
 * PostgreSQL text cannot hold NUL (and UTF-8 no lone surrogate: the driver replaces it the same way); the separators are
 * ours. JSON text never contains any of them raw, reasons typed by people might.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNFIT = /[\u0000\u001e\u001f]/g
const SEPARATOR = '\u001e'
const NONE = '\u001f'

function quote(text: string | null): string {
  return text === null ? 'NULL' : `"${text.replace(SPECIAL, '\\$&').replace(UNFIT, '\uFFFD')}"`
}

/** A test without the state that a global expression keeps. */
function hasUnfit(text: string): boolean {
  return text.search(UNFIT) !== -1
}

/** Long texts as one parameter: quoting them as array elements would cost more than all the rest of a batch. */
function joined(texts: ReadonlyArray<string | null>): string {
  let out = ''
  for (const text of texts) {
    out += text === null ? NONE : hasUnfit(text) ? text.replace(UNFIT, '\uFFFD') : text
    out += SEPARATOR
  }
  return out
}

type Field = (op: LedgerOp) => string

const column = (ops: readonly LedgerOp[], field: Field): string => {
  let out = '{'
  for (let i = 0; i < ops.length; i++) out += (i === 0 ? '' : ',') + field(ops[i] as LedgerOp)
  return `${out}}`
}

const spec = (op: LedgerOp) =>
  OP_COLUMNS[op.kind] as {
    code: number
    amount: (op: LedgerOp) => bigint
    minimum: (op: LedgerOp) => bigint
    ttl: (op: LedgerOp) => number
    note: (op: LedgerOp) => string | null
  }

const OP_FIELDS: readonly Field[] = [
  (op) => String(spec(op).code),
  (op) => op.orgId,
  (op) => op.id,
  (op) => ('accountId' in op ? String(op.accountId) : 'NULL'),
  (op) => String(spec(op).amount(op)),
  (op) => String(spec(op).minimum(op)),
  (op) => String(spec(op).ttl(op)),
]

const RECEIPT_FIELDS: ReadonlyArray<(r: ReceiptRecord) => string> = [
  (r) => r.id,
  (r) => r.projectId,
  (r) => r.apiKeyId,
  (r) => r.runId ?? 'NULL',
  (r) => quote(r.status),
  (r) => quote(r.bucket),
  (r) => quote(r.route),
  (r) => quote(r.model),
  (r) => String(r.chargeNano),
  (r) => `"${isoTime(r.createdAtMs)}"`,
]

/** @returns the 21 parameters of APPLY_SQL */
export function encodeBatch(processId: string, ops: readonly LedgerOp[]): string[] {
  const indexes: number[] = []
  const receipts: ReceiptRecord[] = []
  for (let i = 0; i < ops.length; i++) {
    const op = ops[i] as LedgerOp
    if ('receipt' in op && op.receipt !== undefined) {
      indexes.push(i + 1)
      receipts.push(op.receipt)
    }
  }
  return [
    processId,
    ...OP_FIELDS.map((field) => column(ops, field)),
    joined(ops.map((op) => spec(op).note(op))),
    `{${indexes.join(',')}}`,
    ...RECEIPT_FIELDS.map((field) => `{${receipts.map(field).join(',')}}`),
    joined(receipts.map((receipt) => receipt.document)),
  ]
}

export function decodeResults(verdicts: string, figures: string, count: number): OpResult[] {
  const codes = verdicts.slice(1, -1).split(',')
  const amounts = figures.slice(1, -1).split(',')
  if (codes.length !== count || amounts.length !== count)
    throw new Error('ledger.apply answered another number of ops')
  return codes.map((code, i) => {
    const verdict = VERDICTS[code.charCodeAt(0) - 48]
    if (verdict === undefined) throw new Error(`ledger.apply answered verdict ${code}`)
    return { verdict, figureNano: BigInt(amounts[i] ?? '0') }
  })
}
