/** What the people of an organization may do in it: by role, in one table. Operators and API keys are apart. */

export const ROLES = ['owner', 'admin', 'developer', 'billing', 'viewer'] as const
export type Role = (typeof ROLES)[number]

export const PERMISSIONS = [
  'organization.read',
  'organization.write',
  'members.read',
  'members.write',
  'projects.read',
  'projects.write',
  'keys.read',
  'keys.write',
  'limits.read',
  'limits.write',
  'runs.read',
  'runs.write',
  'receipts.read',
  'balances.read',
  'models.read',
  'alerts.read',
  'alerts.write',
  'webhooks.read',
  'webhooks.write',
  'audit.read',
] as const
export type Permission = (typeof PERMISSIONS)[number]

const READING = PERMISSIONS.filter((permission) => permission.endsWith('.read'))
/** What the organization is made of, rather than what it does. */
const GUARDED: readonly Permission[] = ['audit.read', 'webhooks.read', 'members.read']

const GRANTED: Readonly<Record<Role, readonly Permission[]>> = {
  owner: PERMISSIONS,
  admin: PERMISSIONS,
  developer: [
    ...READING.filter((permission) => permission !== 'audit.read'),
    'keys.write',
    'runs.write',
    'webhooks.write',
  ],
  billing: [
    'organization.read',
    'members.read',
    'projects.read',
    'keys.read',
    'limits.read',
    'limits.write',
    'runs.read',
    'receipts.read',
    'balances.read',
    'models.read',
    'alerts.read',
    'alerts.write',
    'audit.read',
  ],
  viewer: READING.filter((permission) => !GUARDED.includes(permission)),
}

export const ROLE_PERMISSIONS: Readonly<Record<Role, ReadonlySet<Permission>>> = {
  owner: new Set(GRANTED.owner),
  admin: new Set(GRANTED.admin),
  developer: new Set(GRANTED.developer),
  billing: new Set(GRANTED.billing),
  viewer: new Set(GRANTED.viewer),
}

/**
 * Whether somebody of one role may give, change or take away another: never one that may more than theirs. Owners are
 * made and unmade by owners, although admins may do everything else that they may.
 */
export function mayGive(own: Role, other: Role): boolean {
  if (other === 'owner') return own === 'owner'
  const mine = ROLE_PERMISSIONS[own]
  return mine.has('members.write') && [...ROLE_PERMISSIONS[other]].every((permission) => mine.has(permission))
}
