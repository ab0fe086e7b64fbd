import { z } from 'zod'
import { listOf, newOrganizationSchema, organizationSchema, pageQuery } from '../../contract/index.ts'
import { operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { cursorOf, pageOf } from '../scope.ts'
import { organizationView } from '../views.ts'
import { nameOf } from './name-of.ts'

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

export const listOrganizations = operation({
  id: 'listOrganizations',
  method: 'GET',
  path: '/api/v1/organizations',
  summary: 'Organizations, newest first',
  callers: ['operator'],
  params: z.strictObject({}),
  query: pageQuery,
  body: null,
  response: listOf(organizationSchema),
  faults: [],
  async run({ deps, query }) {
    const before = cursorOf('org', query.cursor)
    const rows = await deps.tenancy.listOrganizations({ limit: query.limit + 1, before })
    return pageOf('org', rows, query.limit, organizationView)
  },
})

export const createOrganization = operation({
  id: 'createOrganization',
  method: 'POST',
  path: '/api/v1/organizations',
  summary: 'Makes an organization',
  callers: ['operator'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: newOrganizationSchema,
  response: organizationSchema,
  status: 201,
  faults: [],
  async run({ deps, by, newId, body }) {
    const timeZone = body.time_zone ?? 'UTC'
    if (!isTimeZone(timeZone))
      throw new InvalidRequest('body', [{ field: 'time_zone', message: 'is not an IANA time zone' }])
    const order = { id: newId, name: nameOf(body.name), timeZone }
    return organizationView(await deps.tenancy.createOrganization(order, by))
  },
})
