export { hashApiKey, keyPrefix, looksLikeApiKey, makeApiKey } from './api-key.ts'
export { type Actor, type AuditEvent, type EventFilter, recordEvent, SYSTEM } from './audit-log.ts'
export { type ExposedAt, keyInUrl, secretInQuery } from './exposed.ts'
export type { Invitation } from './invitations.ts'
export { type StoredKeyState, termsTold } from './key-row.ts'
export type { KeyChange, KeyChanged, KeyTerms, NewKey } from './keys.ts'
export type { Giver, Member, MemberChanged } from './members.ts'
export { cleanName, NAME_MAX } from './names.ts'
export { type NetworkSet, NO_NETWORKS, networksOf, senderAddress, wrongNetwork } from './networks.ts'
export { openTenancy, type Tenancy, type TenancyOptions, type TenancyTables } from './open.ts'
export {
  endOperatorCodes,
  issueOperatorCode,
  operatorCodeLives,
  redeemOperatorCode,
} from './operator-link.ts'
export type { ApiKeyInfo, ApiKeyRecord, Organization, Page, Project, Run, SecretInfo } from './records.ts'
export type { RunQuery, RunRef } from './runs.ts'
export { keyRefusal, mayUseModel, type RouteAccess, routeAccess } from './scope.ts'
