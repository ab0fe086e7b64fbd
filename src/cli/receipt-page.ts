import type { Receipt, ReceiptUsage } from '../contract/index.ts'
import type { Language } from './command.ts'
import { pairs, table } from './text.ts'

/** The receipt as a page: first why, then who, how, what was counted, what it cost. Nothing here is computed. */

const LABELS = {
  en: {
    receipt: 'Receipt',
    status: 'Status',
    organization: 'Organization',
    project: 'Project',
    key: 'API key',
    run: 'Run',
    model: 'Model',
    served: 'Served as',
    route: 'Route',
    rule: 'Rule',
    time: 'Time',
    attempts: 'Attempts',
    usage: 'Usage',
    charge: 'Charge',
    noCharge: 'No charge',
    total: 'Total',
    reference: 'List price',
    hold: 'Hold',
    balance: 'Balance',
    before: 'before',
    after: 'after',
    ledger: 'Ledger',
    error: 'Error',
    next: 'What to do',
    flags: 'To look at',
    pays: 'pays',
    sandbox: 'answered by the built-in sandbox, not by a model',
    attemptHead: ['#', 'channel', 'role', 'model', 'result', 'billed', 'ms'],
    lineHead: ['meter', 'quantity', 'unit price', 'per', 'amount'],
    ledgerHead: ['entry', 'account', 'amount'],
    yes: 'yes',
    no: 'no',
  },
  zh: {
    receipt: '收据',
    status: '状态',
    organization: '组织',
    project: '项目',
    key: 'API 密钥',
    run: '任务',
    model: '模型',
    served: '实际模型',
    route: '线路',
    rule: '规则',
    time: '时间',
    attempts: '尝试',
    usage: '用量',
    charge: '扣费',
    noCharge: '未扣费',
    total: '合计',
    reference: '官方标价',
    hold: '预留',
    balance: '余额',
    before: '之前',
    after: '之后',
    ledger: '账目',
    error: '错误',
    next: '下一步',
    flags: '需要留意',
    pays: '支付',
    sandbox: '由内置沙盒应答，并非真实模型',
    attemptHead: ['#', '通道', '角色', '模型', '结果', '计费', '毫秒'],
    lineHead: ['计量', '数量', '单价', '每', '金额'],
    ledgerHead: ['分录', '账户', '金额'],
    yes: '是',
    no: '否',
  },
} as const

type Labels = (typeof LABELS)[Language]

function whoAndHow(receipt: Receipt, label: Labels): string {
  const { decision, run } = receipt
  const rows: [string, string][] = [
    [label.status, receipt.sandbox ? `${receipt.status} (${label.sandbox})` : receipt.status],
    [label.time, `${receipt.created_at}${receipt.latency_ms === null ? '' : `, ${receipt.latency_ms} ms`}`],
    [label.organization, `${receipt.organization.name} (${receipt.organization.id})`],
    [label.project, `${receipt.project.name} (${receipt.project.id})`],
    [label.key, `${receipt.api_key.label} ${receipt.api_key.prefix}… (${receipt.api_key.id})`],
  ]
  if (run !== null)
    rows.push([label.run, `${run.name}${run.step === null ? '' : ` / ${run.step}`} (${run.id})`])
  if (receipt.requested_model !== null) rows.push([label.model, receipt.requested_model])
  if (receipt.served_model !== null) rows.push([label.served, receipt.served_model])
  if (decision !== null && decision.route !== null)
    rows.push(
      [
        label.route,
        `${decision.route} (${decision.route_type ?? '?'}), ${decision.bucket ?? '?'} ${label.pays}`,
      ],
      [label.rule, `${decision.rule}: ${decision.reason}`],
    )
  return pairs(rows)
}

function attempts(receipt: Receipt, label: Labels): string {
  const rows = receipt.attempts.map((attempt) => [
    String(attempt.n),
    `${attempt.route}/${attempt.channel}`,
    attempt.role,
    attempt.upstream_model,
    [attempt.result, attempt.status, attempt.code].filter((part) => part !== null).join(' '),
    `${attempt.billed ? label.yes : label.no}: ${attempt.billed_reason}`,
    String(attempt.latency_ms),
  ])
  return table(label.attemptHead, rows)
}

function usageText(usage: ReceiptUsage): string {
  // What the provider wrote is for programs: `--json` has it.
  const { source, note, raw: _raw, ...counts } = usage
  const parts = Object.entries(counts)
    .filter(([name, count]) => (count !== 0 && count !== null) || name === 'input' || name === 'output')
    .map(([name, count]) => `${name} ${count ?? '?'}`)
  return `${parts.join(', ')} (${source}${note === undefined ? '' : `: ${note}`})`
}

function charge(receipt: Receipt, label: Labels): string {
  if (receipt.charge === null) return `${label.noCharge}: ${receipt.no_charge_reason ?? receipt.status}`
  const { lines, total, currency, bucket, settlement, price_version: version, reference } = receipt.charge
  const rows = lines.map((line) => [
    line.meter,
    String(line.quantity),
    line.unit_price,
    String(line.per),
    line.amount,
  ])
  const sums: [string, string][] = [
    [label.total, `${total} ${currency} (${bucket}, ${settlement}, ${version})`],
  ]
  if (reference !== null) sums.push([label.reference, `${reference.total} ${reference.currency}`])
  return `${table(label.lineHead, rows)}\n${pairs(sums)}`
}

function money(receipt: Receipt, label: Labels): string {
  const rows: [string, string][] = []
  if (receipt.hold !== null)
    rows.push([label.hold, `${receipt.hold.amount} ${receipt.hold.currency}, ${receipt.hold.state}`])
  if (receipt.balance !== null) {
    const { before, after, currency, bucket } = receipt.balance
    rows.push([label.balance, `${bucket}: ${label.before} ${before}, ${label.after} ${after} ${currency}`])
  }
  return pairs(rows)
}

function trouble(receipt: Receipt, label: Labels): string {
  const rows: [string, string][] = []
  if (receipt.error !== null)
    rows.push([label.error, `${receipt.error.status} ${receipt.error.code}: ${receipt.error.message}`])
  if (receipt.next_step !== null) rows.push([label.next, receipt.next_step])
  if (receipt.flags.length > 0) rows.push([label.flags, receipt.flags.join(', ')])
  return pairs(rows)
}

function section(title: string, body: string): string {
  return body === '' ? '' : `${title}\n${body.replace(/^/gm, '  ')}`
}

export function receiptPage(receipt: Receipt, language: Language): string {
  const label = LABELS[language]
  const ledger = receipt.ledger.map(({ entry, account, amount, currency }) => [
    entry,
    account,
    `${amount} ${currency}`,
  ])
  return [
    `${label.receipt} ${receipt.id}`,
    receipt.explanation[language],
    trouble(receipt, label),
    whoAndHow(receipt, label),
    receipt.attempts.length === 0 ? '' : section(label.attempts, attempts(receipt, label)),
    receipt.usage === null ? '' : pairs([[label.usage, usageText(receipt.usage)]]),
    section(label.charge, charge(receipt, label)),
    money(receipt, label),
    ledger.length === 0 ? '' : section(label.ledger, table(label.ledgerHead, ledger)),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}
