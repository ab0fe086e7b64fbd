import type { Query } from '../../client/index.ts'
import { type Flags, givenFlag, oneOf, textFlag, UsageError } from '../command.ts'
import { PAGE_EXPLAIN, PAGE_OPTIONS, pageQuery } from './paging.ts'

/** How budgets and rate limits are named on the command line: by what they are about, and whose it is. */

export const PLACE_OPTIONS = {
  scope: { type: 'string' },
  id: { type: 'string' },
  org: { type: 'string' },
} as const

interface Place<S extends string> {
  readonly scope: S
  readonly scope_id: string
  /** For a route only; elsewhere the id tells. */
  readonly organization?: string
}

/** @param scopes the kinds of thing that such a limit can be about */
export function limitPlace<S extends string>(flags: Flags, scopes: readonly S[]): Place<S> {
  const scope = oneOf('scope', scopes, givenFlag(flags, 'scope')) as S
  const organization = textFlag(flags, 'org')
  if (scope === 'route' && organization === undefined) throw new UsageError('--scope route needs --org')
  const place = { scope, scope_id: givenFlag(flags, 'id') }
  return organization === undefined ? place : { ...place, organization }
}

export const LIMITS_OPTIONS = { ...PLACE_OPTIONS, ended: { type: 'boolean' }, ...PAGE_OPTIONS } as const

export function limitsExplain(
  scopes: readonly string[],
): Readonly<Record<keyof typeof LIMITS_OPTIONS, string>> {
  return {
    org: 'only those of this organization (org_…)',
    scope: `only these: ${scopes.join(', ')}`,
    id: `only those of this ${scopes.join(', ')}; with --scope`,
    ended: 'also those that have ended',
    ...PAGE_EXPLAIN,
  }
}

export function limitsQuery(flags: Flags, scopes: readonly string[]): Query {
  return {
    organization: textFlag(flags, 'org'),
    scope: oneOf('scope', scopes, textFlag(flags, 'scope')),
    scope_id: textFlag(flags, 'id'),
    ended: flags['ended'] === true ? 'true' : undefined,
    ...pageQuery(flags),
  }
}
