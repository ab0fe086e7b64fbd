import { isoTime } from '../kernel/index.ts'
import {
  type BudgetLimit,
  type LedgerOp,
  OP_COLUMNS,
  type OpResult,
  type ReceiptRecord,
  VERDICTS,
} from './ops.ts'

/**
 * A batch as the array parameters of ledger.apply. The driver would build the same array literals more slowly, and its
 * text escaping is needed only for the free-text columns.
 */

export const APPLY_SQL = `select verdict::text as v, figure::text as f, limits as l from ledger.apply(
  $1::uuid, $2::smallint[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::text,
  $10::int[], $11::uuid[], $12::uuid[], $13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::text[], $18::text[],
  $19::bigint[], $20::timestamptz[], $21::text, $22::int[], $23::uuid[], $24::timestamptz[])`

const PLAIN = /^[A-Za-z0-9_.:/@-]*$/
const SPECIAL = /["\\]/g
/**
 * PostgreSQL text cannot hold NUL (and UTF-8 no lone surrogate: the driver replaces it the same way); the separators are
 * ours. JSON text never contains any of them raw, reasons typed by people might.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNFIT = /[\u0000\u001e\u001f]/g
const SEPARATOR = 0x1e
const NONE = '\u001f'

function quote(text: string | null): string {
  if (text === null) return 'NULL'
  // Nearly always a name of the catalog.
  if (PLAIN.test(text)) return `"${text}"`
  return `"${text.replace(SPECIAL, '\\$&').replace(UNFIT, '\uFFFD')}"`
}

/** A test without the state that a global expression keeps. */
function hasUnfit(text: string): boolean {
  return text.search(UNFIT) !== -1
}

/**
 * Long texts as one parameter: quoting them as array elements would cost more than all the rest of a batch. Written as the
 * bytes that are sent, so that the driver need not put them together as one more text first.
 */
function long(texts: ReadonlyArray<string | null>): Buffer {
  const fit = texts.map((text) =>
    text === null ? NONE : hasUnfit(text) ? text.replace(UNFIT, '\uFFFD') : text,
  )
  const bytes = Buffer.allocUnsafe(fit.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0))
  let at = 0
  for (const text of fit) {
    at += bytes.write(text, at)
    bytes[at++] = SEPARATOR
  }
  return bytes
}

const spec = (op: LedgerOp) =>
  OP_COLUMNS[op.kind] as {
    code: number
    amount: (op: LedgerOp) => bigint
    minimum: (op: LedgerOp) => bigint
    ttl: (op: LedgerOp) => number
    note: (op: LedgerOp) => string | null
  }

/** As the driver sends it: a text, or the bytes of one. */
export type Parameter = string | Buffer

/** @returns codes, organizations, ids, accounts, amounts, minimums, times to live, notes */
function encodeOps(ops: readonly LedgerOp[]): Parameter[] {
  let [codes, orgs, ids, accounts, amounts, minimums, ttls] = ['', '', '', '', '', '', '']
  const notes: Array<string | null> = []
  let comma = ''
  for (const op of ops) {
    const { code, amount, minimum, ttl, note } = spec(op)
    codes += `${comma}${code}`
    orgs += `${comma}${op.orgId}`
    ids += `${comma}${op.id}`
    accounts += `${comma}${'accountId' in op ? op.accountId : 'NULL'}`
    amounts += `${comma}${amount(op)}`
    minimums += `${comma}${minimum(op)}`
    ttls += `${comma}${ttl(op)}`
    notes.push(note(op))
    comma = ','
  }
  return [
    ...[codes, orgs, ids, accounts, amounts, minimums, ttls].map((column) => `{${column}}`),
    long(notes),
  ]
}

/** @returns numbers of the ops, then the columns of the receipts, the documents last */
function encodeReceipts(ops: readonly LedgerOp[]): Parameter[] {
  let [numbers, ids, projects, keys, runs] = ['', '', '', '', '']
  let [statuses, buckets, routes, models, charges, times] = ['', '', '', '', '', '']
  const documents: string[] = []
  let comma = ''
  for (let i = 0; i < ops.length; i++) {
    const op = ops[i] as LedgerOp
    const receipt: ReceiptRecord | undefined = 'receipt' in op ? op.receipt : undefined
    if (receipt === undefined) continue
    numbers += `${comma}${i + 1}`
    ids += `${comma}${receipt.id}`
    projects += `${comma}${receipt.projectId}`
    keys += `${comma}${receipt.apiKeyId}`
    runs += `${comma}${receipt.runId ?? 'NULL'}`
    statuses += `${comma}${quote(receipt.status)}`
    buckets += `${comma}${quote(receipt.bucket)}`
    routes += `${comma}${quote(receipt.route)}`
    models += `${comma}${quote(receipt.model)}`
    charges += `${comma}${receipt.chargeNano}`
    times += `${comma}"${isoTime(receipt.createdAtMs)}"`
    documents.push(receipt.document)
    comma = ','
  }
  const columns = [numbers, ids, projects, keys, runs, statuses, buckets, routes, models, charges, times]
  return [...columns.map((column) => `{${column}}`), long(documents)]
}

/** @returns numbers of the ops, budgets, beginnings of their windows */
function encodeBudgets(ops: readonly LedgerOp[]): string[] {
  let [numbers, budgets, windows] = ['', '', '']
  let comma = ''
  for (let i = 0; i < ops.length; i++) {
    const op = ops[i] as LedgerOp
    if (op.kind !== 'reserve' || op.budgets === undefined) continue
    for (const { id, startMs } of op.budgets) {
      numbers += `${comma}${i + 1}`
      budgets += `${comma}${id}`
      windows += `${comma}"${isoTime(startMs)}"`
      comma = ','
    }
  }
  return [`{${numbers}}`, `{${budgets}}`, `{${windows}}`]
}

/** @returns the 24 parameters of APPLY_SQL */
export function encodeBatch(processId: string, ops: readonly LedgerOp[]): Parameter[] {
  return [processId, ...encodeOps(ops), ...encodeReceipts(ops), ...encodeBudgets(ops)]
}

/** What budgets had to say, by the number of the op. */
function decodeLimits(limits: string): Map<number, BudgetLimit> {
  const found = new Map<number, BudgetLimit>()
  for (const each of limits.split(';')) {
    const [op, budgetId, start, amount, used, held] = each.split(',')
    if (op === undefined || budgetId === undefined || start === undefined) continue
    found.set(Number.parseInt(op, 10) - 1, {
      budgetId,
      windowStartMs: Number.parseInt(start, 10),
      amountNano: BigInt(amount ?? ''),
      usedNano: BigInt(used ?? ''),
      heldNano: BigInt(held ?? ''),
    })
  }
  return found
}

/** @param limits null where no budget refused or lowered anything, which is nearly always */
export function decodeResults(
  verdicts: string,
  figures: string,
  count: number,
  limits: string | null = null,
): OpResult[] {
  const results = decodeFigures(verdicts, figures, count)
  if (limits === null) return results
  const byOp = decodeLimits(limits)
  return results.map((result, i) => {
    const limit = byOp.get(i)
    return limit === undefined ? result : { ...result, limit }
  })
}

function decodeFigures(verdicts: string, figures: string, count: number): OpResult[] {
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
