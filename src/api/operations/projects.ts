import { z } from 'zod'
import {
  listOf,
  newProjectSchema,
  projectChangeSchema,
  projectSchema,
  projectsQuery,
} from '../../contract/index.ts'
import { operation } from '../operation.ts'
import { cursorOf, idOf, notFound, pageOf, scopeOf } from '../scope.ts'
import { projectView } from '../views.ts'
import { nameOf } from './name-of.ts'

export const listProjects = operation({
  id: 'listProjects',
  method: 'GET',
  path: '/api/v1/projects',
  summary: 'Projects, newest first',
  callers: ['operator'],
  permission: 'projects.read',
  params: z.strictObject({}),
  query: projectsQuery,
  body: null,
  response: listOf(projectSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const { orgId } = await scopeOf(deps, caller, query)
    const before = cursorOf('prj', query.cursor)
    const filter = { orgId, state: query.state ?? null, namePrefix: query.name_prefix ?? null }
    const rows = await deps.tenancy.listProjects({ ...filter, limit: query.limit + 1, before })
    return pageOf('prj', rows, query.limit, projectView)
  },
})

export const getProject = operation({
  id: 'getProject',
  method: 'GET',
  path: '/api/v1/projects/{id}',
  summary: 'One project',
  callers: ['operator'],
  permission: 'projects.read',
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: null,
  response: projectSchema,
  faults: ['not_found'],
  async run({ deps, params }) {
    const project = await deps.tenancy.getProject(idOf('prj', params.id))
    if (project === null) throw notFound()
    return projectView(project)
  },
})

export const createProject = operation({
  id: 'createProject',
  method: 'POST',
  path: '/api/v1/projects',
  summary: 'Makes a project in an organization',
  callers: ['operator'],
  permission: 'projects.write',
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: newProjectSchema,
  response: projectSchema,
  status: 201,
  faults: ['not_found'],
  async run({ deps, by, newId, body }) {
    const orgId = idOf('org', body.organization)
    const project = await deps.tenancy.createProject({ id: newId, orgId, name: nameOf(body.name) }, by)
    if (project === null) throw notFound()
    return projectView(project)
  },
})

export const changeProject = operation({
  id: 'changeProject',
  method: 'PATCH',
  path: '/api/v1/projects/{id}',
  summary: 'Renames, pauses or resumes a project, or has retries of official SDKs recognized for it',
  callers: ['operator'],
  permission: 'projects.write',
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: projectChangeSchema,
  response: projectSchema,
  faults: ['not_found'],
  async run({ deps, by, params, body }) {
    const change = {
      ...(body.name === undefined ? {} : { name: nameOf(body.name) }),
      ...(body.state === undefined ? {} : { state: body.state }),
      ...(body.replay_unkeyed_retries === undefined
        ? {}
        : { replayUnkeyedRetries: body.replay_unkeyed_retries }),
    }
    const project = await deps.tenancy.changeProject(idOf('prj', params.id), change, by)
    if (project === null) throw notFound()
    return projectView(project)
  },
})
