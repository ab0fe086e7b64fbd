import type { BudgetState } from '../budgets/index.ts'
import type { CatalogSnapshot } from '../catalog/index.ts'
import type {
  ApiKeyView,
  AuditEventView,
  BucketBalance,
  BudgetScope,
  BudgetView,
  LedgerEntryView,
  OrganizationView,
  ProjectView,
  RateLimitView,
  RunSummary,
} from '../contract/index.ts'
import { formatId, formatNano, type IdPrefix, isoTime, parentUuid, parseId } from '../kernel/index.ts'
import type { Balance, StatementLine } from '../ledger/index.ts'
import { type RateLimit, shownScopeId } from '../rates/index.ts'
import {
  type ApiKeyInfo,
  type AuditEvent,
  type Organization,
  type Project,
  type Run,
  termsTold,
} from '../tenancy/index.ts'

/** Values of the domains as they cross HTTP. */

const timeOf = (ms: number | null): string | null => (ms === null ? null : isoTime(ms))

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
    state: project.state,
    replay_unkeyed_retries: project.replayUnkeyedRetries,
    created_at: isoTime(project.createdAtMs),
  }
}

export function apiKeyView(key: ApiKeyInfo): ApiKeyView {
  return {
    id: formatId('key', key.id),
    organization: formatId('org', key.orgId),
    project: formatId('prj', key.projectId),
    prefix: key.prefix,
    ...termsTold(key),
    created_at: isoTime(key.createdAtMs),
    last_used_at: timeOf(key.lastUsedAtMs),
    secrets: key.secrets.map((secret) => ({
      id: formatId('sec', secret.id),
      prefix: secret.prefix,
      state: secret.state,
      created_at: isoTime(secret.createdAtMs),
      ends_at: timeOf(secret.endsAtMs),
      last_used_at: timeOf(secret.lastUsedAtMs),
    })),
  }
}

const OBJECT_PREFIX: Readonly<Record<string, IdPrefix>> = {
  organization: 'org',
  project: 'prj',
  key: 'key',
  person: 'usr',
  invitation: 'inv',
  budget: 'bud',
  rate_limit: 'rl',
  webhook: 'whk',
  alert_rule: 'alr',
}

/** Where operators work from is no customer's to know. */
export function auditEventView(event: AuditEvent, view: 'customer' | 'operator'): AuditEventView {
  const prefix = OBJECT_PREFIX[event.objectKind]
  return {
    id: String(event.seq),
    at: event.at.toISOString(),
    organization: event.orgId === null ? null : formatId('org', event.orgId),
    actor: {
      kind: event.actorKind,
      id: event.actorId === null ? null : formatId(event.actorKind === 'key' ? 'key' : 'usr', event.actorId),
    },
    action: event.action,
    object: {
      kind: event.objectKind,
      id: prefix === undefined ? event.objectId : formatId(prefix, event.objectId),
    },
    before: event.before,
    after: event.after,
    request_id: event.requestId === null ? null : formatId('req', event.requestId),
    address: view === 'customer' && event.actorKind === 'operator' ? null : event.address,
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

const SCOPE_PREFIXES: Readonly<Record<BudgetScope, IdPrefix | null>> = {
  organization: 'org',
  project: 'prj',
  key: 'key',
  run: 'run',
  route: null,
}

/** A scope's id as it is stored; an id of another kind finds nothing, as it is in no budget. */
export function limitScopeId(scope: BudgetScope, shown: string | null): string | null {
  const prefix = SCOPE_PREFIXES[scope]
  return shown === null || prefix === null ? shown : (parseId(prefix, shown) ?? shown)
}

export function rateLimitView(limit: RateLimit): RateLimitView {
  return {
    id: formatId('rl', limit.id),
    organization: formatId('org', limit.orgId),
    scope: limit.scope,
    scope_id: shownScopeId(limit),
    ...limit.amounts,
    set_by: limit.setBy,
    created_at: isoTime(limit.createdAtMs),
    ended_at: limit.endedAtMs === null ? null : isoTime(limit.endedAtMs),
  }
}

export function budgetView(budget: BudgetState): BudgetView {
  const prefix = SCOPE_PREFIXES[budget.scope]
  const { startMs, endMs } = budget.window
  return {
    id: formatId('bud', budget.id),
    organization: formatId('org', budget.orgId),
    scope: budget.scope,
    scope_id: prefix === null ? budget.scopeId : formatId(prefix, budget.scopeId),
    bucket: budget.bucket,
    currency: budget.currency,
    period: budget.period,
    amount: formatNano(budget.amountNano),
    hard: budget.hard,
    set_by: budget.setBy,
    used: formatNano(budget.usedNano),
    held: formatNano(budget.heldNano),
    window_start: endMs === null ? null : isoTime(startMs),
    resets_at: endMs === null ? null : isoTime(endMs),
    created_at: isoTime(budget.createdAtMs),
    ended_at: budget.endedAtMs === null ? null : isoTime(budget.endedAtMs),
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
