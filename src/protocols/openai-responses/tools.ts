import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralTool, NeutralToolChoice } from '../neutral.ts'
import { type Declaration, declarations, flatName, identityOf, LOCAL_SHELL } from './names.ts'
import type { Notes } from './notes.ts'

/** Tools and the choice among them, out of a request. */

const READ_OF_TOOL = new Set(['type', 'name', 'description', 'parameters', 'strict', 'format', 'execution'])

const ANYTHING: JsonObject = { type: 'object', properties: {} }

/** OpenAI's built-in tool that the client runs, as its documentation describes the action. */
const SHELL_PARAMETERS: JsonObject = {
  type: 'object',
  properties: {
    command: { type: 'array', items: { type: 'string' }, description: 'Program and arguments.' },
    working_directory: { type: 'string', description: 'Where to run it.' },
    timeout_ms: { type: 'integer', description: 'Milliseconds after which it is ended.' },
    env: { type: 'object', additionalProperties: { type: 'string' }, description: 'Environment variables.' },
  },
  required: ['command'],
}

const words = (value: Json | undefined): string | null =>
  typeof value === 'string' && value !== '' ? value : null

/**
 * `encrypted` is OpenAI's own word in a schema (the model seals that argument); no other provider knows it and some
 * refuse it. Only where it is a word of the schema: a property may have that name.
 */
function plainSchema(schema: JsonObject, notes: Notes): JsonObject {
  const members = Object.entries(schema).flatMap(([name, value]): ReadonlyArray<readonly [string, Json]> => {
    if (name === 'encrypted' && typeof value === 'boolean') {
      notes.drop('tools[].parameters.encrypted')
      return []
    }
    if (name === 'properties' && isObject(value))
      return [[name, mapMembers(value, (property) => plainSchema(property, notes))]]
    if (name === 'items' && isObject(value)) return [[name, plainSchema(value, notes)]]
    return [[name, value]]
  })
  return Object.fromEntries(members)
}

function mapMembers(object: JsonObject, change: (member: JsonObject) => JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([name, member]) => [name, isObject(member) ? change(member) : member]),
  )
}

/** Free text in one string. A grammar can only be shown to the model: nobody but OpenAI holds it to one. */
function customParameters(format: Json | undefined, notes: Notes): JsonObject {
  let description = 'The whole input of the tool as plain text.'
  if (isObject(format) && format['type'] === 'grammar') {
    notes.drop('tools[].format')
    const syntax = typeof format['syntax'] === 'string' ? format['syntax'] : ''
    const definition = typeof format['definition'] === 'string' ? format['definition'] : ''
    description += ` It must match this ${syntax} grammar:\n${definition}`
  }
  return {
    type: 'object',
    properties: { input: { type: 'string', description } },
    required: ['input'],
    additionalProperties: false,
  }
}

function readTool(declaration: Declaration, notes: Notes): NeutralTool | null {
  const { tool, path } = declaration
  const identity = identityOf(declaration)
  if (identity === null) return null
  notes.dropUnread(tool, READ_OF_TOOL, 'tools[].')
  const name = flatName(identity.namespace, identity.name)
  const description = words(tool['description'])
  const given = tool['parameters']
  switch (identity.kind) {
    case 'local_shell':
      return {
        name,
        description: 'Runs a command on the user’s machine.',
        parameters: SHELL_PARAMETERS,
        strict: null,
      }
    case 'custom':
      if (identity.name === '') return notes.refuse(`${path}.name`, 'must name the tool')
      return { name, description, parameters: customParameters(tool['format'], notes), strict: null }
    default:
      if (identity.name === '') return notes.refuse(`${path}.name`, 'must name the tool')
      if (given !== undefined && given !== null && !isObject(given))
        return notes.refuse(`${path}.parameters`, 'must be a JSON schema')
      return {
        name,
        description,
        parameters: isObject(given) ? plainSchema(given, notes) : ANYTHING,
        strict: typeof tool['strict'] === 'boolean' ? tool['strict'] : null,
      }
  }
}

