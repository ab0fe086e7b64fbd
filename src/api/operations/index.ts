import type { Operation } from '../operation.ts'
import {
  changeAlertRule,
  createAlertRule,
  endAlertRule,
  getAlertRule,
  listAlertRules,
} from './alert-rules.ts'
import { acknowledgeAlert, getAlert, listAlerts } from './alerts.ts'
import { getAudit } from './audit.ts'
import { exportAuditEvents, listAuditEvents } from './audit-log.ts'
import { changeBudget, createBudget, endBudget, getBudget, listBudgets } from './budgets.ts'
import { getChannel, listChannels, listPrices, listRoutes } from './catalog.ts'
import { createGrant } from './create-grant.ts'
import { getDelivery, listDeliveries, replayDelivery, replayFailed } from './deliveries.ts'
import { listEvents } from './events.ts'
import { getBalances } from './get-balances.ts'
import { getReceipt } from './get-receipt.ts'
import { getLive, getReady } from './health.ts'
import { acceptInvitation, createInvitation, listInvitations, revokeInvitation } from './invitations.ts'
import {
  changeKey,
  createKey,
  getKey,
  getKeyAccess,
  listKeys,
  pauseKey,
  resumeKey,
  revokeKey,
  revokeSecret,
  rotateKey,
} from './keys.ts'
import { listLedgerEntries } from './list-ledger-entries.ts'
import { listModels } from './list-models.ts'
import { exportReceipts, listReceipts } from './list-receipts.ts'
import { getMe } from './me.ts'
import { changeMember, leaveOrganization, listMembers, removeMember } from './members.ts'
import { getMetrics } from './metrics.ts'
import { createOperatorLink, listOperators, putOperator, removeOperator } from './operators.ts'
import {
  changeOrganization,
  createOrganization,
  getOrganization,
  listOrganizations,
} from './organizations.ts'
import { changeProject, createProject, getProject, listProjects } from './projects.ts'
import {
  changeRateLimit,
  createRateLimit,
  endRateLimit,
  getRateLimit,
  listRateLimits,
} from './rate-limits.ts'
import { createRun, getRun, listRuns } from './runs.ts'
import { exportUsage, getUsage } from './usage.ts'
import {
  changeWebhook,
  createWebhook,
  endWebhook,
  getWebhook,
  listWebhooks,
  rotateWebhook,
  testWebhook,
} from './webhooks.ts'

/** Everything the API can do. What is not here is neither served nor described. */
export const OPERATIONS: readonly Operation[] = [
  exportReceipts,
  getReceipt,
  listReceipts,
  getUsage,
  exportUsage,
  getBalances,
  listLedgerEntries,
  listModels,
  listChannels,
  getChannel,
  listRoutes,
  listPrices,
  listRuns,
  createRun,
  getRun,
  listOrganizations,
  createOrganization,
  getOrganization,
  changeOrganization,
  getMe,
  listMembers,
  changeMember,
  removeMember,
  leaveOrganization,
  listInvitations,
  createInvitation,
  acceptInvitation,
  revokeInvitation,
  listProjects,
  createProject,
  getProject,
  changeProject,
  listKeys,
  createKey,
  getKey,
  changeKey,
  getKeyAccess,
  rotateKey,
  pauseKey,
  resumeKey,
  revokeKey,
  revokeSecret,
  createGrant,
  listBudgets,
  createBudget,
  getBudget,
  changeBudget,
  endBudget,
  listRateLimits,
  createRateLimit,
  getRateLimit,
  changeRateLimit,
  endRateLimit,
  listOperators,
  putOperator,
  removeOperator,
  createOperatorLink,
  listEvents,
  listAlerts,
  getAlert,
  acknowledgeAlert,
  listAlertRules,
  createAlertRule,
  getAlertRule,
  changeAlertRule,
  endAlertRule,
  listWebhooks,
  createWebhook,
  getWebhook,
  changeWebhook,
  endWebhook,
  rotateWebhook,
  testWebhook,
  replayFailed,
  listDeliveries,
  getDelivery,
  replayDelivery,
  listAuditEvents,
  exportAuditEvents,
  getAudit,
  getLive,
  getReady,
  getMetrics,
]
