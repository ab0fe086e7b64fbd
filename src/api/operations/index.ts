import type { Operation } from '../operation.ts'
import { getAudit } from './audit.ts'
import { changeBudget, createBudget, endBudget, getBudget, listBudgets } from './budgets.ts'
import { createGrant } from './create-grant.ts'
import { getBalances } from './get-balances.ts'
import { getReceipt } from './get-receipt.ts'
import { getLive, getReady } from './health.ts'
import { changeKey, createKey, listKeys } from './keys.ts'
import { listLedgerEntries } from './list-ledger-entries.ts'
import { listModels } from './list-models.ts'
import { listReceipts } from './list-receipts.ts'
import { getMetrics } from './metrics.ts'
import { openOperatorLink } from './open-operator-link.ts'
import { createOrganization, listOrganizations } from './organizations.ts'
import { createProject, listProjects } from './projects.ts'
import { createRun, getRun, listRuns } from './runs.ts'

/** Everything the API can do. What is not here is neither served nor described. */
export const OPERATIONS: readonly Operation[] = [
  getReceipt,
  listReceipts,
  getBalances,
  listLedgerEntries,
  listModels,
  listRuns,
  createRun,
  getRun,
  listOrganizations,
  createOrganization,
  listProjects,
  createProject,
  listKeys,
  createKey,
  changeKey,
  createGrant,
  listBudgets,
  createBudget,
  getBudget,
  changeBudget,
  endBudget,
  getAudit,
  getLive,
  getReady,
  getMetrics,
  openOperatorLink,
]
