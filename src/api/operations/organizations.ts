import { z } from 'zod'
import {
  listOf,
  newOrganizationSchema,
  organizationChangeSchema,
  organizationSchema,
  organizationsQuery,
} from '../../contract/index.ts'
import { operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { cursorOf, idOf, notFound, pageOf } from '../scope.ts'
import { organizationView } from '../views.ts'
import { nameOf } from './name-of.ts'

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

function timeZoneOf(name: string): string {
  if (isTimeZone(name)) return name
  throw new InvalidRequest('body', [{ field: 'time_zone', message: 'is not an IANA time zone' }])
}

const byId = z.strictObject({ id: z.string() })

export const getOrganization = operation({
  id: 'getOrganization',
  method: 'GET',
  path: '/api/v1/organizations/{id}',
  summary: 'One organization',
  callers: ['operator'],
  permission: 'organization.read',
  params: byId,
  query: z.strictObject({}),
  body: null,
  response: organizationSchema,
  faults: ['not_found'],
  async run({ deps, params }) {
    const organization = await deps.tenancy.getOrganization(idOf('org', params.id))
    if (organization === null) throw notFound()
    return organizationView(organization)
  },
})

export const changeOrganization = operation({
  id: 'changeOrganization',
  method: 'PATCH',
  path: '/api/v1/organizations/{id}',
  summary: 'Renames an organization, or counts its days in another time zone from now on',
  callers: ['operator'],
  permission: 'organization.write',
  params: byId,
  query: z.strictObject({}),
  body: organizationChangeSchema,
  response: organizationSchema,
  faults: ['not_found'],
  async run({ deps, by, params, body }) {
    const change = {
      ...(body.name === undefined ? {} : { name: nameOf(body.name) }),
      ...(body.time_zone === undefined ? {} : { timeZone: timeZoneOf(body.time_zone) }),
    }
    const organization = await deps.tenancy.changeOrganization(idOf('org', params.id), change, by)
    if (organization === null) throw notFound()
    return organizationView(organization)
  },
})

export const listOrganizations = operation({
  id: 'listOrganizations',
  method: 'GET',
  path: '/api/v1/organizations',
  summary: 'Organizations, newest first',
  callers: ['operator'],
  permission: 'organization.read',
  params: z.strictObject({}),
  query: organizationsQuery,
  body: null,
  response: listOf(organizationSchema),
  faults: [],
  async run({ deps, query }) {
    const before = cursorOf('org', query.cursor)
    const rows = await deps.tenancy.listOrganizations({
      namePrefix: query.name_prefix ?? null,
      limit: query.limit + 1,
      before,
    })
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
    const timeZone = timeZoneOf(body.time_zone ?? 'UTC')
    const order = { id: newId, name: nameOf(body.name), timeZone }
    return organizationView(await deps.tenancy.createOrganization(order, by))
  },
})
