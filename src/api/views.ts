import type { CatalogSnapshot } from '../catalog/index.ts'
import type {
  ApiKeyView,
  BucketBalance,
  LedgerEntryView,
  OrganizationView,
  ProjectView,
  RunSummary,
} from '../contract/index.ts'
import { formatId, formatNano, isoTime, parentUuid } from '../kernel/index.ts'
import type { Balance, StatementLine } from '../ledger/index.ts'
import type { ApiKeyInfo, Organization, Project, Run } from '../tenancy/index.ts'

/** Values of the domains as they cross HTTP. */

export function organizationView(organization: Organization): OrganizationView {
  return {
    id: formatId('org', organization.id),
    name: organization.name,
    time_zone: organization.timeZone,
    created_at: isoTime(organization.createdAtMs),
  }
}

export function projectView(project: Project): ProjectView {
  return {
    id: formatId('prj', project.id),
    organization: formatId('org', project.orgId),
    name: project.name,
    created_at: isoTime(project.createdAtMs),
  }
}

export function apiKeyView(key: ApiKeyInfo): ApiKeyView {
  return {
    id: formatId('key', key.id),
    organization: formatId('org', key.orgId),
    project: formatId('prj', key.projectId),
    label: key.label,
    prefix: key.prefix,
    policy: key.policy,
    allow_cross_balance: key.allowCrossBalance,
    models: key.models === null ? null : [...key.models],
    routes: key.routes === null ? null : [...key.routes],
    max_attempts: key.maxAttempts,
    state: key.state,
    expires_at: key.expiresAtMs === null ? null : isoTime(key.expiresAtMs),
    created_at: isoTime(key.createdAtMs),
    last_used_at: key.lastUsedAtMs === null ? null : isoTime(key.lastUsedAtMs),
  }
}

export function runView(run: Run): RunSummary {
  return {
    id: formatId('run', run.id),
    organization: formatId('org', run.orgId),
    project: formatId('prj', run.projectId),
    name: run.name,
    status: 'open',
    created_at: isoTime(run.createdAtMs),
  }
}

/** Every configured bucket, also before its first movement, and every other one that holds an account. */
export function bucketsView(
  snapshot: CatalogSnapshot,
  balances: readonly Balance[],
): Record<string, BucketBalance> {
  const view: Record<string, BucketBalance> = {}
  for (const { id, name, currency } of snapshot.buckets.values())
    view[id] = { name, currency, posted: '0', held: '0', available: '0', open_holds: 0 }
  for (const balance of balances) {
    view[balance.bucket] = {
      name: snapshot.buckets.get(balance.bucket)?.name ?? balance.bucket,
      currency: balance.currency,
      posted: formatNano(balance.postedNano),
      held: formatNano(balance.heldNano),
      available: formatNano(balance.availableNano),
      open_holds: balance.openHolds,
    }
  }
  return view
}

export function entryView(line: StatementLine): LedgerEntryView {
  return {
    id: `${line.transferId}/${line.line}`,
    transfer: line.transferId,
    request: line.kind === 'charge' ? formatId('req', parentUuid(line.transferId)) : null,
    bucket: line.bucket,
    kind: line.kind,
    currency: line.currency,
    amount: formatNano(line.amountNano),
    balance_after: formatNano(line.balanceAfterNano),
    seq: Number.parseInt(String(line.accountSeq), 10),
    reason: line.reason,
    created_at: line.at.toISOString(),
  }
}