/**
 * Tools that run at OpenAI and that a request may do without: `web_search` without access to the web, which Codex sends
 * with every request of a model that it does not know, and a search for tools that are all declared anyhow.
 */
export function isDispensable(tool: JsonObject): boolean {
  const { type } = tool
  if (type === 'web_search') return tool['external_web_access'] === false
  return type === 'tool_search'
}

function readHosted({ tool, path }: Declaration, unused: boolean, notes: Notes): void {
  const type = typeof tool['type'] === 'string' ? tool['type'] : 'unknown'
  if (unused || isDispensable(tool)) notes.drop(`tools[].${type}`)
  else
    notes.refuse(
      `${path}.type`,
      `${type} runs at OpenAI and not at this model's provider: leave it out or set tool_choice to "none"`,
    )
}

export interface ToolsRead {
  readonly tools: readonly NeutralTool[]
  readonly choice: NeutralToolChoice | null
}

/** A tool of a list of allowed ones or of a choice, as `{type, name}` with an optional namespace. */
function chosenName(value: Json): string | null {
  if (!isObject(value)) return null
  const { type, name, namespace } = value
  if (type === 'local_shell') return LOCAL_SHELL
  if (type !== 'function' && type !== 'custom') return null
  return typeof name === 'string' ? flatName(typeof namespace === 'string' ? namespace : null, name) : null
}

function readAllowed(choice: JsonObject, tools: readonly NeutralTool[], notes: Notes): ToolsRead {
  const listed = choice['tools']
  const names = new Set(isArray(listed) ? listed.map(chosenName) : [])
  const mode = choice['mode']
  if (mode !== 'auto' && mode !== 'required') notes.refuse('tool_choice.mode', 'must be "auto" or "required"')
  return {
    tools: tools.filter((tool) => names.has(tool.name)),
    choice: { kind: mode === 'required' ? 'required' : 'auto' },
  }
}

function readChoice(choice: Json | undefined, tools: readonly NeutralTool[], notes: Notes): ToolsRead {
  if (choice === undefined || choice === null) return { tools, choice: null }
  if (choice === 'auto' || choice === 'none') return { tools, choice: { kind: choice } }
  if (choice === 'required') {
    if (tools.length === 0) notes.refuse('tool_choice', 'requires a tool, and there is none')
    return { tools, choice: { kind: choice } }
  }
  if (isObject(choice) && choice['type'] === 'allowed_tools') return readAllowed(choice, tools, notes)
  const name = chosenName(choice)
  if (name === null || !tools.some((tool) => tool.name === name)) {
    notes.refuse('tool_choice', 'must be "auto", "none", "required" or one of the declared tools')
    return { tools, choice: null }
  }
  return { tools, choice: { kind: 'tool', name } }
}

/** With a list of allowed tools that names no hosted one, the hosted ones are out of reach. */
function hostedUnused(choice: Json | undefined): boolean {
  if (choice === 'none') return true
  if (!isObject(choice)) return false
  const listed = choice['tools']
  if (choice['type'] === 'allowed_tools')
    return isArray(listed) && listed.every((tool) => chosenName(tool) !== null)
  return chosenName(choice) !== null
}

export function readTools(body: JsonObject, notes: Notes): ToolsRead {
  const { tools: list, tool_choice: choice } = body
  if (list !== undefined && list !== null && !isArray(list)) notes.refuse('tools', 'must be a list')
  const unused = hostedUnused(choice)
  const tools = new Map<string, NeutralTool>()
  const origins = new Map<string, string>()
  for (const declaration of declarations(body)) {
    const tool = readTool(declaration, notes)
    const identity = identityOf(declaration)
    if (identity === null) readHosted(declaration, unused, notes)
    if (tool === null || identity === null) continue
    // Codex declares its tools again when they change; two tools that only look alike are another matter.
    const origin = JSON.stringify([identity.namespace, identity.name])
    if ((origins.get(tool.name) ?? origin) !== origin)
      notes.refuse(`${declaration.path}.name`, `is too like another tool: both become ${tool.name}`)
    origins.set(tool.name, origin)
    tools.set(tool.name, tool)
  }
  return readChoice(choice, [...tools.values()], notes)
}
